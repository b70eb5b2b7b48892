"""The process trees of all sessions by one pass over the process table; it must never know what a session works at.

Theory of operation. A session's tree is what descends from its shim (the subreaper of all that its command leaves behind), and
strays: processes elsewhere whose environment carries the session's own marker. Only a process that is new, ours and in nobody's
tree is asked for its environment, and once it is not young any more never again. The agent itself is known by its process
names; what stands between it and the shim is a wrapper, what is below it is its work, but for the agent's own helpers and
ours. A name that never matched proves nothing: until the agent was once found by name, any process below the shim counts as it.
"""

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from andon.edges import proctable
from andon.edges.process import MARKER
from andon.edges.proctable import Spent
from andon.edges.treeio import NOTHING, Key, Writings
from andon.schema.ids import AttemptId
from andon.schema.signals import Tree

TICK = os.sysconf("SC_CLK_TCK")
COMMANDS, COMMAND_BYTES = 5, 4096
KNOWN_LIMIT = 20_000
"""Processes whose command or environment is remembered; past it all are forgotten and asked again."""
ENVIRON_BYTES = 256 * 1024
YOUNG_S = 2.0
"""A process so young may not yet be the program that it is to become: what its environment lacks is asked again."""
_INTERPRETER = re.compile(r"(?:python|node|ruby|perl|bun|deno|sh|bash|dash|zsh)[0-9.]*")
_OURS = re.compile(r"(?:^|\0)(?:-m\0andon[._]|[^\0]*/andon_agents/hook\.py\0|[^\0]*/andon\0agent\0|[^\0]*/andon/edges/shim\.py\0)")
"""Our own programs in a session: its hooks, its server of verbs, and who carries bytes through its walls (a fork of the shim)."""


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """A session to look at."""

    attempt: AttemptId
    pid: int
    """Of its shim."""
    ticks: int
    names: tuple[str, ...] = ()
    """Of the agent's own processes."""
    program: str = ""
    """The job's own program, for an agent that names no processes."""
    marker: str = ""
    """What its processes carry in their environment: strays are known by it."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a session."""

    tree: Tree
    agent: tuple[int, int] | None = None
    """Pid and start of the agent's own process, once it was found by name."""
    wrote: int = 0
    """Bytes that its processes wrote so far to anything at all: a checkout cannot have grown by more."""


class _Memory:
    """What is remembered of one session between two looks."""

    __slots__ = ("agent", "child_cpu", "cpu", "io", "io_gone", "seen", "writings")

    def __init__(self) -> None:
        self.agent: Key | None = None
        self.cpu = self.child_cpu = 0
        self.writings = Writings()
        self.io: dict[Key, int] = {}
        """By child: bytes read and written."""
        self.io_gone = 0
        self.seen = False
        """The agent was once found by its name."""


class Trees:
    """Looks at sessions, all in one pass. Holds what must be remembered between two looks."""

    def __init__(self) -> None:
        self.passes = 0
        """Over the process table, for tests that count."""
        self._memory: dict[AttemptId, _Memory] = {}
        self._commands: dict[tuple[int, int, str], tuple[str, bool]] = {}
        self._strays: dict[tuple[int, int, str], str] = {}

    def forget(self, attempt: AttemptId) -> None:
        """The session is over."""
        self._memory.pop(attempt, None)

    def look(self, roots: Iterable[Root], at: int, network: Collection[AttemptId] = ()) -> dict[AttemptId, Look]:
        """What each session's tree is now (`at` in unix milliseconds); connections are counted only for those in `network`."""
        self.passes += 1
        rows = proctable.spent_table()
        below: dict[int, list[Spent]] = {}
        for row in rows.values():
            below.setdefault(row.parent, []).append(row)
        wanted = {root.attempt: root for root in roots}
        trees = {attempt: _descendants([root.pid], below) if _is(rows, root) else [] for attempt, root in wanted.items()}
        if wanted:
            self._adopt(wanted, trees, rows, below)
        servers: dict[int, int] = {}
        found = {attempt: self._seen(root, trees[attempt], rows, at, servers) for attempt, root in wanted.items()}
        if network:
            count = _connections()
            for attempt in set(network) & set(found):
                pids = [row.pid for row in trees[attempt]]
                tree = msgspec.structs.replace(found[attempt].tree, network=_connected(pids, count))
                found[attempt] = msgspec.structs.replace(found[attempt], tree=tree)
        return found

    # --- who belongs to a session ----------------------------------------------------------------------------------------

    def _adopt(self, wanted: Mapping[AttemptId, Root], trees: Mapping[AttemptId, list[Spent]], rows: Mapping[int, Spent],
               below: Mapping[int, list[Spent]]) -> None:
        """Add strays: our own processes outside of every tree that carry a session's marker."""
        held = {row.pid for tree in trees.values() for row in tree} | {root.pid for root in wanted.values()}
        by_marker = {root.marker: root for root in wanted.values() if root.marker}
        oldest, me = min(root.ticks for root in wanted.values()), os.getpid()
        outside = [row for row in rows.values()
                   if row.ticks >= oldest and row.pid not in held and row.pid != me and row.parent != 2 and row.state not in "ZX"]
        if len(self._strays) > KNOWN_LIMIT:
            self._strays.clear()
        settled = (time.clock_gettime(time.CLOCK_BOOTTIME) - YOUNG_S) * TICK
        for row in outside:
            key = (row.pid, row.ticks, row.name)
            marker = self._strays.get(key)
            if marker is None:
                marker = _marker(row.pid)
                if marker or row.ticks < settled:
                    self._strays[key] = marker
            root = by_marker.get(marker) if marker else None
            if root is not None and row.ticks >= root.ticks and row.pid not in held:
                more = [one for one in (row, *_descendants([row.pid], below)) if one.pid not in held]
                held.update(one.pid for one in more)
                trees[root.attempt].extend(more)

    # --- what it does ----------------------------------------------------------------------------------------------------

    def _seen(self, root: Root, tree: list[Spent], rows: Mapping[int, Spent], at: int,
              servers: dict[int, int]) -> Look:
        memory = self._memory.setdefault(root.attempt, _Memory())
        wrapper = _is(rows, root)
        agents = self._agents(root, tree)
        memory.seen = memory.seen or bool(agents)
        own = {row.pid for row in agents}
        above = _ancestors(agents, rows)
        children = [row for row in tree if row.pid not in own and row.pid not in above and not self._command(row)[1]]
        if not memory.seen:  # any of it may be the agent: the first of them counts as it, the rest as its work
            children = children[1:]
        first = min(agents, key=lambda row: row.ticks, default=None)
        memory.agent = (first.pid, first.ticks) if first else None
        shim = rows[root.pid].reaped if wrapper else 0
        reaped = sum(row.reaped for row in (agents or tree[:1]))
        memory.cpu = max(memory.cpu, shim + sum(row.own + row.reaped for row in tree))
        memory.child_cpu = max(memory.child_cpu, shim + reaped + sum(row.own + row.reaped for row in children))
        names = dict.fromkeys(self._command(row)[0] for row in children)
        memory.writings.look(rows[root.pid] if wrapper else None, tree, servers)
        told = Tree(
            at=at, source="process", alive=bool(agents) or (bool(tree) and not memory.seen), wrapper=wrapper,
            children=len(children), cpu_s=memory.cpu / TICK, child_cpu_s=memory.child_cpu / TICK,
            io_bytes=_bytes(memory, children), commands=tuple(names)[:COMMANDS],
            pane_bytes=memory.writings.pane_bytes, written=memory.writings.written,
        )
        return Look(tree=told, agent=memory.agent, wrote=memory.writings.wrote)

    def _agents(self, root: Root, tree: list[Spent]) -> list[Spent]:
        """The agent's own processes by its names (one below a stranger is its work); without names the job's own program."""
        if not root.names:
            first = min((row for row in tree if row.parent == root.pid), key=lambda row: row.ticks, default=None)
            return [first] if first and root.program and self._called(first, (root.program,)) else []
        own: dict[int, Spent] = {}
        below: set[int] = set()
        for row in tree:
            if row.parent in own or row.parent in below:
                below.add(row.pid)
            if self._called(row, root.names) and (row.parent in own or row.pid not in below):
                own[row.pid] = row
        return list(own.values())

    def _called(self, row: Spent, names: tuple[str, ...]) -> bool:
        return any(row.name == name[:15] for name in names) or self._command(row)[0] in names

    def _command(self, row: Spent) -> tuple[str, bool]:
        """A name that a person would give it, and whether it is one of our own programs. Read once, when it is first seen so."""
        key = (row.pid, row.ticks, row.name)
        if key not in self._commands:
            if len(self._commands) > KNOWN_LIMIT:
                self._commands.clear()
            words = _read(f"/proc/{row.pid}/cmdline", COMMAND_BYTES)
            self._commands[key] = (_called(words, row.name), bool(_OURS.search(words)))
        return self._commands[key]


def _called(words: str, name: str) -> str:
    """The program of a command line: behind an interpreter its script or module."""
    argv = words.split("\0")
    program = Path(argv[0]).name.lstrip("-") or name
    if not _INTERPRETER.fullmatch(program):
        return program[:60]
    for n, word in enumerate(argv[1:], 1):
        if word in ("-m", "-c"):
            return argv[n + 1].split(".")[0][:60] if word == "-m" and n + 1 < len(argv) and argv[n + 1] else program
        if word and not word.startswith("-"):
            return Path(word).name[:60] or program
    return program


def _is(rows: Mapping[int, Spent], root: Root) -> bool:
    row = rows.get(root.pid)
    return row is not None and row.ticks == root.ticks and row.state not in "ZX"


def _descendants(pids: list[int], below: Mapping[int, list[Spent]]) -> list[Spent]:
    """Live ones, nearest first."""
    found, queue = [], list(pids)
    for pid in queue:
        for child in below.get(pid, ()):
            queue.append(child.pid)
            if child.state not in "ZX":
                found.append(child)
    return found


def _ancestors(processes: Iterable[Spent], rows: Mapping[int, Spent]) -> set[int]:
    found: set[int] = set()
    for process in processes:
        parent = process.parent
        while parent in rows and parent not in found and parent > 1:
            found.add(parent)
            parent = rows[parent].parent
    return found


def _bytes(memory: _Memory, children: list[Spent]) -> int:
    """Bytes that the children read and wrote so far, ended ones among them."""
    now: dict[Key, int] = {}
    for row in children:
        key = (row.pid, row.ticks)
        memory.io.pop(key, None)
        counts = memory.writings.counts.get(key, NOTHING)
        now[key] = counts.read + counts.wrote
    memory.io_gone += sum(memory.io.values())
    memory.io = now
    return memory.io_gone + sum(now.values())


def _read(path: str, limit: int) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, limit).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _marker(pid: int) -> str:
    """The session that a process of ours names in its environment; empty when it names none, or is not ours."""
    try:
        if Path(f"/proc/{pid}").stat().st_uid != os.getuid():
            return ""
    except OSError:
        return ""
    found = re.search(rf"(?:^|\0){MARKER}=([^\0]{{1,4096}})(?:\0|$)", _read(f"/proc/{pid}/environ", ENVIRON_BYTES))
    return found[1] if found else ""


def _connections() -> set[str]:
    """Inodes of established TCP connections of this network namespace."""
    found: set[str] = set()
    for name in ("tcp", "tcp6"):
        try:
            text = Path(f"/proc/net/{name}").read_text(errors="replace")
        except OSError:
            continue
        for row in text.splitlines()[1:]:
            fields = row.split(None, 10)
            if len(fields) > 9 and fields[3] == "01":
                found.add(fields[9])
    return found


def _connected(pids: Iterable[int], inodes: Collection[str]) -> int:
    """How many of them these processes hold."""
    held: set[str] = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 (thousands of these: plain strings do)
        except OSError:
            continue
        for name in names:
            try:
                link = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115 (likewise)
            except OSError:
                continue
            if link.startswith("socket:[") and link[8:-1] in inodes:
                held.add(link)
    return len(held)
