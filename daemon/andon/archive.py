"""Answers questions about what has landed: which task a commit is, and what other policies would have made of it all."""

import asyncio
import statistics
from typing import Literal

from andon.core.queue.standing import slots
from andon.core.state import Past, Repository, State, Task
from andon.edges import provenance
from andon.ledger_reader import read_log
from andon.schema import events as e, wire
from andon.schema.errors import Mistake
from andon.schema.ids import LandingId, Oid, RepoId, TaskId
from andon.schema.layout import Layout
from andon.schema.views import Provenance

ROWS = 200_000
"""Ledger rows that a history is read from, the latest."""
PROOF_S = 60.0
"""Taken for a proof where none was ever timed."""


async def find_commit(state: State, request: wire.FindCommit) -> wire.ProvenanceIs:
    """The task of a commit, from the ledger first, else from trailers; a Mistake when no repository has it."""
    repos = [repo for repo in state.repos.values() if request.repo in ("", repo.repo)]
    for repo in repos:
        told = await provenance.tell(repo.git_dir, request.commit, repo.settings.target)
        if told is not None:
            return wire.ProvenanceIs(found=provenance_of(state, repo, told))
    known = ", ".join(repo.repo for repo in repos) or "no repository"
    raise Mistake(f"there is no commit {request.commit}", where=known, mend="give more of its hash, or name the repository")


def provenance_of(state: State, repo: Repository, told: provenance.Told) -> Provenance:
    """Ledger and trailers together. A trailer names a task; only the ledger proves that it landed as this commit."""
    recorded = {task: known for task, known in (*state.tasks.items(), *state.past.items()) if known.repo == repo.repo and known.landed}
    task = next((name for name, known in recorded.items() if known.landed in (told.commit, told.by)), TaskId(""))
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
