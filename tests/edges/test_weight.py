"""The scale of a checkout: asked seldom, weighs what is there, follows no link, and its walk is bounded."""

import os
from pathlib import Path

from andon.edges import weight
from andon.edges.weight import GB, Scale, free_bytes, walk
from andon.schema.rules import Thresholds

SMALL = Thresholds(disk_gb=0.08, disk_free_mb=0)
MIB = 1024 * 1024


def fill(folder: Path, name: str, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(os.urandom(size))


def test_a_walk_counts_what_lies_there_once_and_follows_no_link(tmp_path: Path) -> None:
    fill(tmp_path / "outside", "big", 3 * MIB)
    fill(tmp_path / "tree/a/b", "one", MIB)
    fill(tmp_path / "tree", "two", MIB)
    (tmp_path / "tree/again").hardlink_to(tmp_path / "tree/two")
    (tmp_path / "tree/away").symlink_to(tmp_path / "outside")
    found = walk(tmp_path / "tree")
    assert found.whole and 2 * MIB <= found.size < 2.2 * MIB and found.entries == 6


def test_a_walk_ends_at_its_bound_and_says_so(tmp_path: Path) -> None:
    for n in range(20):
        fill(tmp_path, f"f{n}", 4096)
    found = walk(tmp_path, entries=10)
    assert not found.whole and found.entries == 11 and 0 < found.size <= 10 * 4096
    assert walk(tmp_path / "nowhere") == (0, 0, True) and walk(tmp_path / "f1").whole


def test_nobody_is_weighed_who_wrote_little(tmp_path: Path) -> None:
    scale = Scale(tmp_path)
    assert not scale.wanted(9_000_000, SMALL, 100.0) and scale.wanted(11_000_000, SMALL, 100.0)
    full = Thresholds(disk_gb=0.08, disk_free_mb=1e9)
    assert not scale.wanted(7_000_000, full, 100.0) and scale.wanted(9_000_000, full, 100.0)


def test_between_two_walks_lie_more_bytes_and_some_time(tmp_path: Path) -> None:
    scale = Scale(tmp_path)
    scale.weigh(20_000_000, 20_000_000, SMALL, 1)
    again = scale._again
    assert not scale.wanted(40_000_000, SMALL, again - 1) and scale.wanted(40_000_000, SMALL, again + 1)
    assert not scale.wanted(29_000_000, SMALL, again + 1)


def test_growth_is_counted_from_what_lay_there_before(tmp_path: Path) -> None:
    fill(tmp_path, "history", 40 * MIB)
    scale = Scale(tmp_path)
    fill(tmp_path, "first", 10 * MIB)
    first = scale.weigh(10 * MIB, 10 * MIB, SMALL, 1)
    assert first.weight >= 50 * MIB and 9 * MIB < first.grown < 11 * MIB and first.whole
    fill(tmp_path, "second", 70 * MIB)
    second = scale.weigh(80 * MIB, 80 * MIB, SMALL, 2)
    assert second.grown >= 0.08 * GB and scale.wanted(80 * MIB + 1, SMALL, 1e12)
    (tmp_path / "second").unlink()
    third = scale.weigh(80 * MIB + 1, 80 * MIB, SMALL, 3)
    assert third.grown < 11 * MIB and not scale.wanted(80 * MIB + 2, SMALL, 1e12)


def test_bytes_that_went_elsewhere_are_no_growth_of_the_checkout(tmp_path: Path) -> None:
    fill(tmp_path, "history", 60 * MIB)
    scale = Scale(tmp_path)
    assert scale.weigh(15 * MIB, 15 * MIB, SMALL, 1).grown < 16 * MIB
    assert scale.weigh(900 * MIB, 900 * MIB, SMALL, 2).grown < 16 * MIB


def test_what_cannot_be_seen_is_not_made_up(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "nowhere") == -1 and free_bytes(tmp_path) > 0
    assert weight.walk(tmp_path / "nowhere").size == 0
