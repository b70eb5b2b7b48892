"""Raw lines on disk: whole, once, in order; whatever else is done to the file, nothing but lines come out and nothing raises."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from andon.edges import lines
from andon.edges.lines import Bell, Tail, append, aside, decode
from andon.edges.transcript import Transcript, named, stamp
from andon.schema.signals import Line
from support import wait_for


def line(n: int, size: int = 0) -> Line:
    return Line(at=n, source="hook", data=msgspec.Raw(msgspec.json.encode({"n": n, "x": "x" * size})))


def test_what_was_appended_is_read_once_in_order_and_only_when_whole(tmp_path: Path) -> None:
    file = tmp_path / "hooks.jsonl"
    tail = Tail(file)
    assert tail.read() == []
    assert append(file, line(1)) and append(file, line(2))
    assert [told.at for row in tail.read() if (told := decode(row))] == [1, 2]
    assert tail.read() == []
    with file.open("ab") as half:
        half.write(msgspec.json.encode(line(3))[:20])
    assert tail.read() == []
    with file.open("ab") as half:
        half.write(msgspec.json.encode(line(3))[20:] + b"\n")
    assert [told.at for row in tail.read() if (told := decode(row))] == [3]


def test_reading_is_bounded_and_says_that_there_is_more(tmp_path: Path) -> None:
    file, count = tmp_path / "f", 3000
    with file.open("wb") as out:
        for n in range(count):
            out.write(msgspec.json.encode(line(n, 300)) + b"\n")
    tail, seen, readings = Tail(file), list[int](), 0
    while True:
        seen += [told.at for row in tail.read() if (told := decode(row))]
        readings += 1
        if not tail.more:
            break
    assert seen == list(range(count)) and readings >= file.stat().st_size // lines.READ_BYTES


def test_a_line_past_its_bound_is_skipped_and_the_next_one_is_read(tmp_path: Path) -> None:
    file, tail = tmp_path / "f", Tail(tmp_path / "f")
    with file.open("wb") as out:
        out.write(b"x" * (3 * lines.LINE_BYTES) + b"\n" + msgspec.json.encode(line(7)) + b"\n")
    seen: list[bytes] = []
    for _ in range(20):
        seen += tail.read()
    assert [told.at for row in seen if (told := decode(row))] == [7] and len(seen) == 1 and tail.skipped == 1


def test_another_file_in_its_place_and_a_cut_one_are_read_from_their_beginning(tmp_path: Path) -> None:
    file, tail = tmp_path / "f", Tail(tmp_path / "f")
    append(file, line(1, 100))
    assert len(tail.read()) == 1
    file.write_bytes(msgspec.json.encode(line(2)) + b"\n")
    assert [told.at for row in tail.read() if (told := decode(row))] == [2]
    other = tmp_path / "g"
    append(other, line(3, 200))
    other.replace(file)
    assert [told.at for row in tail.read() if (told := decode(row))] == [3]


def test_a_file_that_has_grown_past_its_bound_is_set_aside_once(tmp_path: Path) -> None:
    file = tmp_path / "job" / "channel.jsonl"
    file.parent.mkdir()
    for n in range(50):
        assert append(file, line(n, 100), limit=2000)
    assert file.stat().st_size <= 2200 and aside(file).stat().st_size <= 2200
    assert sorted(path.name for path in file.parent.iterdir()) == ["channel.jsonl", "channel.jsonl.1"]


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "missing folder"])
def test_what_is_no_plain_file_is_neither_read_nor_written(tmp_path: Path, kind: str) -> None:
    secret, file = tmp_path / "secret", tmp_path / "f"
    secret.write_text('{"a": 1}\n')
    match kind:
        case "link":
            file.symlink_to(secret)
        case "directory":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)
        case _:
            file = tmp_path / "none" / "f"
    assert Tail(file).read() == [] and append(file, line(1)) is False
    assert secret.read_text() == '{"a": 1}\n'


@pytest.mark.parametrize("row", [
    b"", b"{", b"[]", b"null", b'{"at":1}', b'{"at":1,"source":"nobody","data":1}', b"\xff\xfe", b"[" * 100_000,
])
def test_a_row_that_is_no_line_is_none(row: bytes) -> None:
    assert decode(row) is None


def test_too_long_a_line_is_refused_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "f"
    append(file, line(1))
    before = file.read_bytes()
    assert append(file, line(2, lines.LINE_BYTES)) is False and file.read_bytes() == before


async def test_the_bell_tells_of_writes_into_a_file_that_stays_open_and_a_flood_costs_few_wakings(tmp_path: Path) -> None:
    rung: list[set[Path]] = []
    bell = Bell(rung.append)
    assert bell.add(tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bell.run())
        with (tmp_path / "rollout.jsonl").open("ab", buffering=0) as file:
            await wait_for(lambda: rung)
            file.write(b"one\n")
            await wait_for(lambda: len(rung) >= 2 and tmp_path / "rollout.jsonl" in rung[-1])
            before, began = bell.rung, asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 0.5:
                for _ in range(200):
                    file.write(b"x" * 100)
                await asyncio.sleep(0)
            assert 1 <= bell.rung - before <= 0.5 / lines.PAUSE_S + 2
        running.cancel()
    bell.close()


async def test_without_the_kernels_word_the_bell_rings_as_well(tmp_path: Path) -> None:
    rung: list[set[Path]] = []
    bell = Bell(rung.append, kernel=False)
    bell.add(tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bell.run())
        await wait_for(lambda: rung)
        (tmp_path / "hooks.jsonl").write_text("{}\n")
        await wait_for(lambda: any(tmp_path / "hooks.jsonl" in told for told in rung))
        running.cancel()


# --- transcripts -----------------------------------------------------------------------------------------------------


def test_a_transcripts_line_carries_its_own_time_or_the_files_and_never_a_later_one(tmp_path: Path) -> None:
    file, now = tmp_path / "t.jsonl", 1_800_000_100_000
    stamped = '{"timestamp":"2027-01-15T08:01:30.500Z","n":1}\n{"timestamp":"2099-01-01T00:00:00Z","n":2}\n'
    file.write_text(stamped + '{"n":3}\nnonsense\n[1]\n')
    os.utime(file, (1_800_000_095, 1_800_000_095))
    found = Transcript(file, 1_800_000_000_000).read(now)
    assert [told.at for told in found] == [1_800_000_090_500, now, 1_800_000_095_000, 1_800_000_095_000]


def test_what_was_written_before_the_session_began_is_passed_over(tmp_path: Path) -> None:
    file, since = tmp_path / "t.jsonl", 1_800_000_000_000
    file.write_text('{"timestamp": 1799999000, "n": "old"}\n{"timestamp": 1800000010000, "n": "new"}\n')
    reader = Transcript(file, since)
    assert [msgspec.json.decode(told.data)["n"] for told in reader.read(since + 60_000)] == ["new"]
    with file.open("a") as more:
        more.write('{"n": "unstamped"}\n')
    assert [told.at for told in reader.read(since + 70_000)] == [since + 70_000]


def test_a_hostile_name_of_a_transcript_is_none(tmp_path: Path) -> None:
    assert named(str(tmp_path / "t.jsonl")) == tmp_path / "t.jsonl"
    for bad in ("", "relative", "/proc/self/environ", "/dev/zero", "/tmp/../etc/passwd", "/x\0y", "/" + "y" * 2000):
        assert named(bad) is None


def test_a_time_that_nobody_can_read_is_no_time() -> None:
    assert stamp(b'{"timestamp":"tomorrow"}') == 0 and stamp(b'{"timestamp":1e400}') in (0, None) and stamp(b"{") is None
    assert stamp(b'{"timestamp":[1]}') == 0 and stamp(b'{"timestamp":"2027-01-15T08:00:00"}') == 1_800_000_000_000
