"""Reads from git what a report is judged against: the tree's files, lines, renames, changed lines; it must never judge.

Nothing of it comes from the report or from the checkout that the code under test ran in.
"""

import asyncio
from pathlib import Path
from typing import Protocol

import msgspec

from andon.edges import beneath, report, touched
from andon.edges.reports import coverage, sarif
from andon.edges.reports.verdict import Grounds, Read
from andon.schema.effects import RunCheck
from andon.schema.globs import matches
from andon.schema.ids import Digest
from andon.schema.jobs import JOB, Exit

COVERAGE = ("cobertura", "lcov")
FOLDED = 5
"""Patterns that a sentence names."""


class Kept(Protocol):
    """Where blobs are kept."""

    def get(self, digest: Digest) -> bytes:
        """The bytes again."""
        ...


async def grounds_of(effect: RunCheck, slot: Path, folder: Path, left: Path, blobs: Kept, told: str = "") -> Grounds:
    """What the report at `left`, of a run of `effect` in `slot`, is to be judged by. Raises Mistake when git cannot tell.

    The run began after its job was written to `folder`.
    """
    check = effect.check
    place = tuple(dict.fromkeys((str(slot), str(await asyncio.to_thread(slot.resolve)))))
    job = beneath.facts(folder, JOB)
    begun = job.st_mtime_ns if job else 0
    known = Grounds(commit=effect.commit, tree=effect.tree, place=place, started=begun // 1_000_000, begun=begun,
                    told=told)
    if check.report == "exit" and not check.inputs and not effect.rules:
        return known
    files = await touched.files_of(effect.git_dir, effect.tree)
    known = msgspec.structs.replace(known, files=files)
    data = await asyncio.to_thread(_content, left) if check.baseline or check.report in COVERAGE else b""
    if not data:
        return known
    if effect.base:
        base = effect.base_tree or effect.base
        known = msgspec.structs.replace(
            known, base=effect.base, moved=await touched.moved_between(effect.git_dir, base, effect.tree),
            kept=await asyncio.to_thread(blobs.get, effect.base_names) if effect.base_names else b"",
        )
        if check.report in COVERAGE:
            added = await touched.added_between(effect.git_dir, base, effect.tree)
            known = msgspec.structs.replace(known, changed={path: tuple(sorted(lines)) for path, lines in added.items()})
    named = await asyncio.to_thread(_named, effect, data, known)
    texts = await touched.texts_of(effect.git_dir, files, {*named, *known.changed})
    lines = await asyncio.to_thread(lambda: {path: touched.lines_of(text) for path, text in texts.items()})
    return msgspec.structs.replace(known, lines=lines)


def dead_rules(effect: RunCheck, grounds: Grounds) -> str:
    """Which patterns name no file of the tree, so that what they say holds for nothing; empty when all do, or it is not known."""
    if grounds.files is None:
        return ""
    said = (*((f"checks.{effect.check.name}.inputs", glob) for glob in _inputs(effect, grounds)), *effect.rules)
    dead = [f"`{glob}` of {where}" for where, glob in said if not any(matches(path, (glob,)) for path in grounds.files)]
    more = f" and {len(dead) - FOLDED} more" if len(dead) > FOLDED else ""
    return f"no file of the tree is named by {', '.join(dead[:FOLDED])}{more}" if dead else ""


def _inputs(effect: RunCheck, grounds: Grounds) -> tuple[str, ...]:
    """The declared inputs, when not one of them names a file: a check of several may lose one."""
    wanted = effect.check.inputs
    return () if any(matches(path, wanted) for path in grounds.files or ()) else wanted


def _content(left: Path) -> bytes:
    """The report, when it can be read."""
    try:
        return b"" if report.readable(left) else report.content(left)
    except OSError:
        return b""


def _named(effect: RunCheck, data: bytes, known: Grounds) -> set[str]:
    """The files of the tree that the report speaks of."""
    if effect.check.report == "sarif":
        return sarif.paths(data, known.place)
    return coverage.paths(Read(check=effect.check, seen=Exit(), data=data, grounds=known))
