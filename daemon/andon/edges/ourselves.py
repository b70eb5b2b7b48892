"""Our own program, for a check that runs a proof of ours: where it lies, how a shell calls it; never knows what it proves."""

import os
import shlex
import site
import sys
from importlib import resources
from pathlib import Path

from andon.schema.proofs import COMMAND

PACKAGES = ("andon",)


def wanted(command: str) -> bool:
    """Whether a check's command calls a proof of ours."""
    return COMMAND in command


def program(command: str) -> tuple[str, ...]:
    """The words that begin our program, whatever is on the PATH; none for a command that does not call it.

    Isolated, so that no module of the checkout and no variable of the job is taken for one of ours. An installation in the person's
    own folder of packages would not be found so: there only the checkout is kept out.
    """
    if not wanted(command):
        return ()
    home = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    own = home and any(place.is_relative_to(home) for place in places())
    return (os.path.abspath(sys.executable), "-P" if own else "-I", "-m", "andon.cli.main")  # noqa: PTH100 (a venv's python is a link that must stay)


def function(command: str) -> tuple[str, ...]:
    """A line for `sh` that makes `andon` our program; none for a command that does not call it."""
    words = program(command)
    return (f'andon() {{ {shlex.join(words)} "$@"; }}',) if words else ()


def folders(command: str) -> tuple[Path, ...]:
    """What must exist inside of the walls beside the interpreter; empty for a command that does not call it."""
    return places() if wanted(command) else ()


def places() -> tuple[Path, ...]:
    """The source roots of our packages."""
    return tuple(Path(str(resources.files(name))).parent for name in PACKAGES)
