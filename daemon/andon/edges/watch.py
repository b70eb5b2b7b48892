"""Wakes when a file in a watched folder changes; asks nothing of the disk while none does. It must never know what a file means.

Theory of operation. On Linux the kernel's inotify speaks to the event loop itself: nothing wakes up while nothing changes, and
a folder is added without a gap. Elsewhere watchfiles does it, which looks at its own list ten times a second and is started
anew when the set of folders changes. Where the system gives it nothing to watch with either, it looks at the folders themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from pathlib import Path

from watchfiles import awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from andon.edges import inotify

SETTLE_S, TOGETHER_S = 0.03, 0.3
"""A group of changes is told when nothing more came for the first, at the latest after the second."""
STEP_MS, DEBOUNCE_MS, RECHECK_MS = 100, 300, 60_000
"""The same for watchfiles; and its own wake-up, which asks nothing of the disk."""
POLL_MS = 500
"""Between two looks where nobody tells."""
FOLDERS_LIMIT, FILES_LIMIT = 4096, 10_000
"""Folders watched at once; further ones are not added and `add` says so. Changed files, and files of a folder, told at once."""


class Watch:
    """Watches a changing set of folders, not what is below them. `paths()` yields sets of changed files."""

    def __init__(self, *, kernel: bool = True) -> None:
        self._folders: set[Path] = set()
        self._kernel = kernel
        self._engine: inotify.Inotify | None = None
        self.blind = ""
        """Why the system does not tell of changes, so that the folders are looked at themselves; empty when it does."""
        self._changed: set[Path] = set()
        self._again, self._news = asyncio.Event(), asyncio.Event()

    def add(self, *folders: Path) -> bool:
        """Watch the files of these folders too. False when one of them cannot be: a limit is reached, or it is not there."""
        new = [folder for folder in folders if folder not in self._folders]
        if len(self._folders) + len(new) > FOLDERS_LIMIT:
            return False
        if new:
            self._folders.update(new)
            self._again.set()
            self._news.set()
        return all([self._engine.add(folder) for folder in new]) if self._engine is not None else True

    def drop(self, folders: Iterable[Path]) -> None:
        """Stop watching these folders."""
        for folder in folders:
            self._folders.discard(folder)
            if self._engine is not None:
                self._engine.drop(folder)

    async def paths(self) -> AsyncIterator[set[Path]]:
        """Changed files in groups, for ever. After each growth of the watched set one empty group: look at everything once."""
        self._engine = inotify.opened() if self._kernel else None
        groups = self._told() if self._engine is not None else self._looked()
        async for group in groups:
            yield group

    # --- told by the kernel ----------------------------------------------------------------------------------------------

    async def _told(self) -> AsyncIterator[set[Path]]:
        engine, loop = self._engine, asyncio.get_running_loop()
        assert engine is not None
        for folder in self._folders:
            engine.add(folder)
        self._again.set()
        self._news.set()
        loop.add_reader(engine.fd, self._read, engine)
        try:
            while True:
                await self._news.wait()
                if self._again.is_set():
                    self._again.clear()
                    yield set()
                await self._settled()
                changed, self._changed = self._changed, set()
                if changed:
                    yield changed
        finally:
            loop.remove_reader(engine.fd)
            self._engine = None
            engine.close()

    def _read(self, engine: inotify.Inotify) -> None:
        """The kernel has something to tell. When it lost count, every file may have changed."""
        changed, lost = engine.read()
        self._changed |= changed
        if lost or len(self._changed) > FILES_LIMIT:
            self._changed = {file for folder in self._folders if folder.is_dir() for file in islice(folder.iterdir(), FILES_LIMIT)}
        self._news.set()

    async def _settled(self) -> None:
        """Until nothing more comes for a moment."""
        end = asyncio.get_running_loop().time() + TOGETHER_S
        while asyncio.get_running_loop().time() < end:
            self._news.clear()
            try:
                async with asyncio.timeout(SETTLE_S):  # wait_for loses a cancellation that comes together with news
                    await self._news.wait()
            except TimeoutError:
                break
        if self._again.is_set():
            self._news.set()

    # --- looked for by watchfiles ----------------------------------------------------------------------------------------

    async def _looked(self) -> AsyncIterator[set[Path]]:
        while True:
            self._again.clear()
            there = [folder for folder in self._folders if folder.is_dir()]
            if not there:
                yield set()
                await self._again.wait()
                continue
            watcher = awatch(
                *there, step=STEP_MS, debounce=DEBOUNCE_MS, stop_event=self._again, rust_timeout=RECHECK_MS, recursive=False,
                watch_filter=None, ignore_permission_denied=True, force_polling=bool(self.blind) or None, poll_delay_ms=POLL_MS,
            )
            started = asyncio.ensure_future(anext(watcher, None))
            await asyncio.sleep(0)
            yield set()
            try:
                changes = await started
                while changes is not None:
                    yield {Path(path) for _, path in changes}
                    changes = await anext(watcher, None)
            except WatchfilesRustInternalError as error:
                if self.blind:
                    raise
                self.blind = str(error)
