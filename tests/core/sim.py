"""A world for the core alone: answers effects as edges would, from a seed. No disk, no clock, no await."""

import hashlib
import random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from andon.core.decide import decide
from andon.core.evolve import evolve
from andon.core.pending import pending
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline, why
from andon.core.state import Attempt, Gate, State, Task
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.evidence import Sealed
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId
from andon.schema.jobs import Exit, Said
from andon.schema.settings import AgentSettings, Budget, Check, Line, Loaded, Policy, Settings, Station

if TYPE_CHECKING:
    from collections.abc import Callable

Deed = TypeVar("Deed", bound=f.Effect)
Kind = TypeVar("Kind", bound=e.Event)
STATIONS = (
    Station(name="build", kind="agent"), Station(name="check", kind="check"), Station(name="review", kind="gate"),
    Station(name="land", kind="land"),
)


def oid(*parts: object) -> Oid:
    """A git object name made from its parts."""
    return Oid(hashlib.sha1(repr(parts).encode()).hexdigest())


def settings(**changes: Any) -> Settings:
    """Settings of a small repository."""
    base: dict[str, Any] = {
        "wip": 4, "agents": {"default": AgentSettings(name="default", use="scripted")},
        "checks": {"tests": Check(name="tests", run="pytest --junitxml={report}", report="junit")},
        "lines": {"build": Line(name="build", stations=STATIONS)}, "budget": Budget(attempts=3),
        "policy": Policy(ship=("**",), walls="none"),
    }
    return Settings(**{**base, **changes})


def loaded(settings_: Settings) -> Loaded:
    """As the config room would hand them over."""
    digest = hashlib.sha256(repr(settings_).encode()).hexdigest()
    commands = hashlib.sha256("\n".join(settings_.commands()).encode()).hexdigest()
    return Loaded(settings=settings_, digest=Digest(digest), commands=Digest(commands))


def joined(onto: Oid, members: tuple[f.MergeMember, ...], green: bool) -> tuple[Oid, tuple[e.MergedStep, ...]]:
    """The members one on top of the other: the candidate and its steps. The same members always give the same commits."""
    steps, at = [], onto
    for member in members:
        commit, tree = oid("cand", at, member.commit), oid("tree", at, member.commit)
        steps.append(e.MergedStep(task=member.task, commit=commit, tree=tree))
        at = commit
    return (oid("tip", onto, at) if green and len(steps) > 1 else at), tuple(steps)


def merged(effect: f.MergeCandidate) -> i.CandidateMerged:
    """As a world without conflicts gives it."""
    candidate, steps = joined(effect.onto, effect.members, effect.green)
    return i.CandidateMerged(landing=effect.landing, candidate=candidate, tree=steps[-1].tree, steps=steps)


def sealed(effect: f.SealChange) -> i.SealMade:
    """Equal parts come to equal names."""
    bundle = Digest(hashlib.sha256(repr(effect.parts).encode()).hexdigest())
    names = Sealed(bundle=bundle, policy=Digest("b" * 64), ledger="7 cm9vdA==")
    return i.SealMade(task=effect.task, commit=effect.parts.commit, approved=effect.approved, sealed=names)


class Sim:
    """One factory core with its log, its time and a world that answers."""

    def __init__(self, seed: int = 0, repos: int = 1, **changes: Any) -> None:
        self.random = random.Random(seed)
        self.state, self.log, self.now = State(), list[e.Recorded](), 1_000_000
        self.inflight: dict[str, f.Effect] = {}
        self.trunk = {RepoId(f"r{n}"): oid("trunk", n) for n in range(repos)}
        self.work: Callable[[f.ImportWork], i.Input] = self.honest_work
        self.exit: Callable[[f.WatchSession], i.Input] = lambda effect: i.SessionEnded(attempt=effect.attempt, exit=Exit(code=0))
        self.check: Callable[[f.RunCheck], i.CheckRan] = lambda effect: i.CheckRan(
            run=effect.run, result="pass", because="3 tests passed", passed=3, names=Digest("n" * 64))
        self.merge: Callable[[f.MergeCandidate], i.Input] = merged
        self.started: dict[str, int] = {}
        for repo, trunk in self.trunk.items():
            self.give(i.RepositorySeen(
                repo=repo, path=f"/{repo}", git_dir=f"/{repo}/.git", by="me", loaded=loaded(settings(**changes)), trust=True,
                target=trunk, tree=oid("tree", trunk),
            ))

    def give(self, given: i.Input) -> list[e.Event]:
        """One input, decided and recorded."""
        events = decide(self.state, given, self.now)
        for event in events:
            self.state = evolve(self.state, event, self.now)
            self.log.append(e.Recorded(seq=self.state.seq, at=self.now, event=cast("e.AnyEvent", event), prev="", hash=""))
        return events

    def add(self, title: str = "a task", repo: str = "r0", **fields: Any) -> TaskId:
        """A new task; its id."""
        command = i.AddTask(repo=RepoId(repo), title=title, spec=fields.pop("spec", title), **fields)
        assert refuse(self.state, command) is None, refuse(self.state, command)
        events = self.give(command)
        return next(event.task for event in events if isinstance(event, e.TaskAdded))

    def owed(self) -> list[f.Effect]:
        """Effects that could be started now."""
        lanes = {effect.lane for effect in self.inflight.values()}
        return [effect for effect in pending(self.state, self.now) if effect.key not in self.inflight and effect.lane not in lanes]

    def step(self) -> bool:
        """Do one owed deed, or let time pass to the next deadline. False when the world is at rest."""
        owed = self.owed()
        if owed:
            self.give(self.answer(self.random.choice(owed)))
            return True
        deadline = next_deadline(self.state, self.now)
        if not deadline:
            return False
        self.now = deadline
        self.give(i.Ticked())
        return True

    def run(self, steps: int = 2000) -> None:
        """Until the world is at rest."""
        for _ in range(steps):
            if not self.step():
                return
        raise AssertionError(f"not at rest after {steps} steps; owed: {self.owed()[:3]}")

    def answer(self, effect: f.Effect) -> i.Input:
        """What the edges would say to an effect."""
        match effect:
            case f.PrepareCheckout():
                return i.CheckoutReady(attempt=effect.attempt, path=f"/c/{effect.attempt}", isolation="clone")
            case f.StartSession():
                self.started[effect.attempt] = self.started.get(effect.attempt, 0) + 1
                return i.SessionStarted(attempt=effect.attempt, pid=1, ticks=1, boot="b", session=effect.attempt.replace(".", "_"))
            case f.WatchSession():
                return self.exit(effect)
            case f.StopSession():
                return i.StopDone(attempt=effect.attempt, ref="s", oid=oid("s"), dirty=False)
            case f.SuspendSession():
                return i.SuspendDone(attempt=effect.attempt, suspended=effect.suspend)
            case f.ImportWork():
                return self.work(effect)
            case f.RemoveCheckout():
                return i.CheckoutGone(attempt=effect.attempt, ref="s", oid=oid("s"), dirty=False)
            case f.DeliverAnswer():
                return i.AnswerGiven(attempt=effect.attempt, n=effect.n)
            case f.RunCheck():
                return self.check(effect)
            case f.MergeCandidate():
                return self.merge(effect)
            case f.SealChange():
                return sealed(effect)
            case f.RecordLanding():
                return i.LandingNoted(repo=effect.repo, landing=effect.parts.landing)
            case f.MoveTarget():
                if self.trunk[effect.repo] not in (effect.old, effect.new):
                    return i.LandingRefused(landing=effect.landing, because="moved", oid=self.trunk[effect.repo], tree=oid("t"))
                odd = self.odd(effect) if self.trunk[effect.repo] == effect.old else ""
                if odd:
                    return i.LandingRefused(landing=effect.landing, because=odd)
                self.trunk[effect.repo] = effect.new
                return i.TargetSwapped(landing=effect.landing, old=effect.old, new=effect.new, tree=effect.tree)
            case f.LookAtWork():
                return i.WorkSeen(attempt=effect.attempt, n=effect.n, committed=True, dirty=False)
            case f.EndSession():
                return i.FinishDone(attempt=effect.attempt)
            case f.AnswerAsk():
                return i.AskAnswered(attempt=effect.attempt, ask=effect.ask, how="api")
            case f.DeliverMessage():
                return i.MessageSent(attempt=effect.attempt, message=effect.message, how="api")
            case f.InterruptTurn():
                return i.Interrupted(attempt=effect.attempt, n=effect.n, how="api")
            case f.MirrorTarget():
                return i.MirrorSeen(repo=effect.repo, oid=effect.oid, advanced=True, asked=effect.asked)
            case f.MakeRevert():
                return i.RevertMade(
                    task=effect.task, commit=oid("revert", effect.landed), tree=oid("revert-tree", effect.landed), base=effect.onto,
                    base_tree=oid("tree", effect.onto), paths=("src/a.py",), paths_total=1, deletions=3, diff=Digest("e" * 64),
                )
            case f.TellGate():
                return i.GateTold(gate=effect.gate, n=effect.n, told=("command",))
            case f.TellProblem():
                return i.ProblemHeard(problem_key=effect.problem, told=("command",))
            case f.PublishTarget():
                return i.PublishSeen(repo=effect.repo, oid=effect.oid, done=True, where=effect.remote)
            case f.WriteNotes():
                return i.NotesWritten(task=effect.record.task, commit=effect.record.commit, written=("refs/notes/andon",))
            case f.RepairNotes():
                return i.NotesRepaired(repo=effect.repo, old=effect.old, new=effect.new, looked=1)
        raise AssertionError(effect)

    def odd(self, effect: f.MoveTarget) -> str:
        """What the proof of a landing finds: built once more, the candidate must come out the same."""
        candidate, steps = joined(effect.old, effect.members, effect.green)
        same = (candidate, steps) == (effect.new, effect.steps)
        return "" if same else "built once more, the candidate comes out otherwise"

    def honest_work(self, effect: f.ImportWork, **changes: Any) -> i.Input:
        """An attempt that committed one file."""
        fields: dict[str, Any] = {
            "attempt": effect.attempt, "fence": effect.fence, "commit": oid("c", effect.attempt), "tree": oid("t", effect.attempt),
            "base": effect.base, "base_tree": oid("tree", effect.base), "descends": True, "paths": ("src/a.py",), "paths_total": 1,
            "insertions": 3, "diff": Digest("d" * 64),
        }
        return i.WorkRead(**{**fields, **changes})

    def ask(self, attempt: str, n: int, text: str) -> list[e.Event]:
        """An agent asks."""
        return self.give(i.AgentSaid(attempt=AttemptId(attempt), said=Said(n=n, kind="ask", text=text)))

    def fail(self, effect: f.Effect, subject: str, *, transient: bool = True) -> list[e.Event]:
        """A deed that could not be done."""
        problem = Problem(what="no space left on device", mend="make room")
        return self.give(i.EffectFailed(key=effect.key, kind=str(type(effect).__struct_config__.tag), subject=subject,
                                        problem=problem, transient=transient))

    def until(self, kind: type[Deed], steps: int = 500, **fields: Any) -> Deed:
        """Do all other owed deeds until one of this kind (with these fields) is owed, and leave that one undone."""
        for _ in range(steps):
            owed = self.owed()
            for effect in owed:
                if isinstance(effect, kind) and all(getattr(effect, name) == value for name, value in fields.items()):
                    return effect
            assert owed, f"at rest without owing {kind.__name__}; last: {self.kinds()[-5:]}"
            self.give(self.answer(owed[0]))
        raise AssertionError(f"{kind.__name__} was not owed within {steps} steps")

    def do(self, kind: type[f.Effect], **fields: Any) -> list[e.Event]:
        """Go on until this deed is owed, then do it."""
        return self.give(self.answer(self.until(kind, **fields)))

    def task(self, name: str = "T1") -> Task:
        """What is known of a task."""
        return self.state.tasks[TaskId(name)]

    def attempt(self, name: str = "T1.1") -> Attempt:
        """What is known of an attempt."""
        return self.state.attempts[AttemptId(name)]

    def gate(self, name: str = "T1") -> Gate:
        """The open gate of a task."""
        return self.state.gates[self.task(name).gate]

    def why(self, name: str = "T1") -> tuple[str, ...]:
        """Why a task does not run."""
        return why(self.state, self.task(name), self.now)

    def decide_gate(self, option: str, name: str = "T1", because: str = "") -> list[e.Event]:
        """A person answers the open gate of a task, having seen it."""
        gate = self.gate(name)
        command = i.AnswerGate(gate=gate.gate, option=option, because=because, bound=gate.bound, by="me")
        assert refuse(self.state, command) is None, refuse(self.state, command)
        return self.give(command)

    def events(self, kind: type[Kind], key: str = "") -> list[Kind]:
        """All events of a kind so far; with `key` those whose key begins so."""
        found = [row.event for row in self.log if isinstance(row.event, kind)]
        return [event for event in found if not key or getattr(event, "key", "").startswith(key)]

    def kinds(self) -> list[str]:
        """The names of all events so far."""
        return [e.kind_of(row.event) for row in self.log]
