"""Wakes when a file in a watched folder changes; asks nothing of the disk while none does. It must never know what a file means."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import awatch

STEP_MS, DEBOUNCE_MS = 100, 300
"""A change is told this long after the last one of its group, at the latest after the debounce."""
RECHECK_MS = 60_000
"""The watcher's own wake-up, which asks nothing of the disk."""
FOLDERS_LIMIT = 4096
"""Folders watched at once; further ones are not added and `add` says so."""


class Watch:
    """Watches a changing set of folders, not what is below them. `paths()` yields sets of changed files."""

    def __init__(self) -> None:
        self._folders: set[Path] = set()
        self._again = asyncio.Event()

    def add(self, *folders: Path) -> bool:
        """Watch the files of these folders too. False when the limit is reached."""
        new = [folder for folder in folders if folder not in self._folders]
        if len(self._folders) + len(new) > FOLDERS_LIMIT:
            return False
        if new:
            self._folders.update(new)
            self._again.set()
        return True

    def drop(self, folders: Iterable[Path]) -> None:
        """Stop watching these folders, at the next change of the set."""
        self._folders.difference_update(folders)

    async def paths(self) -> AsyncIterator[set[Path]]:
        """Changed files in groups, for ever. After each change of the watched set one empty group: look at everything once."""
        while True:
            self._again.clear()
            there = [folder for folder in self._folders if folder.is_dir()]
            if not there:
                yield set()
                await self._again.wait()
                continue
            watcher = awatch(
                *there, step=STEP_MS, debounce=DEBOUNCE_MS, stop_event=self._again, rust_timeout=RECHECK_MS, recursive=False,
                watch_filter=None, ignore_permission_denied=True,
            )
            started = asyncio.ensure_future(anext(watcher, None))
            await asyncio.sleep(0)
            yield set()
            changes = await started
            while changes is not None:
                yield {Path(path) for _, path in changes}
                changes = await anext(watcher, None)
