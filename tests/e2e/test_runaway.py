"""A real agent in a real pane that floods it, or fills its checkout, is named and a person asked; loud and heavy work is not."""

import sys
from pathlib import Path

import pytest

from andon.schema import inputs as i
from andon.schema.ids import AttemptId
from andon.schema.rules import Rules, Thresholds
from andon.schema.settings import FactorySettings, Step
from sessionkit import Floor, Mute, a_floor
from support import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
RULES = Rules(thresholds=Thresholds(flood_mb_s=2.0, flood_s=3.0, disk_gb=0.05, disk_free_mb=0))
CHATTY = ("sh", "-c", "while :; do seq 1 400; sleep 0.02; done")
HEAVY = ("sh", "-c", "while :; do head -c 3000000 /dev/urandom > part; echo written; sleep 0.2; done")


def scripted(folder: Path, steps: str) -> tuple[str, ...]:
    """The scripted agent on these steps."""
    scenario = folder / "act.toml"
    scenario.write_text(steps)
    paths = ":".join(path for path in sys.path if path)
    return ("env", f"PYTHONPATH={paths}", sys.executable, "-P", "-m", "andon_agents.scripted", str(scenario))


def said(floor: Floor, attempt: AttemptId) -> list[str]:
    """Causes that the core was told of this session."""
    return [one.verdict.cause for one in floor.given if isinstance(one, i.HealthSeen) and one.attempt == attempt]


async def asked(floor: Floor, attempt: AttemptId) -> str:
    """The question that a person gets about it."""
    await wait_for(lambda: floor.loop.state.gates and floor.attempt(attempt).stuck, 10, what="the gate")
    [gate] = floor.loop.state.gates.values()
    assert floor.attempt(attempt).phase == "running" and not floor.attempt(attempt).stop_asked
    return gate.question


async def test_an_agent_that_floods_its_pane_is_named_and_nobody_else_is(tmp_path: Path) -> None:
    async with a_floor(tmp_path, rules=RULES, adapter=Mute()) as floor:
        floor.hands.argv["flood"] = scripted(tmp_path, "[[step]]\nflood = 1.0\njunk = false\nseconds = 600\n")
        floor.hands.argv["chatty"], floor.hands.argv["heavy"] = CHATTY, HEAVY
        ladder = (Step(do="wait"), Step(do="gate", after_s=1.0))
        await floor.loop.ask(i.PersonSettingsSeen(settings=FactorySettings(wip=500, ladders={"flooding": ladder})))
        loud, chatty, heavy = await floor.add("flood"), await floor.add("chatty"), await floor.add("heavy")
        await wait_for(lambda: "flooding" in said(floor, loud), 40, what="the flood to be named")
        verdict = floor.verdict(loud)
        assert (verdict.cause, verdict.rule, verdict.source) == ("flooding", "pane-floods", "process")
        assert "MB a second" in verdict.because
        assert "stuck (flooding): floods its terminal" in await asked(floor, loud)
        assert not {*said(floor, chatty), *said(floor, heavy)} & {"flooding", "disk", "cpu"}
        await wait_for(lambda: floor.supervisor.readers[chatty].watch.tree.poured > 300_000, 20, what="the chatter to be counted")


async def test_a_checkout_that_grows_past_its_bound_is_named_and_one_that_is_written_anew_is_not(tmp_path: Path) -> None:
    async with a_floor(tmp_path, rules=RULES, adapter=Mute()) as floor:
        filling = '[[step]]\nfill = "heap"\nmb = 160\nseconds = 0.2\n[[step]]\nhang = "silent"\n'
        floor.hands.argv["fill"], floor.hands.argv["heavy"] = scripted(tmp_path, filling), HEAVY
        await floor.loop.ask(i.PersonSettingsSeen(settings=FactorySettings(wip=500, ladders={"disk": (Step(do="gate"),)})))
        filler, heavy = await floor.add("fill"), await floor.add("heavy")
        await wait_for(lambda: "disk" in said(floor, filler), 60, what="the growth to be named")
        verdict = floor.verdict(filler)
        assert (verdict.cause, verdict.rule) == ("disk", "checkout-grows") and "its checkout grew by" in verdict.because
        assert "stuck (disk): its checkout grew" in await asked(floor, filler)
        await wait_for(lambda: floor.supervisor.readers[heavy].wrote > 60_000_000, 60, what="the other to write as much")
        assert floor.supervisor.readers[heavy].scale.walks >= 1 and "disk" not in said(floor, heavy)
