"""Says which program a job did not find within its walls although the machine has it; it must never judge anything else."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from andon.edges.sandbox import locate
from andon.schema.sandbox import Sandbox

MISSING = tuple(re.compile(pattern, re.MULTILINE) for pattern in (
    r"([^\s:'\"`\u2018\u2019]+): (?:command |line \d+: )?not found",
    r"(?:env|sh|bash|make(?:\[\d+\])?|exec)[^\n]*?[:\u2018'\"`\s]([^\s:'\"`\u2018\u2019]+)[\u2019'\"`]?: No such file or directory",
    r"No such file or directory: '([^'\n]+)'",
    r"spawn (\S+) ENOENT",
    r"could not execute process `([^`\s]+)",
))
"""How shells, make, env, Python, Node and cargo say that a program is not there."""
TAIL, NAMES = 20_000, 40


def program(box: Sandbox, commands: Iterable[str], log: bytes, path: str, *, not_found: bool) -> str:
    """Why the job may have failed, and the mend, in one sentence; empty when every program that it missed is missing on the machine
    too. `not_found`: its own shell ended as one does that finds no program, so the command's own words count as well."""
    said = [*named(log[-TAIL:].decode(errors="replace")), *(words(commands) if not_found else ())]
    for name in dict.fromkeys(said):
        place = locate(name, path) if "/" not in name or name.startswith("/") else ""
        if place and Path(place).is_file() and os.access(place, os.X_OK) and not seen(place, box):
            return (f"{Path(name).name} is at {place}, which does not exist within the walls: "
                    f'write read = ["{prefix(place)}"] under [sandbox] in andon.toml')
    return ""


def named(log: str) -> Iterator[str]:
    """Names that a log says were not found, the latest first."""
    found = [(match.start(), match[1]) for pattern in MISSING for match in pattern.finditer(log)]
    yield from (name for _, name in sorted(found, reverse=True)[:NAMES])


def words(commands: Iterable[str]) -> Iterator[str]:
    """Words of commands that may be programs."""
    yield from [word for command in commands for word in re.split(r"[\s;&|()`'\"$]+", command) if word][:NAMES]


def seen(place: str, box: Sandbox) -> bool:
    """Whether this path, and what it leads to, exists within the walls."""
    roots = [Path(bind.target or bind.source) for bind in box.binds]
    return all(any(one == root or root in one.parents for root in roots) for one in (Path(place), Path(place).resolve()))


def prefix(place: str) -> str:
    """What is to be named so that a program exists with what it needs: what it is installed under, never a whole home."""
    path = Path(place).resolve()
    above = path.parent.parent if path.parent.name in ("bin", "Scripts") else path.parent
    home = Path.home()
    return str(path.parent) if above in (home, home / ".local", Path("/")) else str(above)
