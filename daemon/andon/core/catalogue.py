"""The claims that stations ask for: how each stands for a task, and by what. Pure; nothing that an agent says counts."""

from andon.core.assertions import claims_tests
from andon.core.claimed import SCOPE, by_landing, check_of, needs, station_of_claim
from andon.core.policy import bound_of
from andon.core.state import Claim, State, Task, line_of, proof_key, station_of
from andon.core.stations import check
from andon.schema import views as v
from andon.schema.settings import ClaimType, Line, Station

Stand = tuple[str, str]
"""The status of a claim, as `ClaimStep.status` has it, and why."""


def open_at(state: State, task: Task, station: Station, at: int) -> list[tuple[ClaimType, Stand]]:
    """The claims that a station asks for and that are not proven and fresh; not what landing itself proves."""
    claims = [claim for claim in needs(state.repos[task.repo].settings, station) if not by_landing(claim)]
    found = [(claim, standing(state, task, claim, at)) for claim in claims]
    return [(claim, stand) for claim, stand in found if stand[0] != "proven"]


def keeps(state: State, task: Task) -> bool:
    """Whether an open claim keeps a change at a land station from landing."""
    station = station_of(state, task)
    return station is not None and bool(station.claims) and bool(open_at(state, task, station, state.at))


# --- how a claim stands ------------------------------------------------------------------------------------------------


def standing(state: State, task: Task, claim: ClaimType, at: int) -> Stand:
    """How a claim of this task stands now."""
    if by_landing(claim):
        return _merged(task, check_of(claim))
    if name := check_of(claim):
        return _checked(state, task, claim, name, at)
    if name := station_of_claim(claim):
        return _station(state, task, name)
    if task.work is None:
        return "open", "there is no change yet"
    if claim.producer == SCOPE:
        return _of(task, "scope")
    return "proven", f"kept as {task.work.commit[:10]}"


def _of(task: Task, name: str) -> Stand:
    """A claim that the daemon recorded about the change."""
    found = [known for known in task.claims if known.claim == name and task.work and known.commit == task.work.commit]
    return (found[-1].status, found[-1].because) if found else ("open", "")


def _merged(task: Task, name: str) -> Stand:
    """What was proven of the tree that landed; before that it is open, whatever was proven of others."""
    suffix = "@merge"
    found = [known for known in task.claims if known.claim.endswith(suffix) and name in ("", known.claim.removesuffix(suffix))]
    wrong = next((known for known in found if known.status != "proven"), None)
    if wrong is not None:
        return wrong.status, wrong.because
    if task.landed and found:
        return "proven", f"on the merged tree, {', '.join(str(known.run) for known in found)}"
    return "open", "landing proves it"


def _checked(state: State, task: Task, claim: ClaimType, name: str, at: int) -> Stand:
    """What a check said of exactly this change."""
    subject = check.subject_of_change(task)
    known, settings = state.repos[task.repo].settings.checks.get(name), state.repos[task.repo].settings
    if known is None or subject is None:
        return "open", f"there is no check {name}" if known is None else ""
    found = check.claim_for(subject, known)
    if found is None:
        return _said(state, task, known.report)
    if found.status == "proven" and claim.fresh == "hours":
        proof = state.proofs.get(proof_key(task.repo, subject.tree, check.definition_of(known, settings)))
        if (old := at - _seen_at(found, proof.at if proof else 0)) > claim.hours * 3_600_000:
            return "stale", f"proven {old // 3_600_000} hours ago, and it counts for {claim.hours:g}"
    return found.status, found.because


def _seen_at(found: Claim, proof_at: int) -> int:
    """When it was seen: a claim may rest on an older run of the same tree."""
    return min(found.at, proof_at) if proof_at else found.at


def _said(state: State, task: Task, report: str) -> Stand:
    """Nobody ran it. What the agent says about it is told for what it is."""
    attempt = state.attempts.get(task.work.attempt) if task.work else None
    if attempt is not None and report == "junit" and claims_tests(attempt.turn_text or attempt.says):
        return "asserted", "the agent says so, which proves nothing"
    return "open", ""


def _station(state: State, task: Task, name: str) -> Stand:
    """Whether a station of the task's line has done its part for exactly this change."""
    line = line_of(state, task)
    station = next((one for one in line.stations if one.name == name), None) if line else None
    if station is None or task.work is None:
        return "open", f"line {task.line} has no station {name}" if station is None else ""
    if station.kind == "gate":
        # Beyond the gate landing adds claims of its own; another change would have taken the approval away.
        approved = bool(task.approved) and (task.station != name or task.approved == bound_of(task))
        return ("proven", "a person approved exactly this") if approved else ("open", "nobody approved exactly this")
    if station.kind == "check":
        done = check.passed(state, task, station)
    else:
        done = bool(task.landed) if station.kind in ("land", "watch") else not task.live
    return ("proven", "") if done else ("open", "")


# --- what faces show ---------------------------------------------------------------------------------------------------


def view(state: State, task: Task) -> tuple[v.ClaimStep, ...]:
    """Each claim that the task's line asks for, in the order of its stations, with its producer and how it stands."""
    line = line_of(state, task)
    if line is None or not any(station.claims for station in line.stations):
        return ()
    return tuple(
        v.ClaimStep(claim=claim.name, station=name, producer=claim.producer, status=stand[0], because=stand[1])  # type: ignore[arg-type]  # words of `ClaimStep.status`
        for name, claim in ordered(state, task, line) for stand in (standing(state, task, claim, state.at),)
    )


def ordered(state: State, task: Task, line: Line) -> list[tuple[str, ClaimType]]:
    """The claims of a line with the station that asks first."""
    found: dict[str, tuple[str, ClaimType]] = {}
    for station in line.stations:
        for claim in needs(state.repos[task.repo].settings, station):
            found.setdefault(claim.name, (station.name, claim))
    return list(found.values())
