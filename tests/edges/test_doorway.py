"""The door of the operator's socket is nobody else's from its first moment on, whatever stands in its way."""

import os
import socket
import stat
from pathlib import Path

import pytest

from andon.edges import doorway
from andon.schema.errors import Mistake


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_is_closed_to_others_before_its_modes_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "d" / "s", list[int]()
    plain = Path.chmod

    def chmod(self: Path, *given: int) -> None:
        seen.append(mode(self)) if self == path else None
        plain(self, *given)
    monkeypatch.setattr(Path, "chmod", chmod)
    before = os.umask(0)
    try:
        doorway.claim(path).close()
        left = os.umask(0)
    finally:
        os.umask(before)
    assert seen == [0o600] and mode(path) == 0o600 and mode(path.parent) == 0o700 and left == 0, "and umask is put back"


def test_a_folder_that_others_may_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o755)
    (tmp_path / "d").chmod(0o755)
    doorway.claim(tmp_path / "d" / "s").close()
    assert mode(tmp_path / "d") == 0o700


def test_a_link_in_its_place_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as elsewhere:
        elsewhere.bind(str(tmp_path / "elsewhere"))
    (tmp_path / "d" / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Mistake, match="in the way"):
        doorway.claim(tmp_path / "d" / "s")
    assert (tmp_path / "d" / "s").is_symlink() and (tmp_path / "elsewhere").exists()
