"""`project(State, sightings, at) -> views`: what faces draw. Says why; draws unknown as unknown; decides nothing."""

from collections.abc import Mapping, Sequence

from andon.core import approvals, catalogue, lights, money, schedule, walls
from andon.core.queue.views import queue_views
from andon.core.state import Attempt, Claim, Gate, Repository, Run, State, Task, cord_key, cord_of, station_of
from andon.schema import views as v
from andon.schema.ids import AttemptId, Digest, Oid, TaskId
from andon.schema.sandbox import Shown, shown
from andon.schema.signals import Verdict

OWN_CLAIMS = ("work", "scope")
"""Claims that the daemon makes by itself; they are shown first, those of the merged tree last."""
OVER_SHOWN = 200
"""Finished tasks that stay on the board; older ones are in the ledger."""


def project(state: State, sightings: Mapping[AttemptId, Verdict], over: tuple[Task, ...] = ()) -> dict[str, v.AnyView]:
    """All views by key. `over` are the finished tasks that are still shown."""
    views: list[v.AnyView] = [factory_view(state)]
    busy, live = schedule.busy_tasks(state), schedule.live_attempts(state)
    for repo in state.repos.values():
        views.append(repository_view(state, repo))
        views += line_views(state, repo)
        views += queue_views(state, repo)
    for task in (*over, *(state.tasks[known] for known in state.open)):
        views.append(task_view(state, task, sightings, busy, live))
    views += [gate_view(state, gate) for gate in state.gates.values()]
    views += [session_view(state, attempt, sightings) for attempt in state.attempts.values() if attempt.live]
    views += money.account_views(state)
    for key, trouble in state.problems.items():
        views.append(v.ProblemView(
            problem=key, what=trouble.what, where=trouble.where, mend=trouble.mend, since=trouble.at, repo=trouble.repo,
            task=trouble.task, attempt=trouble.attempt, times=trouble.times,
        ))
    return {view.key: view for view in views}


def factory_view(state: State) -> v.FactoryView:
    """The daemon. Its sequence number is left out: a view changes only when something that is drawn does."""
    return v.FactoryView(
        version=state.version, pid=state.pid, started_at=state.started_at, wip=len(schedule.live_attempts(state)),
        wip_limit=state.factory.wip, walls=state.walls, operator=state.factory.operator,
        operators=state.factory.operators, waivers=waiver_lines(state),
    )


def waiver_lines(state: State) -> tuple[v.WaiverLine, ...]:
    """The rules that people set aside."""
    return tuple(v.WaiverLine(
        waiver=one.waiver, repo=one.repo, rule=one.rule, scope=one.task or ", ".join(one.paths), until=one.until,
        because=one.because, by=one.by, at=one.at, signed=bool(one.signature),
    ) for one in state.waivers.values())


def repository_view(state: State, repo: Repository) -> v.RepositoryView:
    """A repository and whether the person's branch follows."""
    behind = "" if repo.mirrored else repo.mirror_because
    return v.RepositoryView(
        repo=repo.repo, path=repo.path, target=repo.settings.target, trunk=repo.trunk, trusted=repo.is_trusted,
        commands=repo.commands, behind=behind, mend="" if repo.mirrored else repo.mirror_mend, notes=repo.notes,
        isolation=repo.settings.checkout.isolation, walls=repo.settings.sandbox.level,
        walls_now="" if schedule.unwalled(state, repo) else now_view(state, repo),
        walls_least=repo.settings.policy.walls,
    )


def now_view(state: State, repo: Repository) -> Shown:
    """The weaker of what its agents and its checks run at now."""
    return "none" if walls.of_agents(repo).level == "none" else shown(walls.given(state, repo))


def line_views(state: State, repo: Repository) -> list[v.LineView]:
    """The lines with how many tasks stand where."""
    counts: dict[tuple[str, str], int] = {}
    for known in state.open:
        task = state.tasks[known]
        if task.repo == repo.repo:
            counts[task.line, task.station] = counts.get((task.line, task.station), 0) + 1
    views = []
    for line in repo.settings.lines.values():
        cord = state.cords.get(cord_key(repo.repo, line.name))
        stations = tuple(
            v.StationView(name=station.name, kind=station.kind, wip=station.wip, tasks=counts.get((line.name, station.name), 0))
            for station in line.stations
        )
        views.append(v.LineView(
            repo=repo.repo, line=line.name, stations=stations, cord=cord.because if cord else "", cord_by=cord.by if cord else "",
            cord_at=cord.at if cord else 0, lights=lights.of(state, repo, line.name), lights_why=lights.why(state, repo, line.name),
            figures=lights.figures(state, repo.repo, line.name, repo.settings.policy.floors.days).told(),
            floors=lights.below(state, repo, line.name),
        ))
    return views


def task_state(state: State, task: Task) -> v.TaskState:
    """The state word of a card."""
    if task.outcome:
        over: dict[str, v.TaskState] = {"done": "done", "failed": "failed", "cancelled": "stopped"}
        return over[task.outcome]
    station = station_of(state, task)
    if task.landed:
        return "watching" if station is not None and station.kind == "watch" else "landed"
    attempt = state.attempts.get(task.live)
    gate = state.gates.get(task.gate)
    if (attempt is not None and attempt.pause_asked) or (gate is not None and gate.kind == "budget"):
        return "paused"
    if task.gate:
        return "waiting"
    if attempt is not None:
        return "building"
    if cord_of(state, task) is not None and (station is None or station.kind in ("agent", "land")):
        return "paused"
    if station is None or station.kind == "agent":
        return "queued"
    kinds: dict[str, v.TaskState] = {"check": "checking", "gate": "waiting", "land": "landing"}
    return kinds.get(station.kind, "queued")


def task_view(
    state: State, task: Task, sightings: Mapping[AttemptId, Verdict], busy: Sequence[Task], held: Sequence[Attempt] | None = None,
) -> v.TaskView:
    """One card."""
    latest = task.attempts[-1] if task.attempts else AttemptId("")
    attempt = state.attempts.get(latest)
    work = task.work
    gate = state.gates.get(task.gate)
    live = attempt is not None and attempt.live
    seen = health_of(state, attempt, sightings) if attempt and live else None
    spent, metered = money.spent_on(state, task)
    return v.TaskView(
        task=task.task, repo=task.repo, title=task.title, line=task.line, state=task_state(state, task), station=task.station,
        since=task.since, added=task.added_at, attention=attention(task, gate), why=why_view(state, task, busy, held),
        attempt=latest, attempts=len(task.attempts), agent=attempt.agent if attempt else task.agent,
        health=seen.health if seen else "", cause=seen.cause if seen else "", usd=spent.usd, tokens=spent.tokens, metered=metered,
        race=task.race,
        says=attempt.says if attempt and live else "", claims=claim_cells(state, task), gate=task.gate, after=task.after,
        paths=task.paths, overlaps=tuple(schedule.overlaps(task, busy)) if not task.over else (), priority=task.priority,
        commit=work.commit if work else Oid(""), landed=task.landed, risk=gate.risk if gate and gate.kind == "review" else "",
        insertions=work.insertions if work else 0, deletions=work.deletions if work else 0, files=work.paths_total if work else 0,
        walls=walls_view(task, attempt), steps=catalogue.view(state, task),
    )


def walls_view(task: Task, attempt: Attempt | None) -> Shown:
    """The walls of a card: of its change, while an agent is at it of that one."""
    if attempt is not None and attempt.live:
        return attempt_walls(attempt)
    return shown(walls.level_of(task)) if walls.levels(task) else attempt_walls(attempt) if attempt is not None else ""


def attempt_walls(attempt: Attempt) -> Shown:
    """The walls of an attempt, once it has started."""
    return shown(attempt.walls) if attempt.started_at else ""


def why_view(state: State, task: Task, busy: Sequence[Task], held: Sequence[Attempt] | None) -> tuple[str, ...]:
    """Why a task does not run, as of the last event: seconds are not counted down, so nothing is drawn for them."""
    if task.over:
        return (task.because,) if task.because else ()
    return tuple("tries again soon" if reason.startswith("tries again in") else reason.split("; starts anyway")[0]
                 for reason in schedule.why(state, task, state.at, busy, held))


def attention(task: Task, gate: Gate | None) -> str:
    """Why a person is needed; empty when not."""
    if gate is None:
        return ""
    kinds = {
        "review": "review", "question": "question", "failure": "failed", "limit": "limit", "unevaluated": "unevaluated",
        "trust": "trust", "permission": "permission", "stuck": "stuck", "budget": "budget", "red": "target red",
    }
    return f"{kinds.get(gate.kind, gate.kind)}: {gate.because or gate.question}"[:200]


def claim_cells(state: State, task: Task) -> tuple[v.ClaimCell, ...]:
    """Claims of the current change, and runs that are under way for it."""
    cells = [claim_cell(claim) for claim in task.claims]
    for run in runs_about(state, task.task):
        name = run.check if run.purpose == "change" else f"{run.check}@merge"
        cells = [cell for cell in cells if cell.claim != name]
        cells.append(v.ClaimCell(claim=name, status="running", commit=run.commit, run=run.run))
    return tuple(sorted(cells, key=lambda cell: (cell.claim.endswith("@merge"), cell.claim not in OWN_CLAIMS, cell.claim)))


_about: tuple[State, dict[TaskId, list[Run]]] = (State(), {})
"""The runs about each task in the state that was asked about last: a memo, because every card asks."""


def runs_about(state: State, task: TaskId) -> list[Run]:
    """The runs under way for a task: of its change, and of merged trees that it is in."""
    global _about
    if _about[0].runs is not state.runs or _about[0].landings is not state.landings:
        found: dict[TaskId, list[Run]] = {}
        for run in state.runs.values():
            landing = state.landings.get(run.landing)
            for name in {member.task for member in landing.members} if landing else {run.task}:
                found.setdefault(name, []).append(run)
        _about = (state, found)
    return _about[1].get(task, [])


def claim_cell(claim: Claim) -> v.ClaimCell:
    """One cell."""
    return v.ClaimCell(
        claim=claim.claim, status=claim.status, because=claim.because, commit=claim.commit, run=claim.run, at=claim.at,
        walls=shown(claim.walls) if claim.run else "",
    )


def health_of(state: State, attempt: Attempt, sightings: Mapping[AttemptId, Verdict]) -> Verdict:
    """The health of a live attempt: what its phase and its own question prove, else what was seen, else unknown."""
    if attempt.suspended:
        because = "its budget is spent" if attempt.budget_hit else "its time limit was reached"
        return Verdict(health="suspended", because=because, source="process", since=attempt.started_at)
    if attempt.phase in ("claimed", "prepared"):
        return Verdict(health="starting", because=starting(state, attempt), source="none", since=attempt.claimed_at)
    if attempt.phase == "ended":
        return Verdict(health="finished", because="its process has ended", source="exit file", since=attempt.ended_at)
    asked = state.gates.get(state.tasks[attempt.task].gate)
    if asked is not None and asked.kind == "question" and not asked.ask and asked.attempt == attempt.attempt:
        because = f"it asked a question and waits: {asked.gate}"
        return Verdict(health="waiting-answer", because=because, source="outbox", since=asked.opened_at)
    unknown = Verdict(health="unknown", because="nothing was seen of it yet", source="none", since=attempt.started_at)
    return sightings.get(attempt.attempt, unknown)


def starting(state: State, attempt: Attempt) -> str:
    """Why it does not run yet."""
    if attempt.phase == "claimed":
        return "its checkout is being made"
    if attempt.sitting == 1:
        return "its session is being started"
    limit = state.accounts.get(attempt.account)
    waits = f", waits for account {attempt.account}" if limit else ""
    return f"it is started again in its checkout, for the {ordinal(attempt.sitting - 1)} time{waits}"


def ordinal(number: int) -> str:
    """`2nd`, `3rd`, `4th`."""
    ending = "th" if 10 < number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def session_view(state: State, attempt: Attempt, sightings: Mapping[AttemptId, Verdict]) -> v.SessionView:
    """One live attempt."""
    seen = health_of(state, attempt, sightings)
    return v.SessionView(
        attempt=attempt.attempt, task=attempt.task, repo=attempt.repo, agent=attempt.agent, session=attempt.session,
        health=seen.health, because=seen.because, source=seen.source, since=seen.since, started=attempt.started_at,
        says=attempt.says, path=attempt.path, port=attempt.port, cause=seen.cause, rule=seen.rule, evidence=seen.evidence,
        confidence=seen.confidence, until=seen.until, conflict=seen.conflict, account=attempt.account, channel=attempt.channel,
        conversation=attempt.conversation, sitting=attempt.sitting, input_tokens=attempt.spent.input,
        output_tokens=attempt.spent.output, usd=attempt.spent.usd, metered=attempt.spent.metered or attempt.metered,
        taken=attempt.taken, ladder=attempt.stuck.taken if attempt.stuck else (), outbox=len(attempt.outbox),
        walls=attempt_walls(attempt),
    )


def gate_view(state: State, gate: Gate) -> v.GateView:
    """One open question with what it is about."""
    task = state.tasks[gate.task]
    work = task.work
    blocked = approvals.blocked(state, gate)
    spent, metered = money.spent_on(state, task)
    return v.GateView(
        gate=gate.gate, task=gate.task, repo=task.repo, title=task.title, kind=gate.kind, question=gate.question,
        options=gate.options, recommendation=gate.recommendation, because=gate.because, risk=gate.risk, opened_at=gate.opened_at,
        commit=gate.commit, bound=gate.bound, diff=work.diff if work else Digest(""), claims=claim_cells(state, task),
        files=work.paths_total if work else 0, insertions=work.insertions if work else 0, deletions=work.deletions if work else 0,
        attempts=len(task.attempts), attempt=gate.attempt, walls=shown(gate.walls) if gate.kind == "review" and work else "",
        tree=work.tree if work and gate.commit else Oid(""), nonce=gate.nonce, roles=gate.roles, keys=gate.keys,
        approvals=gate.approvals, missing=approvals.missing(gate), blocked=blocked.what if blocked else "",
        blocked_mend=blocked.mend if blocked else "", snoozed_until=gate.snoozed_until, snoozed_by=gate.snoozed_by, to=gate.to,
        to_because=gate.to_because, raised=gate.raised, usd=spent.usd, tokens=spent.tokens, metered=metered,
    )


def attempt_details(state: State, task: Task) -> tuple[v.AttemptDetail, ...]:
    """The attempts of a task that the state still holds, oldest first."""
    known = [state.attempts[attempt] for attempt in task.attempts if attempt in state.attempts]
    return tuple(
        v.AttemptDetail(
            attempt=attempt.attempt, number=attempt.number, agent=attempt.agent, state=attempt.phase, base=attempt.base,
            path=attempt.path, isolation=attempt.isolation, session=attempt.session, port=attempt.port, started=attempt.started_at,
            ended=attempt.ended_at, outcome=attempt.outcome, salvage=attempt.salvage, walls=attempt_walls(attempt),
        )
        for attempt in known
    )


def over_tasks(state: State) -> tuple[Task, ...]:
    """The finished tasks that are still shown, oldest first."""
    return tuple(sorted((state.tasks[task] for task in state.over[-OVER_SHOWN:]), key=lambda task: task.added_seq))
