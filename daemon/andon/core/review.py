"""The question whether a change may land: what a person is told, and to what the answer is bound. Pure; it never knows who asks."""

from andon.core import approvals
from andon.core.failure import gate_id
from andon.core.policy import bound_of
from andon.core.state import Gate, State, Task
from andon.schema import events as e
from andon.schema.approval import nonce
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
    roles, keys = approvals.needs(state, task)
    risk = "stop" if keys else risk
    return e.GateOpened(
        gate=gate, task=task.task, kind="review", question=f"Land {task.task} “{task.title}”? ({size})", options=OPTIONS,
        recommendation="approve" if proven and risk != "stop" else "", because=because[:600], risk=risk,
        commit=work.commit if work else Oid(""), bound=bound_of(task), station=task.station, walls=told,
        roles=roles, keys=keys, nonce=nonce(state.seed, gate),
    )


def void(state: State, task: Task, gate: Gate) -> list[e.Event]:
    """What becomes of an open gate of the task: void when it asks about something that is gone, or no longer asks for the approvals
    that the policy wants. What was approved so far goes with it."""
    if gate.kind != "review":
        return []
    if gate.bound != bound_of(task):
        return [e.GateVoided(gate=gate.gate, because="the change it asked about is another one now")]
    if (gate.roles, gate.keys) != approvals.needs(state, task):
        return [e.GateVoided(gate=gate.gate, because="the policy asks for other approvals now")]
    if gate.keys and not gate.nonce and state.seed:
        return [e.GateVoided(gate=gate.gate, because="an earlier release asked it without a nonce: nobody could sign for it")]
    return []
