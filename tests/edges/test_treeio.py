"""What goes into a session's own terminal is counted to the byte, near enough; what goes anywhere else never is."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from andon.edges.tree import Trees
from andon.schema.ids import AttemptId
from andon.schema.signals import Tree
from sessionkit import Floor, Mute, a_floor
from support import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
MIB = 1024 * 1024


class Counted:
    """A session that does its deed once it is told to, looked at by hand."""

    def __init__(self, floor: Floor, attempt: AttemptId) -> None:
        reader = floor.supervisor.readers[attempt]
        assert reader.root is not None
        self.floor, self.attempt, self.root, self.trees = floor, attempt, reader.root, Trees()
        self.checkout = Path(floor.attempt(attempt).path)

    def look(self) -> Tree:
        """Its tree now."""
        return self.trees.look([self.root], int(time.time() * 1000))[self.attempt].tree

    async def does(self) -> Tree:
        """Let it begin, look now and then until it has done it, and once more."""
        await wait_for(lambda: self.look().alive, what="its shell")
        looked = time.monotonic()
        assert self.look().pane_bytes == 0
        (self.checkout / "go").touch()

        def over() -> bool:
            nonlocal looked
            if time.monotonic() - looked > 0.3:
                self.look()
                looked = time.monotonic()
            return (self.checkout / "done").exists()

        await wait_for(over, 30, what="its deed to be done")
        return self.look()


def in_memory(folder: Path) -> bool:
    """Whether this file system is one in memory."""
    mounts = [row.split() for row in Path("/proc/mounts").read_text().splitlines()]
    return max((row for row in mounts if folder.is_relative_to(row[1])), key=lambda row: len(row[1]))[2] == "tmpfs"


@contextlib.asynccontextmanager
async def session(tmp_path: Path, deed: str, beside: str = "") -> AsyncIterator[Counted]:
    """A shell in a real pane that waits for `go`, does this, touches `done` and stays; another one may do something else."""
    script = f"until [ -e go ]; do sleep 0.02; done; {deed}; touch done; exec sleep 1000"
    async with a_floor(tmp_path, argv=("sh", "-c", script), adapter=Mute()) as floor:
        if beside:
            floor.hands.argv["beside"] = ("sh", "-c", beside)
            await floor.add("beside")
        yield Counted(floor, await floor.add())


async def test_bytes_into_the_terminal_are_counted_whoever_of_the_tree_writes_them(tmp_path: Path) -> None:
    line = "x" * 99
    deed = f"yes {line} | head -c 20971520; yes {line} | head -c 10485760 | cat; (yes {line} | head -c 5242880 >&2)"
    async with session(tmp_path, deed) as counted:
        seen = await counted.does()
        assert 34 * MIB <= seen.pane_bytes <= 38 * MIB, seen


@pytest.mark.parametrize("deed", [
    "head -c 40000000 /dev/zero > heap",
    "head -c 400000000 /dev/zero | cat | cat > /dev/null",
    "script -qc 'yes 0123456789 | head -c 30000000' /dev/null > /dev/null",
], ids=["a file", "pipes", "a terminal of its own"])
async def test_bytes_into_anything_else_are_not(tmp_path: Path, deed: str) -> None:
    async with session(tmp_path, deed) as counted:
        assert (await counted.does()).pane_bytes < MIB


async def test_another_pane_that_is_flooded_makes_no_flood_of_this_ones_pipes(tmp_path: Path) -> None:
    deed = "head -c 1500000000 /dev/zero | cat > /dev/null & sleep 2"
    async with session(tmp_path, deed, beside="exec yes 0123456789012345678901234567890123456789") as counted:
        assert (await counted.does()).pane_bytes < 20 * MIB  # of about 100 that the other gave


async def test_an_agent_that_writes_pipes_itself_is_not_taken_for_one_that_draws(tmp_path: Path) -> None:
    code = ("import subprocess as s; p = s.Popen(['cat'], stdin=-1, stdout=-3)\n"
            "for n in range(400): p.stdin.write(bytes(1000000))\np.stdin.close(); p.wait()")
    async with session(tmp_path, f'{sys.executable} -IS -c "{code}"') as counted:
        assert (await counted.does()).pane_bytes < MIB


async def test_what_goes_towards_a_disk_is_counted_with_those_that_ended(tmp_path: Path) -> None:
    deed = "for n in 1 2 3; do head -c 8000000 /dev/urandom > part$n; done"
    if in_memory(tmp_path):
        pytest.skip("a file system in memory: nothing goes towards a disk")
    async with session(tmp_path, deed) as counted:
        seen = await counted.does()
        assert 24_000_000 <= seen.written < 26_000_000
