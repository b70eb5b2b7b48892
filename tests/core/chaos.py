"""A world in which everything goes wrong: deeds under way, failures, stalls, lies, people in a hurry, and kill -9.

Theory of operation. A deed is *started*, then *done* in the world, then *answered*; anything may happen in between. A crash
drops every answer under way and rebuilds the state from the log, while the facts of the world stay: sessions run on,
checkouts stand, the trunk may have moved. All chance comes from one seed.
"""

import random
from collections import Counter
from typing import Any

import msgspec

from andon.core.evolve import replay
from andon.core.image import freeze, thaw
from andon.core.pending import pending
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline, why
from andon.core.state import State, Task, cord_key
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.health import Cause, Health
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, TaskId
from andon.schema.jobs import Exit, Said
from andon.schema.settings import (
    AgentSettings,
    Budget,
    Check,
    FactorySettings,
    Line,
    Permissions,
    Policy,
    Queue,
    Retry,
    Routes,
    Station,
    Step,
)
from andon.schema.signals import Verdict
from core.audit import Audit
from core.sim import STATIONS, Sim, loaded, oid, settings

LIES = ("no-commit", "empty-commit", "foreign", "rewritten", "invented", "crash-after-done", "scope", "lost-tests", "breaks-tests",
        "broken-objects", "killed")
"""What an attempt may do instead of its work."""


OPERATORS = {"ana": ("owner", "security"), "ben": ("owner",), "cem": ("security",)}
VERDICTS: tuple[tuple[Health, Cause], ...] = (
    ("working", ""), ("working", ""), ("thinking", ""), ("hung", "hung-stream"), ("looping", "tool-loop"),
    ("idle-at-prompt", "idle-at-prompt"), ("rate-limited", "rate-limit"), ("hung", "context"),
)
LADDERS: dict[Cause, tuple[Step, ...]] = {
    "hung-stream": (Step(do="wait", after_s=5), Step(do="interrupt", after_s=5), Step(do="restart", after_s=10)),
    "tool-loop": (Step(do="nudge", after_s=0), Step(do="reassign", after_s=5), Step(do="gate", after_s=30)),
}


def hash_of(name: str) -> int:
    """A number made from a name, the same in every process."""
    return sum(map(ord, name))


class Chaos(Sim):
    """A factory under stress. `rates` are chances of 1 000 at each step."""

    def __init__(self, seed: int, repos: int = 2, lies: tuple[str, ...] = LIES, liars: float = 0.3, trouble: float = 1.0,
                 **changes: Any) -> None:
        super().__init__(seed, repos, **changes)
        self.lies, self.liars, self.trouble = lies, liars, trouble
        self.flights: dict[str, tuple[f.Effect, i.Input | None]] = {}
        self.sessions: dict[str, str] = {}
        self.starts: Counter[str] = Counter()
        self.removed: set[str] = set()
        self.nature: dict[str, str] = {}
        self.outbox: dict[str, list[Said]] = {}
        self.broken: set[str] = set()
        """Trees on which the checks fail."""
        self.thin: set[str] = set()
        """Trees that lost tests."""
        self.passed: set[tuple[str, str]] = set()
        self.landed: list[Oid] = []
        self.changes = 0
        """Landed ones: one move of the target may hold several."""
        self.reverts: set[Oid] = set()
        """Commits that the factory made itself."""
        self.buried: set[Oid] = set()
        """Landed commits on which a person committed before anybody had seen them."""
        self.answers: list[tuple[i.Input, int]] = []
        """With the sitting of the attempt that they are about."""
        self.turns: Counter[tuple[str, int]] = Counter()
        self.images: list[tuple[int, bytes]] = []
        self.crashes = 0
        self.aside = random.Random(f"gates {seed}")

    # --- one step ----------------------------------------------------------------------------------------------------

    def stir(self) -> None:
        """One thing happens somewhere."""
        chance = self.random.random() * 1000
        for weight, deed in (
            (8 * self.trouble, self.crash), (25 * self.trouble, self.person), (8 * self.trouble, self.move_trunk),
            (15 * self.trouble, self.echo), (30, self.speak), (60, self.pass_time), (250, self.signal),
            (25 * self.trouble, self.steer),
        ):
            if chance < weight:
                deed()
                return
            chance -= weight
        self.random.choice((self.begin, self.begin, self.act, self.act, self.deliver, self.deliver, self.end_session))()

    def begin(self) -> None:
        """Start every owed deed that has its lane free, or just one of them."""
        owed = self.ready()
        for effect in owed if self.random.random() < 0.5 else owed[:1]:
            if effect.lane in {flying.lane for flying, _ in self.flights.values()}:
                continue
            if isinstance(effect, f.MoveTarget):
                for task in (self.state.tasks[member.task] for member in effect.members):
                    stopped = cord_key(task.repo, task.line) in self.state.cords and not task.reverts
                    assert not stopped, "nothing lands with the cord pulled"
                    assert not task.held, "nothing lands that is held"
                assert not self.state.repos[effect.repo].queue.held, "nothing lands in a stopped queue"
            self.flights[effect.key] = (effect, None)

    def ready(self) -> list[f.Effect]:
        """Owed deeds that are not under way; check runs that nobody wants any more are dropped."""
        owed = pending(self.state, self.now)
        keys = [effect.key for effect in owed]
        assert len(keys) == len(set(keys)), "two deeds with one key"
        for key in [key for key, (effect, _) in self.flights.items() if isinstance(effect, f.RunCheck) and key not in keys]:
            del self.flights[key]
        lanes = {effect.lane for effect, _ in self.flights.values()}
        return [effect for effect in owed if effect.key not in self.flights and effect.lane not in lanes]

    def act(self) -> None:
        """A deed under way is done in the world, or fails there."""
        waiting = [effect for effect, answer in self.flights.values() if answer is None and self.possible(effect)]
        if not waiting:
            return
        effect = self.random.choice(waiting)
        if self.random.random() < 0.06 * self.trouble:
            problem = Problem(what="no space left on device")
            answer: i.Input = i.EffectFailed(
                key=effect.key, kind=str(type(effect).__struct_config__.tag), subject=subject_of(effect), problem=problem,
                transient=self.random.random() < 0.9,
            )
        else:
            answer = self.answer(effect)
        self.flights[effect.key] = (effect, answer)

    def possible(self, effect: f.Effect) -> bool:
        """A session is only seen to end when it has ended."""
        return not isinstance(effect, f.WatchSession) or self.sessions.get(effect.attempt) != "running"

    def deliver(self) -> None:
        """An answer reaches the core."""
        done = [(key, answer) for key, (_, answer) in self.flights.items() if answer is not None]
        if done:
            key, answer = self.random.choice(done)
            del self.flights[key]
            self.answers.append((answer, self.sitting(answer)))
            if isinstance(answer, i.SessionEnded):
                self.hear(answer.attempt)
            self.give(answer)

    def echo(self) -> None:
        """An old answer comes again. What is about a sitting is only ever told of the one that is."""
        if self.answers:
            answer, sitting = self.random.choice(self.answers)
            if not isinstance(answer, i.SessionEnded | i.StopDone | i.SessionStarted) or sitting == self.sitting(answer):
                self.give(answer)

    def sitting(self, about: i.Input | f.Effect) -> int:
        """The present sitting of the attempt that something is about."""
        attempt = self.state.attempts.get(AttemptId(getattr(about, "attempt", "")))
        return attempt.sitting if attempt else 0

    def pass_time(self) -> None:
        """To the next deadline, or a little."""
        deadline = next_deadline(self.state, self.now)
        self.now = deadline if deadline and self.random.random() < 0.5 else self.now + self.random.randrange(30_000)
        self.give(i.Ticked())

    def crash(self) -> None:
        """kill -9: answers under way are lost, the state comes back from its log, whole or from a snapshot."""
        self.crashes += 1
        assert replay(State(), self.log) == self.state, "replay equals live"
        if self.images:
            seq, image = self.random.choice(self.images)
            thawed = thaw(image)
            assert thawed is not None and replay(thawed, self.log[seq:]) == self.state, "a snapshot and the rest equal live"
        self.images = [*self.images[-3:], (self.state.seq, freeze(self.state))]
        self.flights.clear()
        self.now += self.random.randrange(100_000)
        self.give(i.DaemonStarted(version="1", pid=self.crashes, boot="b"))
        for repo, trunk in self.trunk.items():
            known = self.state.repos[repo]
            self.give(i.RepositorySeen(
                repo=repo, path=known.path, git_dir=known.git_dir, by="me", loaded=loaded(known.settings), trust=False,
                target=trunk, tree=oid("tree", trunk),
            ))

    # --- people and agents -------------------------------------------------------------------------------------------

    def person(self) -> None:
        """Somebody does something, sensible or not; what is refused is not done."""
        task = TaskId(f"T{self.random.randint(1, max(1, self.state.task_count))}")
        repo = self.random.choice(list(self.trunk))
        commands: list[i.Command] = [
            i.CancelTask(task=task, by="me"), i.RetryTask(task=task, note="again", by="me"), i.RetryTask(task=task, by="me"),
            i.PullCord(repo=repo, line="build", because="smoke", by="me"), i.ReleaseCord(repo=repo, line="build", by="me"),
            i.ReleaseCord(repo=repo, line="build", by="me"), i.TrustCommands(repo=repo, commands=Digest("x"), by="me"),
            *self.about_the_queue(task, repo),
        ]
        self.about_a_gate()
        if self.state.gates and self.random.random() < 0.7:
            self.settle_gate(self.random.choice(sorted(self.state.gates)))
        else:
            self.give(self.random.choice(commands))

    def about_a_gate(self) -> None:
        """Now and then somebody puts a gate off, or leaves it to somebody. Its chance is its own: the rest stays as it was."""
        gates = sorted(self.state.gates)
        if not gates or self.aside.random() < 0.7:
            return
        gate = self.aside.choice(gates)
        self.give(self.aside.choice([
            i.SnoozeGate(gate=gate, seconds=self.aside.choice((0, 60, 7200, 10**7)), by="me"),
            i.DelegateGate(gate=gate, to=self.aside.choice(("ana", "nobody", "")), because="knows it", by="me"),
        ]))

    def about_the_queue(self, task: TaskId, repo: RepoId) -> list[i.Command]:
        """What a person may want of the merge queue."""
        other = TaskId(f"T{self.random.randint(1, max(1, self.state.task_count))}")
        flaky = tuple(flake.name for flake in self.state.repos[repo].queue.flakes[:1])
        return [
            i.OrderQueue(task=task, before=other, by="me"), i.OrderQueue(task=task, by="me"),
            i.HoldEntry(task=task, because="wait", by="me"), *(i.ReleaseEntry(task=name, by="me") for name in (task, other)),
            i.DropEntry(task=task, because="no", cancel=hash_of(task) % 2 > 0, by="me"), i.ForwardTarget(repo=repo, by="me"),
            i.HoldQueue(repo=repo, because="smoke", by="me"), *(i.ResumeQueue(repo=repo, by="me") for _ in range(2)),
            i.ForgetFlakes(repo=repo, tests=flaky, by="me"), i.RevertLanding(task=task, because="it was wrong", by="me"),
        ]

    def settle_gate(self, gate_id: str) -> None:
        """A gate is answered with any of its options."""
        gate = next(gate for name, gate in self.state.gates.items() if name == gate_id)
        option = self.random.choice(gate.options).key
        command = i.AnswerGate(gate=gate.gate, option=option, because="because", bound=gate.bound, by="me")
        if gate.keys and option == "approve":
            assert refuse(self.state, command) is not None, "nobody signed, and it counts"
            command = msgspec.structs.replace(command, approver=self.signer())
            if refuse(self.state, command) is not None:
                return  # they signed already, or are not who it waits for
        assert refuse(self.state, command) is None
        self.give(command)

    def all_signers(self) -> list[e.Approver]:
        """Everybody in each of their roles: together they are whom any gate waits for."""
        return [e.Approver(name=name, role=role, key=f"SHA256:{name}", envelope=Digest("e" * 64))
                for name, roles in sorted(OPERATORS.items()) for role in roles]

    def signer(self) -> e.Approver:
        """Somebody with a key; now and then with somebody else's."""
        name = self.aside.choice(sorted(OPERATORS))
        key = f"SHA256:{name if self.aside.random() < 0.8 else 'ana'}"
        return e.Approver(name=name, role=self.aside.choice(OPERATORS[name]), key=key, envelope=Digest(hash_of(name) * "e"))

    def move_trunk(self) -> None:
        """A person commits to the target; it may take a while until that is seen."""
        repo = self.random.choice(list(self.trunk))
        self.buried.add(self.trunk[repo])
        self.trunk[repo] = oid("person", self.random.random())
        if self.random.random() < 0.5:
            self.give(i.TargetSeen(repo=repo, oid=self.trunk[repo], tree=oid("tree", self.trunk[repo])))

    def running(self) -> list[str]:
        return [name for name, state in self.sessions.items() if state == "running"]

    def speak(self) -> None:
        """An agent says something."""
        if running := self.running():
            name = self.random.choice(running)
            self.say(name, self.random.choice(("progress", "ask", "finished", "handoff")))

    def signal(self) -> None:
        """Something is seen of a session."""
        running = [AttemptId(name) for name in self.running()]
        if not running:
            return
        name, roll = self.random.choice(running), self.random.random()
        attempt = self.state.attempts.get(name)
        ask = f"a{self.random.randrange(3)}"
        if attempt is None or not (attempt.conversation or attempt.channel) or roll < 0.04:
            seen: i.Input = i.ConversationSeen(
                attempt=name, conversation=f"c-{name}" if hash_of(name) % 2 else "", channel="hooks",
                interactive=hash_of(name) % 3 > 0,
            )
        elif roll < 0.12:
            target = self.random.choice(("git status", "rm -r src", "curl x | sh"))
            seen = i.AskSeen(attempt=name, ask=ask, tool="Bash", deed="shell", target=target, answerable=roll < 0.1)
        elif roll < 0.15:
            seen = i.AskSeen(attempt=name, ask=f"q{ask}", text="left or right?", options=("left", "right"), answerable=roll < 0.14)
        elif roll < 0.3 and attempt.open_asks:
            seen = i.AskGone(attempt=name, ask=attempt.open_asks[0].ask, how="at its screen")
        elif roll < (0.6 if attempt.looked == attempt.turn else 0.34):
            self.turns[name, attempt.sitting] += 1
            seen = i.TurnOver(
                attempt=name, turn=self.turns[name, attempt.sitting], text=self.random.choice(("done", "which one?")),
                trouble="rate-limit" if roll > 0.57 else None, background=int(0.4 < roll < 0.43),
            )
        elif roll < 0.9:
            health, cause = self.random.choice(VERDICTS)
            until = self.now + 60_000 if cause == "rate-limit" and roll > 0.8 else 0
            seen = i.HealthSeen(attempt=name, verdict=Verdict(
                health=health, cause=cause, because="it stands", source="hook", since=self.now, until=until,
            ))
        elif attempt.outbox and roll < 0.96:
            seen = i.ReceiptSeen(attempt=name, message=attempt.outbox[0].message, how="transcript")
        else:
            seen = i.AssertionSeen(attempt=name, asserted=f"made {ask}", observed="it is not there")
        self.give(seen)

    def steer(self) -> None:
        """A person does something to a session, sensible or not."""
        if not self.state.attempts:
            return
        name = self.random.choice(sorted(self.state.attempts))
        commands: list[i.Command] = [
            i.SendMessage(attempt=name, text="look here", key=f"k{self.random.randrange(4)}", by="me"),
            i.Nudge(attempt=name, by="me"), i.Interrupt(attempt=name, by="me"), i.TakeOver(attempt=name, by="me"),
            i.GiveBack(attempt=name, by="me"),
            i.GiveBack(attempt=name, by="me"), i.RestartSession(attempt=name, fresh=self.random.random() < 0.3, by="me"),
            i.ReassignTask(task=self.state.attempts[name].task, agent=self.random.choice(("default", "other")), by="me"),
        ]
        command = self.random.choice(commands)
        if refuse(self.state, command) is None:
            self.give(command)

    def say(self, name: str, kind: Any, commit: str = "") -> None:
        """These words, into the outbox."""
        spoken = self.outbox.setdefault(name, [])
        n = len(spoken) + 1
        spoken.append(Said(n=n, kind=kind, text=f"words {n}", options=("a", "b"), commit=commit))
        self.hear(name)

    def hear(self, name: str) -> None:
        """Whatever lies in the outbox is told again; the core takes each message once."""
        for said in self.outbox.get(name, []):
            self.give(i.AgentSaid(attempt=AttemptId(name), said=said))

    def end_session(self) -> None:
        """An agent ends by itself."""
        if running := self.running():
            name = self.random.choice(running)
            attempt = self.state.attempts.get(AttemptId(name))
            if attempt is not None and attempt.interactive and self.trouble and self.random.random() < 0.9:
                return
            if self.nature[name] == "invented":
                self.say(name, "finished", "0" * 40)
            self.sessions[name] = "ended"

    # --- what the world answers --------------------------------------------------------------------------------------

    def answer(self, effect: f.Effect) -> i.Input:
        match effect:
            case f.StartSession():
                self.start(effect.attempt, effect.sitting)
            case f.StopSession():
                self.sessions[effect.attempt] = "stopped"
            case f.EndSession() if self.sessions.get(effect.attempt) == "running":
                self.sessions[effect.attempt] = "stopped"
                unsaid = not self.state.attempts[effect.attempt].said_commit
                if self.nature[effect.attempt] in ("crash-after-done", "killed", *(("invented",) if unsaid else ())):
                    self.nature[effect.attempt] = "honest"  # it was ended before it could
            case f.LookAtWork() | f.DeliverMessage():
                return self.told(effect)
            case f.WatchSession():
                return self.ended(effect)
            case f.RemoveCheckout():
                assert self.sessions.get(effect.attempt) != "running" or self.state.attempts[effect.attempt].phase == "closed"
                self.sessions[effect.attempt] = "stopped"
                self.removed.add(effect.attempt)
            case f.ImportWork():
                return self.read(effect)
            case f.RunCheck():
                return self.judge(effect)
            case f.MergeCandidate():
                return self.join(effect)
            case f.MoveTarget():
                self.about_to_land(effect)
            case f.TellGate() if self.aside.random() < 0.2 * self.trouble:
                failed = i.RouteFailed(route="command", problem=Problem(what="it ended with 1"))
                return i.GateTold(gate=effect.gate, n=effect.n, unheard=(failed,))
            case f.MakeRevert():
                if self.random.random() < 0.3 * self.trouble:
                    return i.RevertMade(task=effect.task, conflicts=("src/a.py",))
                self.reverts.add(oid("revert", effect.landed))
        return super().answer(effect)

    def told(self, effect: f.LookAtWork | f.DeliverMessage) -> i.Input:
        """What a checkout holds after a turn; how words went in."""
        roll = self.random.random()
        if isinstance(effect, f.LookAtWork):
            wrong = (("tests pass", "they do not"),) if roll < 0.2 else ()
            return i.WorkSeen(
                attempt=effect.attempt, n=effect.n, committed=roll < 0.6, dirty=0.4 < roll < 0.8, contradictions=wrong,
            )
        if roll < 0.2 * self.trouble:
            return i.MessageRefused(attempt=effect.attempt, message=effect.message, because="no prompt", unsure=roll < 0.1)
        return i.MessageSent(attempt=effect.attempt, message=effect.message, how="api" if roll < 0.7 else "")

    def start(self, name: str, sitting: int) -> None:
        """The start token: taken once."""
        assert name not in self.removed, "nothing starts in a removed checkout"
        assert self.sessions.get(name) != "running" or self.starts[f"{name}/{sitting}"], "the sitting before still runs"
        if not self.starts[f"{name}/{sitting}"]:
            self.starts[f"{name}/{sitting}"] += 1
            self.sessions[name] = "running"
            self.nature[name] = self.random.choice(self.lies) if self.random.random() < self.liars else "honest"

    def ended(self, effect: f.WatchSession) -> i.Input:
        """How a session ended; some leave no exit file."""
        nature = self.nature.get(effect.attempt, "honest")
        if self.sessions.get(effect.attempt) == "stopped":
            return i.SessionEnded(attempt=effect.attempt, exit=Exit(signal=15, because="stopped"))
        if nature == "killed":
            return i.SessionEnded(attempt=effect.attempt, because="no exit file")
        return i.SessionEnded(attempt=effect.attempt, exit=Exit(code=1 if nature == "crash-after-done" else 0))

    def read(self, effect: f.ImportWork) -> i.Input:
        """What the attempt's branch holds, by its nature."""
        base, nature = self.state.attempts[effect.attempt], self.nature.get(effect.attempt, "honest")
        natures: dict[str, dict[str, Any]] = {
            "no-commit": {"commit": base.start}, "empty-commit": {"tree": oid("tree", effect.base)},
            "foreign": {"foreign": (oid("x"),)}, "rewritten": {"descends": False}, "broken-objects": {"refused": "bad object"},
            "scope": {"paths": ("elsewhere/x",)},
        }
        fields = natures.get(nature, {})
        if nature == "breaks-tests":
            self.broken.add(oid("t", effect.attempt))
        if nature == "lost-tests":
            self.thin.add(oid("t", effect.attempt))
        return self.honest_work(effect, **{"paths": (f"src/{effect.task}/a.py",), **fields})

    def judge(self, effect: f.RunCheck) -> i.CheckRan:
        """What a check says of a tree."""
        if self.random.random() < 0.05 * self.trouble:
            cause = self.random.choice(("lost", "timeout", "missing-tool", "zero-tests"))
            return i.CheckRan(run=effect.run, result="unevaluated", because=cause, cause=cause)
        if effect.tree in self.broken or self.random.random() < 0.02 * self.trouble:
            return i.CheckRan(run=effect.run, result="fail", because="1 of 3 tests failed", failed=1, failing=("test_a",))
        self.passed.add((effect.tree, effect.definition))
        lost = ("test_b",) if effect.tree in self.thin and effect.check.report == "junit" else ()
        return i.CheckRan(run=effect.run, result="pass", because="3 passed", passed=3, names=Digest("n" * 64), lost_tests=lost)

    def join(self, effect: f.MergeCandidate) -> i.Input:
        """Trunk and change together: a conflict, a tree that breaks, or a good one."""
        roll, last = self.random.random(), effect.members[-1]
        if roll < 0.06 * self.trouble:
            against = effect.members[-2].task if len(effect.members) > 1 and roll < 0.04 else TaskId("")
            one = last if against else self.random.choice(effect.members)
            return i.CandidateConflicted(
                landing=effect.landing, paths=("src/a.py",), message="both changed it", task=one.task, against=against,
            )
        merged = self.merge(effect)
        assert isinstance(merged, i.CandidateMerged)
        own = [work.tree for member in effect.members if (work := self.state.tasks[member.task].work)]
        for bad in (self.broken, self.thin):
            bad.update(step.tree for n, step in enumerate(merged.steps) if not bad.isdisjoint(own[: n + 1]))
        if roll > 1 - 0.05 * self.trouble:
            self.broken.add(merged.tree)
        return merged

    def about_to_land(self, effect: f.MoveTarget) -> None:
        """The promises that only the world can judge."""
        for member in effect.members:
            author = next((name for name in self.nature if oid("c", name) == member.commit), "")
            reverted = member.commit in self.reverts
            assert author or reverted, "a liar lands: nobody made this commit"
            honest = reverted or self.nature[author] in ("honest", "scope")
            assert honest, f"a liar lands: {author} ({self.nature[author]})"
        assert effect.tree not in self.broken, "a broken tree lands"
        assert {tree for tree, _ in self.passed} >= {effect.tree}, "an unproven tree lands"
        if self.trunk[effect.repo] == effect.old:
            self.landed.append(effect.new)
            self.changes += len(effect.members)

    # --- what must always hold ---------------------------------------------------------------------------------------

    def look(self) -> None:
        """Promises about this very moment."""
        live = Counter(attempt.task for attempt in self.state.attempts.values() if attempt.live)
        assert all(count == 1 for count in live.values()), f"two live claims: {live}"
        assert all(count == 1 for count in self.starts.values()), "an attempt was started twice"
        owed = pending(self.state, self.now)
        assert owed == pending(self.state, self.now), "asking twice gives the same"
        for task in (self.state.tasks[name] for name in self.state.open):
            reasons = why(self.state, task, self.now)
            assert reasons or self.concerned(task, owed), f"{task.task} does not run and nobody knows why: {task}"

    def concerned(self, task: Task, owed: list[f.Effect]) -> bool:
        """Whether some deed, owed or under way, brings the task forward."""
        for effect in (*owed, *(flying for flying, _ in self.flights.values())):
            match effect:
                case f.RunCheck():
                    if effect.run not in self.state.runs:
                        continue
                    run = self.state.runs[effect.run]
                    landing = self.state.landings.get(run.landing)
                    if landing and any(member.task == task.task for member in landing.members):
                        return True
                    base = task.work.base_tree if task.work else ""
                    if run.task == task.task or (run.purpose == "baseline" and run.tree == base):
                        return True
                case f.MergeCandidate() | f.MoveTarget():
                    landing = self.state.landings.get(effect.landing)
                    if landing and any(member.task == task.task for member in landing.members):
                        return True
                case f.MakeRevert() | f.SealChange():
                    if effect.task == task.task:
                        return True
                case _:
                    if getattr(effect, "attempt", "") == (task.live or "-"):
                        return True
        return False

    # --- the end -----------------------------------------------------------------------------------------------------

    def calm(self, steps: int = 20_000) -> None:
        """No more trouble: work until nothing moves by itself."""
        self.trouble = 0.0
        for _ in range(steps):
            if self.flights:
                self.act()
                self.deliver()
            if self.running() and self.random.random() < 0.5:
                self.end_session()
            self.begin()
            if self.flights and (self.running() or any(self.possible(effect) for effect, _ in self.flights.values())):
                continue
            deadline = next_deadline(self.state, self.now)
            if not deadline:
                assert not self.flights, self.flights
                return
            self.now = deadline
            self.give(i.Ticked())
        raise AssertionError("it does not come to rest")

    def finish(self) -> Audit:
        """People answer what is asked until everything is over; then the ledger is audited."""
        for round_ in range(60):
            self.calm()
            for name in self.state.open:
                assert self.why(name), f"{name} rests without a reason"
            if not self.state.open:
                break
            for repo in self.trunk:
                self.give(i.TargetSeen(repo=repo, oid=self.trunk[repo], tree=oid("tree", self.trunk[repo])))
                self.give(i.ReleaseCord(repo=repo, line="build", by="me"))
                self.give(i.ResumeQueue(repo=repo, by="me"))
            for name in self.state.open:
                self.give(i.ReleaseEntry(task=name, by="me"))
            for gate in sorted(self.state.gates.values(), key=lambda gate: gate.gate):
                options = [option.key for option in gate.options]
                early = ["approve", "answer", "extend", "run-again", "retry", "keep"]
                keys = early if round_ < 20 else ["approve", "cancel", "stop"]
                option = next(key for key in (*keys, *options) if key in options)
                command = i.AnswerGate(gate=gate.gate, option=option, because="go on", bound=gate.bound, by="me")
                for who in self.all_signers() if gate.keys and option == "approve" else [None]:
                    self.give(msgspec.structs.replace(command, approver=who))
            self.drop_orphans()
        assert replay(State(), self.log) == self.state
        told = {event.new for event in self.events(e.TargetMoved)} | self.buried
        unsaid = [new for new in self.landed if new not in told]
        assert len(self.events(e.ProblemNoticed, key="landed:")) >= len(unsaid), f"landed and nobody knows: {unsaid}"
        return Audit().read(self.log).finish()

    def drop_orphans(self) -> None:
        """Tasks that wait for one that will never land are cancelled, as their reason tells a person to do."""
        for name in self.state.open:
            if any("cancel this" in reason for reason in self.why(name)):
                self.give(i.CancelTask(task=name, by="me"))


def subject_of(effect: f.Effect) -> str:
    """What an effect is about, as the edges name it; a notice never fails as a whole."""
    if isinstance(effect, f.TellProblem):
        return effect.problem
    names = ("attempt", "run", "landing", *(("task",) if isinstance(effect, f.MakeRevert | f.TellGate) else ()), "repo")
    return next(str(getattr(effect, name)) for name in names if getattr(effect, name, ""))


def variant(seed: int) -> dict[str, Any]:
    """Settings of one repository, other ones for each seed."""
    chance = random.Random(f"settings {seed}")
    lint = Check(name="lint", run="ruff check")
    build, check, review, land = STATIONS
    shapes = (
        STATIONS, (build, check, land), (Station(name="intake", kind="gate", when="always"), *STATIONS),
        (Station(name="build", kind="agent", wip=1), check, review, land), (build, land),
        (*STATIONS, Station(name="after", kind="watch")),
    )
    return {
        "wip": chance.choice((1, 2, 4)),
        "policy": chance.choice((
            Policy(ship=("**",), review=(), walls="none"), Policy(walls="none"),
            Policy(ship=("**",), stop=("src/T3/**",), walls="none", stop_roles=("security",), stop_keys=chance.choice((1, 2))),
        )),
        "checks": {**settings().checks, **({"lint": lint} if chance.random() < 0.5 else {})},
        "agents": {
            "default": AgentSettings(name="default", use="scripted", minutes=chance.choice((1, 90))),
            "other": AgentSettings(name="other", use="other", minutes=30),
        },
        "permissions": chance.choice((Permissions(), Permissions(allow=("shell(git *)",), deny=("shell(rm*)",)))),
        "lines": {"build": Line(name="build", stations=chance.choice(shapes), wip=chance.choice((0, 0, 2)))},
        "proving": chance.choice((1, 2, 4)),
        "queue": Queue(
            history=chance.choice(("tips", "tips", "green")), confirm=chance.choice((0, 2)), overtake=chance.choice((1, 5)),
            revert=chance.choice(("ask", "auto")),
        ),
        "overlap_minutes": chance.choice((0, 10)),
        "budget": Budget(attempts=chance.choice((1, 3, 5))), "retry": Retry(same_failure=chance.choice((2, 3))),
    }


def factory(seed: int, tasks: int, repos: int = 2, **changes: Any) -> Chaos:
    """A stressed factory with tasks that depend on each other here and there; its settings come from the seed too."""
    world = Chaos(seed, repos, **{**variant(seed), **changes})
    routes = Routes(command=("tell-me",), escalate_minutes=5, problems=seed % 2 > 0) if seed % 3 == 0 else Routes()
    world.give(i.DaemonStarted(version="1", pid=1, boot="b", seed=f"seed {seed}"))
    world.give(i.PersonSettingsSeen(settings=FactorySettings(
        ladders=LADDERS if seed % 2 else {}, breaker=4, operators=OPERATORS, signers=tuple(OPERATORS), routes=routes,
    )))
    for n in range(1, tasks + 1):
        repo = world.random.choice(list(world.trunk))
        earlier = [TaskId(f"T{k}") for k in range(max(1, n - 5), n)]
        after = tuple(world.random.sample(earlier, world.random.choice((0, 0, 0, 1, 2)))) if len(earlier) > 2 else ()
        paths = (f"src/T{n}/**", *(("shared/**",) if n % 7 == 0 else ())) if n % 2 else ()
        world.add(f"task {n}", repo=RepoId(repo), after=after, paths=paths, priority=n % 3, key=f"k{n}")
    return world
