"""The question whether a change may land: what a person is told, and to what the answer is bound. Pure; it never knows who asks."""

from andon.core.failure import gate_id
from andon.core.policy import bound_of
from andon.core.state import Gate, State, Task
from andon.schema import events as e
from andon.schema.ids import GateId, Oid
from andon.schema.sandbox import Known
from andon.schema.sentences import plural

OPTIONS = (
    e.Option(key="approve", label="Approve", consequence="The change goes into the merge queue."),
    e.Option(key="reject", label="Reject", consequence="It goes back to its agent with your reason."),
    e.Option(key="cancel", label="Give it up", consequence="The task ends as failed; all work stays in its salvage refs."),
)


def of(state: State, task: Task, *, risk: e.Risk, because: str, told: Known, number: int = 1) -> e.GateOpened:
    """The gate; `told` is the weakest level of walls that the person hears of, `number` counts gates that are opened together."""
    work = task.work
    size = f"{plural(work.paths_total, 'file')}, +{work.insertions} -{work.deletions}" if work else "not started yet"
    proven = all(claim.status == "proven" for claim in task.claims)
    gate = gate_id(state) if number == 1 else GateId(f"G{state.gate_count + number}")
    return e.GateOpened(
        gate=gate, task=task.task, kind="review", question=f"Land {task.task} “{task.title}”? ({size})", options=OPTIONS,
        recommendation="approve" if proven and risk != "stop" else "", because=because[:600], risk=risk,
        commit=work.commit if work else Oid(""), bound=bound_of(task), station=task.station, walls=told,
    )


def void(task: Task, gate: Gate) -> list[e.Event]:
    """What becomes of an open gate of the task: void when it asks about something that is gone."""
    stale = gate.kind == "review" and gate.bound != bound_of(task)
    return [e.GateVoided(gate=gate.gate, because="the change it asked about is another one now")] if stale else []
