"""An answer for an agent whose server is not reached yet: it waits for the connection and is not taken for unwanted."""

from pathlib import Path

import msgspec
import pytest

from andon.edges.tmux import Tmux
from andon.schema import effects as f, inputs as i
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.jobs import ASKS, FACTS, Facts
from andon.schema.layout import layout
from andon.schema.rules import Rules
from andon.steering import Steering


class NoChannels:
    """Nothing is connected."""

    def of(self, attempt: AttemptId) -> None:
        """None."""


@pytest.mark.parametrize(("channel", "waits"), [("app-server", True), ("http", True), ("hooks", False), ("none", False)])
async def test_an_answer_for_an_agent_with_a_server_is_tried_again_until_it_is_reached(
    tmp_path: Path, channel: str, waits: bool
) -> None:
    place, attempt = layout(tmp_path), AttemptId("T1.1")
    (place.job(attempt) / ASKS).mkdir(parents=True)
    (place.job(attempt) / FACTS).write_bytes(msgspec.json.encode(Facts(channel=channel)))
    steering = Steering(place, Tmux(place), NoChannels(), lambda: Rules(), lambda _: "codex")
    asked = f.AnswerAsk(attempt=attempt, ask="a1", allow=True, text="", by_keys=False)
    if waits:
        with pytest.raises(Mistake, match="not reached yet"):
            await steering.answer(asked)
    else:
        told = await steering.answer(asked)
        assert isinstance(told, i.AskAnswered) and told.how == "no longer wanted"
