"""`decide(State, Input, at) -> [Event]`: the only place that makes up its mind. It never raises and never looks at a clock.

Theory of operation. An input is turned into events by its handler; then `settle` asks, over and over, what follows by
itself: a station passed, a run wanted, a lease to give. It stops when nothing follows. Everything is planned anew from the
State each time, so a lost or doubled input can only cost time.
"""

from collections.abc import Callable
from typing import Any

from andon.core import (
    approvals,
    closing,
    gates,
    lights,
    loosened,
    messages,
    money,
    notes,
    race,
    refusals,
    resume,
    schedule,
    sealing,
    sessions,
    undoing,
    waivers,
    walls,
)
from andon.core.evolve import fold
from andon.core.failure import backoff_ms
from andon.core.queue import clashes, hears, proving, quarantine, reverts
from andon.core.refuse import refuse
from andon.core.state import Attempt, State, Task, line_of, station_of
from andon.core.stations import agent, check, gate, land, watch
from andon.core.stations.table import KINDS
from andon.core.troubles import clear, noticed
from andon.schema import events as e, inputs as i
from andon.schema.ids import AttemptId, LandingId, RepoId, RunId, TaskId, task_id

ABOUT_A_SESSION = ("question", "limit", "permission", "stuck", "budget")
"""Gates that mean nothing without the session that they are about."""
PARKED = 999
"""Tries of a deed that is not repeated by itself for an hour."""
ENDLESS = ("stop-session", "suspend-session", "watch-session", "deliver-answer", "mirror-target",
           "end-session", "look-at-work", "seal-change", "record-landing")
"""Deeds that are tried for as long as they are owed: giving them up would lose an agent or an answer."""
STEPS, STEPS_EACH = 5000, 20
"""Steps of one settling, and for each open task; more would be a rule that feeds itself, and the assertion stops the daemon
before it writes."""


def decide(state: State, given: i.Input, at: int) -> list[e.Event]:
    """The events that follow from one input at `at` (unix milliseconds). A command that is refused gives none."""
    at = max(at, state.at)
    if isinstance(given, i.Command) and refuse(state, given) is not None:
        return []
    handler = HANDLERS.get(type(given))
    events = handler(state, given, at) if handler else []
    return [*events, *settle(fold(state, events, at), at)]


def handled(state: State, given: i.Input, at: int) -> list[e.Event]:
    """What the handler of an input makes of it, without what follows by itself."""
    return HANDLERS[type(given)](state, given, at)


def settle(state: State, at: int) -> list[e.Event]:
    """All that follows by itself from a state."""
    events: list[e.Event] = []
    place = 0
    for _ in range(STEPS + STEPS_EACH * len(state.open)):
        step, place = follow(state, at, place)
        if not step:
            return events
        events += step
        state = fold(state, step, at)
    raise AssertionError(f"deciding does not settle; last: {[e.kind_of(event) for event in events[-6:]]}")


def follow(state: State, at: int, place: int) -> tuple[list[e.Event], int]:
    """The next thing that follows by itself, and the place among the open tasks to go on from; nothing when nothing follows.

    Going on from a place keeps a cascade over n tasks linear; whatever is decided last is decided after a whole round.
    """
    stale = (
        waivers.over(state, at) or gate.moot(state) or check.stale_runs(state) or mended(state) or walls.told(state)
        or lights.told(state, at) or approvals.told(state)
             or money.ticked(state, at)
             or undoing.advance(state, at, refuse, handled)
    ) if place == 0 else []
    if stale:
        return stale, 0
    for index in range(place, len(state.open)):
        events = advance(state, state.tasks[state.open[index]], at)
        if events:
            return events, index
    if place:
        return follow(state, at, 0)
    for repo in sorted(state.repos):
        for ask in (land.advance, clashes.past, watch.advance, quarantine.advance):
            events = ask(state, state.repos[repo], at)
            if events:
                return events, 0
    return schedule.claim(state, at), 0


def mended(state: State) -> list[e.Event]:
    """Deeds that failed so often that it was said, and that are done or no longer owed; words for a task that is over."""
    failing = {f"effect:{key.split()[0]}" for key in state.tries}
    done = [key for key in state.problems if key.startswith("effect:") and key not in failing]
    late = [key for key, problem in state.problems.items() if key.startswith("message:") and over(state, problem.task)]
    return [e.ProblemCleared(key=key) for key in sorted((*done, *late))]


def over(state: State, task: TaskId) -> bool:
    """Whether a task is over, or was long ago."""
    known = state.tasks.get(task)
    return known is None or known.over


def advance(state: State, task: Task, at: int) -> list[e.Event]:
    """What a task wants at its station: to go on, or something that the station does."""
    wanted = next((events for ask in (agent.asks, sessions.asks, money.asks, race.advance) if (events := ask(state, task, at))), [])
    if wanted:
        return wanted
    if task.reverts and not task.station:
        return reverts.advance(state, task)
    station = station_of(state, task)
    if station is None:
        return [] if task.gate else [e.TaskDone(task=task.task)] if task.landed else enter_first(state, task)
    kind = KINDS.get(station.kind)
    if kind is None:
        return []
    claimed = closing.advance(state, task, station, at)
    if claimed is not None:
        return claimed
    return go_on(state, task) if kind.passed(state, task, station) else kind.advance(state, task, station, at)


def enter_first(state: State, task: Task) -> list[e.Event]:
    """A task before its line, or at a station that was renamed, enters the first when that needs no agent and nothing holds it."""
    line = line_of(state, task)
    first = schedule.next_station(line, "") if line else None
    if first is None or (first.kind == "agent" and task.work is None) or task.live:
        return []
    if schedule.blockers(state, task) or schedule.line_full(state, task, line):
        return []
    return [e.TaskEntered(task=task.task, station=first.name)]


def go_on(state: State, task: Task) -> list[e.Event]:
    """To the next station, or to the end of the line."""
    if race.held(state, task):
        return []
    line = line_of(state, task)
    following = schedule.next_station(line, task.station) if line else None
    if following is None:
        return [e.TaskDone(task=task.task)]
    return [e.TaskEntered(task=task.task, station=following.name)]


# --- a person's commands ---------------------------------------------------------------------------------------------


def add(state: State, command: i.AddTask, at: int) -> list[e.Event]:
    """A new task; the same idempotency key never adds twice."""
    if command.key and command.key in state.keys:
        return []
    if command.race:
        return race.added(state, command, at)
    return [e.TaskAdded(
        task=task_id(state.task_count + 1), repo=command.repo, title=command.title, spec=command.spec, line=command.line,
        after=command.after, paths=command.paths, priority=command.priority, agent=command.agent,
        may_remove_tests=command.may_remove_tests, key=command.key, by=command.by,
    )]


def answer(state: State, command: i.AnswerGate, at: int) -> list[e.Event]:
    """A person's decision."""
    return gate.answered(state, state.gates[command.gate], command, at)


def cancel(state: State, command: i.CancelTask, at: int) -> list[e.Event]:
    """The task ends; a live attempt is asked to stop, an open gate is void."""
    task = state.tasks[command.task]
    because = command.because or "cancelled"
    events: list[e.Event] = []
    if task.gate:
        events.append(e.GateVoided(gate=task.gate, because=f"{task.task} was cancelled"))
    if task.live:
        events.append(e.AttemptStopAsked(attempt=task.live, because=because, by=command.by))
    return [*events, e.TaskCancelled(task=task.task, because=because, by=command.by)]


def retry(state: State, command: i.RetryTask, at: int) -> list[e.Event]:
    """Another chance with fresh counters."""
    task = state.tasks[command.task]
    note = f"### A person says\n\n{command.note}" if command.note else ""
    events: list[e.Event] = []
    if task.gate:
        events.append(e.GateVoided(gate=task.gate, because=f"{task.task} was retried"))
    return [*events, e.TaskRetried(task=task.task, note=note, by=command.by)]


def pull(state: State, command: i.PullCord, at: int) -> list[e.Event]:
    """The line stands still."""
    return [e.CordPulled(repo=command.repo, line=command.line, because=command.because, by=command.by)]


def release(state: State, command: i.ReleaseCord, at: int) -> list[e.Event]:
    """The line moves."""
    return [e.CordReleased(repo=command.repo, line=command.line, by=command.by)]


def trust(state: State, command: i.TrustCommands, at: int) -> list[e.Event]:
    """These commands may run."""
    if state.repos[command.repo].trusted == command.commands:
        return []
    events: list[e.Event] = [e.CommandsTrusted(repo=command.repo, commands=command.commands, by=command.by)]
    return [*events, *clear(state, f"trust:{command.repo}")]


# --- what the daemon saw ---------------------------------------------------------------------------------------------


def started(state: State, given: i.DaemonStarted, at: int) -> list[e.Event]:
    """A daemon took over."""
    return [e.FactoryStarted(version=given.version, pid=given.pid, boot=given.boot, cores=given.cores, walls=given.walls,
                             seed=given.seed)]


def walls_looked(state: State, given: i.WallsLooked, at: int) -> list[e.Event]:
    """The machine was looked at again; said when it gives something else."""
    return [e.WallsSeen(reached=given.reached)] if given.reached != state.walls else []


def stopping(state: State, given: i.DaemonStopping, at: int) -> list[e.Event]:
    """A daemon leaves."""
    return [e.FactoryStopped(because=given.because)]


def person_settings(state: State, given: i.PersonSettingsSeen, at: int) -> list[e.Event]:
    """The person's own settings are good."""
    changed = given.settings != state.factory
    events: list[e.Event] = [e.FactoryConfigured(settings=given.settings)] if changed else []
    return [*events, *clear(state, "settings:")]


def repository_seen(state: State, given: i.RepositorySeen, at: int) -> list[e.Event]:
    """A repository comes under the factory, or is looked at again."""
    known = state.repos.get(given.repo)
    events: list[e.Event] = []
    if known is None or (known.path, known.git_dir) != (given.path, given.git_dir):
        events.append(e.RepositoryRegistered(repo=given.repo, path=given.path, git_dir=given.git_dir, by=given.by))
    if known is None or known.digest != given.loaded.digest or known.notes != given.loaded.notes:
        events += [activated(given.repo, given), *(loosened.told(state, known, given.loaded) if known else [])]
    if known is None or known.trunk != given.target:
        landed = land.recognised(state, known, given.target, given.tree) if known else []
        events += landed or [e.TargetObserved(repo=given.repo, oid=given.target, tree=given.tree, by="start")]
    if given.trust and (known is None or known.trusted != given.loaded.commands):
        events.append(e.CommandsTrusted(repo=given.repo, commands=given.loaded.commands, by=given.by))
    return [*events, *clear(state, f"settings:{given.repo}")]


def activated(repo: RepoId, given: i.RepositorySeen | i.SettingsSeen) -> e.SettingsActivated:
    """The event of settings in force."""
    loaded = given.loaded
    return e.SettingsActivated(
        repo=repo, settings=loaded.settings, digest=loaded.digest, commands=loaded.commands, notes=loaded.notes,
    )


def settings_seen(state: State, given: i.SettingsSeen, at: int) -> list[e.Event]:
    """Good settings: in force from now on; commands that nobody trusted yet wait."""
    repo = state.repos.get(given.repo)
    if repo is None:
        return []
    events: list[e.Event] = clear(state, f"settings:{given.repo}")
    if repo.digest != given.loaded.digest or repo.notes != given.loaded.notes:
        events += [activated(given.repo, given), *loosened.told(state, repo, given.loaded)]
    trusted = repo.trusted == given.loaded.commands
    if not trusted and f"trust:{given.repo}" not in state.problems:
        events.append(e.ProblemNoticed(
            key=f"trust:{given.repo}", repo=given.repo, what=f"the commands of {given.repo} changed and nobody trusted them yet",
            where="andon.toml", mend=f"read them and say yes: andon trust {given.repo}",
        ))
    return [*events, *(clear(state, f"trust:{given.repo}") if trusted else [])]


def settings_bad(state: State, given: i.SettingsBad, at: int) -> list[e.Event]:
    """A bad edit: the last good settings stay, and the board says so."""
    return noticed(state, f"settings:{given.repo}", i.TroubleSeen(key="", problem=given.problem, repo=given.repo))


def trouble(state: State, given: i.TroubleSeen, at: int) -> list[e.Event]:
    """A part of the factory is unwell."""
    return noticed(state, given.key, given)


def trouble_gone(state: State, given: i.TroubleGone, at: int) -> list[e.Event]:
    """It is well again."""
    return clear(state, given.key)


# --- attempts --------------------------------------------------------------------------------------------------------


def checkout_ready(state: State, given: i.CheckoutReady, at: int) -> list[e.Event]:
    """The attempt has its place."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "claimed":
        return []
    return [e.CheckoutPrepared(
        attempt=given.attempt, path=given.path, isolation=given.isolation, setup_s=given.setup_s, start=given.start,
        rebased=given.rebased,
    )]


def session_started(state: State, given: i.SessionStarted, at: int) -> list[e.Event]:
    """The agent runs."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "prepared":
        return []
    return [e.AttemptStarted(
        attempt=given.attempt, pid=given.pid, ticks=given.ticks, boot=given.boot, session=given.session,
        walls=given.walls,
    )]


def said(state: State, given: i.AgentSaid, at: int) -> list[e.Event]:
    """The agent's words, each once; a question becomes a gate as soon as no other is open for its task."""
    attempt = state.attempts.get(given.attempt)
    words = given.said
    if attempt is None or attempt.phase not in ("running", "ended") or words.n <= attempt.said:
        return []
    return [e.AttemptSaid(
        attempt=given.attempt, n=words.n, kind=words.kind, text=words.text[:4000], options=words.options[:9], commit=words.commit,
    )]


def session_ended(state: State, given: i.SessionEnded, at: int) -> list[e.Event]:
    """The process tree is gone. What it left is judged by its work, not by this."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "running":
        return []
    if given.exit is None:
        events: list[e.Event] = [e.AttemptLost(attempt=given.attempt, because=given.because)]
    else:
        seen = given.exit
        events = [e.AttemptExited(
            attempt=given.attempt, code=seen.code, signal=seen.signal, because=seen.because, error=seen.error[:600],
            seconds=seen.seconds, killed=seen.killed, screen=given.screen,
        )]
    events += messages.return_all(state, attempt)
    return [*events, *void_question(state, attempt), *close_stopped(state, attempt, at)]


def void_question(state: State, attempt: Attempt) -> list[e.Event]:
    """A question of an agent that is gone needs no answer."""
    asked = state.gates.get(state.tasks[attempt.task].gate)
    if asked is None or asked.attempt != attempt.attempt or asked.kind not in ABOUT_A_SESSION:
        return []
    return [e.GateVoided(gate=asked.gate, because=f"{attempt.attempt} has ended")]


def close_stopped(state: State, attempt: Attempt, at: int) -> list[e.Event]:
    """An attempt that was told to stop and has ended gives nothing more, or is started again; its work is in the salvage ref."""
    if not attempt.stop_asked:
        return []
    if attempt.stop_then in resume.AGAIN and not state.tasks[attempt.task].over:
        return resume.after_stop(state, attempt, at)
    ended = fold(state, void_question(state, attempt), at)
    return agent.close(ended, attempt, agent.failure_of_stop(attempt), attempt.stop_asked, at, agent.detail_of_stop(attempt))


def stop_done(state: State, given: i.StopDone, at: int) -> list[e.Event]:
    """The work is safe and the tree was told to end. An attempt that never started ends here."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or not attempt.live or (attempt.sitting > 1 and not attempt.stop_asked):
        return []
    events: list[e.Event] = [e.WorkSalvaged(attempt=given.attempt, ref=given.ref, oid=given.oid, dirty=given.dirty)]
    if attempt.phase in ("claimed", "prepared"):
        salvaged = fold(state, events, at).attempts[given.attempt]
        detail = agent.detail_of_stop(salvaged)
        events += agent.close(state, salvaged, agent.failure_of_stop(attempt), attempt.stop_asked, at, detail)
    return events


def suspended(state: State, given: i.SuspendDone, at: int) -> list[e.Event]:
    """Seen suspended, or running."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.suspended == given.suspended:
        return []
    return [e.AttemptSuspended(attempt=given.attempt, suspended=given.suspended)]


def checkout_gone(state: State, given: i.CheckoutGone, at: int) -> list[e.Event]:
    """Snapshotted and removed."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "closed":
        return []
    events: list[e.Event] = []
    if given.ref:
        events.append(e.WorkSalvaged(attempt=given.attempt, ref=given.ref, oid=given.oid, dirty=given.dirty))
    return [*events, e.CheckoutRemoved(attempt=given.attempt), *clear(state, f"checkout:{given.attempt}")]


def checkout_back(state: State, given: i.CheckoutBack, at: int) -> list[e.Event]:
    """Restored by `andon undo`."""
    return [e.CheckoutRestored(attempt=given.attempt, path=given.path)]


def answer_given(state: State, given: i.AnswerGiven, at: int) -> list[e.Event]:
    """The agent can read its answer."""
    attempt = state.attempts.get(given.attempt)
    owed = attempt is not None and any(n == given.n for n, _ in attempt.answers)
    return [e.AnswerDelivered(attempt=given.attempt, n=given.n)] if owed else []


def work_read(state: State, given: i.WorkRead, at: int) -> list[e.Event]:
    """What git says about an attempt."""
    return agent.work_read(state, given, at)


def check_ran(state: State, given: i.CheckRan, at: int) -> list[e.Event]:
    """A result: of a change, of a merged tree, of a base or of the target itself."""
    run = state.runs.get(given.run)
    if run is None:
        return []
    tried = [event for one in given.refused for event in refusals.seen(state, one, at)]
    events: list[e.Event] = [*tried, check.finished(given), *proving.flaked(state, run, given)]
    landing = state.landings.get(run.landing)
    if run.purpose == "landing":
        return [*events, *(proving.ran(state, landing, run, given) if landing else [])]
    if run.purpose == "baseline":
        return [*events, *check.baseline_trouble(state, run, given)]
    return [*events, *(check.judge_run(state, run, given) if run.purpose == "change" else [])]


# --- failures and time -----------------------------------------------------------------------------------------------


def effect_failed(state: State, given: i.EffectFailed, at: int) -> list[e.Event]:
    """Try again after a wait, up to the cap; then the failure is the attempt's, the run's, the landing's, or a problem to mend."""
    repo = repo_of(state, given.subject)
    if repo is None:
        return []
    known = state.tries.get(f"{given.subject} {given.kind}")
    tries = (known.tries if known else 0) + 1
    settings = state.repos[repo].settings
    endless = given.kind in ENDLESS
    cap = settings.retry.transient
    problem = given.problem
    if given.transient and (endless or tries <= cap):
        wait = backoff_ms(settings, tries)
        because = f"{problem.what} {problem.where}".strip()[:600]
        events: list[e.Event] = [e.EffectRetried(
            subject=given.subject, effect=given.kind, tries=tries, not_before=at + wait, because=because,
        )]
        seen = i.TroubleSeen(key="", problem=problem, repo=repo)
        return [*events, *noticed(state, f"effect:{given.subject}", seen)] if tries == cap else events
    return give_up_on(state, given, repo, at)


def give_up_on(state: State, given: i.EffectFailed, repo: RepoId, at: int) -> list[e.Event]:
    """The deed is not tried again by itself."""
    attempt = state.attempts.get(AttemptId(given.subject))
    if attempt is not None and given.kind in sessions.GIVEN_UP:
        return sessions.GIVEN_UP[given.kind](state, attempt, given)
    if attempt is not None and attempt.live and given.kind in ("prepare-checkout", "start-session", "import-work"):
        failure: e.FailureClass = "transient" if given.transient else "contract"
        return agent.close(state, attempt, failure, given.problem.what, at, f"{given.problem.where}\n{given.problem.mend}")
    run = state.runs.get(RunId(given.subject))
    if run is not None:
        seen = i.CheckRan(run=run.run, result="unevaluated", because=given.problem.what, cause="storage")
        return check_ran(state, seen, state.at)
    landing = state.landings.get(LandingId(given.subject))
    if landing is not None:
        if given.kind == "merge-candidate":
            return land.unmergeable(state, landing, given.problem.what)
        return land.refused(state, i.LandingRefused(landing=landing.landing, because=given.problem.what))
    key = f"checkout:{given.subject}" if given.kind == "remove-checkout" else f"effect:{given.subject}"
    parked = e.EffectRetried(
        subject=given.subject, effect=given.kind, tries=PARKED, not_before=at + 3_600_000, because=given.problem.what,
    )
    return [parked, *noticed(state, key, i.TroubleSeen(key="", problem=given.problem, repo=repo))]


def repo_of(state: State, subject: str) -> RepoId | None:
    """The repository of an attempt, run, landing or repository id; None for what is gone, whose deeds nobody owes any more."""
    attempt = state.attempts.get(AttemptId(subject))
    if attempt is not None:
        return attempt.repo if attempt.phase != "removed" else None
    run = state.runs.get(RunId(subject))
    if run is not None:
        return run.repo
    landing = state.landings.get(LandingId(subject))
    if landing is not None:
        return landing.repo
    task = state.tasks.get(TaskId(subject))
    if task is not None:
        return task.repo if not task.over else None
    return RepoId(subject) if subject in state.repos else None


def ticked(state: State, given: i.Ticked, at: int) -> list[e.Event]:
    """Time alone: attempts at their limit are suspended. The question to a person, retries and overlaps follow in `settle`."""
    events: list[e.Event] = []
    for attempt in schedule.live_attempts(state):
        if not schedule.limited_by_time(attempt) or at < schedule.time_limit(state, attempt):
            continue
        because = f"{attempt.attempt} has worked {round((at - attempt.started_at) / 60_000)} minutes, its limit"
        events.append(e.AttemptPauseAsked(attempt=attempt.attempt, because=because))
    return [*events, *sessions.ticked(state, at), *money.ticked(state, at), *gates.ticked(state, at)]


Handler = Callable[[State, Any, int], list[e.Event]]
HANDLERS: dict[type, Handler] = {
    i.AddTask: add, i.AnswerGate: answer, i.CancelTask: cancel, i.RetryTask: retry, i.PullCord: pull, i.ReleaseCord: release,
    i.TrustCommands: trust, i.DaemonStarted: started, i.WallsLooked: walls_looked, i.DaemonStopping: stopping, i.Ticked: ticked,
    i.PersonSettingsSeen: person_settings, i.RepositorySeen: repository_seen, i.SettingsSeen: settings_seen,
    i.SettingsBad: settings_bad, i.TroubleSeen: trouble, i.TroubleGone: trouble_gone,
    i.EffectFailed: effect_failed, i.CheckoutReady: checkout_ready, i.SessionStarted: session_started,
    i.SessionEnded: session_ended, i.AgentSaid: said, i.StopDone: stop_done, i.SuspendDone: suspended, i.WorkRead: work_read,
    i.CheckoutGone: checkout_gone, i.CheckoutBack: checkout_back, i.AnswerGiven: answer_given, i.CheckRan: check_ran,
    i.SealMade: sealing.made, i.LandingNoted: sealing.noted, i.WalkBack: undoing.begin, i.DeedSeen: undoing.seen,
    **hears.HANDLERS, **sessions.HANDLERS, **money.HANDLERS, **notes.HANDLERS, **gates.HANDLERS, **waivers.HANDLERS, **lights.HANDLERS,
}
