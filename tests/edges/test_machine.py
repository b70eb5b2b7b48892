"""The machine is looked at only when somebody wants to start, again only while it is strained, and says which limit it is past."""

import asyncio
from pathlib import Path

import pytest

from andon.edges import machine
from andon.edges.machine import Machine, strain
from andon.schema.inputs import MachineSeen
from andon.schema.settings import Admission
from support import wait_until

OFF = Admission(load_per_core=0, free_memory_mb=0, free_disk_mb=0)


def proc(tmp_path: Path, *, load: float = 0.1, free_mb: int = 4096) -> Path:
    """A kernel's files with these figures."""
    folder = tmp_path / "proc"
    folder.mkdir(exist_ok=True)
    (folder / "loadavg").write_text(f"{load} 0.10 0.05 1/100 4242\n")
    (folder / "meminfo").write_text(f"MemTotal: 99999 kB\nMemFree: 1 kB\nMemAvailable:   {free_mb * 1024} kB\n")
    return folder


def test_the_real_machine_is_read_without_a_process(tmp_path: Path) -> None:
    assert machine.load_per_core() is not None and (machine.free_memory_mb() or 0) > 0
    assert (machine.free_disk_mb(tmp_path) or 0) > 0
    assert strain(OFF, tmp_path) == ""
    most = Admission(load_per_core=0, free_memory_mb=2**30, free_disk_mb=0)
    assert strain(most, tmp_path).startswith("memory: ")
    assert "at least 1073741824 MB" in strain(Admission(load_per_core=0, free_memory_mb=0, free_disk_mb=2**30), tmp_path)


def test_each_limit_says_its_figure_and_where_it_lies(tmp_path: Path) -> None:
    busy = proc(tmp_path, load=9.0 * machine.cores(), free_mb=100)
    assert strain(Admission(), tmp_path, proc=busy) == "load of 9.0 for each core, the limit is 4"
    assert strain(Admission(load_per_core=0), tmp_path, proc=busy) == "memory: 100 MB are free, at least 1024 MB must be"
    assert strain(OFF, tmp_path, proc=busy) == ""


def test_what_cannot_be_read_holds_nobody_back(tmp_path: Path) -> None:
    assert strain(Admission(), tmp_path / "gone", proc=tmp_path / "nothing") == ""
    odd = proc(tmp_path)
    (odd / "loadavg").write_text("")
    (odd / "meminfo").write_text("MemAvailable: much\n")
    assert strain(Admission(free_disk_mb=0), tmp_path, proc=odd) == ""


def test_looks_of_one_second_are_one_look_and_only_changes_are_told(tmp_path: Path) -> None:
    now, seen = [100.0], list[MachineSeen]()
    found = proc(tmp_path)
    watched = Machine(tmp_path, lambda: Admission(free_disk_mb=0), seen.append, proc=found, clock=lambda: now[0])
    assert [watched.looked() for _ in range(5)] == [""] * 5 and watched.looks == 1 and seen == []
    proc(tmp_path, free_mb=10)
    assert watched.looked() == "", "it was looked at a moment ago"
    now[0] += 1.0
    assert watched.looked().startswith("memory: 10 MB")
    proc(tmp_path, free_mb=11)
    now[0] += 1.0
    assert watched.looked().startswith("memory: 11 MB") and len(seen) == 1, "another figure of the same strain is no news"
    proc(tmp_path, free_mb=4000)
    now[0] += 1.0
    assert watched.looked() == ""
    assert [bool(told.because) for told in seen] == [True, False]


async def test_a_strained_machine_is_looked_at_again_until_it_has_room_and_then_left_alone(tmp_path: Path) -> None:
    seen = list[MachineSeen]()
    found = proc(tmp_path, free_mb=10)
    watched = Machine(tmp_path, lambda: Admission(free_disk_mb=0), seen.append, proc=found, first_s=0.01, last_s=0.02)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watched.relook())
        assert watched.looks == 0, "nobody asked yet"
        watched.looked()
        await asyncio.to_thread(wait_until, lambda: watched.looks >= 3, 5)
        proc(tmp_path, free_mb=4000)
        await asyncio.to_thread(wait_until, lambda: len(seen) == 2, 5)
        quiet = watched.looks
        await asyncio.sleep(0.1)
        assert watched.looks == quiet and seen[-1].because == ""
        task.cancel()


@pytest.mark.parametrize("word", ["load", "memory", "disk"])
def test_another_kind_of_strain_is_news(word: str, tmp_path: Path) -> None:
    seen, now = list[MachineSeen](), [0.0]
    limits = [Admission(load_per_core=0, free_memory_mb=2**30, free_disk_mb=0)]
    watched = Machine(tmp_path, lambda: limits[0], seen.append, proc=proc(tmp_path, load=100.0), clock=lambda: now[0])
    watched.looked()
    limits[0] = {
        "load": Admission(load_per_core=0.01, free_memory_mb=0, free_disk_mb=0), "memory": limits[0],
        "disk": Admission(load_per_core=0, free_memory_mb=0, free_disk_mb=2**30),
    }[word]
    now[0] += 2
    watched.looked()
    assert [told.because.partition(" ")[0].strip(":") for told in seen] == (["memory"] if word == "memory" else ["memory", word])
