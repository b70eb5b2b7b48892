"""The real command line against a whole factory, and what every error that a person sees must be."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from factory import Factory

DESTRUCTIVE = re.compile(
    r"\brm\s+-|\brm\s+\S*/|reset\s+--hard|\bclean\s+-[a-z]*[fdx]|push\s+(?:-f\b|--force)|branch\s+-D|checkout\s+--\s|(?<!no-)\bprune\b"
    r"|stash\s+(?:drop|clear)|kill\s+-9|\bpkill\b|\bkillall\b|\bshred\b|\bmkfs|\btruncate\s+-|DROP\s+TABLE|DELETE\s+FROM|--no-verify"
)
"""Words of commands that take something away from a person; no error text carries one."""


class Ran(NamedTuple):
    """Exit code and words of one command."""

    code: int
    out: str
    err: str


def cli(plant: Factory, *words: str, cwd: Path | None = None, text: str | None = None, env: Mapping[str, str] | None = None,
        seconds: float = 60) -> Ran:
    """`andon WORDS` in a process of its own, in this factory."""
    found = subprocess.run(
        (sys.executable, "-P", "-W", "error", "-m", "andon.cli.main", *words), cwd=cwd, env={**plant.env, **(env or {})},
        timeout=seconds, input=text or "", capture_output=True, text=True, check=False,
    )
    return Ran(found.returncode, found.stdout, found.stderr)


def assert_clear(ran: Ran, code: int, *says: str) -> None:
    """One clear error: its exit code, what and mend in few lines, the words that matter, and nothing that frightens or destroys."""
    assert ran.code == code, ran
    told = ran.err[ran.err.rindex("andon: "):] if "andon: " in ran.err else ran.err
    assert told.startswith("andon: ") and "\n  mend:  " in told, ran.err
    assert len(told.strip().splitlines()) <= 3, ran.err
    assert "Traceback" not in ran.err and 'File "' not in ran.err, ran.err
    assert not DESTRUCTIVE.search(ran.err), ran.err
    for words in says:
        assert words in told, (words, ran.err)


def contents(*folders: Path) -> dict[str, str]:
    """Every file below these folders (git directories too) with its digest, link targets, and empty directories."""
    found = {}
    for path in (path for folder in folders for path in [folder, *folder.rglob("*")]):
        if path.is_symlink():
            found[str(path)] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[str(path)] = "directory"
    return found


def program(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def path_without(folder: Path, *absent: str) -> str:
    """A PATH on which everything that we start can be found but these tools."""
    folder.mkdir(parents=True, exist_ok=True)
    for tool in {"sh", "cat", "env", "git", "tmux", "kill", "ps", "sleep", "uname"} - set(absent):
        found = shutil.which(tool)
        assert found or tool in ("ps", "uname"), tool
        if found:
            (folder / tool).symlink_to(found)
    return str(folder)
