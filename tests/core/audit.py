"""An independent reader of the ledger: which promises do these events break? It knows events only, never the core's state."""

from collections import Counter
from collections.abc import Iterable

from andon.schema import events as e
from andon.schema.ids import TaskId
from andon.schema.settings import FactorySettings, Settings


class Audit:
    """Reads events in order and collects broken promises as sentences."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.factory = FactorySettings()
        self.settings: dict[str, Settings] = {}
        self.tasks: dict[str, e.TaskAdded] = {}
        self.inside: set[str] = set()
        self.over: set[str] = set()
        self.live: dict[str, e.AttemptClaimed] = {}
        self.standing: dict[str, e.AttemptClaimed] = {}
        self.started: Counter[str] = Counter()
        self.sittings: Counter[str] = Counter()
        self.taken: set[str] = set()
        self.messages: dict[str, str] = {}
        """Words that are owed, with their attempt."""
        self.given: set[str] = set()
        self.rungs: Counter[str] = Counter()
        self.asked: dict[tuple[str, str], bool] = {}
        """Permissions that stand, and whether they were decided."""
        self.fence = 0
        self.failures: dict[str, list[e.RetryScheduled]] = {}
        self.runs: dict[str, e.RunPlanned] = {}
        self.passed: set[tuple[str, str, str]] = set()
        """Repository, tree and definition."""
        self.claims: dict[tuple[str, str, str], e.ClaimJudged] = {}
        self.landings: dict[str, e.LandingPlanned] = {}
        """Under way, and (`late`) those given up while the target may have been moved to them."""
        self.late: dict[str, e.LandingPlanned] = {}
        self.members: dict[str, tuple[e.Member, ...]] = {}
        """By landing: those that have not landed since."""
        self.apart: dict[str, tuple[e.Member, ...]] = {}
        """Landings that only tell of their members, as they were planned."""
        self.merged: dict[str, e.LandingMerged] = {}
        self.checked: dict[tuple[str, str], e.LandingChecked] = {}
        self.refuted: set[str] = set()
        """Runs that said no about a merged tree."""
        self.good: set[str] = set()
        self.chosen: dict[str, str] = {}
        """By repository."""
        self.moved: dict[str, str] = {}
        self.heads: set[tuple[str, str]] = set()
        self.held: set[str] = set()
        self.stopped: set[str] = set()
        self.trunk: dict[str, str] = {}
        self.cords: set[tuple[str, str]] = set()
        self.gates: dict[str, e.GateOpened] = {}
        """Open ones."""
        self.approvals: dict[str, list[e.Approver]] = {}
        self.nonces: set[str] = set()
        self.rises: Counter[str] = Counter()
        self.raised: Counter[str] = Counter()

    def read(self, rows: Iterable[e.Recorded]) -> "Audit":
        """Go on reading."""
        for row in rows:
            before = len(self.faults)
            for look in (self.bookkeeping, self.attempts, self.words, self.steering, self.caps, self.proofs, self.queue,
                         self.landing, self.questions):
                look(row.event)
            self.faults[before:] = [f"event {row.seq}: {fault}" for fault in self.faults[before:]]
        return self

    def check(self, holds: bool, fault: str) -> None:
        """A promise."""
        if not holds:
            self.faults.append(fault)

    def bookkeeping(self, event: e.Event) -> None:
        match event:
            case e.FactoryConfigured():
                self.factory = event.settings
            case e.SettingsActivated():
                self.settings[event.repo] = event.settings
            case e.TaskAdded():
                self.tasks[event.task] = event
                self.check(all(other in self.tasks for other in event.after), f"{event.task} waits for a task that is not there")
            case e.TaskEntered():
                self.inside.add(event.task)
                self.check(event.task not in self.over, f"{event.task} moves although it is over")
            case e.TaskDone() | e.TaskFailed() | e.TaskCancelled():
                self.check(event.task not in self.over, f"{event.task} ends twice")
                self.inside.discard(event.task)
                self.over.add(event.task)
            case e.RetryScheduled() | e.TaskRetried():
                self.inside.discard(event.task)
                if isinstance(event, e.TaskRetried):
                    self.over.discard(event.task)
            case e.CordPulled():
                self.cords.add((event.repo, event.line))
            case e.CordReleased():
                self.cords.discard((event.repo, event.line))

    def questions(self, event: e.Event) -> None:
        match event:
            case e.GateOpened():
                self.check(not event.nonce or event.nonce not in self.nonces, f"{event.gate} has a nonce that was used")
                self.check(event.gate not in self.raised, f"{event.gate} is asked twice")
                self.nonces.add(event.nonce)
                self.gates[event.gate], self.approvals[event.gate], self.raised[event.gate] = event, [], 0
            case e.GateApproved():
                self.check(event.gate in self.gates, f"{event.gate} is approved and not open")
                given = self.approvals.setdefault(event.gate, [])
                self.check(event.approver.key not in {one.key for one in given}, f"{event.gate}: one key counts twice")
                self.check(event.approver.name not in {one.name for one in given}, f"{event.gate}: one person counts twice")
                given.append(event.approver)
            case e.GateRaised():
                self.raised[event.gate] += 1
                self.check(event.n == self.raised[event.gate], f"{event.gate} rises out of order")
                often = event.n <= self.factory.routes.escalate_times
                self.check(event.gate in self.gates and often, f"{event.gate} rises too often")
            case e.GateNoticed():
                self.check(event.n <= self.raised[event.gate], f"{event.gate} is told before it rose")
            case e.GateAnswered():
                self.answered(event)
            case e.GateVoided():
                self.gates.pop(event.gate, None)

    def answered(self, event: e.GateAnswered) -> None:
        """A gate is answered once, and a yes that asks for keys has them."""
        asked, given = self.gates.pop(event.gate, None), self.approvals.get(event.gate, [])
        self.check(asked is not None, f"{event.gate} is answered and not open")
        if asked is not None and asked.kind == "review" and event.option == "approve" and asked.keys:
            self.check(len({one.key for one in given}) >= asked.keys, f"{event.gate} is approved with {len(given)} keys")
            self.check(set(asked.roles) <= {one.role for one in given}, f"{event.gate} is approved without a role")
            self.check(list(event.approvals) == [one.envelope for one in given], f"{event.gate} forgets an approval")

    def attempts(self, event: e.Event) -> None:
        match event:
            case e.AttemptClaimed():
                self.claimed(event)
            case e.AttemptStarted():
                self.started[event.attempt] += 1
                self.check(self.started[event.attempt] <= self.sittings[event.attempt] + 1, f"{event.attempt} started twice")
                self.check(event.attempt in self.live, f"{event.attempt} started without a lease")
            case e.SessionResumed():
                self.sittings[event.attempt] += 1
                self.check(event.attempt in self.live, f"{event.attempt} is resumed without a lease")
                self.check(event.sitting == self.sittings[event.attempt] + 1, f"{event.attempt} skips a sitting")
            case e.AttemptFailed() | e.AttemptAccepted():
                self.check(event.attempt in self.live, f"{event.attempt} ended without a lease")
                self.live.pop(event.attempt, None)
            case e.CheckoutRemoved():
                self.check(event.attempt not in self.live, f"{event.attempt} lost its checkout while it held its lease")
                self.standing.pop(event.attempt, None)

    def words(self, event: e.Event) -> None:
        """Each message ends once, and is not given after it was given."""
        match event:
            case e.MessageQueued():
                self.check(event.message not in self.messages, f"{event.message} is queued twice")
                self.check(event.attempt in self.live, f"{event.message} is for nobody")
                self.messages[event.message] = event.attempt
            case e.MessageGiven():
                self.check(event.message not in self.given, f"{event.message} is given twice")
                self.given.add(event.message)
            case e.MessageDelivered() | e.MessageReturned():
                self.check(self.messages.pop(event.message, "") == event.attempt, f"{event.message} ends twice")
            case e.AttemptFailed() | e.AttemptAccepted() | e.SessionResumed():
                left = [name for name, attempt in self.messages.items() if attempt == event.attempt]
                self.check(not left, f"{event.attempt} is over and owes {left}")

    def steering(self, event: e.Event) -> None:
        """While a person has a session, the factory keeps its hands off; each permission is decided once."""
        match event:
            case e.SessionTaken():
                self.taken.add(event.attempt)
            case e.SessionGivenBack() | e.AttemptExited() | e.AttemptLost():
                self.taken.discard(event.attempt)
            case e.RungTaken():
                self.rungs[event.attempt] += event.rung != "wait"
                self.check(event.attempt not in self.taken, f"a rung is taken on {event.attempt}, which a person has")
                within = event.rung in ("wait", "gate") or self.rungs[event.attempt] <= self.factory.breaker
                self.check(within, f"{event.attempt} breaks its breaker")
            case e.FinishAsked():
                self.check(event.attempt not in self.taken, f"{event.attempt} is finished while a person has it")
            case e.PermissionAsked():
                self.asked[event.attempt, event.ask] = False
            case e.PermissionDecided():
                decided = self.asked.get((event.attempt, event.ask), True)
                self.check(not decided, f"{event.ask} of {event.attempt} is decided twice, or was not asked")
                free = event.by != "policy" or event.attempt not in self.taken
                self.check(free, f"policy answers for a person at {event.attempt}")
                self.asked[event.attempt, event.ask] = True

    def claimed(self, event: e.AttemptClaimed) -> None:
        """A lease is given: nobody else may hold it, and there must be room."""
        task, settings = self.tasks[event.task], self.settings[self.tasks[event.task].repo]
        here = [one for one in self.live.values() if self.tasks[one.task].repo == task.repo]
        at_station = [one for one in here if one.station == event.station and self.tasks[one.task].line == task.line]
        line = settings.lines[task.line]
        station = next(known for known in line.stations if known.name == event.station)
        on_line = [one for one in self.inside if self.tasks[one].repo == task.repo and self.tasks[one].line == task.line]
        self.check(event.fence > self.fence, f"{event.attempt} got fence {event.fence} after {self.fence}")
        self.check(event.task not in [one.task for one in self.live.values()], f"{event.task} has two live claims")
        self.check(event.task not in self.over, f"{event.task} is over and was claimed")
        self.check((task.repo, task.line) not in self.cords, f"{event.attempt} was claimed on a stopped line")
        self.check(len(self.live) < self.factory.wip, f"{event.attempt} is above the factory's limit")
        self.check(len(here) < settings.wip, f"{event.attempt} is above the limit of {task.repo}")
        self.check(not station.wip or len(at_station) < station.wip, f"{event.attempt} is above the limit of its station")
        self.check(not line.wip or len(on_line) <= line.wip, f"{event.attempt} is above the limit of its line")
        shared = [one.attempt for one in self.standing.values()
                  if one.ports and event.ports and one.port < event.port + event.ports and event.port < one.port + one.ports]
        self.check(not shared, f"{event.attempt} shares ports with {shared}")
        self.fence = event.fence
        self.live[event.attempt] = self.standing[event.attempt] = event

    def caps(self, event: e.Event) -> None:
        match event:
            case e.RetryScheduled():
                self.failures.setdefault(event.task, []).append(event)
            case e.TaskRetried():
                self.failures[event.task] = []
            case e.AttemptClaimed():
                task = self.tasks[event.task]
                settings = self.settings[task.repo]
                counted = [one for one in self.failures.get(event.task, []) if one.failure != "transient"]
                transient = len(self.failures.get(event.task, [])) - len(counted)
                same = max(Counter(one.fingerprint for one in counted).values(), default=0)
                self.check(len(counted) < settings.budget.attempts, f"{event.attempt} is above the cap of attempts")
                self.check(transient <= settings.retry.transient, f"{event.attempt} is above the cap of transient tries")
                self.check(same < settings.retry.same_failure, f"{event.attempt} repeats a failure above its cap")

    def proofs(self, event: e.Event) -> None:
        match event:
            case e.RunPlanned():
                self.check(event.run not in self.runs, f"{event.run} is planned twice")
                self.runs[event.run] = event
            case e.RunFinished() if event.result == "pass":
                run = self.runs[event.run]
                self.passed.add((run.repo, run.tree, run.definition))
            case e.ClaimJudged():
                self.claims[event.task, event.claim, event.commit] = event

    def queue(self, event: e.Event) -> None:
        match event:
            case e.EntryHeld():
                self.held.add(event.task)
            case e.EntryReleased():
                self.held.discard(event.task)
            case e.QueueHeld():
                self.check(event.repo not in self.stopped, f"the queue of {event.repo} is stopped twice")
                self.stopped.add(event.repo)
            case e.QueueResumed():
                self.stopped.discard(event.repo)
            case e.TargetObserved():
                self.trunk[event.repo] = event.oid
            case e.EntrySentBack() if event.reason == "failed":
                said = {run for run in event.runs if run in self.refuted}
                trees = {self.runs[run].tree for run in said}
                self.check(len(said) >= 2, f"{event.task} was sent back after {len(said)} failures")
                alone = all(self.is_alone(run, event) for run in said)
                self.check(len(trees) == 1 or alone, f"{event.task} was sent back for failures of {len(trees)} trees")

    def is_alone(self, run: str, event: e.EntrySentBack) -> bool:
        """Whether a run is of the change apart from the queue, on a target of its time, with nobody who has not landed."""
        alone = [(event.task, event.commit)]
        return any(
            name in self.merged and self.merged[name].tree == self.runs[run].tree
            and [(member.task, member.commit) for member in self.members[name]] == alone for name in self.apart
        )

    def landing(self, event: e.Event) -> None:
        match event:
            case e.LandingPlanned():
                self.planned(event)
            case e.LandingMerged():
                self.merged[event.landing] = event
                left = self.members[event.landing]  # of one apart, some may have landed since, before it was merged or while
                planned = [[member.task for member in among] for among in (left, self.apart.get(event.landing, left))]
                same = not event.steps or [step.task for step in event.steps] in planned
                self.check(same, f"{event.landing} was merged with others than planned")
            case e.LandingChecked():
                self.checked[event.landing, event.check] = event
                if event.result == "fail":
                    self.refuted.add(event.run)
            case e.LandingJudged() if event.result == "pass" and event.landing not in self.apart:
                self.good.add(event.landing)
            case e.LandingChosen():
                self.choose(event)
            case e.LandingAbandoned() | e.LandingConflicted() | e.LandingJudged():
                self.end(event.landing)
            case e.TargetMoved():
                self.landed(event)
            case e.TaskLanded():
                self.check(self.moved.get(event.task) == event.commit, f"{event.task} landed without a move of the target")
                self.check(event.task not in self.over, f"{event.task} is over and landed")
            case e.TaskDone():
                line = self.settings[self.tasks[event.task].repo].lines.get(self.tasks[event.task].line)
                lands = line is not None and any(station.kind == "land" for station in line.stations)
                self.check(not lands or event.task in self.moved, f"{event.task} is done and did not land")

    def planned(self, event: e.LandingPlanned) -> None:
        """A proof is begun: only of those that may land, and only so many at once."""
        tasks = [member.task for member in event.members]
        self.check(len(set(tasks)) == len(tasks) > 0, f"{event.landing} has members twice, or none: {tasks}")
        at_once = [name for name, one in self.landings.items() if one.repo == event.repo and name not in self.good]
        most = self.settings[event.repo].proving or 16
        self.check(len(at_once) < most, f"{event.landing} is one proof more than the {most} that {event.repo} may have")
        self.check(event.onto == self.trunk[event.repo], f"{event.landing} is planned on what is not the target")
        self.free(event.landing, event.repo, tasks)
        self.landings[event.landing], self.members[event.landing] = event, event.members
        if event.why == "apart":
            self.apart[event.landing] = event.members

    def free(self, landing: str, repo: str, tasks: list[TaskId]) -> None:
        """Nothing keeps these from landing."""
        self.check(repo not in self.stopped, f"{landing} goes on although the queue of {repo} is stopped")
        for task in tasks:
            stopped = (repo, self.tasks[task].line) in self.cords and not self.tasks[task].reverts
            self.check(not stopped, f"{landing} holds {task}, whose line is stopped")
            self.check(task not in self.held, f"{landing} holds {task}, which is held")
            self.check(task not in self.over, f"{landing} holds {task}, which is over")

    def choose(self, event: e.LandingChosen) -> None:
        """One landing at a time moves the target, and only a proven one."""
        repo = self.landings[event.landing].repo
        self.check(event.landing in self.good, f"{event.landing} is chosen and not proven")
        self.check(repo not in self.chosen, f"{event.landing} is chosen beside {self.chosen.get(repo)}")
        self.free(event.landing, repo, [member.task for member in self.members[event.landing]])
        self.chosen[repo] = event.landing

    def end(self, landing: str) -> None:
        """It is over; a chosen one may already have moved the target."""
        planned = self.landings.pop(landing, None)
        if planned is not None and self.chosen.get(planned.repo) == landing:
            self.late[landing] = planned
            del self.chosen[planned.repo]

    def landed(self, event: e.TargetMoved) -> None:
        """The target moves: to exactly the merged commit, whose tree passed every check."""
        planned = self.landings.pop(event.landing, None) or self.late.pop(event.landing, None)
        merged = self.merged.get(event.landing)
        if planned is None or merged is None or merged.candidate != event.new:
            self.faults.append(f"{event.landing} moved something else than what was merged")
            return
        if self.chosen.get(planned.repo) == event.landing:
            del self.chosen[planned.repo]
        self.check(event.old == self.trunk[planned.repo], f"{event.landing} moved the target from where it was not")
        members = self.members[event.landing]
        ends = [*(step.commit for step in merged.steps[-len(members):][:-1]), event.new]
        for member, end in zip(members, ends, strict=True):
            self.check((member.task, member.commit) not in self.heads, f"{member.task} landed twice")
            self.heads.add((member.task, member.commit))
            self.moved[member.task] = end
        for check in self.wanted(planned.repo, [member.task for member in members]):
            told = self.checked.get((event.landing, check))
            run = self.runs.get(told.run) if told else None
            proven = told is not None and told.result == "pass" and run is not None and run.tree == merged.tree
            self.check(proven, f"{event.landing} landed a tree that {check} did not prove")
            passed = run is None or (planned.repo, merged.tree, run.definition) in self.passed
            self.check(passed, f"{event.landing}: {check} never passed on its tree")
        gone = {member.task for member in members}
        for name in self.apart:
            self.members[name] = tuple(member for member in self.members[name] if member.task not in gone)
            if not self.members[name]:
                self.landings.pop(name, None)
        for name, others in self.members.items():
            if name in self.landings and name not in self.apart and others[: len(members)] == members:
                self.members[name] = others[len(members):]

    def wanted(self, repo: str, tasks: list[TaskId]) -> set[str]:
        """The checks that the merged tree of these tasks must pass."""
        settings, names = self.settings[repo], set[str]()
        for task in tasks:
            line = settings.lines.get(self.tasks[task].line)
            stations = [station for station in line.stations if station.kind == "check"] if line else []
            told = [station.checks or tuple(settings.checks) for station in stations]
            names |= {name for checks in told or [tuple(settings.checks)] for name in checks}
        return names

    def finish(self) -> "Audit":
        """Everything has ended: nothing may be left behind."""
        self.check(not self.live, f"leases that nobody gave back: {sorted(self.live)}")
        self.check(not self.standing, f"checkouts that were never removed: {sorted(self.standing)}")
        self.check(set(self.tasks) == self.over, f"tasks that did not end: {sorted(set(self.tasks) - self.over)}")
        return self
