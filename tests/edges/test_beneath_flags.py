"""What the kernel is asked when a file of an agent's is opened: each flag by itself, and what a descriptor of it can do."""

import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest

from andon.edges import beneath, durable

NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x02, 0x04, 0x08


@pytest.fixture(params=["kernel", "walk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "walk":
        monkeypatch.setattr(beneath.kernel, "there", False)
    elif not beneath.kernel.there:
        pytest.skip("no openat2 here")
    return str(request.param)


def test_the_kernel_is_asked_for_every_restriction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("words")
    asked: list[tuple[int, int, int, int]] = []
    real = ctypes.CDLL(None, use_errno=True).syscall

    def spy(number: ctypes.c_long, folder: ctypes.c_int, name: ctypes.c_char_p, how: bytes, size: ctypes.c_size_t) -> int:
        asked.append((number.value, *struct.unpack("=QQQ", how)))
        return int(real(number, folder, name, how, size))
    monkeypatch.setattr(beneath.kernel, "_call", spy)
    assert beneath.read(tmp_path, "file", 100) == b"words"
    ((number, flags, mode, resolve),) = asked
    assert (number, mode, resolve) == (437, 0, NO_MAGICLINKS | NO_SYMLINKS | BENEATH)
    for flag in (os.O_NOFOLLOW, os.O_NONBLOCK, os.O_NOCTTY, os.O_CLOEXEC):
        assert flags & flag, flag


def test_what_is_opened_is_closed_in_children_and_never_waits(tmp_path: Path, way: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_text("words")
    fd = beneath.opened(tmp_path, "deep/file")
    try:
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK, way
    finally:
        os.close(fd)


def test_a_terminal_that_stands_in_a_files_place_does_not_become_ours(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags: list[int] = []
    real = os.open

    def spy(path: object, given: int, *rest: object, **more: object) -> int:
        flags.append(given)
        return real(path, given, *rest, **more)  # type: ignore[arg-type]  # as it came
    monkeypatch.setattr(os, "open", spy)
    (tmp_path / "file").write_text("words")
    beneath.read(tmp_path, "file", 10)
    assert way == "kernel" or flags[-1] & os.O_NOCTTY


def test_a_root_that_is_a_link_is_refused(tmp_path: Path, way: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("words")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError):
        beneath.read(tmp_path / "link", "file", 100)


@pytest.mark.parametrize("name", ["", ".", "a\0b", "/etc/passwd", "../x", "x/../../y", "/".join("d" * 300)])
def test_a_name_that_is_none_or_leads_away_is_refused_before_anybody_is_asked(
    tmp_path: Path, way: str, name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(beneath, "_below", lambda *given: asked.append(given))
    if name == ".":
        assert beneath._parts(name) == []
        return
    with pytest.raises(OSError):
        beneath.opened(tmp_path, name)
    assert asked == [], way


def test_facts_are_those_of_a_link_and_not_of_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    seen = beneath.facts(tmp_path, "link")
    assert seen is not None and seen.st_ino == (tmp_path / "link").lstat().st_ino and seen.st_size == len("/etc/passwd")


def test_what_a_killed_writer_left_beside_a_file_goes_with_the_next_write(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    gone = subprocess.run(("sh", "-c", "echo $$"), capture_output=True, text=True, check=True).stdout.strip()
    for name in (f".1.json.{gone}.new", f".1.json.{os.getpid()}.new", ".1.json.1.new", ".1.json.x.new", f".2.json.{gone}.new"):
        (place / name).write_text("half")
    beneath.write_whole(place, "1.json", b"whole")
    assert {path.name for path in place.iterdir()} == {"1.json", ".1.json.1.new", ".1.json.x.new", f".2.json.{gone}.new"}
    durable.write_file(place / "plain", b"x")
    (place / f".tmp-{gone}-abc").write_text("half")
    (place / f".tmp-{os.getpid()}-abc").write_text("at work")
    (place / ".tmp-1-abc").mkdir()
    durable.write_file(place / "other", b"x", alone=True)
    assert not (place / f".tmp-{gone}-abc").exists() and (place / f".tmp-{os.getpid()}-abc").exists()
    assert (place / "other").read_bytes() == b"x" and (place / ".tmp-1-abc").is_dir()
