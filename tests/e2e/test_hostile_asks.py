"""A decision is laid into a folder that a walled agent writes: what it planted there is never followed and hangs nobody."""

import asyncio
import os
from pathlib import Path

import pytest

from andon.edges.tmux import Tmux
from andon.schema import effects as f, inputs as i
from andon.schema.ids import AttemptId
from andon.schema.jobs import ASKS
from andon.schema.layout import layout
from andon.schema.rules import Rules
from andon.steering import Steering


class NoChannels:
    """Nothing is connected."""

    def of(self, attempt: AttemptId) -> None:
        """None."""


@pytest.mark.parametrize("name", ["a1.json", "a1.json.tmp", f".a1.json.{os.getpid()}.new"], ids=["itself", "aside", "new"])
@pytest.mark.parametrize("plant", ["link", "pipe"])
async def test_what_an_agent_plants_where_its_decision_goes_is_replaced(tmp_path: Path, name: str, plant: str) -> None:
    place, attempt, victim = layout(tmp_path / "f"), AttemptId("T1.1"), tmp_path / "victim"
    asks = place.job(attempt) / ASKS
    asks.mkdir(parents=True)
    victim.write_text("theirs")
    if plant == "link":
        (asks / name).symlink_to(victim)
    else:
        os.mkfifo(asks / name)
    steering = Steering(place, Tmux(place), NoChannels(), lambda: Rules(), lambda _: "claude")
    async with asyncio.timeout(10):
        told = await steering.answer(f.AnswerAsk(attempt=attempt, ask="a1", allow=True, text="", by_keys=False))
    assert isinstance(told, i.AskAnswered)
    assert victim.read_text() == "theirs"
    assert (asks / "a1.json").is_file() and not (asks / "a1.json").is_symlink()
