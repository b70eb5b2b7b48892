"""Reads what a change changes: paths, lines, the diff as a blob; must never know whose change it is."""

import asyncio
from pathlib import Path
from typing import Protocol

import msgspec

from andon.edges.git import look
from andon.schema.ids import Digest, Oid

DIFF_LIMIT = 2 * 2**20
"""Bytes of a diff that are kept."""
PATHS_LIMIT = 500
"""Changed paths that are named; all are counted."""
_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "-M", "--submodule=short")


class Blobs(Protocol):
    """Where bytes are kept by their digest."""

    def put(self, data: bytes) -> Digest:
        """Keep these bytes."""
        ...


class Changes(msgspec.Struct, frozen=True):
    """What a change changes."""

    paths: tuple[str, ...] = ()
    """All of them; a rename counts as both."""
    insertions: int = 0
    deletions: int = 0
    diff: Digest = Digest("")
    """The blob with the whole of it, at most 2 MiB."""


async def read_changes(common: Path, base: Oid, head: Oid, blobs: Blobs) -> Changes:
    """What differs between two commits, with the diff kept as a blob."""
    if base == head:
        return Changes()
    shown = await look(common, *_DIFF, base, head, "--", limit=DIFF_LIMIT)
    data = shown.out
    if shown.truncated:
        notice = b"\n[the rest is not shown: the diff is larger than 2 MiB]\n"
        data = data[: DIFF_LIMIT - len(notice)] + notice
    paths, insertions, deletions = _numbers((await look(common, *_DIFF, "--numstat", "-z", base, head, "--")).out)
    return Changes(paths, insertions, deletions, await asyncio.to_thread(blobs.put, data) if data else Digest(""))


def _numbers(out: bytes) -> tuple[tuple[str, ...], int, int]:
    """Paths (of a rename both), insertions and deletions of `--numstat -z`."""
    items = iter(out.split(b"\0"))
    paths: set[str] = set()
    added = removed = 0
    for item in items:
        words = item.split(b"\t", 2)
        if len(words) != 3:
            continue
        added += int(words[0]) if words[0].isdigit() else 0
        removed += int(words[1]) if words[1].isdigit() else 0
        named = [words[2]] if words[2] else [next(items), next(items)]
        paths.update(name.decode(errors="replace") for name in named)
    return tuple(sorted(paths)), added, removed
