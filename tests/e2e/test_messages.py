"""A thousand messages into slow, modal and restarting panes: none lost without report, none doubled, none corrupted."""

import asyncio
import hashlib
import random
import sys
from pathlib import Path

import pytest

from andon.edges import jobs, keyboard
from andon.schema import effects as f, inputs as i
from andon.schema.agent import Channel
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, session_name
from andon.schema.jobs import Job
from andon.schema.layout import layout
from andon.schema.rules import Rules, ScreenRule
from andon.steering import Steering
from support import wait_for
from tmuxkit import private_tmux

SINK = Path(__file__).parent.parent / "fixtures" / "sink.py"
MODES = ("plain", "slow", "modal", "restarting")
PANES, EACH = 8, 125
RULES = Rules(screens=(ScreenRule(
    name="sink-prompt", agent="sink", health="waiting-permission", all=(r"Do you want to proceed\?",), where="last:4",
    keys={"allow": ("1",), "deny": ("2",)}),))
HOSTILE = ("\x1b[2J", "\x1b]0;x\x07", "\x1b[200~", "日本語テキスト", "'\"`$(touch /nowhere)`\\", ";", "-n --", "\t\tx",
           "ü" * 50, "🙂")


class NoChannels:
    """Nobody here has an API."""

    def of(self, attempt: AttemptId) -> Channel | None:
        return None


def text(random_: random.Random, n: int) -> str:
    """One message: mostly small, now and then 64 kB, with what terminals and shells trip over; a few that cannot be pasted."""
    parts = [f"message {n}", *random_.sample(HOSTILE, 3)]
    if n % 40 == 0:
        parts.append("long " * 13_000)
    if n % 50 == 7:
        parts.append("\x1b[201~ends the paste")
    return random_.choice((" ", "\n", "\n\n")).join(parts)


class Line:
    """One pane with its sink, and what became of each message."""

    def __init__(self, steering: Steering, attempt: AttemptId, kept: Path) -> None:
        self.steering, self.attempt, self.kept = steering, attempt, kept
        self.sent: dict[str, str] = {}
        self.reported: dict[str, str] = {}

    def seen(self) -> list[str]:
        """Digests that the sink took, in order; EATEN for what fell into its prompt."""
        return [row.split()[0] for row in self.kept.read_text().splitlines()] if self.kept.exists() else []

    async def send(self, message: str, words: str) -> None:
        """As the factory does: try again while it is told to wait; believe only what was seen."""
        digest = hashlib.sha256(words.encode()).hexdigest()
        effect = f.DeliverMessage(attempt=self.attempt, message=message, text=words)
        while True:
            try:
                told = await self.steering.deliver(effect)
                break
            except Mistake:
                await asyncio.sleep(0.05)
        if isinstance(told, i.MessageRefused):
            self.reported[message] = told.because
            return
        self.sent[message] = digest
        try:
            await wait_for(lambda: digest in self.seen(), 3.0)
        except AssertionError:
            self.reported[message] = "no receipt"

    async def again(self, message: str, words: str) -> None:
        """The daemon was killed after it had begun: what is begun is not begun a second time."""
        before = len(self.seen())
        told = await self.steering.deliver(f.DeliverMessage(attempt=self.attempt, message=message, text=words))
        assert isinstance(told, i.MessageRefused) and told.unsure
        await asyncio.sleep(0.05)
        assert len(self.seen()) == before


@pytest.mark.slow
async def test_a_thousand_messages_arrive_once_and_whole_or_are_reported(tmp_path: Path) -> None:
    place = layout(tmp_path / "f")
    async with private_tmux(tmp_path / "f") as tmux:
        steering = Steering(place, tmux, NoChannels(), lambda: RULES, lambda _: "sink")
        lines = []
        for n in range(PANES):
            attempt = AttemptId(f"T{n + 1}.1")
            kept = tmp_path / f"kept-{n}"
            jobs.write_job(place.job(attempt), Job(
                name=attempt, argv=(sys.executable, str(SINK), str(kept), MODES[n % len(MODES)]), cwd="/",
                env={"PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}))
            await tmux.new_session(session_name(attempt), jobs.shim_argv(place.job(attempt)), "/", {})
            lines.append(Line(steering, attempt, kept))
        for line in lines:
            assert await keyboard.until(tmux, line.attempt, lambda rows: "sink ready" in "".join(rows), 20)
        await asyncio.gather(*(drive(line, n) for n, line in enumerate(lines)))
        for line in lines:
            await jobs.stop(place.job(line.attempt), 0.5)
    reports = [because for line in lines for because in line.reported.values()]
    for line in lines:
        seen = line.seen()
        assert "EATEN" not in seen, "nothing was typed into a prompt"
        assert len(seen) == len(set(seen)), "none was doubled"
        assert set(seen) <= set(line.sent.values()), "none was corrupted"
        missing = {message for message, digest in line.sent.items() if digest not in seen}
        assert missing <= set(line.reported), "none was lost without a report"
    refused = [because for because in reports if "cannot be pasted" in because]
    assert len(refused) == PANES * len([n for n in range(EACH) if n % 50 == 7])
    assert len(reports) - len(refused) <= PANES * EACH * 0.02, reports


async def drive(line: Line, seed: int) -> None:
    """All messages of one pane, one after the other."""
    random_ = random.Random(seed)
    for n in range(EACH):
        words = text(random_, n)
        await line.send(f"M{n}", words)
        if n % 25 == 3:
            await line.again(f"M{n}", words)


class AsksMeanwhile(Steering):
    """While the mark is left on a slow disk, the agent asks something."""

    asks: Path

    async def _mark(self, mark: Path) -> None:
        await super()._mark(mark)
        self.asks.touch()
        assert await keyboard.until(self._tmux, AttemptId("T1.1"), lambda rows: "proceed?" in "".join(rows), 20)


async def test_a_question_that_comes_up_while_the_mark_is_left_is_not_answered_with_a_message(tmp_path: Path) -> None:
    place, attempt, asks = layout(tmp_path / "f"), AttemptId("T1.1"), tmp_path / "asks"
    pane = f"while ! test -e '{asks}'; do sleep 0.01; done; echo 'Do you want to proceed?'; exec cat"
    async with private_tmux(tmp_path / "f") as tmux:
        jobs.write_job(place.job(attempt), Job(name=attempt, argv=("/bin/sh", "-c", pane), cwd="/", env={"PATH": "/usr/bin:/bin"}))
        await tmux.new_session(session_name(attempt), jobs.shim_argv(place.job(attempt)), "/", {})
        steering = AsksMeanwhile(place, tmux, NoChannels(), lambda: RULES, lambda _: "sink")
        steering.asks = asks
        effect = f.DeliverMessage(attempt=attempt, message="M1", text="go on")
        for _ in range(2):  # the second time it stands there from the beginning; not begun, it may be tried as often as one likes
            with pytest.raises(Mistake, match="waits for an answer"):
                await steering.deliver(effect)
        assert "go on" not in "".join(await keyboard.rows(tmux, attempt))
        await jobs.stop(place.job(attempt), 0.5)


def test_the_sink_would_notice_a_doubled_and_a_broken_message() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("sink", SINK)
    assert spec is not None and spec.loader is not None
    sink = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sink)
    assert sink.next_message(b"\x1b[200~ab\x1b[201~\rrest") == (b"ab", b"rest")
    assert sink.next_message(b"\x1b[200~ab\x1b[201~") is None and sink.next_message(b"ab\r") is None
