"""Runs `andon` in this process and keeps what it printed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from andon.cli.main import main

Caps = pytest.CaptureFixture[str]
"""What pytest catches of our own output."""


class Ran(NamedTuple):
    """Exit code and words of one command."""

    code: int
    out: str
    err: str


def andon(capsys: Caps, *words: str) -> Ran:
    """`andon WORDS`, in this process."""
    capsys.readouterr()
    code = main(list(words))
    told = capsys.readouterr()
    return Ran(code, told.out, told.err)


def andon_apart(*words: str, script: str = "", cwd: Path | None = None, text: str | None = None,
                env: dict[str, str] | None = None) -> Ran:
    """`andon WORDS` in an interpreter of its own; `script` runs after it, with its exit code as `code`."""
    program = f"import sys\nfrom andon.cli.main import main\ncode = main({list(words)!r})\n{script}\nsys.exit(code)\n"
    found = subprocess.run([sys.executable, "-P", "-W", "error", "-c", program], capture_output=True, text=True, cwd=cwd,
                           input=text, env={**os.environ, **(env or {})}, check=False, timeout=60)
    return Ran(found.returncode, found.stdout, found.stderr)


def git(repo: Path, *words: str) -> str:
    """Git in a repository, must succeed."""
    return subprocess.run(["git", "-C", str(repo), *words], capture_output=True, text=True, check=True).stdout.strip()


def a_repository(path: Path) -> Path:
    """A repository with one commit."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    (path / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\n[tool.pytest.ini_options]\naddopts = ""\n')
    (path / "tests").mkdir()
    (path / "tests" / "test_it.py").write_text("def test_it():\n    assert True\n")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "first")
    return path
