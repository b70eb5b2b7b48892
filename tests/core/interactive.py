"""A factory with one interactive agent at work, and short words for what is seen of it."""

from typing import Any

from andon.schema import effects as f, inputs as i
from andon.schema.health import Cause, Health
from andon.schema.ids import AttemptId, GateId, TaskId
from andon.schema.settings import AgentSettings, FactorySettings
from andon.schema.signals import Verdict
from core.sim import Sim

A = AttemptId("T1.1")
T = TaskId("T1")
AGENTS = {
    "default": AgentSettings(name="default", use="scripted"), "other": AgentSettings(name="other", use="other"),
    "twin": AgentSettings(name="twin", use="scripted"),
}


def at_work(factory: FactorySettings | None = None, *, interactive: bool = True, conversation: str = "c1", **changes: Any) -> Sim:
    """One agent that is known by its channel."""
    sim = Sim(agents=AGENTS, **changes)
    if factory is not None:
        sim.give(i.PersonSettingsSeen(settings=factory))
    sim.add()
    sim.until(f.WatchSession)
    sim.give(i.ConversationSeen(
        attempt=A, conversation=conversation, channel="hooks", interactive=interactive, metered="reported",
    ))
    return sim


def verdict(cause: Cause, health: Health = "hung", until: int = 0, because: str = "nothing moves") -> i.HealthSeen:
    return i.HealthSeen(attempt=A, verdict=Verdict(
        health=health, cause=cause, because=because, source="hook", since=0, until=until, evidence=("90 s of silence",),
    ))


def turn(n: int, text: str = "done", **fields: Any) -> i.TurnOver:
    return i.TurnOver(attempt=A, turn=n, text=text, **fields)


def work(n: int, *, committed: bool, dirty: bool = False, contradictions: tuple[tuple[str, str], ...] = ()) -> i.WorkSeen:
    return i.WorkSeen(attempt=A, n=n, committed=committed, dirty=dirty, contradictions=contradictions)


def answer(gate: str, option: str, because: str = "") -> i.AnswerGate:
    return i.AnswerGate(gate=GateId(gate), option=option, because=because, by="me")
