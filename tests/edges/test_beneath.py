"""Files that an agent may have put there: read and written only below their root, never by a link, never waited for."""

import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from andon.edges import beneath

SECRET = b"the person's own\n"


@pytest.fixture(params=["kernel", "walk"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of an agent beside a secret, seen by the system call and by the walk that stands in for it."""
    monkeypatch.setattr(beneath.kernel, "there", request.param == "kernel" and beneath.kernel.there)
    place = tmp_path / "ours"
    (place / "in" / "deep").mkdir(parents=True)
    (place / "in" / "deep" / "file").write_bytes(b"content\n")
    (tmp_path / "secret").write_bytes(SECRET)
    yield place


def plant(place: Path, kind: str, aside: Path) -> None:
    """One thing that stands where a plain file should."""
    match kind:
        case "link":
            place.symlink_to(aside / "secret")
        case "link-inside":
            place.symlink_to("in/deep/file")
        case "magic-link":
            place.symlink_to("/proc/self/environ")
        case "dangling":
            place.symlink_to(aside / "to-be-made")
        case "fifo":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                here = Path.cwd()
                os.chdir(place.parent)  # a socket's path has a bound
                try:
                    sock.bind(place.name)
                finally:
                    os.chdir(here)
        case "device":
            place.symlink_to("/dev/zero")


KINDS = ("link", "link-inside", "magic-link", "dangling", "fifo", "folder", "socket", "device")


def test_a_plain_file_is_read_whole_in_part_and_from_its_end(root: Path) -> None:
    assert beneath.read(root, "in/deep/file", 100) == b"content\n"
    assert beneath.tail(root, "in/deep/file", 3) == b"nt\n"
    assert beneath.head(root, "in/deep/file", 3) == b"con"
    assert beneath.names(root, "in", 10) == ["deep"] and beneath.names(root, "in/deep/file", 10) == []
    seen = beneath.facts(root, "in/deep/file")
    assert seen is not None and seen.st_size == 8 and beneath.facts(root, "in/no") is None
    with beneath.folder(root, "in") as fd:
        assert beneath.read(fd, "deep/file", 8) == b"content\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", [lambda r: beneath.read(r, "x", 100), lambda r: beneath.tail(r, "x", 100),
                                 lambda r: beneath.head(r, "x", 9),
                                 lambda r: os.close(beneath.opened(r, "x", os.O_WRONLY | os.O_CREAT | os.O_APPEND))],
                         ids=["read", "tail", "head", "append"])
def test_what_is_no_plain_file_is_refused_at_once(root: Path, tmp_path: Path, kind: str, act: Callable[[Path], object]) -> None:
    plant(root / "x", kind, tmp_path)
    began = time.monotonic()
    with pytest.raises(OSError):
        act(root)
    assert time.monotonic() - began < 1.0
    assert (tmp_path / "secret").read_bytes() == SECRET and not (tmp_path / "to-be-made").exists()


@pytest.mark.parametrize("name", ["../secret", "in/../../secret", "/etc/hostname", "", "in\0x", "in/deep/../../../secret",
                                  "a/" * 300])
def test_a_name_that_leads_outside_is_refused(root: Path, name: str) -> None:
    for act in (lambda: beneath.read(root, name, 100), lambda: beneath.write_whole(root, name, b"x"),
                lambda: beneath.make_folders(root, name)):
        with pytest.raises(OSError):
            act()
    assert (root.parent / "secret").read_bytes() == SECRET and beneath.facts(root, name) is None


def test_a_link_on_the_way_is_not_followed_whichever_part_it_is(root: Path, tmp_path: Path) -> None:
    (root / "way").symlink_to(tmp_path)
    (tmp_path / "rootlink").symlink_to(root)
    for place, name in ((root, "way/secret"), (root, "way/ours/in/deep/file"), (tmp_path / "rootlink", "in/deep/file")):
        with pytest.raises(OSError) as refused:
            beneath.read(place, name, 100)
        assert refused.value.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV)
        with pytest.raises(OSError):
            beneath.write_whole(place, name, b"x")
    with pytest.raises(OSError):
        beneath.make_folders(root, "way/made")
    assert not (tmp_path / "made").exists() and (tmp_path / "secret").read_bytes() == SECRET
    assert beneath.names(root, "way", 10) == []


def test_a_sparse_giant_is_refused_and_its_end_can_still_be_read(root: Path) -> None:
    with (root / "giant").open("wb") as file:
        file.truncate(1 << 40)
    began = time.monotonic()
    with pytest.raises(OSError) as refused:
        beneath.read(root, "giant", 1 << 20)
    assert refused.value.errno == errno.EFBIG and time.monotonic() - began < 1.0
    assert beneath.tail(root, "giant", 5) == b"\0" * 5


def test_nothing_is_written_through_a_second_name(root: Path, tmp_path: Path) -> None:
    os.link(tmp_path / "secret", root / "hard")
    with pytest.raises(OSError) as refused:
        beneath.opened(root, "hard", os.O_WRONLY | os.O_APPEND)
    assert refused.value.errno == errno.EMLINK
    beneath.write_whole(root, "hard", b"ours")
    assert (tmp_path / "secret").read_bytes() == SECRET and (root / "hard").read_bytes() == b"ours"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_a_whole_write_replaces_what_stands_there_and_never_follows_it(root: Path, tmp_path: Path, kind: str) -> None:
    plant(root / "x", kind, tmp_path)
    beneath.write_whole(root, "x", b"ours", 0o640)
    seen = (root / "x").lstat()
    assert stat.S_ISREG(seen.st_mode) and stat.S_IMODE(seen.st_mode) == 0o640 and (root / "x").read_bytes() == b"ours"
    assert (tmp_path / "secret").read_bytes() == SECRET and beneath.names(root, ".", 9) == ["in", "x"]


def test_folders_are_made_and_those_that_are_there_stay(root: Path) -> None:
    beneath.make_folders(root, "in/new/er")
    beneath.make_folders(root, "in/new/er")
    assert (root / "in/new/er").is_dir()
    with pytest.raises(OSError):
        beneath.make_folders(root, "in/deep/file/x")
    with pytest.raises(OSError):
        beneath.write_whole(root, "in/deep", b"x")
    assert beneath.names(root, "in", 9) == ["deep", "new"]


def descriptors() -> int:
    """How many are open in this process; 0 where that cannot be told."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def test_no_descriptor_is_left_open_by_what_was_refused(root: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        plant(root / kind, kind, tmp_path)
    before = descriptors()
    for kind in KINDS:
        with pytest.raises(OSError):
            beneath.read(root, kind, 10)
        beneath.facts(root, kind)
    assert descriptors() == before


def test_the_kernel_really_resolves_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not beneath.kernel.there:
        pytest.skip("no openat2 on this system")
    monkeypatch.setattr(beneath, "walk", lambda *_: pytest.fail("the walk stood in"))
    (tmp_path / "f").write_bytes(b"x")
    assert beneath.read(tmp_path, "f", 1) == b"x"
