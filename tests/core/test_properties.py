"""Properties of the core under stress: crashes, failures, stalls, lies and people in a hurry, all from a seed."""

import random
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings as effort, strategies as st

from andon.core.decide import HANDLERS, decide
from andon.core.evolve import fold, replay
from andon.core.image import freeze, thaw
from andon.core.pending import pending
from andon.core.project import over_tasks, project
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline, why
from andon.core.state import State
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId
from andon.schema.jobs import Exit, Said
from andon.schema.sandbox import LEVELS, Known, Reached
from andon.schema.settings import FactorySettings, Policy, Routes
from andon.schema.signals import Verdict
from andon.schema.undo import Deed, DeedKind
from core.audit import Audit
from core.chaos import LIES, OPERATORS, VERDICTS, Chaos, factory
from core.sim import Sim, loaded, settings

QUICK = effort(
    max_examples=30, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate), database=None,
    suppress_health_check=list(HealthCheck),
)
ROOTS = (e.RepositoryRegistered, e.TaskAdded, e.AttemptClaimed, e.LandingPlanned, e.RunPlanned)
"""Events that bring something new; all others are about something known."""
SEEDS = st.integers(0, 10**9)


def stirred(seed: int, steps: int = 250, tasks: int = 6) -> Chaos:
    """A factory to which this much happened, looked at after every step."""
    world = factory(seed, tasks)
    for _ in range(steps):
        world.stir()
        world.look()
    return world


@QUICK
@given(SEEDS)
@example(1577)
def test_everything_ends_or_waits_for_a_person_and_no_promise_is_broken(seed: int) -> None:
    world = stirred(seed, 400)
    assert world.finish().faults == []


@pytest.mark.timeout(300)
def test_eight_workers_and_two_hundred_tasks_never_share_a_lease_nor_break_a_limit() -> None:
    world = factory(8, 200, repos=3, wip=8, lines=settings().lines, policy=Policy(ship=("**",), walls="none"), trouble=0.25)
    world.give(i.PersonSettingsSeen(settings=FactorySettings(wip=8)))
    most = 0
    for step in range(8500):
        world.stir()
        if step % 50 == 0:
            world.look()
        live = sum(attempt.live for attempt in world.state.attempts.values())
        assert live <= 8
        most = max(most, live)
    assert most == 8 and world.crashes > 8 and world.changes > 40
    assert world.finish().faults == []
    assert world.changes > 100


@pytest.mark.parametrize("lie", LIES)
def test_no_liar_of_this_kind_ever_lands(lie: str) -> None:
    landed = 0
    for seed in range(3):
        world = factory(seed, 4, lies=(lie,), liars=0.7)
        for _ in range(200):
            world.stir()
        assert world.finish().faults == [], "and about_to_land would have raised"
        assert lie in world.nature.values()
        landed += len(world.landed)
    assert landed, "honest work lands beside it"


@QUICK
@given(SEEDS, st.integers(0, 10**6))
def test_replay_equals_live_from_the_start_and_from_any_snapshot(seed: int, place: int) -> None:
    world = stirred(seed, 150)
    cut = place % (len(world.log) + 1)
    early = replay(State(), world.log[:cut])
    thawed = thaw(freeze(early))
    assert thawed == early
    assert replay(State(), world.log) == world.state
    assert thawed is not None and replay(thawed, world.log[cut:]) == world.state


@QUICK
@given(SEEDS)
def test_any_prefix_of_a_log_replays_and_can_be_gone_on_from(seed: int) -> None:
    world = stirred(seed, 100)
    state = State()
    for row in world.log:
        state = replay(state, [row])
        owed = pending(state, state.at)
        assert len({effect.key for effect in owed}) == len(owed)
        decide(state, i.Ticked(), state.at + 1)
        project(state, {}, over_tasks(state))
        next_deadline(state, state.at)


@QUICK
@given(SEEDS, st.integers(0, 10**6))
def test_pending_is_a_function_of_state_alone_and_asking_changes_nothing(seed: int, later: int) -> None:
    world = stirred(seed, 120)
    before = world.state
    owed = pending(before, world.now + later)
    assert pending(before, world.now + later) == owed
    again = thaw(freeze(before))
    assert again is not None and pending(again, world.now + later) == owed
    assert world.state == before
    assert len({effect.key for effect in owed}) == len(owed), "no two deeds share a key"


def test_a_group_of_inputs_decided_at_once_is_the_same_as_one_by_one() -> None:
    world = stirred(4, 200)
    waiting = [answer for _, answer in world.flights.values() if answer is not None]
    one, told = world.state, []
    for each in [*waiting, i.Ticked()]:
        events = decide(one, each, world.now)
        told += events
        one = fold(one, events, world.now)
    assert fold(world.state, told, world.now) == one


# --- any input in any state ------------------------------------------------------------------------------------------


CHANGES: list[dict[str, Any]] = [{}, {"wip": 1}, {"checks": {}}, {"lines": {}}, {"agents": {}}]
CLASH = i.Clash(one=TaskId("T1"), other=TaskId("T2"), kind="hot", hunks=(e.Hunk(path="a"),), heads=(Oid("a"), Oid("b")))
WORDS: dict[str, list[Any]] = {
    "kind": ["deliver-message", "answer-ask", "interrupt-turn", "look-at-work", "end-session",
             "prepare-checkout", "start-session", "watch-session", "run-check", "move-target", "remove-checkout", "what"],
    "option": ["approve", "reject", "cancel", "retry", "extend", "stop", "run-again", "send-back", "answer", "x",
               "allow", "deny", "wait", "nudge", "interrupt", "restart", "raise"],
    "line": ["build", "other"], "problem": [Problem(what="odd")], "because": ["", "because"], "spec": ["spec", ""], "by": ["me"],
    "loaded": [loaded(settings(**changes)) for changes in CHANGES],
    "settings": [
        *(FactorySettings(wip=wip) for wip in (0, 1, 9)),
        FactorySettings(operators=OPERATORS, signers=("ana",), routes=Routes(command=("x",), escalate_minutes=1, problems=True)),
    ],
    "approver": [None, None, *(e.Approver(name=name, role=role, key=f"SHA256:{name}", envelope=Digest("e"))
                               for name, role in (("ana", "security"), ("ben", "owner"), ("nobody", "security")))],
    "unheard": [(), (i.RouteFailed(route="command", problem=Problem(what="odd")),)], "to": ["ana", "", "\n"],
    "seconds": [0, 60, -1, 10**9, 4], "result": ["pass", "fail", "unevaluated"],
    "verdict": [
        Verdict(health=health, cause=cause, because="it stands", source="hook", since=0, until=until)
        for until, (health, cause) in enumerate((*VERDICTS, ("waiting-permission", "permission"), ("auth", "auth")))],
    "clashes": [(), (CLASH,)], "undo": ["U1", "U2", "U9"], "step": ["L1", "T1", "T1.1", "#3"],
    "deeds": [(), *((Deed(kind=kind, told="a deed", repo=RepoId("r0"), task=TaskId("T1"), line="build", attempt=AttemptId("T1.1")),
                     Deed(kind="revert", told="odd", task=TaskId("T2"), repo=RepoId("nowhere"))) for kind in get_args(DeedKind))],
    "refused": [(), (), (i.AccessSeen(attempt=AttemptId("R1"), kind="read", what="~/.ssh", rule="bait"),)],
    "compared": [(), (TaskId("T1"), TaskId("T2"))], "steps": [()], "conflicts": [(), ("src/a.py",)],
    "ask": ["a1", "a2", "a3"], "message": [f"M{n}" for n in range(1, 6)], "turn": [1, 2, 3, 4], "n": [1, 2, 3, 4],
    "text": ["", "done", "shall I?", "x" * 70_000], "interactive": [True, True, False], "agent": ["default", "nobody"],
    "conversation": ["", "c1", "c2"], "trouble": [None, None, "rate-limit", "interrupted"], "background": [0, 0, 1],
    "deed": ["shell", "edit", "read", "fetch", "mcp", "other"], "target": ["git status", "cat /etc/passwd", "src/a.py", "`x`", ""],
    "exit": [None, Exit(code=0), Exit(signal=9), Exit(code=3, because="timeout")], "cause": ["", "missing-tool", "timeout"],
    "walls": [None, *(Reached(level=level, because="so it is") for level in LEVELS)],
    "reached": [Reached(level=level, because="so it is") for level in LEVELS],
    "said": [*(Said(n=n, kind="ask", text="?") for n in (1, 2, 3)), *(Said(n=n, kind="finished", commit="c0") for n in (1, 2, 3))],
}


class Guess:
    """Makes inputs of every kind, with ids that are live, stale or made up."""

    def __init__(self, world: Sim, seed: int) -> None:
        self.random, self.world = random.Random(seed), world

    def input(self) -> i.Input:
        """Any input."""
        kind = self.random.choice(get_args(i.AnyInput))
        fields = {field.name: self.value(field.name, field.type) for field in msgspec.structs.fields(kind)}
        return cast("i.Input", kind(**fields))

    def value(self, name: str, wanted: Any) -> Any:
        """A value for a field, by its name where the name says more than its type."""
        if wanted is Known:
            return self.random.choice(get_args(Known))
        state = self.world.state
        ids: dict[str, list[Any]] = {
            "task": [*state.tasks, "T999", ""], "attempt": [*state.attempts, "T1.1", "T9.9", ""],
            "run": [*state.runs, "R1", "R999"],
            "gate": [*state.gates, "G1", "G999"], "landing": [*state.landings, "L1", "L999"], "repo": [*state.repos, "nowhere", ""],
            "subject": [*state.attempts, *state.runs, *state.landings, *state.repos, "T9.9", ""],
            "bound": [*(gate.bound for gate in state.gates.values()), Digest("x")],
            "after": [(), tuple(state.tasks)[:2], ("T999",)],
            "commands": [*(repo.commands for repo in state.repos.values()), Digest("x")], "fence": [*range(state.fence + 2)],
        }
        choices = {**ids, **WORDS}.get(name)
        return self.random.choice(choices) if choices else self.plain(wanted)

    def plain(self, wanted: Any) -> Any:
        """A value of a type."""
        if isinstance(wanted, UnionType):
            first = get_args(wanted)[0]
            return None if issubclass(first, msgspec.Struct) else self.plain(first)
        if get_origin(wanted) is Literal:
            return self.random.choice(get_args(wanted))
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return wanted(**{field.name: self.plain(field.type) for field in msgspec.structs.fields(wanted) if field.required})
        if getattr(wanted, "__origin__", None) is tuple:
            each = get_args(wanted)
            return tuple(map(self.plain, each if each[-1] is not ... else each[:1] * self.random.randrange(3)))
        trunks = [repo.trunk for repo in self.world.state.repos.values()]
        values: dict[Any, list[Any]] = {int: [-1, 0, 1, 5], float: [0.0, 4.5], bool: [True, False], str: ["", "a", "\U0001f600"]}
        return self.random.choice(values.get(wanted, ["", Oid("a" * 40), *trunks]))


def test_a_guess_makes_every_kind_of_input() -> None:
    guess = Guess(stirred(1, 50), 1)
    assert {type(guess.input()) for _ in range(2000)} == set(get_args(i.AnyInput)) == set(HANDLERS)


@QUICK
@given(SEEDS)
def test_decide_never_raises_whatever_reaches_it(seed: int) -> None:
    world = stirred(seed, 80)
    guess = Guess(world, seed)
    for n in range(120):
        one = guess.input()
        problem = refuse(world.state, one) if isinstance(one, i.Command) else None
        events = world.give(one)
        assert not (problem and events), f"refused and done: {one}"
        if n % 10 == 0:
            owed = pending(world.state, world.now)
            assert len({effect.key for effect in owed}) == len(owed)
            project(world.state, {}, over_tasks(world.state))
            next_deadline(world.state, world.now)
            assert all(isinstance(why(world.state, task, world.now), tuple) for task in world.state.tasks.values())
    assert replay(State(), world.log) == world.state
    assert thaw(freeze(world.state)) == world.state


@QUICK
@given(SEEDS)
def test_decide_is_a_function_and_leaves_the_state_alone(seed: int) -> None:
    world = stirred(seed, 100)
    before, guess = freeze(world.state), Guess(world, seed)
    for one in [guess.input() for _ in range(40)]:
        assert decide(world.state, one, world.now) == decide(world.state, one, world.now)
    assert freeze(world.state) == before


def test_an_event_about_what_is_not_known_changes_nothing() -> None:
    for seed in range(6):
        log = stirred(seed, 200).log
        for roots in (ROOTS, (*ROOTS, e.GateOpened)):
            orphans = [row for row in log if not isinstance(row.event, roots)]
            state = replay(State(), orphans)
            assert (state.seq, len(state.tasks), len(state.attempts)) == (len(orphans), 0, 0)
            assert (len(state.repos), len(state.runs), len(state.landings)) == (0, 0, 0)


def test_time_never_runs_backwards() -> None:
    world = stirred(3, 50)
    late = world.state.at
    state = fold(world.state, decide(world.state, i.DaemonStarted(version="1", pid=1, boot="b"), late - 999_999), late - 999_999)
    assert state.at == late


def test_the_same_seed_gives_the_same_log_in_another_process() -> None:
    program = (
        "import sys, hashlib, msgspec; sys.path[:0] = sys.argv[1:]\n"
        "from core.chaos import factory\n"
        "w = factory(11, 8)\n"
        "for _ in range(300): w.stir()\n"
        "w.finish(); print(hashlib.sha256(msgspec.json.encode(w.log)).hexdigest())\n"
    )
    tests = str(Path(__file__).parent.parent)
    told = {
        subprocess.run([sys.executable, "-c", program, tests], env={"PYTHONHASHSEED": hashing}, capture_output=True, text=True,
                       check=True).stdout
        for hashing in ("1", "2")
    }
    assert len(told) == 1


def test_the_auditor_reads_a_quiet_log_without_a_word() -> None:
    sim = Sim()
    sim.add()
    sim.run()
    assert Audit().read(sim.log).finish().faults == []
