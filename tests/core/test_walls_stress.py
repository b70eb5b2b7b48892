"""Under stress, with walls that come and go: a reader of the ledger alone finds no landing that a person should have seen."""

import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from andon.core import walls
from andon.schema import events as e, inputs as i
from andon.schema.sandbox import Known
from andon.schema.settings import Policy
from core.chaos import Chaos, variant

ORDER = ("", "none", "partial", "strict")
LEVELS: tuple[Known, ...] = ("strict", "strict", "strict", "partial", "none", "")


class Weak(Chaos):
    """A stressed factory on a machine whose walls come and go."""

    def __init__(self, seed: int, **changes: Any) -> None:
        self.ground = random.Random(f"walls {seed}")
        super().__init__(seed, 2, **changes)

    def give(self, given: i.Input) -> list[e.Event]:
        if isinstance(given, i.SessionStarted | i.CheckRan) and not given.walls:
            given = msgspec.structs.replace(given, walls=self.ground.choice(LEVELS))
        return super().give(given)


class Reader:
    """Reads what may land out of events alone: commits with their levels, answers with what was told, proofs of merged trees."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.least: dict[str, str] = {}
        self.repo: dict[str, str] = {}
        self.attempt: dict[str, list[str]] = {}
        self.begun: dict[str, str] = {}
        self.commit: dict[tuple[str, str], str] = {}
        self.claims: dict[tuple[str, str, str], str] = {}
        self.gates: dict[str, e.GateOpened] = {}
        self.agreed: dict[tuple[str, str], str] = {}
        self.members: dict[str, tuple[e.Member, ...]] = {}
        self.proof: dict[tuple[str, str], str] = {}
        self.unseen = self.seen = 0

    def read(self, rows: Iterable[e.Recorded]) -> "Reader":
        for row in rows:
            self.hear(row.event)
        return self

    def hear(self, event: e.Event) -> None:
        match event:
            case e.SettingsActivated():
                self.least[event.repo] = event.settings.policy.walls
            case e.TaskAdded():
                self.repo[event.task] = event.repo
            case e.AttemptClaimed():
                self.begun[event.attempt] = event.start
            case e.AttemptStarted():
                self.attempt.setdefault(event.attempt, []).append(event.walls)
            case e.WorkImported():
                task = event.attempt.partition(".")[0]
                earlier = self.commit.get((task, self.begun[event.attempt]))
                levels = [*self.attempt[event.attempt], *([earlier] if earlier is not None else [])]
                self.commit[task, event.commit] = min(levels, key=ORDER.index)
            case e.ClaimJudged() if event.run and not event.claim.endswith("@merge"):
                self.claims[event.task, event.commit, event.claim] = event.walls
            case e.GateOpened():
                self.gates[event.gate] = event
            case e.GateAnswered() if event.option == "approve" and self.gates[event.gate].kind == "review":
                gate = self.gates[event.gate]
                self.agreed[gate.task, gate.commit] = gate.walls
            case e.LandingPlanned():
                self.members[event.landing] = event.members
            case e.LandingChecked():
                self.proof[event.landing, event.check] = event.walls
            case e.LandingChosen():
                self.chosen(event.landing)

    def chosen(self, landing: str) -> None:
        """Each member: all of it strong enough, or a person said yes having been told of walls as weak as these."""
        proof = [level for (of, _), level in self.proof.items() if of == landing]
        for member in self.members[landing]:
            own = [level for (task, commit, _), level in self.claims.items() if (task, commit) == (member.task, member.commit)]
            built = self.commit.get((member.task, member.commit))
            weakest = min([*proof, *own, *([built] if built is not None else [])], key=ORDER.index)
            enough = max(ORDER.index(weakest), 1) >= ORDER.index(self.least[self.repo[member.task]])
            told = self.agreed.get((member.task, member.commit))
            agreed = told is not None and max(ORDER.index(weakest), 1) >= max(ORDER.index(told), 1)
            self.unseen, self.seen = self.unseen + (enough and not agreed), self.seen + (agreed and not enough)
            if not enough and not agreed:
                self.faults.append(f"{landing}: {member.task} within {weakest or 'unknown'} walls, a person was told {told!r}")


def stressed(seed: int) -> Weak:
    chance = random.Random(f"policy {seed}")
    policy = Policy(ship=("**",), walls=chance.choice(("strict", "strict", "partial")))
    world = Weak(seed, **{**variant(seed), "policy": policy})
    for n in range(6):
        world.add(f"task {n}", repo=chance.choice(list(world.trunk)), key=f"k{n}")
    for _ in range(300):
        world.stir()
    return world


def test_nothing_lands_below_the_policys_walls_that_nobody_was_told_of() -> None:
    unseen = seen = 0
    for seed in range(14):
        world = stressed(seed)
        assert not world.finish().faults
        reader = Reader().read(world.log)
        assert not reader.faults, (seed, reader.faults)
        unseen, seen = unseen + reader.unseen, seen + reader.seen
    assert unseen > 3 and seen > 3, "both ways were walked"


@pytest.mark.parametrize("rule", ["too_weak", "unproven"])
def test_the_reader_notices_when_a_rule_is_taken_out(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, rule, (lambda *_: "") if rule == "too_weak" else (lambda *_: []))
    monkeypatch.setattr(walls, "below", lambda *_: "")
    assert any(Reader().read(stressed(seed).log).faults for seed in range(30))
