"""What an agent named to its tools that lies outside of its walls: paths, judged by what exists inside. Pure; it never looks.

Theory of operation. An agent's own events name its tool and what the tool is for: a path, or a command, whose words are taken
apart as for permissions. A path is *outside* when no bound place holds it; for a write, when no writable one does. What is
outside is listed. It is a refusal that a person is told of (`loud`) only where it is about something of theirs: a write, or
something in their home or in the factory's own directory that exists. An agent that guesses at `/app/main.py` cries no wolf.
"""

import posixpath
from collections.abc import Iterator
from typing import Literal

import msgspec

from andon.core.permissions import HARMLESS, places_in, take_apart
from andon.schema.sandbox import Access, Sandbox
from andon.schema.signals import AnySignal, PermissionWanted, ToolBegan

READS = {"read", "view", "open", "readfile", "read_file", "read_many_files", "notebookread", "cat", "ls", "list", "list_directory",
         "glob", "grep", "search", "search_file_content"}
WRITES = {"write", "edit", "multiedit", "notebookedit", "create", "apply_patch", "patch", "write_file", "replace", "edit_file",
          "str_replace", "str_replace_editor", "delete", "move"}
SHELLS = {"bash", "shell", "exec", "execute", "run_shell_command", "local_shell", "command", "terminal", "unified_exec",
          "exec_command", "shell_command"}
"""The tools' names of all agents, in small letters; what is none of these names no path."""
ALWAYS = ("/proc", "/dev", "/tmp", "/sys")
"""Everybody has these for himself, or looks at them for nothing."""
PATHS, CHARS = 40, 300
"""Of one call; and of a path."""
Kind = Literal["read", "write"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a session's walls hold."""

    checkout: str
    home: str
    """What `~` means inside."""
    box: Sandbox | None = None
    """None: no walls."""
    own: tuple[str, ...] = ()
    """Places of the person's and of the factory's."""
    job: str = ""

    @property
    def walled(self) -> bool:
        """Whether anything is refused at all."""
        return self.box is not None and self.box.level != "none"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A path outside."""

    kind: Kind
    path: str
    tool: str
    bait: str = ""
    """The bait that stands there."""


def outside(signal: AnySignal, bounds: Bounds) -> list[Asked]:
    """The paths of a signal that lie outside, each once."""
    found: dict[tuple[str, str], Asked] = {}
    for kind, place in named(signal):
        path = resolved(place, bounds)
        if path and path not in HARMLESS and not held(path, kind, bounds):
            found.setdefault((kind, path), Asked(kind=kind, path=path, tool=tool_of(signal), bait=bait_at(path, bounds)))
    return list(found.values())[:PATHS]


def told(asked: Asked, bounds: Bounds, *, exists: bool) -> Access:
    """As a line of the list. The moment is for who writes it down."""
    rule = f"named to {asked.tool[:40]}; " + ("outside its walls" if bounds.walled else "no walls")
    loud = bounds.walled and (asked.kind == "write" or (exists and ours(asked, bounds)))
    sign = "-" if not loud or (asked.kind == "read" and asked.bait) else asked.bait
    return Access(at=0, kind=asked.kind, what=asked.path, allowed=not bounds.walled, rule=rule, sign=sign)


def ours(asked: Asked, bounds: Bounds) -> bool:
    """Whether it lies in a place of the person's or of the factory's: only there is it worth a look whether it exists."""
    return any(below(asked.path, one) for one in bounds.own)


def tool_of(signal: AnySignal) -> str:
    """The agent's own name of the tool."""
    return signal.name if isinstance(signal, ToolBegan) else signal.tool if isinstance(signal, PermissionWanted) else ""


def named(signal: AnySignal) -> Iterator[tuple[Kind, str]]:
    """What a signal names, and what is to be done with it."""
    tool = tool_of(signal).lower()
    if not tool or not isinstance(signal, ToolBegan | PermissionWanted):
        return
    deed = signal.deed if isinstance(signal, PermissionWanted) else ""
    if deed == "shell" or tool in SHELLS:
        yield from spoken(signal.target)
    elif deed == "edit" or tool in WRITES:
        yield from (("write", place) for place in _places(signal))
    elif deed == "read" or tool in READS:
        yield from (("read", place) for place in _places(signal))


def _places(signal: ToolBegan | PermissionWanted) -> tuple[str, ...]:
    paths = signal.paths if isinstance(signal, PermissionWanted) else ()
    return paths or ((signal.target,) if signal.target and "\n" not in signal.target else ())


def spoken(command: str) -> Iterator[tuple[Kind, str]]:
    """The places in a shell command: written by a redirection, or else read."""
    if not any(mark in command for mark in ("/", "~", "..")):
        return
    shell = take_apart(command)
    if shell.unclear:
        yield from (("read", place) for word in command.split()[:1_000] for place in places_in(word.strip("'\"")))
        return
    yield from (("write", place) for place in shell.written)
    for words in (*shell.simple, shell.read):
        yield from (("read", place) for word in words for place in places_in(word))


def resolved(place: str, bounds: Bounds) -> str:
    """The absolute path that is meant; empty when that cannot be said."""
    if place == "~" or place.startswith("~/"):
        place = bounds.home + place[1:]
    if not place or "\0" in place or any(mark in place for mark in "*?[$`") or place.startswith("~") or len(place) > CHARS:
        return ""
    return posixpath.normpath(posixpath.join(bounds.checkout, place))


def held(path: str, kind: Kind, bounds: Bounds) -> bool:
    """Whether this place exists inside; for a write, whether it may be written there."""
    if path == "/" or any(below(path, one) for one in (*ALWAYS, bounds.checkout, bounds.home)):
        return not bait_at(path, bounds)
    if bounds.box is None:
        return bool(bounds.job) and below(path, bounds.job)
    within = [bind for bind in bounds.box.binds if below(path, bind.target or bind.source)]
    if kind == "write":
        return bool(within) and within[-1].write
    return bool(within) or any(below(bind.target or bind.source, path) for bind in bounds.box.binds)


def bait_at(path: str, bounds: Bounds) -> str:
    """The name of the bait that stands at or above this place; empty when none does."""
    baits = bounds.box.baits if bounds.box is not None else ()
    return next((bait.what for bait in baits if any(below(path, target) for target in (*bait.targets, *bait.links))), "")


def below(path: str, top: str) -> bool:
    """Whether a path is this place or lies in it."""
    return bool(top) and (path == top or path.startswith(f"{top.rstrip('/')}/"))
