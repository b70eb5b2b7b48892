"""The programs that the daemon stands on hang, flood, fail or talk nonsense: nothing lands falsely, and work goes on."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema.views import FactoryView, ProblemView
from fault.checker import check
from fault.workload import Piece, end
from fault.world import of, rows
from support import wait_until

FULL = bool(os.environ.get("ANDON_FAULTS"))
FAKE = r"""#!/bin/bash
# Stands before the real program on the daemon's PATH; what runs for an agent or a check gets the real one.
[ -n "$ANDON_ATTEMPT$ANDON_TREE" ] && exec -a {name} {real} "$@"
mode=$(cat {mode} 2>/dev/null)
[ -n "$mode" ] && echo "$mode $*" >> {calls}
case $mode in
  hang) while [ "$(cat {mode})" = hang ]; do sleep 0.05; done ;;
  fail) echo "fatal: nothing works today" >&2; exit 128 ;;
  flood) yes "a line that nobody asked for, and another one" | head -c 100000000; exit 0 ;;
  nonsense) printf '\033]0;title\007\000\377 not what was asked\n'; exit 0 ;;
esac
exec -a {name} {real} "$@"
"""
MODES = ("hang", "fail", "flood", "nonsense")
ANSWER_S = 5.0
"""A daemon that waits for a tool still answers within this; on a machine that others use too."""


class Tool:
    """A program of the daemon's that misbehaves on demand."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.mode, self.calls = folder / f"{name}.mode", folder / f"{name}.calls"
        real = shutil.which(name)
        assert real is not None
        (folder / name).write_text(FAKE.format(real=real, name=name, mode=self.mode, calls=self.calls))
        (folder / name).chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"

    def be(self, mode: str) -> None:
        """Misbehave from now on in this way; empty: be good."""
        new = self.mode.with_suffix(".new")
        new.write_text(mode)
        new.rename(self.mode)

    def met(self) -> int:
        """How often it was called while it misbehaved."""
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def piece(tmp_path: Path) -> Iterator[Piece]:
    made = Piece(tmp_path / "w", acts=("proper", "ask"))
    made.answers = False
    try:
        yield made
    finally:
        end(made.plant)


def slowest_answer(piece: Piece, seconds: float) -> float:
    """The longest that the daemon took to tell all it shows, asked again and again."""
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        assert any(isinstance(view, FactoryView) for view in piece.plant.views())
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def finish(piece: Piece) -> None:
    """Everything comes to rest, every promise was kept, and both changes landed."""
    piece.answers = True
    state = piece.drive(90)
    told = "\n".join(f"{row.seq} {row.kind} {row.text[:160]}" for row in rows(piece.scene.home)[-30:])
    assert state == "rest", f"{state}\n{told}\n{piece.plant.log_text()[-2000:]}"
    piece.plant.stop()
    assert check(piece.scene) == []
    assert len(of(rows(piece.scene.home), "task.landed")) == 2, told


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES if FULL else ("hang", "nonsense"))
def test_a_git_that_misbehaves_lands_nothing_falsely_and_holds_up_nobody_else(piece: Piece, tmp_path: Path, mode: str) -> None:
    git = Tool(tmp_path / "bin", "git")
    piece.plant.start({"PATH": git.path})
    assert piece.drive(until=lambda: piece.plant.gates()) == "there", piece.plant.log_text()
    wait_until(lambda: len(of(rows(piece.scene.home), "task.landed")) == 1, 60, what="the first change")
    landed = len(of(rows(piece.scene.home), "target.moved"))
    git.be(mode)
    gate = piece.plant.gates()[0]
    piece.plant.answer(gate, "right")
    wait_until(git.met, 40, what="a call of git")
    assert slowest_answer(piece, 1.5) < ANSWER_S
    assert len(of(rows(piece.scene.home), "target.moved")) == landed
    git.be("")
    assert not piece.plant.dead()
    finish(piece)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES if FULL else ("hang", "fail"))
def test_a_tmux_that_misbehaves_is_on_the_board_and_the_daemon_starts_all_the_same(piece: Piece, tmp_path: Path, mode: str) -> None:
    tmux = Tool(tmp_path / "bin", "tmux")
    tmux.be(mode)
    piece.plant.start({"PATH": tmux.path})
    assert tmux.met() and slowest_answer(piece, 0.5) < ANSWER_S
    assert [view.key for view in piece.plant.views() if isinstance(view, ProblemView)] == ["problem:tmux"]
    tmux.be("")
    assert piece.drive(until=lambda: piece.plant.gates()) == "there", piece.plant.log_text()
    finish(piece)
    assert not [view for view in of(rows(piece.scene.home), "attempt.failed") if view["failure"] != "transient"]
