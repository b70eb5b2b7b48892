"""An independent reader of the ledger: which promises do these events break? It knows events only, never the core's state."""

from collections import Counter
from collections.abc import Iterable

from andon.schema import events as e
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
        self.merged: dict[str, e.LandingMerged] = {}
        self.moved: dict[str, str] = {}
        self.cords: set[tuple[str, str]] = set()

    def read(self, rows: Iterable[e.Recorded]) -> "Audit":
        """Go on reading."""
        for row in rows:
            before = len(self.faults)
            for look in (self.bookkeeping, self.attempts, self.words, self.steering, self.caps, self.proofs, self.landing):
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
                self.runs[event.run] = event
            case e.RunFinished() if event.result == "pass":
                run = self.runs[event.run]
                self.passed.add((run.repo, run.tree, run.definition))
            case e.ClaimJudged():
                self.claims[event.task, event.claim, event.commit] = event

    def landing(self, event: e.Event) -> None:
        match event:
            case e.LandingPlanned():
                self.check(event.repo not in [one.repo for one in self.landings.values()], f"{event.repo} lands two at once")
                stopped = (event.repo, self.tasks[event.task].line) in self.cords
                self.check(not stopped, f"{event.landing} was planned on a stopped line")
                self.landings[event.landing] = event
            case e.LandingMerged():
                self.merged[event.landing] = event
            case e.LandingAbandoned() | e.LandingConflicted():
                self.landings.pop(event.landing, None)
            case e.TargetMoved():
                self.landed(event)
            case e.TaskLanded():
                self.check(self.moved.get(event.task) == event.commit, f"{event.task} landed without a move of the target")
            case e.TaskDone():
                line = self.settings[self.tasks[event.task].repo].lines[self.tasks[event.task].line]
                lands = any(station.kind == "land" for station in line.stations)
                self.check(not lands or event.task in self.moved, f"{event.task} is done and did not land")

    def landed(self, event: e.TargetMoved) -> None:
        """The target moves: to exactly the merged commit, whose tree passed every check."""
        planned, merged = self.landings.pop(event.landing, None), self.merged.get(event.landing)
        if planned is None or merged is None or merged.candidate != event.new:
            self.faults.append(f"{event.landing} moved something else than what was merged")
            return
        self.check(planned.task not in self.moved, f"{planned.task} landed twice")
        self.moved[planned.task] = event.new
        for check in self.settings[planned.repo].checks:
            claim = self.claims.get((planned.task, f"{check}@merge", event.new))
            run = self.runs.get(claim.run) if claim else None
            proven = claim is not None and claim.status == "proven" and run is not None and run.tree == merged.tree
            self.check(proven, f"{event.landing} landed a tree that {check} did not prove")
            passed = run is None or (planned.repo, merged.tree, run.definition) in self.passed
            self.check(passed, f"{event.landing}: {check} never passed on its tree")

    def finish(self) -> "Audit":
        """Everything has ended: nothing may be left behind."""
        self.check(not self.live, f"leases that nobody gave back: {sorted(self.live)}")
        self.check(not self.standing, f"checkouts that were never removed: {sorted(self.standing)}")
        self.check(set(self.tasks) == self.over, f"tasks that did not end: {sorted(set(self.tasks) - self.over)}")
        return self
