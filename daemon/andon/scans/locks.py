"""Which exact releases a project's lock and requirements files name. Text in, releases out; it reads no disk and runs nothing."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

PYPI, NPM = "PyPI", "npm"
UNREAD = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "Cargo.lock", "go.sum", "Gemfile.lock", "composer.lock")
"""Lock files that are known and not read: they are told."""
_REQUIREMENTS = re.compile(r"(?:.*[-_.])?(?:requirements|constraints)(?:[-_.].*)?\.(?:txt|lock|pip)")
_FOLDER = re.compile(r"(?:.*/)?requirements/[^/]+\.(?:txt|lock)")


class Release(msgspec.Struct, frozen=True):
    """One release that a file names."""

    ecosystem: str
    name: str
    version: str
    path: str
    line: int = 1


class Named(msgspec.Struct, frozen=True):
    """What one file names."""

    releases: tuple[Release, ...] = ()
    loose: int = 0
    """Entries without an exact release: nothing can be said of them."""


def ecosystem_of(path: str) -> str:
    """Whose releases a file names; empty for a file that is not read."""
    name = PurePosixPath(path).name
    if name in _READERS:
        return _READERS[name][0]
    return PYPI if _REQUIREMENTS.fullmatch(name) or _FOLDER.fullmatch(path) else ""


def read(path: str, text: str) -> Named:
    """What a file names. Raises ValueError when it cannot be read as what its name says."""
    reader = _READERS.get(PurePosixPath(path).name, (PYPI, _requirements))[1]
    try:
        return reader(path, text)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has another shape than a file of that name: {type(error).__name__}") from error


def _requirements(path: str, text: str) -> Named:
    """pip's own format; hashes, options and markers do not matter here."""
    found, loose = [], 0
    for number, line in enumerate(_folded(text), 1):
        words = re.split(r"\s#|^#|\s--", line)[0].strip()
        if not words or words.startswith("-"):
            continue
        try:
            wanted = Requirement(words)
        except InvalidRequirement:
            loose += 1
            continue
        exact = [one.version for one in wanted.specifier if one.operator in ("==", "===") and not one.version.endswith(".*")]
        if exact:
            found.append(Release(PYPI, canonicalize_name(wanted.name), exact[0], path, number))
        else:
            loose += 1
    return Named(tuple(found), loose)


def _folded(text: str) -> list[str]:
    """Lines with their continuations, each at the place of its first."""
    lines: list[str] = []
    open_ = -1
    for line in text.splitlines():
        if open_ >= 0:
            lines[open_] += " " + line.removesuffix("\\")
            lines.append("")
        else:
            lines.append(line.removesuffix("\\"))
        open_ = (open_ if open_ >= 0 else len(lines) - 1) if line.endswith("\\") else -1
    return lines


def _toml(path: str, text: str) -> Named:
    """poetry.lock, uv.lock, pdm.lock, pylock.toml."""
    tree = tomllib.loads(text)
    entries: list[dict[str, Any]] = [*tree.get("package", ()), *tree.get("packages", ())]
    lines = _lines_of(text, re.compile(r'^name\s*=\s*"([^"]+)"', re.M))
    found = [Release(PYPI, canonicalize_name(one["name"]), one["version"], path, lines.get(one["name"], 1))
             for one in entries if one.get("version")]
    return Named(tuple(found), len(entries) - len(found))


def _pipfile(path: str, text: str) -> Named:
    tree = json.loads(text)
    lines = _lines_of(text, re.compile(r'"([^"\n]+)"\s*:\s*\{'))
    entries = [(name, one) for part in ("default", "develop") for name, one in tree.get(part, {}).items()]
    found = [Release(PYPI, canonicalize_name(name), one["version"].removeprefix("=="), path, lines.get(name, 1))
             for name, one in entries if str(one.get("version", "")).startswith("==")]
    return Named(tuple(found), len(entries) - len(found))


def _npm(path: str, text: str) -> Named:
    """package-lock.json and npm-shrinkwrap.json, of all three versions."""
    tree = json.loads(text)
    lines = _lines_of(text, re.compile(r'"([^"\n]+)"\s*:\s*\{'))
    found: list[Release] = []
    loose = 0
    entries = [(key, one) for key, one in tree.get("packages", {}).items() if key] or list(_nested(tree.get("dependencies", {})))
    for key, one in entries:
        if one.get("link"):
            continue
        name, version = str(one.get("name") or key.rpartition("node_modules/")[2]), str(one.get("version", ""))
        if re.match(r"\d", version):
            found.append(Release(NPM, name, version, path, lines.get(key, 1)))
        elif "node_modules/" in key or not tree.get("packages"):
            loose += 1
    return Named(tuple(found), loose)


def _nested(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in tree.items():
        yield name, one
        yield from _nested(one.get("dependencies", {}))


def _lines_of(text: str, pattern: re.Pattern[str]) -> dict[str, int]:
    """The line of each name's first place."""
    found: dict[str, int] = {}
    at, line = 0, 1
    for seen in pattern.finditer(text):
        line += text.count("\n", at, seen.start(1))
        at = seen.start(1)
        found.setdefault(seen[1], line)
    return found


_READERS: dict[str, tuple[str, Callable[[str, str], Named]]] = {
    "poetry.lock": (PYPI, _toml), "uv.lock": (PYPI, _toml), "pdm.lock": (PYPI, _toml), "pylock.toml": (PYPI, _toml),
    "Pipfile.lock": (PYPI, _pipfile), "package-lock.json": (NPM, _npm), "npm-shrinkwrap.json": (NPM, _npm),
}
