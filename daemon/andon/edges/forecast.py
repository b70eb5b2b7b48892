"""Says which live changes will collide before anybody merges them; must never know what a task is for, nor touch a ref or a file.

Theory of operation. Each head is merged into trunk first (a *row*): what two heads do to trunk is compared, not how far behind
they are. Two rows can only fail to merge when they touch one path, when one makes a file of what is a folder to the other, or when
one empties a folder that the other adds to (git may take the folder for renamed): only such pairs are merged. Rows and answers
are remembered by what was merged, so that a new head costs one row and a head that moved without another content nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import msgspec

from andon.edges.git import look
from andon.edges.whatif import Change, Merged, Place, Stage, Store
from andon.schema.ids import Oid, TaskId
from andon.schema.landing_events import ClashKind, Hunk
from andon.schema.landing_inputs import Clash

HUNKS = 20
"""Places that are named of one pair."""
SOFT_LIMIT = 2_000
"""Soft clashes that are told of one repository, those of the oldest changes first; hot ones are all told."""
ROWS_LIMIT, BYTES_LIMIT, PAIRS = 2_000, 64 * 2**20, 4_000
"""Rows made, and bytes put in by others, after which the store is made anew with what is still needed; and pairs whose merges
lie in it at once."""
GroupsOf = Callable[[str], Sequence[str]]
"""The contract groups that a path belongs to."""


class Head(msgspec.Struct, frozen=True):
    """A live change."""

    task: TaskId
    commit: Oid
    """In the repository, or in the forecast's store."""
    whole: bool = True
    """Everything of it is in the commit; else what is not found says nothing."""
    rivals: str = ""
    """Of those that bear the same word only one will land: they are not compared with each other."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at one moment."""

    compared: tuple[TaskId, ...] = ()
    """Two of these that no clash names merge, and touch nothing in common (but for `untold`)."""
    clashes: tuple[Clash, ...] = ()
    with_target: dict[TaskId, tuple[Hunk, ...]] = {}
    """Changes that do not merge with trunk itself, and where. Against others nothing is known of them."""
    unread: tuple[TaskId, ...] = ()
    """Changes whose commit is not there or cannot be merged at all."""
    untold: int = 0
    """Soft clashes beyond the bound."""


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """What trunk becomes by one head."""

    commit: Oid | None = None
    """None: it does not merge."""
    paths: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()
    """Folders of trunk that it leaves nothing in."""
    groups: dict[str, frozenset[str]] = {}
    hunks: tuple[Hunk, ...] = ()
    """Where it does not merge with trunk."""
    broken: bool = False


class _Answer(msgspec.Struct, frozen=True):
    """What is known of two rows."""

    kind: ClashKind
    hunks: tuple[Hunk, ...]


_UNKNOWN = _Answer("soft", ())
"""Git could not merge them at all."""


class Forecast:
    """The forecast of one repository. One caller at a time; `close` ends it."""

    def __init__(self, git_dir: Path, room: Path, groups_of: GroupsOf = lambda path: ()) -> None:
        """`room` is a folder of the factory's own in which everything that is written lies for as long as this lives."""
        self._git_dir, self._room, self.groups_of = git_dir, room, groups_of
        self.store = Store(git_dir, room)
        self.merged = 0
        """Merges made, for tests and figures that count."""
        self._trunk = self._tree = Oid("")
        self._rows: dict[Oid, _Row] = {}
        self._pairs: dict[tuple[Oid, Oid], _Answer | None] = {}
        self._made, self._bytes = 0, 0

    def close(self) -> None:
        """What was written goes. Harmless when done twice."""
        self.store.close()

    def regroup(self, groups_of: GroupsOf) -> None:
        """Other contract groups from now on."""
        self.groups_of = groups_of
        self._rows, self._pairs = {}, {}

    def grew(self, size: int) -> None:
        """Somebody wrote so many bytes into the store."""
        self._bytes += size
        self._made += 1

    async def outlook(self, trunk: Oid, heads: Sequence[Head]) -> Outlook:
        """All clashes between these heads on this trunk; of two the earlier in `heads` is the older. A Mistake when git fails."""
        if trunk != self._trunk:
            tree = (await look(self._git_dir, "rev-parse", "--verify", "--end-of-options", f"{trunk}^{{tree}}")).oid
            self._trunk, self._tree, self._rows, self._pairs = trunk, tree, {}, {}
        wanted = list(dict.fromkeys(head.commit for head in heads))
        await self._make_rows([commit for commit in wanted if commit not in self._rows])
        self._rows = {commit: self._rows[commit] for commit in wanted}
        rows = [(head, row) for head in heads if (row := self._rows[head.commit]).commit is not None]
        near = {pair for pair in _near([row for _, row in rows]) if not _rivals(rows[pair[0]][0], rows[pair[1]][0])}
        self._pairs = await self._answer([row for _, row in rows], near)
        found = self._told(rows, near)
        dim = {task for one, other in near if self._pairs[_key(rows[one][1], rows[other][1])] is _UNKNOWN
               for task in (rows[one][0].task, rows[other][0].task)}
        soft = [clash for clash in found if clash.kind == "soft"]
        await self._tidy(wanted)
        return Outlook(
            compared=tuple(head.task for head, _ in rows if head.whole and head.task not in dim),
            clashes=(*(clash for clash in found if clash.kind == "hot"), *soft[:SOFT_LIMIT]), untold=max(0, len(soft) - SOFT_LIMIT),
            with_target={head.task: row.hunks for head in heads if (row := self._rows[head.commit]).hunks},
            unread=tuple(head.task for head in heads if self._rows[head.commit].broken))

    # --- rows --------------------------------------------------------------------------------------------------------

    async def _make_rows(self, commits: list[Oid]) -> None:
        """What trunk becomes by each of these."""
        if not commits:
            return
        self._made += len(commits)
        self.merged += len(commits)
        merged = await self.store.merge([(self._trunk, commit) for commit in commits])
        clean = {commit: one for commit, one in zip(commits, merged, strict=True) if one is not None and one.clean}
        made, changes = await asyncio.gather(
            self.store.commits([(one.tree, self._trunk) for one in clean.values()]),
            self.store.changes([(self._tree, one.tree) for one in clean.values()]))
        emptied = await self._emptied(made, changes)
        for commit, name, changed, gone in zip(clean, made, changes, emptied, strict=True):
            self._rows[commit] = self._row(name, changed, gone)
        await self._refused({commit: one for commit, one in zip(commits, merged, strict=True) if commit not in clean})

    def _row(self, commit: Oid, changes: tuple[Change, ...], emptied: frozenset[str]) -> _Row:
        groups: dict[str, set[str]] = defaultdict(set)
        for change in changes:
            for group in self.groups_of(change.path):
                groups[group].add(change.path)
        return _Row(commit=commit, paths=frozenset(change.path for change in changes), emptied=emptied,
                    added=frozenset(change.path for change in changes if change.status == "A"),
                    groups={name: frozenset(paths) for name, paths in groups.items()})

    async def _emptied(self, commits: list[Oid], changes: list[tuple[Change, ...]]) -> list[frozenset[str]]:
        """Of each merged commit the folders that its deletions left nothing in. The top counts when a file moved down from it."""
        asked = [(n, folder) for n, changed in enumerate(changes)
                 for folder in sorted({folder for change in changed if change.status == "D" for folder in _above(change.path)})]
        there = await self.store.there([f"{commits[n]}:{folder}" for n, folder in asked])
        gone: list[set[str]] = [set() for _ in commits]
        for (n, folder), stands in zip(asked, there, strict=True):
            if not stands:
                gone[n].add(folder)
        for n, changed in enumerate(changes):
            kinds = {(change.status, "/" in change.path) for change in changed}
            if {("D", False), ("A", True)} <= kinds:
                gone[n].add("")
        return [frozenset(folders) for folders in gone]

    async def _refused(self, merges: dict[Oid, Merged | None]) -> None:
        """Heads that do not merge with trunk: where."""
        known = {commit: one for commit, one in merges.items() if one is not None}
        async with self.store.aside() as objects:
            hunks = await self._hunks(list(known.values()), objects, ours=True) if known else []
        rows = {commit: _Row(hunks=places) for commit, places in zip(known, hunks, strict=True)}
        self._rows |= {commit: rows.get(commit) or _Row(broken=True) for commit in merges}

    # --- pairs -------------------------------------------------------------------------------------------------------

    async def _answer(self, rows: list[_Row], near: Iterable[tuple[int, int]]) -> dict[tuple[Oid, Oid], _Answer | None]:
        """What is known of each two rows that come near each other; what was known is not merged again."""
        keys = {_key(rows[one], rows[other]): (one, other) for one, other in near}
        known = {key: self._pairs[key] for key in keys if key in self._pairs}
        new = [key for key in keys if key not in known]
        self.merged += len(new)
        for at in range(0, len(new), PAIRS):
            known |= await self._merged(new[at : at + PAIRS])
        return known

    async def _merged(self, pairs: list[tuple[Oid, Oid]]) -> dict[tuple[Oid, Oid], _Answer | None]:
        async with self.store.aside() as objects:
            merged = await self.store.merge(pairs, objects)
            apart = [one for one in merged if one is not None and not one.clean]
            hunks = iter(await self._hunks(apart, objects) if apart else [])
        return {key: _UNKNOWN if one is None else None if one.clean else _Answer("hot", next(hunks))
                for key, one in zip(pairs, merged, strict=True)}

    def _told(self, rows: list[tuple[Head, _Row]], near: set[tuple[int, int]]) -> list[Clash]:
        """The clashes, in the order of the heads."""
        groups: dict[str, list[int]] = defaultdict(list)
        for n, (_, row) in enumerate(rows):
            for group in row.groups:
                groups[group].append(n)
        bound = {pair for members in groups.values() for pair in combinations(members, 2)}
        found = []
        for one, other in sorted(near | bound):
            (head, row), (head2, row2) = rows[one], rows[other]
            answer = self._pairs.get(_key(row, row2))
            answer = answer if answer is not None and answer.kind == "hot" else _soft(row, row2)
            if answer is not None and not _rivals(head, head2):
                found.append(Clash(one=head.task, other=head2.task, kind=answer.kind, hunks=answer.hunks,
                                   heads=(head.commit, head2.commit)))
        return found

    # --- places ------------------------------------------------------------------------------------------------------

    async def _hunks(self, merges: list[Merged], objects: Path, *, ours: bool = False) -> list[tuple[Hunk, ...]]:
        """Where each merge fails: lines of the base's version, or with `ours` of the first side's."""
        asked = [pair for one in merges for stages in list(one.stages.values())[:HUNKS] for pair in _versions(stages)]
        places = await self.store.places(asked, objects)
        return [tuple(_hunks_of(one, places, ours))[:HUNKS] for one in merges]

    # --- room --------------------------------------------------------------------------------------------------------

    async def _tidy(self, heads: Sequence[Oid]) -> None:
        """A store that has grown is made anew."""
        if self._made <= ROWS_LIMIT + len(heads) and self._bytes <= BYTES_LIMIT:
            return
        old, new = self.store, await asyncio.to_thread(Store, self._git_dir, self._room)
        tips = [head for head in heads if not self._rows[head].broken]
        tips += [row.commit for row in self._rows.values() if row.commit is not None]
        try:
            await new.take_from(old, tips, self._trunk)
        except BaseException:
            new.close()
            raise
        self.store, self._made, self._bytes = new, 0, 0
        await asyncio.to_thread(old.close)


def _near(rows: Sequence[_Row]) -> set[tuple[int, int]]:
    """The pairs (lower number first) of rows that a merge could fail for."""
    touching: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        for path in row.paths:
            touching[path].append(n)
    near = {pair for members in touching.values() for pair in combinations(members, 2)}
    emptying: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        for folder in row.emptied:
            emptying[folder].append(n)
    for n, row in enumerate(rows):
        for folder in {folder for path in row.paths for folder in _above(path)}:
            near.update((min(n, m), max(n, m)) for m in touching.get(folder, ()) if m != n)
        if emptying:
            over = {folder for path in row.added for folder in (*_above(path), "")}
            near.update((min(n, m), max(n, m)) for folder in over & emptying.keys() for m in emptying[folder] if m != n)
    return near


def _above(path: str) -> Iterator[str]:
    """The folders above a path, without the top."""
    at = path.rfind("/")
    while at > 0:
        yield path[:at]
        at = path.rfind("/", 0, at)


def _rivals(one: Head, other: Head) -> bool:
    return one.task == other.task or (one.rivals != "" and one.rivals == other.rivals)


def _key(one: _Row, other: _Row) -> tuple[Oid, Oid]:
    assert one.commit is not None and other.commit is not None
    return one.commit, other.commit


def _soft(one: _Row, other: _Row) -> _Answer | None:
    """What two rows that merge have in common: files, then contracts."""
    both = one.paths & other.paths
    hunks = [Hunk(path=path, kind="file") for path in sorted(both)[:HUNKS]]
    for group in sorted(one.groups.keys() & other.groups.keys()):
        hunks += [Hunk(path=path, kind="contract") for path in sorted((one.groups[group] | other.groups[group]) - both)[:HUNKS]]
    return _Answer("soft", tuple(dict.fromkeys(hunks))[:HUNKS]) if hunks else None


def _versions(stages: dict[int, Stage]) -> list[tuple[Oid, Oid]]:
    """The two pairs of versions whose differences meet, for a file that all three have."""
    if stages.keys() != {1, 2, 3} or any(not stage.mode.startswith("100") for stage in stages.values()):
        return []
    return [(stages[1].oid, stages[side].oid) for side in (2, 3) if stages[1].oid != stages[side].oid]


def _hunks_of(merge: Merged, places: dict[tuple[Oid, Oid], list[Place]], ours: bool) -> Iterator[Hunk]:
    """The places at which one merge fails."""
    kinds: dict[str, str] = {}
    for path, said in merge.said:
        kinds[path] = f"{kinds.get(path, '')} {said}"
    for path in dict.fromkeys((*merge.stages, *kinds)):
        stages = merge.stages.get(path, {})
        kind = _kind(kinds.get(path, ""), stages)
        sides = [places.get((stages[1].oid, stages[side].oid), []) for side in (2, 3)] if _versions(stages) else [[], []]
        met = list(_meetings(sides[0], sides[1], ours)) if kind in ("content", "rename") else []
        yield from (Hunk(path=path, line=line, count=count, kind=kind) for line, count in met)
        if not met:
            yield Hunk(path=path, kind=kind)


def _kind(said: str, stages: dict[int, Stage]) -> str:
    """Git's words for a conflict, in ours."""
    for word, kind in (("binary", "binary"), ("rename", "rename"), ("location", "rename"), ("delete", "delete"),
                       ("file/directory", "file"), ("distinct", "file"), ("submodule", "file")):
        if word in said:
            return kind
    return "add" if stages and 1 not in stages else "content"


def _meetings(left: list[Place], right: list[Place], ours: bool) -> Iterator[tuple[int, int]]:
    """Line and count of where changes of both sides touch: of the version before, or with `ours` of the left one's."""
    for a, b, c, d in left:
        start, end = (a, a + b) if b else (a + 1, a + 1)
        met = [(x, x + y) if y else (x + 1, x + 1) for x, y, _, _ in right]
        met = [(x, y) for x, y in met if x <= end and start <= y]
        if met and ours:
            yield max(1, c), d
        elif met:
            first, last = min(start, *(x for x, _ in met)), max(end, *(y for _, y in met))
            yield max(1, first), last - first
