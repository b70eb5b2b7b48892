"""The watch on files, by the kernel's word and by watchfiles: one suite for both, and what only the kernel's way can promise."""

import asyncio
import os
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from andon.edges import inotify
from andon.edges.watch import Watch
from support import wait_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify")
BOTH = pytest.mark.parametrize("kernel", [pytest.param(True, marks=linux), False])


class Seen:
    """What a watch told so far, group by group."""

    def __init__(self) -> None:
        self.groups: list[set[Path]] = []

    @property
    def files(self) -> set[Path]:
        return set().union(*self.groups)


async def follow(watch: Watch, seen: Seen) -> None:
    async for group in watch.paths():
        seen.groups.append(group)


@pytest.fixture
async def tasks() -> AsyncIterator[list["asyncio.Task[None]"]]:
    kept: list[asyncio.Task[None]] = []
    yield kept
    for task in kept:
        task.cancel()
    await asyncio.gather(*kept, return_exceptions=True)


async def started(watch: Watch, tasks: list["asyncio.Task[None]"]) -> Seen:
    """A followed watch that has told its first, empty group."""
    seen = Seen()
    tasks.append(asyncio.get_running_loop().create_task(follow(watch, seen)))
    await wait_for(lambda: seen.groups, what="the first group")
    assert seen.groups[0] == set()
    return seen


async def passed(seconds: float) -> None:
    """A measured window: so much time goes by."""
    end = time.monotonic() + seconds
    await wait_for(lambda: time.monotonic() > end, seconds + 5)


@BOTH
async def test_every_way_of_changing_a_file_is_told(tmp_path: Path, tasks: list["asyncio.Task[None]"], kernel: bool) -> None:
    (tmp_path / "old").write_text("1")
    (tmp_path / "gone").write_text("1")
    watch = Watch(kernel=kernel)
    assert watch.add(tmp_path)
    seen = await started(watch, tasks)
    (tmp_path / "new").write_text("1")
    (tmp_path / "old").write_text("2")
    (tmp_path / "gone").unlink()
    (tmp_path / ".aside").write_text("3")
    (tmp_path / ".aside").rename(tmp_path / "renamed")
    (tmp_path / ".other").write_text("4")
    os.link(tmp_path / ".other", tmp_path / "linked")
    wanted = {tmp_path / name for name in ("new", "old", "gone", "renamed", "linked")}
    await wait_for(lambda: wanted <= seen.files, what=f"{wanted - seen.files}")


@BOTH
async def test_a_folder_that_is_added_later_is_watched_and_everything_is_looked_at_once(
        tmp_path: Path, tasks: list["asyncio.Task[None]"], kernel: bool) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    watch = Watch(kernel=kernel)
    watch.add(tmp_path / "a")
    seen = await started(watch, tasks)
    watch.add(tmp_path / "b")
    await wait_for(lambda: seen.groups.count(set()) == 2, what="a second look at everything")
    (tmp_path / "b" / "file").write_text("1")
    await wait_for(lambda: tmp_path / "b" / "file" in seen.files, what="the file")


@BOTH
async def test_nothing_is_told_of_what_lies_below_or_is_watched_no_more(
        tmp_path: Path, tasks: list["asyncio.Task[None]"], kernel: bool) -> None:
    for name in ("a/below", "b"):
        (tmp_path / name).mkdir(parents=True)
    watch = Watch(kernel=kernel)
    watch.add(tmp_path / "a", tmp_path / "b")
    seen = await started(watch, tasks)
    watch.drop([tmp_path / "b"])
    watch.add(tmp_path)  # watchfiles forgets a folder at the next change of the set
    await wait_for(lambda: seen.groups.count(set()) == 2, what="the new set")
    (tmp_path / "a/below/deep").write_text("1")
    (tmp_path / "b/dropped").write_text("1")
    (tmp_path / "a/told").write_text("1")
    await wait_for(lambda: tmp_path / "a/told" in seen.files, what="the file that counts")
    assert not seen.files & {tmp_path / "a/below/deep", tmp_path / "b/dropped"}


@BOTH
async def test_a_burst_becomes_few_groups(tmp_path: Path, tasks: list["asyncio.Task[None]"], kernel: bool) -> None:
    watch = Watch(kernel=kernel)
    watch.add(tmp_path)
    seen = await started(watch, tasks)
    for n in range(500):
        (tmp_path / f"f{n}").write_text("1")
    await wait_for(lambda: len(seen.files) >= 500, what="all of them")
    assert len(seen.groups) <= 10


def test_a_folder_too_many_is_refused_and_said(tmp_path: Path) -> None:
    watch = Watch()
    assert watch.add(*(tmp_path / str(n) for n in range(4096)))
    assert not watch.add(tmp_path)


@linux
async def test_a_folder_that_is_not_there_is_said_and_harms_nothing(tmp_path: Path, tasks: list["asyncio.Task[None]"]) -> None:
    watch = Watch()
    watch.add(tmp_path / "never", tmp_path)
    seen = await started(watch, tasks)
    assert not watch.add(tmp_path / "nor this")
    (tmp_path / "file").write_text("1")
    await wait_for(lambda: tmp_path / "file" in seen.files, what="the file")


@linux
async def test_while_nothing_changes_the_kernel_lets_us_sleep(tmp_path: Path, tasks: list["asyncio.Task[None]"]) -> None:
    watch = Watch()
    watch.add(tmp_path)
    seen = await started(watch, tasks)
    loop = asyncio.get_running_loop()
    await passed(0.1)
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    reader = watch._engine
    assert reader is not None
    loop.remove_reader(reader.fd)
    loop.add_reader(reader.fd, turn)
    await passed(0.5)
    assert turns == 0 and len(seen.groups) == 1
    (tmp_path / "file").write_text("1")
    await wait_for(lambda: turns, what="a turn")


@linux
async def test_when_the_kernel_lost_count_every_file_may_have_changed(tmp_path: Path, tasks: list["asyncio.Task[None]"]) -> None:
    (tmp_path / "there").write_text("1")
    watch = Watch()
    watch.add(tmp_path)
    seen = await started(watch, tasks)
    engine = watch._engine
    assert engine is not None
    read, write = os.pipe2(os.O_NONBLOCK)
    os.write(write, struct.pack("iIII", -1, 0x4000, 0, 0))
    os.close(write)
    kept, engine.fd = engine.fd, read
    watch._read(engine)
    engine.fd = kept
    os.close(read)
    await wait_for(lambda: tmp_path / "there" in seen.files, what="the file that was there all the time")


@linux
def test_records_of_the_kernel_are_read_whatever_their_padding(tmp_path: Path) -> None:
    engine = inotify.opened()
    assert engine is not None
    try:
        assert engine.add(tmp_path)
        for name in ("a", "a" * 15, "b" * 16, "ü" * 60):
            (tmp_path / name).write_text("1")
        changed, lost = engine.read()
        assert changed == {tmp_path / name for name in ("a", "a" * 15, "b" * 16, "ü" * 60)} and not lost
        engine.drop(tmp_path)
        (tmp_path / "later").write_text("1")
        assert engine.read() == (set(), False)
    finally:
        engine.close()


NOTHING_LEFT = """
import asyncio, pathlib, sys
from andon.edges.watch import Watch

async def main():
    place, watch, seen = pathlib.Path(sys.argv[1]), Watch(), set()
    watch.add(place)
    async def follow():
        async for group in watch.paths():
            seen.update(group)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        while not watch.blind:
            await asyncio.sleep(0.01)
        while place / "new" not in seen:  # what came before the first look is no change
            (place / "new").write_text(str(len(seen)))
            await asyncio.sleep(0.6)
            (place / "new").unlink()
            await asyncio.sleep(0.6)
        following.cancel()
    print("told:", watch.blind)

asyncio.run(main())
"""


@linux
def test_where_the_system_has_no_watch_left_files_are_looked_for_and_that_is_told(tmp_path: Path) -> None:
    none_left = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "sh", "-c", none_left, "sh")
    if subprocess.run((*inside, "true"), capture_output=True, check=False).returncode:
        pytest.skip("no user namespace")
    done = subprocess.run((*inside, sys.executable, "-c", NOTHING_LEFT, str(tmp_path)), capture_output=True, text=True, timeout=40,
                          check=False)
    assert "told: " in done.stdout and "open files" in done.stdout, done.stdout + done.stderr
