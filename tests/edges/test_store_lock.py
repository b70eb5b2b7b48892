"""One daemon a factory, whatever dies and however."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from andon.edges.lock import Lock
from andon.schema.errors import Mistake
from andon.schema.layout import Layout
from ledgerkit import factory

HOLD = """
import subprocess, sys
from pathlib import Path
from andon.edges.lock import Lock
from andon.schema.layout import layout
lock = Lock.take(layout(Path(sys.argv[1])))
child = subprocess.Popen(["sleep", "60"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return factory(tmp_path / "factory")


def test_a_second_daemon_is_told_the_pid_of_the_first_within_a_second(where: Layout) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(where.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout and first.stdin
        child = int(first.stdout.readline())
        begun = time.monotonic()
        with pytest.raises(Mistake, match=rf"pid {first.pid}\b") as caught:
            Lock.take(where)
        assert time.monotonic() - begun < 1 and "andon down" in caught.value.problem.mend
        assert json.loads(where.lock.read_bytes())["pid"] == first.pid and stat.S_IMODE(where.lock.stat().st_mode) == 0o600
        first.send_signal(signal.SIGKILL)
    os.kill(child, 0)  # an agent's process outlives the daemon, and must not hold its lock
    with Lock.take(where):
        assert json.loads(where.lock.read_bytes())["pid"] == os.getpid()
    os.kill(child, signal.SIGKILL)


def test_a_lock_in_this_process_excludes_another_until_it_is_released(where: Layout) -> None:
    lock = Lock.take(where)
    with pytest.raises(Mistake, match=f"pid {os.getpid()}"):
        Lock.take(where)
    lock.release()
    lock.release()
    Lock.take(where).release()


def test_a_lock_file_that_was_replaced_by_another_does_not_let_two_in_on_the_same_file(where: Layout) -> None:
    first = Lock.take(where)
    where.lock.rename(where.home / "moved")
    second = Lock.take(where)
    with pytest.raises(Mistake):
        Lock.take(where)
    second.release()
    first.release()


@pytest.mark.parametrize("content", [b"", b"not json", b'{"pid": "x"}', b'{"pid": 4194304}'])
def test_what_a_dead_daemon_left_in_the_file_does_not_matter(where: Layout, content: bytes) -> None:
    where.home.mkdir()
    where.lock.write_bytes(content)
    with Lock.take(where):
        assert json.loads(where.lock.read_bytes())["pid"] == os.getpid()


def test_a_daemon_that_is_just_leaving_is_waited_for(where: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Lock.take(where)
    where.lock.write_bytes(b"")
    waits: list[float] = []

    def leave(seconds: float) -> None:
        waits.append(seconds)
        first.release()

    monkeypatch.setattr("andon.edges.lock.time.sleep", leave)
    with Lock.take(where):
        assert len(waits) == 1
