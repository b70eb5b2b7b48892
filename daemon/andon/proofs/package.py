"""A clean build, installed from what was built and run from an empty folder, as facts; it never runs the checkout's own copy.

Theory of operation. What git does not ignore is copied aside, so neither leftovers of an earlier build nor the checkout itself can
help. Of the copy an artifact is made, of the artifact an installation, and only that is imported and run: a file that the package
does not bring is missed, though every test in the checkout passes. Nothing is fetched unless `--network` says so: what would have
to be is unevaluated.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from andon.proofs import running
from andon.proofs.fact import Fact, Unevaluated

HELP = "a clean build, and the program installed from what was built and run from an empty folder"
EXAMPLES = """\
examples:
  andon prove build                                 what pyproject.toml, setup.py or package.json say
  andon prove build --run "shop --version" --run "python -c 'import shop.rates'"
"""
GROUP = "build"
LEFT_OUT = (".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache",
            "*.egg-info")
"""Of a checkout in which git cannot be asked."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Where one build happens and what it may use."""

    source: Path
    """A copy of the checkout."""
    out: Path
    """Where artifacts go."""
    home: Path
    """Where the installation goes."""
    empty: Path
    """Where programs are run."""
    python: str
    runs: tuple[str, ...]
    """Commands that are run against the installation."""
    network: bool
    seconds: float


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is run of the installed program, and with what."""
    parser.add_argument("--run", action="append", default=[], metavar="COMMAND",
                        help="run against the installation, from an empty folder; may be repeated (default: its scripts)")
    parser.add_argument("--python", default="python3", help="the interpreter that builds (default: python3)")
    parser.add_argument("--network", action="store_true", help="fetch what the build or the installation needs")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long one step may take")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """Facts of each build system that is found. Raises Unevaluated when there is none."""
    from andon.proofs.npm_package import npm
    from andon.proofs.python_package import python

    found: list[Callable[[Room], Iterator[Fact]]] = []
    if any((root / name).is_file() for name in ("pyproject.toml", "setup.py")):
        found.append(python)
    if (root / "package.json").is_file():
        found.append(npm)
    if not found:
        raise Unevaluated("no build system was found: looked for pyproject.toml and setup.py (Python), package.json (npm)")
    for build in found:
        with tempfile.TemporaryDirectory(prefix="andon-build-") as made:
            top = Path(made)
            for name in ("out", "home", "empty"):
                (top / name).mkdir()
            copied(root, top / "source")
            room = Room(source=top / "source", out=top / "out", home=top / "home", empty=top / "empty", python=args.python,
                        runs=tuple(args.run), network=args.network, seconds=args.seconds)
            yield from build(room)


def copied(root: Path, to: Path) -> None:
    """What git does not ignore; where git cannot be asked, all but what is known to be made."""
    listed = None
    if (root / ".git").exists():
        argv = ("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
        done = subprocess.run(argv, capture_output=True, check=False)
        listed = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name] if done.returncode == 0 else None
    if listed is None:
        shutil.copytree(root, to, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        return
    to.mkdir()
    for name in listed:
        if os.path.lexists(root / name) and not (root / name).is_dir():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name, follow_symlinks=False)


def step(name: str, deed: Callable[[], None]) -> Fact:
    """A fact that a deed went well. The deed raises Failed when it did not, Unevaluated when nobody can say."""
    began = time.monotonic()
    try:
        deed()
    except Failed as failed:
        return Fact(group=GROUP, name=name, state="fails", told=str(failed), seconds=time.monotonic() - began)
    except Unevaluated as unseen:
        return Fact(group=GROUP, name=name, state="unevaluated", told=str(unseen), seconds=time.monotonic() - began)
    return Fact(group=GROUP, name=name, seconds=time.monotonic() - began)


class Failed(Exception):
    """A step that did not go well, in the tool's own words."""


def must(argv: list[str], room: Room, *, cwd: Path, env: dict[str, str] | None = None) -> running.Ran:
    """Run it; Failed unless it exits with 0."""
    ran = running.run(argv, cwd=cwd, env=env, seconds=room.seconds)
    if ran.code != 0:
        raise Failed(f"`{shlex.join(argv)}` exit code {ran.code}\n{ran.told[-4000:]}")
    return ran


def run_installed(command: str, folder: Path, room: Room, env: dict[str, str]) -> None:
    """A command against the installation, from an empty folder, its programs first on the PATH. Failed unless it exits with 0."""
    words = running.words_of(command, "--run")
    program = shutil.which(words[0], path=env["PATH"])
    if program is None:
        raise Failed(f"the installation brings no program `{words[0]}`, and the machine has none")
    if folder not in Path(program).parents and words[0] not in ("sh", "bash", "env", "node"):
        raise Failed(f"`{words[0]}` is {program}, not a program of the installation")
    must([program, *words[1:]], room, cwd=room.empty, env=env)
