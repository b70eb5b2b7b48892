"""Looks at a repository with git, read-only; for verbs that run before the daemon knows it. Changes nothing."""

import os
import subprocess
from pathlib import Path

from andon.schema.errors import Mistake

_NOTHING_RUNS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat")
"""The person may stand in an agent's checkout, whose own settings would name programs."""


def git(folder: Path, *words: str) -> str | None:
    """What git says, without the last newline; None when it fails. Mistake when there is no git."""
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        found = subprocess.run(["git", *_NOTHING_RUNS, "-C", str(folder), *words], capture_output=True, env=env, check=False)
    except FileNotFoundError as error:
        raise Mistake("git is not installed, or not on PATH", mend="install git 2.38 or newer") from error
    return found.stdout.decode("utf-8", "surrogateescape").removesuffix("\n") if found.returncode == 0 else None


def top_level(folder: Path) -> Path:
    """The top directory of the checkout around a folder. Mistake where there is none."""
    if not folder.is_dir():
        raise Mistake("there is no such directory", where=str(folder), mend="name the repository's directory")
    if git(folder, "rev-parse", "--is-bare-repository") == "true":
        raise Mistake("this repository is bare: it has no checkout to work from", where=str(folder),
                      mend="clone it, and run `andon init` in the clone")
    top = git(folder, "rev-parse", "--show-toplevel")
    if not top:
        raise Mistake("this is no git repository", where=str(folder), mend="run `git init` and commit once, or go to a repository")
    return Path(top)


def branch(top: Path) -> str:
    """The branch that is checked out, `main` when none is. Mistake when it has no commit yet."""
    if git(top, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise Mistake("this repository has no commit yet", where=str(top), mend="commit once, then run `andon init` again")
    return git(top, "symbolic-ref", "--quiet", "--short", "HEAD") or "main"


def committed(top: Path, target: str) -> str | None:
    """The andon.toml of the target branch's commit; None when it has none."""
    return git(top, "show", f"refs/heads/{target}:andon.toml")
