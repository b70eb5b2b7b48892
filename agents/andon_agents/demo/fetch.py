"""Gets the demo's project: a pinned release from the package index, else the bundled one. Trusts nothing but the checksum."""

import hashlib
import importlib
import os
import queue
import re
import shutil
import ssl
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from html import unescape
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin

import msgspec

NAME, VERSION, SHA256 = "toolz", "1.1.0", "27a5c770d068c110d9ed9323f24f1543e83b2f300a687b7891c1a6d56b697b5b"
"""The release: BSD-3-Clause, pure Python, 186 tests in a second, nothing needed but pytest."""
SECONDS = 20.0
"""Limit of the whole download."""
BYTES = 4 * 1024 * 1024
"""Limit of one answer."""
IGNORE = "__pycache__/\n*.pyc\n.pytest_cache/\n!*.egg-info/\n"
"""A release carries no .gitignore; its metadata must not be ignored, for the project reads its version there."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The project that lies at `path`, ready for `git init`."""

    name: str
    """`toolz` or `pocket`: what `demo_tasks` wants to know."""
    version: str
    source: Literal["pypi", "bundled"]
    because: str
    """One sentence: where it comes from, and for the bundled one why."""
    path: Path


class Unreachable(Exception):
    """The release could not be had; the text says why."""


def fetch_project(into: Path, *, index: str = "", seconds: float = SECONDS) -> Fetched:
    """Put the demo's project into the directory `into`, which must be missing or empty. Never fails for want of a network."""
    index = index or os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_INDEX_URL") or default_index()
    try:
        release = _within(seconds, index)
    except Unreachable as error:
        return bundled_project(into, because=f"{NAME} {VERSION} could not be downloaded ({error}), so this is the bundled project")
    _unpacked(release, into)
    if not (into / ".gitignore").exists():
        (into / ".gitignore").write_text(IGNORE, "utf-8")
    because = f"the release of {NAME} {VERSION} from {_bare(index)}, checked against its pinned sha256"
    return Fetched(name=NAME, version=VERSION, source="pypi", because=because, path=into)


def default_index() -> str:
    """The index that pip would ask by itself; empty when there is no pip to say so."""
    try:
        known = importlib.import_module("pip._internal.models.index").PyPI
    except (ImportError, AttributeError):
        return ""
    return str(known.simple_url)


def bundled_project(into: Path, *, because: str = "the bundled project was asked for") -> Fetched:
    """Put the bundled project into `into`; needs nothing."""
    _copied(resources.files("andon_agents.demo") / "pocket", into)
    return Fetched(name="pocket", version="1.4.0", source="bundled", because=because, path=into)


def _copied(source: Traversable, into: Path) -> None:
    """A tree of data files: each carries `.txt` behind its name, so that no tool takes it for a part of ours."""
    into.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _copied(entry, into / entry.name)
        else:
            name = entry.name.removesuffix(".txt")
            (into / (".gitignore" if name == "gitignore" else name)).write_bytes(entry.read_bytes())


def _within(seconds: float, index: str) -> bytes:
    """The download, in a thread that may hang in the resolver without hanging us."""
    answers: queue.SimpleQueue[bytes | Unreachable] = queue.SimpleQueue()
    end = time.monotonic() + seconds

    def work() -> None:
        try:
            answers.put(_downloaded(index, end))
        except Unreachable as error:
            answers.put(error)

    threading.Thread(target=work, name="andon-demo-download", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise Unreachable(f"no answer from {_bare(index)} within {seconds:g} s") from None
    if isinstance(answer, Unreachable):
        raise answer
    return answer


def _downloaded(index: str, end: float) -> bytes:
    """The bytes of the release, proven by its checksum."""
    base = urljoin(index.rstrip("/") + "/", f"{NAME}/") if index else ""
    page = _got(base, end).decode(errors="replace")
    wanted = f"{NAME}-{VERSION}.tar.gz"
    links = [unescape(link) for link in re.findall(r"""href=["']([^"']+)["']""", page)]
    link = next((link for link in links if link.partition("#")[0].endswith(f"/{wanted}")), "")
    if not link:
        raise Unreachable(f"{_bare(index)} has no {wanted}")
    data = _got(urljoin(base, link), end)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise Unreachable(f"{wanted} from {_bare(index)} does not have the pinned checksum")
    return data


def _got(url: str, end: float) -> bytes:
    """One answer, bounded in bytes and time."""
    if not url.startswith(("https://", "http://", "file://")):
        raise Unreachable(f"cannot fetch {_bare(url)}" if url else "no package index is known")
    authority = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT") or None
    data = b""
    try:
        request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1", "User-Agent": "andon-demo"})
        context = ssl.create_default_context(cafile=authority) if url.startswith("https://") else None
        with urllib.request.urlopen(request, timeout=max(end - time.monotonic(), 0.1), context=context) as answer:
            while chunk := answer.read(65536):
                data += chunk
                if len(data) > BYTES or time.monotonic() > end:
                    raise Unreachable(f"{_bare(url)} is too slow or too big")
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise Unreachable(f"{_bare(url)}: {getattr(error, 'reason', None) or error}") from error
    return data


def _unpacked(release: bytes, into: Path) -> None:
    """The release's one folder, as `into`; nothing is written outside, no link leads out."""
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".andon-demo-") as aside:
        archive = Path(aside) / "release.tar.gz"
        archive.write_bytes(release)
        with tarfile.open(archive) as tar:
            inside = [member for member in tar if (member.isreg() or member.isdir()) and ".." not in Path(member.name).parts]
            if hasattr(tarfile, "data_filter"):
                tar.extractall(aside, members=inside, filter="data")
            else:  # Python before 3.11.4
                tar.extractall(aside, members=inside)
        shutil.copytree(Path(aside) / f"{NAME}-{VERSION}", into, dirs_exist_ok=True)


def _bare(url: str) -> str:
    """A URL without the password that an index setting may carry."""
    return re.sub(r"//[^/@]*@", "//", url)
