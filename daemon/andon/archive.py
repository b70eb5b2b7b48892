"""Answers questions that need a look at the world: which task a commit is, what other policies had made of it, what walls hold."""

import asyncio
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

from andon.core.queue.simulate import replay
from andon.core.queue.standing import slots
from andon.core.state import Past, Repository, State, Task
from andon.edges import attacks, notes_repair, provenance, sandbox
from andon.ledger_reader import read_log
from andon.schema import events as e, wire
from andon.schema.errors import Mistake
from andon.schema.ids import LandingId, Oid, RepoId, TaskId
from andon.schema.layout import Layout
from andon.schema.sandbox import Reached
from andon.schema.sentences import plural
from andon.schema.views import PolicyRow, Provenance

ROWS = 200_000
"""Ledger rows that a history is read from, the latest."""
HISTORY = ("landing.planned", "flake.seen", "task.landed", "entry.sent-back")
SHIPPED = "prefix search"
PROOF_S = 60.0
"""Taken for a proof where none was ever timed."""


async def find_commit(state: State, request: wire.FindCommit) -> wire.ProvenanceIs:
    """The task of a commit, from the ledger first, else from trailers; a Mistake when no repository has it."""
    repos = [repo for repo in state.repos.values() if request.repo in ("", repo.repo)]
    for repo in repos:
        told = await provenance.tell(repo.git_dir, request.commit, repo.settings.target)
        if told is not None:
            found = provenance_of(state, repo, told)
            return wire.ProvenanceIs(found=found if found.task else await by_note(state, repo, found))
    known = ", ".join(repo.repo for repo in repos) or "no repository"
    raise Mistake(f"there is no commit {request.commit}", where=known, mend="give more of its hash, or name the repository")


async def by_note(state: State, repo: Repository, found: Provenance) -> Provenance:
    """The same of a commit that neither ledger nor trailers name: by its git note, or those of the change that it is."""
    index = await notes_repair.index_of(repo.git_dir, ())
    [(_, known)] = await notes_repair.whose(repo.git_dir, index, [found.commit])
    if known.vague or len(known.records) != 1:
        return found
    record = known.records[0]
    task: Task | Past | None = state.tasks.get(record.task) or state.past.get(record.task)
    return msgspec.structs.replace(
        found, task=record.task, attempt=record.attempt, change=record.change, landing=record.landing, title=record.title,
        by="note", proven=task.landed if task and task.landed == record.commit else Oid(""),
    )


def provenance_of(state: State, repo: Repository, told: provenance.Told) -> Provenance:
    """Ledger and trailers together. A trailer names a task; only the ledger proves that it landed as this commit."""
    recorded = [(name, known) for name, known in (*state.tasks.items(), *state.past.items()) if known.repo == repo.repo]
    task = next((name for name, known in recorded if known.landed and known.landed in (told.commit, told.by)), TaskId(""))
    by: Literal["ledger", "trailer", "none"] = "ledger" if task else "trailer" if told.task else "none"
    task = task or TaskId(told.task)
    known: Task | Past | None = state.tasks.get(task) or state.past.get(task)
    title = known.title if known else ""
    change = known.work.commit if isinstance(known, Task) and known.work else Oid(told.change)
    return Provenance(
        commit=told.commit, repo=repo.repo, task=task, attempt=told.attempt, change=change, landing=LandingId(""),
        title=title or told.subject, by=by, proven=known.landed if known else Oid(""),
    )


async def simulate(state: State, layout: Layout, request: wire.SimulateQueue) -> wire.SimulationIs:
    """What each policy would have done with this repository's own history."""
    repo = state.repos.get(request.repo)
    if repo is None:
        raise Mistake(f"repository {request.repo} is not registered", mend="andon status shows those that are")
    return await asyncio.to_thread(_simulate, repo, layout, request.slots or slots(state, repo), request.seed)


def _simulate(repo: Repository, layout: Layout, count: int, seed: int) -> wire.SimulationIs:
    """Read the history, then let each policy have it."""
    rows = read_log(layout, limit=ROWS, kinds=HISTORY, newest=True)
    pace = statistics.median(repo.queue.seconds) if repo.queue.seconds else PROOF_S
    past = history_of(rows, repo.repo, pace)
    if not past:
        raise Mistake(f"nothing has landed in {repo.repo} yet, so there is no history to judge by",
                      where=repo.repo, mend="let a few changes land first")
    found = replay(past, count, seed)
    rows_told = tuple(
        PolicyRow(
            policy=name, slots=count, landed=made.landed, sent_back=made.rejected, runs=made.runs, wasted=made.wasted,
            hours=round(made.took / 3600, 3), wait_p50_s=round(made.p50, 1), wait_p95_s=round(made.p95, 1), red=made.red,
        ) for name, made in sorted(found.items(), key=lambda one: one[0] != SHIPPED)
    )
    timed = "as timed here" if repo.queue.seconds else f"taken for {PROOF_S:.0f} s, for none was timed yet"
    text = f"{plural(len(past), 'change')} as they came; a proof takes {pace:.1f} s, {timed}; a failure shows after as long as here"
    return wire.SimulationIs(rows=rows_told, entries=len(past), text=text)


def history_of(rows: Sequence[e.Recorded], repo: RepoId, pace: float) -> tuple[tuple[float, float, bool, bool], ...]:
    """Each change that left the queue: (came at, seconds of its proof, failed by itself, seen flaky), times from the first."""
    came: dict[TaskId, int] = {}
    of: dict[LandingId, tuple[TaskId, ...]] = {}
    planned: dict[LandingId, int] = {}
    flaky: set[TaskId] = set()
    found: list[tuple[int, float, bool, bool]] = []
    for row in rows:
        match row.event:
            case e.LandingPlanned() if row.event.repo == repo:
                for member in row.event.members:
                    came.setdefault(member.task, member.at)
                of[row.event.landing] = tuple(member.task for member in row.event.members)
                planned[row.event.landing] = row.at
            case e.FlakeSeen() if row.event.repo == repo:
                flaky |= set(row.event.tasks)
            case e.TaskLanded(task=task) if task in came:
                seconds = (row.at - planned.get(row.event.landing, row.at)) / 1000 or pace
                found.append((came.pop(task), seconds, False, task in flaky))
            case e.EntrySentBack(task=task, reason="failed") if task in came:
                found.append((came.pop(task), pace, True, task in flaky))
            case _:
                pass
    found.sort()
    first = found[0][0] if found else 0
    return tuple(((at - first) / 1000, seconds, culprit, lies) for at, seconds, culprit, lies in found)


async def look_at_walls() -> Reached:
    """The best walls that this machine gives, tried out now."""
    sandbox.look_again()
    return await asyncio.to_thread(sandbox.reached)


async def try_walls(layout: Layout, best: Reached) -> wire.WallsAre:
    """What an agent within the best walls of this machine can harm, on a stage of its own."""
    try:
        seen = await attacks.matrix(best.level, layout.home)
    except OSError as fault:
        mend = best.mend or "the daemon's log says more"
        raise Mistake(f"the attacks could not be tried: {fault}", where=str(layout.home), mend=mend) from fault
    return wire.WallsAre(reached=best, attacks=seen)
