"""Time alone: which deadline the core names, and that a passed one is never named again."""

from andon.core.schedule import next_deadline
from andon.schema import effects as f, inputs as i
from andon.schema.ids import AttemptId, RepoId
from andon.schema.settings import AgentSettings
from core.sim import Sim, loaded, settings

A = AttemptId("T1.1")




def test_a_backoff_that_has_passed_behind_a_cord_is_not_named_again() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.SessionEnded(attempt=A, because="machine reset"))
    sim.give(i.PullCord(repo=RepoId("r0"), line="build", because="smoke", by="me"))
    sim.do(f.ImportWork)
    sim.do(f.RemoveCheckout)
    deadline = next_deadline(sim.state, sim.now)
    assert deadline == sim.now + 2_000
    sim.now = deadline
    assert not sim.give(i.Ticked())
    assert next_deadline(sim.state, sim.now) == 0, "nothing comes of time while the line is stopped"


def test_a_deed_that_is_tried_again_right_now_names_no_deadline() -> None:
    sim = Sim()
    sim.add()
    sim.fail(sim.until(f.PrepareCheckout), A)
    sim.now = next_deadline(sim.state, sim.now)
    assert not sim.give(i.Ticked())
    assert "T1.1/prepare/1" in [effect.key for effect in sim.owed()]
    assert next_deadline(sim.state, sim.now) == 0


def test_a_limit_that_was_lowered_below_the_time_already_used_is_noticed_at_once() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.WatchSession)
    sim.now += 60_000 * 10
    sim.give(i.SettingsSeen(repo=RepoId("r0"), loaded=loaded(settings(
        agents={"default": AgentSettings(name="default", use="scripted", minutes=5)}))))
    assert next_deadline(sim.state, sim.now) == sim.now + 1
