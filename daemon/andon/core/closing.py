"""What is done about the claims of a station that are open, before it closes. Pure.

Theory of operation. A station that lists `claims` closes only when its kind lets it and each of them, with all that they require,
is proven for exactly this change and fresh. What a check produces is run wherever it is missing; what is too old is run again. What
only a person or an earlier station can produce is asked for at a gate: it is never waited for in silence.
"""

from andon.core.catalogue import Stand, open_at
from andon.core.claimed import check_of, station_of_claim
from andon.core.failure import gate_id
from andon.core.state import State, Task
from andon.core.stations import check
from andon.core.stations.table import KINDS
from andon.schema import events as e
from andon.schema.ids import Oid
from andon.schema.settings import ClaimType, Station


def advance(state: State, task: Task, station: Station, at: int) -> list[e.Event] | None:
    """What the claims of a station want while one of them is open; None when they keep nothing: the station's kind goes on.

    Before a gate asks, what can be produced by itself is produced, so that the person sees it.
    """
    if not station.claims or task.work is None or task.live or task.gate or task.landed:
        return None
    if station.kind == "check" and not check.passed(state, task, station):
        return None
    wanted = open_at(state, task, station, at)
    own = [one for one in wanted if station_of_claim(one[0]) == station.name]
    if own and not KINDS[station.kind].passed(state, task, station):
        wanted = [one for one in wanted if one not in own]
    if not wanted:
        return None
    events, busy = _produced(state, task, wanted, at)
    return events or ([] if busy else [_ask(state, task, station, wanted)])


def _produced(state: State, task: Task, wanted: list[tuple[ClaimType, Stand]], at: int) -> tuple[list[e.Event], bool]:
    """What brings claims of checks forward, and whether a run of one is under way."""
    checks, subject = state.repos[task.repo].settings.checks, check.subject_of_change(task)
    assert subject is not None, "a change was asked for before"
    missing, busy = [], False
    for claim, (status, _) in wanted:
        known = checks.get(check_of(claim))
        if known is None:
            continue
        if check.in_flight(state, subject, known):
            busy = True
        elif status == "stale":
            return check.plan(state, subject, known), True
        else:
            missing.append(known)
    return (check.want(state, subject, missing, at) if missing else []), busy


def _ask(state: State, task: Task, station: Station, open_: list[tuple[ClaimType, Stand]]) -> e.GateOpened:
    told = "; ".join(f"{claim.name} (by {claim.producer}) is {status}{f': {because}' if because else ''}"
                     for claim, (status, because) in open_)
    return e.GateOpened(
        gate=gate_id(state), task=task.task, kind="unevaluated",
        question=f"{task.task}: station {station.name} closes only with its claims, and not all are proven. What now?",
        options=check.OPTIONS, recommendation="send-back", because=told[:600], risk="review",
        commit=task.work.commit if task.work else Oid(""), station=task.station,
    )
