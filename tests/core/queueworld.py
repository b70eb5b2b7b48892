"""A world for the merge queue: trees are sets of changes, so that what lands can be judged by what it holds. All from one seed.

Theory of operation. A commit holds a set of heads; a head is what one attempt committed. Whether a tree is broken follows from its
set alone: a poisoned head, or two that do not go together. Deeds are started, done and answered apart, answers get lost, come
twice and in any order, and the daemon dies in between. The world refuses at once what must never be asked of it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from andon.core.evolve import replay
from andon.core.refuse import refuse
from andon.core.schedule import next_deadline
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import Digest, Oid, RepoId, TaskId
from andon.schema.settings import Check, Line, Queue, Station
from core.sim import STATIONS, Sim, loaded, oid

R = RepoId("r0")
PLAIN = {"tests": Check(name="tests", run="make test")}
SHORT = Line(name="build", stations=(STATIONS[0], STATIONS[3]))
"""Built, then landed: all proofs are proofs of merged trees."""
QUICK = Line(name="quick", stations=(STATIONS[0], Station(name="check", kind="check", checks=("tests",)), STATIONS[3]))
"""Only `tests` is run before landing."""
WATCHED = Line(name="build", stations=(*QUICK.stations, Station(name="after", kind="watch", checks=("slow",))))
SLOW = {"slow": Check(name="slow", run="make slow")}


def first(task: str) -> str:
    """The head of a task's first attempt."""
    return f"{task}.1"


class QueueWorld(Sim):
    """A queue of changes with a known truth. `poison`: tasks whose first head fails; `pairs`: tasks whose first heads fail only
    together; `conflicts`: those whose first heads do not merge; `red`: tasks whose first head only the check `slow` finds."""

    def __init__(
        self, seed: int = 0, *, slots: int = 1, poison: Iterable[str] = (), pairs: Iterable[tuple[str, str]] = (),
        conflicts: Iterable[tuple[str, str]] = (), red: Iterable[str] = (), flake: float = 0.0, unsure: float = 0.0,
        queue: Queue | None = None, **changes: Any,
    ) -> None:
        self.poison = {first(task) for task in poison}
        self.pairs = [frozenset(map(first, pair)) for pair in pairs]
        self.conflicts = [frozenset(map(first, pair)) for pair in conflicts]
        self.red = {first(task) for task in red}
        self.flake, self.unsure = flake, unsure
        base: dict[str, Any] = {"checks": PLAIN, "lines": {"build": SHORT}, "wip": 200, "queue": queue or Queue()}
        self.head: dict[Oid, str] = {}
        self.holds: dict[Oid, frozenset[str]] = {}
        """Of a commit or a tree: its heads."""
        self.reverted: dict[str, tuple[str, bool]] = {}
        """Of a reverting head: the one that it takes out, or puts back in."""
        super().__init__(seed, proving=slots, **{**base, **changes})
        self.holds[self.trunk[R]] = self.holds[oid("tree", self.trunk[R])] = frozenset()
        self.merge, self.check, self.work = self.join, self.judge, self.commit
        self.flights: dict[str, tuple[f.Effect, i.Input | None]] = {}
        self.heard: list[i.Input] = []
        self.passed: set[Oid] = set()
        self.runs: Counter[tuple[Oid, str]] = Counter()
        self.landed: list[tuple[Oid, frozenset[str]]] = []
        """Commits that the target was moved to, with what was new in each."""
        self.gone: set[str] = set()
        """Tasks that a person gave up before they landed."""
        self.crashes = self.outsiders = 0
        self.give(i.PersonSettingsSeen(settings=self.state.factory.__class__(wip=200)))

    # --- what the world is ---------------------------------------------------------------------------------------------

    def tree_of(self, held: frozenset[str]) -> Oid:
        """The same changes give the same tree, in whatever order they came."""
        tree = oid("tree", *sorted(held)) if held else oid("tree", oid("trunk", 0))
        self.holds[tree] = held
        return tree

    def broken(self, held: frozenset[str], check: str = "tests") -> bool:
        """Whether a check fails on these changes together."""
        if check == "slow":
            return bool(held & self.red)
        return bool(held & self.poison) or any(pair <= held for pair in self.pairs)

    def commit(self, effect: f.ImportWork) -> i.Input:
        """An attempt's commit."""
        together = any(str(effect.attempt) in both for both in (*self.pairs, *self.conflicts))
        read = self.honest_work(effect, paths=(f"src/{effect.task}.py", *(("src/shared.py",) if together else ())))
        assert isinstance(read, i.WorkRead)
        self.head[read.commit] = str(effect.attempt)
        return read

    def build(self, onto: Oid, members: Iterable[f.MergeMember], green: bool) -> tuple[Oid, tuple[e.MergedStep, ...]]:
        """The candidate and its steps."""
        steps, at = [], onto
        for member in members:
            name = self.head[member.commit]
            head, is_in = self.reverted.get(name, (name, True))
            held = self.holds[at] | {head} if is_in else self.holds[at] - {head}
            at = oid("merge", at, member.commit)
            self.holds[at] = held
            steps.append(e.MergedStep(task=member.task, commit=at, tree=self.tree_of(held)))
        tip = oid("tip", onto, at) if green and len(steps) > 1 else at
        self.holds[tip] = self.holds[at]
        return tip, tuple(steps)

    def join(self, effect: f.MergeCandidate) -> i.Input:
        """Merge, or say who does not."""
        before: dict[str, TaskId] = {name: TaskId("") for name in self.holds[effect.onto]}
        for member in effect.members:
            name = self.head[member.commit]
            against = next((before[other] for other in sorted(before) if frozenset((name, other)) in self.conflicts), None)
            if against is not None:
                return i.CandidateConflicted(
                    landing=effect.landing, paths=("src/shared.py",), message="both changed it", task=member.task, against=against,
                )
            before[name] = member.task
        candidate, steps = self.build(effect.onto, effect.members, effect.green)
        return i.CandidateMerged(landing=effect.landing, candidate=candidate, tree=steps[-1].tree, steps=steps)

    def judge(self, effect: f.RunCheck) -> i.CheckRan:
        """What a check says of a tree."""
        held = self.holds.get(effect.tree, frozenset())
        self.runs[effect.tree, effect.check.name] += 1
        if self.random.random() < self.unsure:
            return i.CheckRan(run=effect.run, result="unevaluated", because="killed", cause="lost")
        if self.broken(held, effect.check.name):
            blame = sorted((held & self.poison) | {name for pair in self.pairs if pair <= held for name in pair})
            names = tuple(f"test_{name}" for name in blame)
            return i.CheckRan(run=effect.run, result="fail", because=f"{len(names)} tests failed", failing=names)
        if self.random.random() < self.flake:
            return i.CheckRan(run=effect.run, result="fail", because="1 test failed", failing=("tests/net.py::test_port",))
        self.passed.add(effect.tree)
        return i.CheckRan(run=effect.run, result="pass", because="3 tests passed", passed=3, names=Digest("n" * 64))

    def odd(self, effect: f.MoveTarget) -> str:
        """What must never be asked of the world, then what the proof of a landing finds."""
        new = self.holds[effect.new]
        assert effect.tree in self.passed, f"lands untested: {sorted(new)}"
        assert not self.broken(new), f"lands broken: {sorted(new)}"
        heads = {self.head[member.commit] for member in effect.members}
        made, moved = new ^ self.holds[effect.old], {self.reverted.get(name, (name, True))[0] for name in heads}
        odd = made != moved if not heads & set(self.reverted) else not made <= moved
        assert not odd, "a result is applied to members it was not made with"
        built = self.build(effect.old, effect.members, effect.green)
        if built != (effect.new, effect.steps):
            return "built once more, the candidate comes out otherwise"
        self.landed.append((effect.new, frozenset(heads)))
        return ""

    def answer(self, effect: f.Effect) -> i.Input:
        if isinstance(effect, f.MakeRevert):
            made = super().answer(effect)
            assert isinstance(made, i.RevertMade)
            name = f"{effect.task}.0"
            self.head[made.commit] = name
            changed = self.holds[effect.landed] ^ self.holds[effect.before]
            self.reverted[name] = next(((head, head in self.holds[effect.before]) for head in changed), (name, False))
            return made
        return super().answer(effect)

    # --- what happens ----------------------------------------------------------------------------------------------------

    def stir(self, crash: float = 0.0, outside: float = 0.0, person: float = 0.0, doubt: float = 0.1) -> bool:
        """One thing happens somewhere. False when the world is at rest."""
        roll = self.random.random()
        for chance, deed in ((crash, self.crash), (outside, self.outsider), (person, self.meddle), (doubt, self.echo)):
            if roll < chance:
                deed()
                return True
            roll -= chance
        lanes = {effect.lane for effect, _ in self.flights.values()}
        owed = [effect for effect in self.owed() if effect.key not in self.flights and effect.lane not in lanes]
        deeds = [self.begin] * bool(owed) + [self.act] * any(answer is None for _, answer in self.flights.values())
        deeds += [self.deliver] * any(answer is not None for _, answer in self.flights.values())
        if deeds:
            self.random.choice(deeds)()
            return True
        return self.step()

    def begin(self) -> None:
        """Deeds are begun: those that are owed, each in its lane."""
        for effect in self.owed():
            if effect.key not in self.flights and effect.lane not in {flying.lane for flying, _ in self.flights.values()}:
                if isinstance(effect, f.MoveTarget):
                    assert not self.state.repos[R].queue.held, "a stopped queue moves the target"
                    assert not any(self.state.tasks[member.task].held for member in effect.members), "what is held lands"
                self.flights[effect.key] = (effect, None)

    def act(self) -> None:
        """One of them is done in the world. A run that is no longer wanted was ended by then."""
        effect = self.random.choice([effect for effect, answer in self.flights.values() if answer is None])
        if isinstance(effect, f.RunCheck) and effect.run not in self.state.runs:
            del self.flights[effect.key]
            return
        self.flights[effect.key] = (effect, self.answer(effect))

    def deliver(self) -> None:
        """One answer is heard."""
        key, answer = self.random.choice([(key, answer) for key, (_, answer) in self.flights.items() if answer is not None])
        del self.flights[key]
        self.heard.append(answer)
        self.give(answer)

    def echo(self) -> None:
        """An answer is heard again."""
        if self.heard:
            self.give(self.random.choice(self.heard))

    def crash(self) -> None:
        """kill -9: what was under way is not answered; the world stays as it is."""
        self.crashes += 1
        assert replay(State(), self.log) == self.state, "replay equals live"
        self.flights.clear()
        self.give(i.DaemonStarted(version="1", pid=self.crashes, boot="b", cores=4))
        known = self.state.repos[R]
        self.give(i.RepositorySeen(
            repo=R, path=known.path, git_dir=known.git_dir, by="me", loaded=loaded(known.settings), trust=False,
            target=self.trunk[R], tree=self.tree_of(self.holds[self.trunk[R]]),
        ))

    def outsider(self) -> None:
        """Somebody commits to the target by hand, having seen the newest of it; it is noticed."""
        if self.trunk[R] != self.state.repos[R].trunk:
            return
        self.outsiders += 1
        held = self.holds[self.trunk[R]] | {f"outside {self.outsiders}"}
        self.trunk[R] = oid("outside", self.trunk[R])
        self.holds[self.trunk[R]] = held
        self.give(i.TargetSeen(repo=R, oid=self.trunk[R], tree=self.tree_of(held)))

    def meddle(self) -> None:
        """A person reaches into the queue."""
        task, other = (TaskId(f"T{self.random.randint(1, self.state.task_count)}") for _ in range(2))
        command: i.Command = self.random.choice([
            i.HoldEntry(task=task, because="wait", by="me"), i.ReleaseEntry(task=task, by="me"),
            i.OrderQueue(task=task, before=other, by="me"), i.OrderQueue(task=task, by="me"), i.CancelTask(task=task, by="me"),
            i.HoldQueue(repo=R, because="smoke", by="me"), i.ResumeQueue(repo=R, by="me"), i.ResumeQueue(repo=R, by="me"),
            i.PullCord(repo=R, line="build", because="smoke", by="me"), i.ReleaseCord(repo=R, line="build", by="me"),
            i.ReleaseCord(repo=R, line="build", by="me"),
        ])
        if refuse(self.state, command) is None:
            self.give(command)
            if isinstance(command, i.CancelTask):
                self.gone.add(command.task)

    # --- to the end --------------------------------------------------------------------------------------------------------

    def queue_up(self, count: int, **fields: Any) -> list[TaskId]:
        """So many tasks whose changes stand in the queue, in order of their names, before anything of them is proved."""
        self.give(i.HoldQueue(repo=R, because="not yet", by="me"))
        names = []
        for n in range(count):
            names.append(self.add(f"task {n}", **fields))
            self.now += 1
            while self.task(names[-1]).station != "land":
                self.give(self.answer(self.owed()[0]))
            self.now += 1
        self.rest()
        self.give(i.ResumeQueue(repo=R, by="me"))
        return names

    def rest(self, steps: int = 5000) -> "QueueWorld":
        """Until nothing moves by itself."""
        for _ in range(steps):
            if not self.stir(doubt=0.0):
                return self
        raise AssertionError(f"not at rest after {steps} steps; last: {self.kinds()[-8:]}")

    def finish(self) -> "QueueWorld":
        """People let go of everything and answer what is asked, until every task is over."""
        self.flake = self.unsure = 0.0
        for _ in range(40):
            self.rest()
            if not self.state.open:
                return self
            for command in (i.ResumeQueue(repo=R, by="me"), i.ReleaseCord(repo=R, line="build", by="me"),
                            *(i.ReleaseEntry(task=task, by="me") for task in self.state.open)):
                self.give(command)
            for gate in sorted(self.state.gates.values(), key=lambda gate: gate.gate):
                options = {"unevaluated": "run-again", "failure": "retry", "red": "keep"}
                self.give(i.AnswerGate(gate=gate.gate, option=options[gate.kind], because="go on", bound=gate.bound, by="me"))
            orphans = [name for name in self.state.open if any("cancel this" in told for told in self.why(name))]
            for task in orphans:
                self.give(i.CancelTask(task=task, by="me"))
            if any("is being watched" in told for name in self.state.open for told in self.why(name)):
                self.outsider()
            goes_on = orphans or next_deadline(self.state, self.now) or self.owed() or self.state.gates
            assert goes_on or not self.state.open, self.whys()
        raise AssertionError(f"it does not end: {self.whys()}")

    def whys(self) -> dict[str, tuple[str, ...]]:
        """Why what is open does not go on."""
        return {name: self.why(name) for name in self.state.open}

    def sent_back(self, reason: str) -> list[TaskId]:
        """Who left the queue for that reason, in order."""
        return [event.task for event in self.events(e.EntrySentBack) if event.reason == reason]

    def landed_tasks(self) -> list[TaskId]:
        """In order."""
        return [event.task for event in self.events(e.TaskLanded)]

    def proofs(self) -> list[list[str]]:
        """The members of each proof that was begun, in order."""
        return [[member.task for member in event.members] for event in self.events(e.LandingPlanned)]
