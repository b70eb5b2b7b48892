"""Once a day: which tasks are landed and needed by nobody, and what retention may therefore take. Decides nothing about work."""

import asyncio
import logging

from andon import refold
from andon.core.state import State
from andon.edges import retention
from andon.edges.blobs import Blobs
from andon.loop import Loop
from andon.schema import inputs as i
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from andon.schema.layout import Layout

FIRST_S, EVERY_S = 600.0, 86_400.0
"""A start is left in peace; after that one sweep a day."""
TAMPERED = "ledger:proof"
"""Key of the problem that ledger or snapshot are not as they were written."""
log = logging.getLogger("andon.housekeeping")


async def keep_house(loop: Loop, layout: Layout, blobs: Blobs) -> None:
    """For life. A sweep that cannot be done is said and tried again the next day; so is a ledger or snapshot that was changed."""
    pause = FIRST_S
    while True:
        await asyncio.sleep(pause)
        pause = EVERY_S
        await prove(loop, layout)
        try:
            done = await retention.sweep(layout, blobs, known(loop.state, layout))
        except (Mistake, OSError) as error:
            log.warning("old files stay: %s", error)
        else:
            if done.size:
                log.info("took away %d job directories, %d blobs and %d restored copies: %d KiB", done.jobs, done.blobs,
                         done.restored, done.size // 1024)


async def prove(loop: Loop, layout: Layout) -> None:
    """Tell what is wrong with the ledger or a snapshot, and when it no longer is."""
    try:
        problem = await refold.prove(loop.store, layout)
    except (Mistake, OSError) as error:
        log.warning("the ledger could not be proven: %s", error)
        return
    loop.give(i.TroubleSeen(key=TAMPERED, problem=problem) if problem else i.TroubleGone(key=TAMPERED))


def known(state: State, layout: Layout) -> retention.Known:
    """Who needs what, as the factory stands."""
    runs = {claim.run for name in state.open for claim in state.tasks[name].claims} | {*state.runs}
    runs |= {proof.run for proof in state.proofs.values()}
    return retention.Known(landed=settled(state), runs=frozenset(runs), git_dirs=snapshots_of(state, layout))


def settled(state: State) -> frozenset[TaskId]:
    """Tasks that are over, on their target, and that nothing which is open refers to: no dependency, no revert, no race."""
    over = {task.task for task in state.tasks.values() if task.over and task.outcome == "done" and task.landed}
    over |= {name for name, past in state.past.items() if past.outcome == "done" and past.landed}
    for name in state.open:
        task = state.tasks[name]
        over -= {*task.after, task.reverts}
        if task.race:
            over -= {other.task for other in state.tasks.values() if other.race == task.race}
    for repo in state.repos.values():  # given up, and may yet turn out to be what landed
        over -= {member.task for landing in repo.queue.late for member in landing.members}
    return frozenset(over)


def snapshots_of(state: State, layout: Layout) -> dict[AttemptId, str]:
    """For each restored copy: the git directory whose refs keep its snapshot. A copy of an unknown task has none, and stays."""
    found: dict[AttemptId, str] = {}
    folder = layout.home / "restored"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = TaskId(path.name.partition(".")[0])
        task = state.tasks.get(name) or state.past.get(name)
        if task is not None and (repo := state.repos.get(task.repo)) is not None:
            found[AttemptId(path.name)] = repo.git_dir
    return found
