"""The steps that the ledger records: how each is named, what takes it back, and the deeds of walking one back. Does nothing."""

import re

import msgspec

from andon.ledger_reader import read_log, read_rows
from andon.record.board import answer
from andon.schema import events as e
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from andon.schema.inverses import Inverse, inverse_of
from andon.schema.layout import Layout
from andon.schema.sentences import sentence
from andon.schema.undo import Deed

ROWS = 20_000
"""Rows of a task or landing that are read, the latest."""
LANDING, TASK = re.compile(r"[Ll]([1-9]\d{0,8})"), re.compile(r"[Tt]([1-9]\d{0,8})")
ATTEMPT, EVENT = re.compile(r"[Tt]([1-9]\d{0,8}\.[1-9]\d{0,5})"), re.compile(r"#?([1-9]\d{0,11})")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded step and its inverse."""

    step: str
    """What `andon undo` takes: `L3`, `T3.1`, `#412`; empty where nothing takes it back."""
    seq: int
    at: int
    kind: str
    told: str
    how: str
    """`inverse`, `kept`, `passing` or `irreversible`."""
    by: str
    gate: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a step is walked backwards."""

    step: str
    deeds: tuple[Deed, ...] = ()
    kept: tuple[str, ...] = ()
    """What stays, and why."""


def named(text: str) -> str:
    """The step in its one spelling: `L3`, `T3`, `T3.1`, `#412`. Mistake for anything else."""
    word = text.strip()
    for pattern, sign in ((LANDING, "L"), (ATTEMPT, "T"), (TASK, "T"), (EVENT, "#")):
        if found := pattern.fullmatch(word):
            return f"{sign}{found[1]}"
    raise Mistake(f"`{word}` names no step.", mend="A step is a landing (L3), a task (T3), an attempt (T3.1) or an event (#412); "
                                                   "`andon undo --list T3` lists those of a task.")


def steps_of(layout: Layout, task: TaskId) -> list[Step]:
    """The steps of a task in their order, each with what takes it back. Mistake when the ledger knows no such task."""
    rows = read_log(layout, subject=task, limit=ROWS, newest=True)
    if not any(isinstance(row.event, e.TaskAdded) for row in rows):
        raise Mistake(f"There is no task {task}.", where=str(layout.ledger), mend="`andon list --all` shows those that are.")
    landings = [str(row[0]) for row in answer(layout, "SELECT landing FROM members WHERE task = :task", {"task": task}).rows]
    runs = [row.event.run for row in rows if isinstance(row.event, e.ClaimJudged) and row.event.run]
    beside = [row for subject in dict.fromkeys((*landings, *runs)) for row in read_log(layout, subject=subject, limit=ROWS)]
    moved = {row.event.new for row in beside if isinstance(row.event, e.TargetMoved)}
    after = [row for row in read_log(layout, kinds=("target.mirrored", "target.published"), limit=ROWS, newest=True)
             if isinstance(row.event, e.TargetMirrored | e.TargetPublished) and row.event.oid in moved] if moved else []
    unique = {row.seq: row for row in (*rows, *beside, *after) if getattr(row.event, "task", task) in (task, "")}
    found = [unique[seq] for seq in sorted(unique)]
    return [_step(row, inverse) for row in found if (inverse := inverse_of(e.kind_of(row.event))) is not None]


def plan(layout: Layout, step: str, *, whole: bool = False) -> Plan:
    """The deeds that walk a step backwards, the last thing first. Mistake when there is no such step, or nothing takes it back."""
    if LANDING.fullmatch(step):
        return _of_landing(layout, step)
    if ATTEMPT.fullmatch(step):
        return Plan(step=step, deeds=(_restore(step),))
    if TASK.fullmatch(step):
        return _of_task(layout, TaskId(step)) if whole else _of_latest(layout, TaskId(step))
    found = read_rows(layout, [int(step[1:])])
    if not found:
        raise Mistake(f"There is no event {step}.", where=str(layout.ledger), mend="`andon log` numbers them.")
    return _of_event(layout, found[0])


def need_standing(layout: Layout, found: Plan) -> None:
    """Raise Mistake when one of its changes was taken back before, however long ago that was."""
    for deed in found.deeds:
        rows = answer(layout, "SELECT reverted_by FROM landed WHERE task = :task AND reverted_by <> ''", {"task": deed.task}).rows \
            if deed.kind == "revert" else []
        if rows:
            raise Mistake(f"{deed.task} was taken back already: {rows[0][0]!s} landed.", where=found.step,
                          mend=f"`andon lineage {deed.task}` tells what became of it.")


def _step(row: e.Recorded, inverse: Inverse) -> Step:
    event = row.event
    name = "" if inverse.how != "inverse" else f"#{row.seq}"
    if isinstance(event, e.TargetMoved | e.TaskLanded) and event.landing:
        name = event.landing
    elif isinstance(event, e.CheckoutRemoved):
        name = event.attempt
    elif isinstance(event, e.CheckoutPrepared | e.AttemptStarted | e.AttemptSuspended | e.TargetMirrored | e.RevertPrepared):
        name = ""
    return Step(step=name, seq=row.seq, at=row.at, kind=e.kind_of(event), told=sentence(event), how=inverse.how, by=inverse.by,
                gate=inverse.gate)


def _restore(attempt: str) -> Deed:
    return Deed(kind="restore", attempt=AttemptId(attempt), told=f"the snapshot of {attempt} is laid out as a directory")


def _revert(task: str) -> Deed:
    return Deed(kind="revert", task=TaskId(task), told=f"the change of {task} is taken back: made, proved and landed as a revert")


def _of_landing(layout: Layout, step: str) -> Plan:
    rows = read_log(layout, subject=step, limit=ROWS)
    planned = next((row.event for row in rows if isinstance(row.event, e.LandingPlanned)), None)
    if planned is None:
        raise Mistake(f"There is no landing {step}.", where=str(layout.ledger), mend="`andon query landings` lists them.")
    if not any(isinstance(row.event, e.TargetMoved) for row in rows):
        raise Mistake(f"{step} never moved the target: there is nothing to walk back.", where=step,
                      mend=f"`andon log {step}` tells how it ended.")
    members = [member.task for member in planned.members] or [planned.task]
    return Plan(step=step, deeds=tuple(_revert(task) for task in reversed(members)), kept=(
        "the landing's commits, its evidence and its record: history is never rewritten", *_published(layout, planned.repo, rows)))


def _published(layout: Layout, repo: str, rows: list[e.Recorded]) -> tuple[str, ...]:
    """That others have it already, when it was handed on since."""
    moved = next((row.seq for row in rows if isinstance(row.event, e.TargetMoved)), 0)
    later = read_log(layout, after=moved, kinds=("target.published",), limit=ROWS)
    told = [row.event for row in later if isinstance(row.event, e.TargetPublished)]
    there = next((event for event in told if event.repo == repo and event.done), None)
    where = there.where or "the remote" if there else ""
    return (f"what was handed on to {where}: others have it; the revert is handed on after it",) if where else ()


def _of_latest(layout: Layout, task: TaskId) -> Plan:
    rows = answer(layout, "SELECT attempt FROM attempts WHERE task = :task ORDER BY number DESC LIMIT 1", {"task": task}).rows
    if not rows:
        raise Mistake(f"{task} has no attempt yet: there is nothing to restore.", mend=f"`andon why {task}` says why.")
    return Plan(step=str(rows[0][0]), deeds=(_restore(str(rows[0][0])),))


def _of_task(layout: Layout, task: TaskId) -> Plan:
    found = answer(layout, "SELECT outcome, landed FROM tasks WHERE task = :task", {"task": task}).rows
    if not found:
        raise Mistake(f"There is no task {task}.", where=str(layout.ledger), mend="`andon list --all` shows those that are.")
    outcome, landed = str(found[0][0]), found[0][1]
    final = [step for step in steps_of(layout, task) if step.how == "irreversible" and step.kind != "gate.answered"]
    kept = tuple(dict.fromkeys(f"{step.told}: {step.by}" for step in final))
    if landed:
        return Plan(step=task, deeds=(_revert(task),), kept=kept)
    if outcome != "open":
        raise Mistake(f"{task} was {outcome} and left nothing in the world.", where=task,
                      mend=f"`andon undo {task}` lays out what it had written; `andon retry {task}` gives it another attempt.")
    end = Deed(kind="end", task=task, told=f"{task} is ended: its session is stopped, its checkout kept as a snapshot and removed")
    return Plan(step=task, deeds=(end,), kept=kept)


def _of_event(layout: Layout, row: e.Recorded) -> Plan:
    """The deed against one recorded event."""
    event, step = row.event, f"#{row.seq}"
    match event:
        case e.TargetMoved() | e.TaskLanded() if event.landing:
            return _of_landing(layout, event.landing)
        case e.CheckoutRemoved():
            return Plan(step=event.attempt, deeds=(_restore(event.attempt),))
        case e.TaskAdded():
            return msgspec.structs.replace(_of_task(layout, event.task), step=step)
    deed = _deed(layout, row)
    if deed is not None:
        return Plan(step=step, deeds=(deed,))
    inverse, kind = inverse_of(e.kind_of(event)), e.kind_of(event)
    if inverse is None:
        raise Mistake(f"{step} ({kind}) is no step: it only records what was seen.", where=sentence(event),
                      mend="`andon undo --list TASK` lists the steps of a task.")
    word = {"irreversible": "is irreversible", "kept": "is record, and stays"}.get(inverse.how, "is not walked back by itself")
    mend = f"Before it stood: {inverse.gate}." if inverse.gate else "`andon undo --list TASK` lists the steps of a task."
    raise Mistake(f"{step} ({kind}) {word}: {inverse.by}.", where=sentence(event), mend=mend)


def _deed(layout: Layout, row: e.Recorded) -> Deed | None:
    """The one deed against what a person ordered."""
    event = row.event
    match event:
        case e.CordPulled():
            return Deed(kind="free-line", repo=event.repo, line=event.line, found=event.because,
                        told=f"line {event.line} of {event.repo} moves again")
        case e.CordReleased():
            return Deed(kind="stop-line", repo=event.repo, line=event.line,
                        told=f"line {event.line} of {event.repo} is stopped again")
        case e.QueueHeld():
            return Deed(kind="free-queue", repo=event.repo, found=event.because or "held",
                        told=f"the queue of {event.repo} goes on")
        case e.QueueResumed():
            return Deed(kind="stop-queue", repo=event.repo, told=f"the queue of {event.repo} is stopped again")
        case e.EntryHeld():
            return Deed(kind="free-entry", task=event.task, found=event.because or "held", told=f"{event.task} may land again")
        case e.EntryReleased():
            return Deed(kind="hold-entry", task=event.task, told=f"{event.task} is held again")
        case e.TaskCancelled() | e.TaskFailed():
            return Deed(kind="reopen", task=event.task, told=f"{event.task} gets another attempt")
        case e.QueueOrdered():
            before = [one.event for one in read_log(layout, kinds=("queue.ordered",), limit=ROWS, newest=True)
                      if one.seq < row.seq and isinstance(one.event, e.QueueOrdered) and one.event.repo == event.repo]
            order = before[-1].order if before else ()
            return Deed(kind="order", repo=event.repo, order=order, found=" ".join(event.order),
                        told=f"the order of {event.repo} is {', '.join(order) or 'nobody put first'} again")
    return None
