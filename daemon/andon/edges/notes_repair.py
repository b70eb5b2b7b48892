"""Finds out whose change a commit is after others squashed, rebased, picked or amended it, and gives it its note again.

Theory of operation. A commit is looked at in this order, and the first way that gives an answer counts: a note of ours on it; a
landed commit of the store; its trailers; an `Andon-Change` alone; trees (it brings its parent's tree to exactly what one landed
change, or several in a row, brought it to); its patch-id. Where trees or a patch-id fit several changes, none is taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from andon.edges import notes
from andon.edges.git import common_lock, look
from andon.edges.notes_formats import line_of, same
from andon.schema.effects import RepairNotes
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid, RepoId
from andon.schema.inputs import NotesRepaired
from andon.schema.notes import Attached, NoteRecord

COMMITS = 500
"""Commits that one repair looks at, the newest."""
KEPT_FOUND = 200
RECORD_BYTES = 16 * 1024
"""A larger record of a note is none that we wrote: the ledger does not take it."""
NOWHERE = Oid("")
CHAIN = 100
"""Landed changes in a row that one squashed commit may be."""
GATHERED = 200
"""Records of the store whose patch-ids are worked out again in one repair."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What git says of a commit."""

    commit: Oid
    tree: Oid
    parents: tuple[Oid, ...]
    parent_tree: Oid
    subject: str
    tasks: tuple[str, ...]
    changes: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a commit may be."""

    records: tuple[NoteRecord, ...] = ()
    by: str = ""
    vague: bool = False


class Index:
    """All records that are known, by what a commit can be recognised by. `stored` are those of the ledger."""

    def __init__(self, noted: Mapping[Oid, Sequence[NoteRecord]], stored: Sequence[NoteRecord]) -> None:
        self.noted, self.stored = noted, stored
        self.all: list[NoteRecord] = []
        seen = set[tuple[str, str, str]]()
        for record in (*(one for found in noted.values() for one in found), *stored):
            key = (record.task, record.change, record.commit)
            if key not in seen:
                seen.add(key)
                self.all.append(record)
        self.by_commit = _grouped((record.commit, record) for record in self.all)
        self.by_change = _grouped((record.change, record) for record in self.all)
        self.by_tree = _grouped((record.tree, record) for record in self.all if record.tree != record.before_tree)
        self.by_patch = _grouped((patch, record) for record in self.all for patch in {record.patch, *record.patches})

    def told(self, seen: Looked) -> Found:
        """By the commit itself, or what its message says."""
        if noted := self.noted.get(seen.commit):
            return Found(records=tuple(noted), by="note")
        if landed := self.by_commit.get(seen.commit):
            return Found(records=tuple(landed), by="store")
        named = [record for change in seen.changes for record in self.by_change.get(change, ())]
        if both := _one_each([record for record in named if record.task in seen.tasks]):
            return Found(records=both, by="trailers")
        if alone := _one_each(named) if not seen.tasks else ():
            return Found(records=alone, by="Andon-Change")
        return Found()

    def shaped(self, seen: Looked, patch: str) -> Found:
        """By what it does to the files."""
        chain = self._chain(seen)
        if chain.records and not chain.vague:
            return chain
        fitting = self.by_patch.get(patch, []) if patch else []
        if changes := {(record.task, record.change) for record in fitting}:
            return Found(records=tuple(fitting), by="patch-id", vague=len(changes) > 1)
        return chain

    def _chain(self, seen: Looked) -> Found:
        """Landed changes that in a row lead from its parent's tree to its own."""
        tree, taken = seen.tree, list[NoteRecord]()
        if not seen.parent_tree or seen.tree == seen.parent_tree:
            return Found()
        for _ in range(CHAIN):
            fitting = self.by_tree.get(tree, [])
            direct = [record for record in fitting if record.before_tree == seen.parent_tree]
            fitting = direct or fitting
            if len({(record.task, record.change) for record in fitting}) > 1:
                return Found(records=tuple(fitting), by="tree", vague=True) if direct else Found()
            if not fitting:
                return Found()
            taken.append(fitting[0])
            tree = fitting[0].before_tree
            if tree == seen.parent_tree:
                return Found(records=tuple(reversed(taken)), by="tree")
        return Found()


def _grouped(pairs: Iterable[tuple[str, NoteRecord]]) -> dict[str, list[NoteRecord]]:
    found = dict[str, list[NoteRecord]]()
    for key, record in pairs:
        if key and not any(same(record, other) for other in found.get(key, ())):
            found.setdefault(key, []).append(record)
    return found


def _one_each(records: Sequence[NoteRecord]) -> tuple[NoteRecord, ...]:
    """One record of each change: landed twice, the later one."""
    return tuple({(record.task, record.change): record for record in sorted(records, key=lambda one: one.at)}.values())


async def index_of(git_dir: str, stored: Sequence[NoteRecord]) -> Index:
    """All that notes and store know. What the store alone knows is completed out of git, within the bound."""
    noted = await notes.known_records(git_dir)
    known = {(record.task, record.commit): record for found in noted.values() for record in found}
    completed = list[NoteRecord]()
    budget = GATHERED
    for record in stored:
        twin = known.get((record.task, record.commit))
        if twin is None and not record.patch and budget:
            budget -= 1
            try:
                twin = await notes.gathered(git_dir, record)
            except Mistake:  # its commit is gone from this repository
                twin = None
        completed.append(twin or record)
    return Index(noted, completed)


async def range_of(git_dir: str, tip: str, before: str, most: int = COMMITS) -> tuple[list[Oid], int]:
    """The newest commits that lead to a tip, those of `before` left out; and how many more there are, at least."""
    words = [tip, *([f"^{before}"] if before else [])]
    shown = await look(git_dir, "rev-list", "--topo-order", f"--max-count={most + 1}", "--end-of-options", *words, check=False)
    if shown.code != 0 and before:  # what it was before is gone
        return await range_of(git_dir, tip, "", most)
    found = [Oid(line) for line in shown.text.splitlines()]
    return found[:most], max(0, len(found) - most)


async def looked_at(git_dir: str, commits: Sequence[Oid]) -> list[Looked]:
    """What git says of these commits."""
    if not commits:
        return []
    trailers = "%x00".join(f"%(trailers:key={key},valueonly,separator=%x1F)" for key in ("Andon-Task", "Andon-Change"))
    told = await look(git_dir, "log", "--no-walk=unsorted", "--stdin", "-z", f"--format=%H%x00%T%x00%P%x00%s%x00{trailers}%x00",
                      stdin="".join(f"{oid}\n" for oid in commits).encode())
    fields = told.out.decode(errors="replace").split("\0")
    rows = [fields[at : at + 6] for at in range(0, len(fields) - 6, 7)]
    firsts = list(dict.fromkeys(row[2].split()[0] for row in rows if row[2]))
    shown = await look(git_dir, "log", "--no-walk=unsorted", "--stdin", "--format=%H %T",
                       stdin="".join(f"{oid}\n" for oid in firsts).encode()) if firsts else None
    trees = dict(line.split(" ") for line in shown.text.splitlines()) if shown else {}
    return [Looked(
        commit=Oid(oid), tree=Oid(tree), parents=tuple(Oid(parent) for parent in parents.split()), subject=subject[:200],
        parent_tree=Oid(trees.get(parents.split()[0], "") if parents else ""), tasks=_values(tasks), changes=_values(changes),
    ) for oid, tree, parents, subject, tasks, changes in rows]


def _values(told: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in told.split("\x1f") if value.strip())[:CHAIN]


async def whose(git_dir: str, index: Index, commits: Sequence[Oid]) -> list[tuple[Looked, Found]]:
    """Whose change each of these commits is. Changes nothing."""
    rows = [(seen, index.told(seen)) for seen in await looked_at(git_dir, commits)]
    patches = await notes.patches_of(git_dir, [seen.commit for seen, found in rows if not found.by])
    answered = [(seen, found if found.by else index.shaped(seen, patches.get(seen.commit, ""))) for seen, found in rows]
    return [(seen, Found() if await _within(git_dir, seen, found) else found) for seen, found in answered]


async def _within(git_dir: str, seen: Looked, found: Found) -> bool:
    """Whether a commit is a part of the landed commit whose files it shares: then that one bears the note."""
    if found.by not in ("tree", "patch-id"):
        return False
    for commit in dict.fromkeys(record.commit for record in found.records):
        asked = await look(git_dir, "merge-base", "--is-ancestor", seen.commit, commit, check=False)
        if asked.code == 0:
            return True
    return False


async def repair_move(effect: RepairNotes, stored: Sequence[NoteRecord]) -> NotesRepaired:
    """Look through what a move of the target brought. `stored` are the ledger's records."""
    commits, beyond = await range_of(effect.git_dir, effect.new, effect.old)
    found, index = await repair(effect.git_dir, effect.target, effect.refs, commits, stored)
    return told_of(effect.repo, found, index, beyond, old=effect.old, new=effect.new)


def told_of(repo: RepoId, found: Sequence[Attached], index: Index, beyond: int, *, old: Oid = NOWHERE, new: Oid = NOWHERE,
            ) -> NotesRepaired:
    """What a repair tells the ledger: what it found, and the records of notes that the ledger does not have."""
    stored = {(record.task, record.commit) for record in index.stored}
    new_ones = tuple((about, record) for about, records in index.noted.items() for record in records
                     if record.repo == repo and (record.task, record.commit) not in stored
                     and len(line_of(record)) <= RECORD_BYTES)
    return NotesRepaired(repo=repo, old=old, new=new, found=tuple(one for one in found if one.tasks)[:KEPT_FOUND],
                         looked=len(found), beyond=beyond, records=new_ones[:KEPT_FOUND])


async def repair(git_dir: str, target: str, kinds: Sequence[str], commits: Sequence[Oid], stored: Sequence[NoteRecord],
                 ) -> tuple[list[Attached], Index]:
    """Give each of these commits its note again where exactly one change is it. Done again it changes nothing."""
    index = await index_of(git_dir, stored)
    rows = await whose(git_dir, index, commits)
    point("repair-notes.found")
    told = []
    async with common_lock(git_dir) as hold:
        for seen, found in rows:
            told.append(await _mend(git_dir, target, kinds, seen, found, index, hold))
    return told, index


async def _mend(git_dir: str, target: str, kinds: Sequence[str], seen: Looked, found: Found, index: Index, hold: int) -> Attached:
    """One commit: what it lacked, what it got."""
    tasks = tuple(dict.fromkeys(record.task for record in found.records))
    told = Attached(commit=seen.commit, state="missing", tasks=tasks, by=found.by, subject=seen.subject)
    if not found.records or found.vague:
        return msgspec.structs.replace(told, state="ambiguous") if found.vague else told
    lacks = lacking(seen, found, index)
    restored = list[str]()
    if "note" in lacks and "andon" in kinds:
        for record in found.records:
            for kind in sorted(kinds, key="andon".__eq__):  # ours last: by it a repair that was cut off knows what is done
                await notes.attach(git_dir, kind, target, notes.plain(record), seen.commit, hold)
        known = any(same(record, other) for record in found.records for stands in index.noted.values() for other in stands)
        restored.append("note from note" if known else "note from store")
        lacks = tuple(lack for lack in lacks if lack != "note")
        point("repair-notes.attached")
    state: Literal["present", "attached", "partly", "missing"] = "missing" if "note" in lacks else "present"
    if restored:
        state = "partly" if lacks else "attached"
    source = next((record.commit for record in found.records if record.commit != seen.commit), NOWHERE)
    return msgspec.structs.replace(told, state=state, source=source, lacks=lacks, restored=tuple(restored))


def lacking(seen: Looked, found: Found, index: Index) -> tuple[str, ...]:
    """The copies that a commit whose change is known does not have."""
    lacks = [] if all(record.task in seen.tasks and record.change in seen.changes for record in found.records) else ["trailer"]
    lacks += [] if seen.commit in index.noted else ["note"]
    stored = all(any(same(record, other) for other in index.stored) for record in found.records)
    return (*lacks, *([] if stored else ["store"]))
