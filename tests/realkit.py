"""The real agent CLIs, in the versions that the tests were written against, installed once for all tests.

`cli("claude")` gives the binary. It is looked for on PATH first (only the exact version counts), then in the cache
(`$ANDON_AGENT_CACHE`, else `.cache/agents` of the repository), and installed there by npm when it is in neither. A test is skipped,
with npm's own words, only when npm is missing or the registry cannot be reached; anything else that goes wrong is a failure.

    python tests/realkit.py claude codex opencode

installs them beforehand, outside of the time that a test has: a slow registry is no failure.
"""

import contextlib
import fcntl
import functools
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALL_S, ASK_S = 600, 60
"""Seconds that an installation, and the question for a version, may take."""
ASKED_S = 3600.0
"""So long is a registry that could not be reached not asked again."""
UNREACHABLE = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|"
    r"E40[137]|E407|E429|E50[0234]|UNABLE_TO_GET_ISSUER|SELF_SIGNED_CERT|CERT_)")
"""What npm says when the registry is not there, or does not let us in."""


@dataclass(frozen=True)
class Package:
    """One CLI, pinned."""

    name: str
    version: str


PACKAGES = {
    "claude": Package("@anthropic-ai/claude-code", "2.1.197"),
    "codex": Package("@openai/codex", "0.169.0"),
    "opencode": Package("opencode-ai", "1.18.33"),
    "gemini": Package("@google/gemini-cli", "0.61.0"),
    "qwen": Package("@qwen-code/qwen-code", "0.15.10"),
    "copilot": Package("@github/copilot", "1.0.102"),
}


class Unreachable(Exception):
    """npm is missing, or the registry cannot be reached; the words say which."""


FAILED: dict[str, Unreachable] = {}
"""What could not be had is not asked for again in this run."""


def cache() -> Path:
    """Where installed agents are kept. It ignores itself, so git never sees it."""
    folder = Path(os.environ.get("ANDON_AGENT_CACHE") or ROOT / ".cache" / "agents")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n")
    return folder


def cli(name: str) -> Path:
    """The binary of this agent in its pinned version; the test is skipped, loudly, when it cannot be had."""
    try:
        if name in FAILED:
            raise FAILED[name]
        return installed(name)
    except Unreachable as error:
        FAILED[name] = error
        package = PACKAGES[name]
        reason = f"NOT TESTED: {name} {package.version} could not be installed: {error}"
        print(f"\n{reason}", file=sys.__stderr__, flush=True)
        pytest.skip(reason)


@functools.cache
def installed(name: str) -> Path:
    """The same without pytest: raises Unreachable."""
    package = PACKAGES[name]
    if not os.environ.get("ANDON_AGENT_CACHE"):
        found = shutil.which(name)
        if found and version_of(Path(found)) == package.version:
            return Path(found).absolute()
    refused = cache() / f".{name}.unreachable"
    if refused.is_file() and time.time() - refused.stat().st_mtime < ASKED_S:
        raise Unreachable(refused.read_text())
    prefix = cache() / f"{name}-{package.version}"
    binary = prefix / "node_modules" / ".bin" / name
    with _locked(cache() / f".{name}.lock"):
        if not (prefix / "complete").exists():
            _install(prefix, package)
            said = version_of(binary)
            if said != package.version:
                raise RuntimeError(f"{binary} says that its version is {said or 'nothing'}, not {package.version}")
            (prefix / "complete").touch()
    return binary


def version_of(binary: Path) -> str:
    """What the binary says its version is; empty when it says nothing that looks like one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run((binary, "--version"), capture_output=True, text=True, check=False, timeout=ASK_S,
                              stdin=subprocess.DEVNULL)
        found = re.search(r"\d+\.\d+\.\d+", done.stdout)
        return found[0] if found else ""
    return ""


def _install(prefix: Path, package: Package) -> None:
    """Each package has a prefix of its own: one that fails harms no other. A half-done one is begun anew."""
    npm = shutil.which("npm")
    if not npm:
        raise Unreachable("npm is not installed")
    if prefix.exists():
        shutil.rmtree(prefix)
    prefix.mkdir(parents=True)
    (prefix / "package.json").write_text('{"private": true}\n')
    quiet = ("--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1")
    argv = (npm, "install", *quiet, "--prefix", str(prefix), f"{package.name}@{package.version}")
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=INSTALL_S, stdin=subprocess.DEVNULL,
                              env={**os.environ, "HOME": _person_home()})
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"npm took longer than {INSTALL_S} s") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-1500:]
        if UNREACHABLE.search(words):
            raise Unreachable(words)
        raise RuntimeError(f"npm could not install {package.name}@{package.version}: {words}")


def _person_home() -> str:
    """The person's own home: tests have a private one, without the person's registry and npm cache."""
    return pwd.getpwuid(os.getuid()).pw_dir


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time over all processes; the kernel lets go when a holder dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main(names: list[str]) -> int:
    """Install these, one after the other; what cannot be reached is said, and noted for the tests that come."""
    for name in names:
        print(f"{name} {PACKAGES[name].version}", end=" ", flush=True)
        (cache() / f".{name}.unreachable").unlink(missing_ok=True)
        begun = time.monotonic()
        try:
            print(f"{installed(name)} ({time.monotonic() - begun:.0f} s)", flush=True)
        except Unreachable as error:
            (cache() / f".{name}.unreachable").write_text(str(error))
            print(f"NOT TESTED: it could not be installed: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["claude", "codex", "opencode"]))
