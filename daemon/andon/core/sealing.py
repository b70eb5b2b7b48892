"""When the evidence of a change is to be signed and of what it is made; what proved a landing. Pure; it signs nothing itself."""

import msgspec

from andon.core import waivers, walls
from andon.core.policy import MERGED, shown_of
from andon.core.queue.standing import at_land, checks_of_line, is_sealed
from andon.core.state import Repository, State, Task, line_of
from andon.core.stations import gate
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.eventbase import Risk
from andon.schema.evidence import ChangeParts, ClaimPart
from andon.schema.settings import Station

JUDGED_BY = ("checks", "claims", "policy", "queue", "checkout", "sandbox", "target")
"""The settings that say what a change must prove and who must see it."""
_texts: dict[tuple[str, str], str] = {}
"""By settings and line: a memo, for the text of one policy is asked for at every step while a change waits for its seal."""
TEXTS = 64


def owes(state: State, task: Task) -> f.SealChange | None:
    """The seal that a change before the merge queue still lacks; None while somebody must be asked about it first."""
    if not at_land(state, task) or is_sealed(task) or task.gate or walls.too_weak(state, task):
        return None
    parts = parts_of(state, task)
    return f.SealChange(repo=task.repo, task=task.task, approved=task.approved, parts=parts) if parts else None


def parts_of(state: State, task: Task) -> ChangeParts | None:
    """All that the bundle of its change follows from; None when it has no change."""
    work, repo = task.work, state.repos[task.repo]
    if work is None:
        return None
    risk, because = class_of(state, task)
    attempt, known = state.attempts.get(work.attempt), waivers.judged(state, task)
    agent = repo.settings.agents.get(attempt.agent) if attempt else None
    claims = tuple(
        ClaimPart(claim=claim.claim, status=claim.status, run=claim.run, evidence=claim.evidence, walls=claim.walls)
        for claim in sorted(task.claims, key=lambda claim: claim.claim)
        if claim.commit == work.commit and not claim.claim.endswith(MERGED)
    )
    return ChangeParts(
        task=task.task, attempt=work.attempt, repo=task.repo, git_dir=repo.git_dir, commit=work.commit, tree=work.tree,
        base=work.base, title=task.title, spec=task.spec, risk=risk, because=because,
        required=tuple(check.name for check in checks_of_line(state, task)), claims=claims, policy=policy_of(repo, task.line),
        shown=shown_of(task), approvals=task.approvals if task.approved else (),
        waivers=tuple(sorted({one.waived for one in known.findings if one.waived})) if known else (),
        agent=agent.use if agent else "", model=agent.model if agent else "", walls=walls.level_of(task), asked_by=task.by,
        started_at=attempt.started_at if attempt else 0, ended_at=attempt.ended_at if attempt else 0,
    )


def class_of(state: State, task: Task) -> tuple[Risk, str]:
    """The class of its change, and why. What takes a landed change back was asked for by a person or by the policy itself."""
    if task.reverts:
        return "ship", f"it takes {task.reverts} back"
    _, risk, because = gate.needed(state, task, station_that_asks(state, task))
    return risk, because


def station_that_asks(state: State, task: Task) -> Station:
    """The gate of its line, where there is one."""
    line = line_of(state, task)
    known = (station for station in line.stations if station.kind == "gate") if line else ()
    return next(iter(known), Station(name="", kind="gate"))


def policy_of(repo: Repository, line: str) -> str:
    """The settings that judge the changes of a line, as canonical JSON."""
    key = (repo.digest, line)
    if key not in _texts:
        if len(_texts) >= TEXTS:
            _texts.clear()
        judging = {name: getattr(repo.settings, name) for name in JUDGED_BY} | {"line": repo.settings.lines.get(line)}
        _texts[key] = msgspec.json.encode(judging, order="deterministic").decode()
    return _texts[key]


def record_owed(repo: Repository) -> f.RecordLanding | None:
    """The oldest landing whose proof is not recorded yet."""
    return f.RecordLanding(repo=repo.repo, parts=repo.queue.unrecorded[0]) if repo.queue.unrecorded else None


def made(state: State, given: i.SealMade, at: int) -> list[e.Event]:
    """The seal counts when the change and what was approved are still the same."""
    task = state.tasks.get(given.task)
    if task is None or task.work is None or is_sealed(task) or (task.work.commit, task.approved) != (given.commit, given.approved):
        return []
    return [e.ChangeSealed(task=given.task, commit=given.commit, approved=given.approved, sealed=given.sealed)]


def noted(state: State, given: i.LandingNoted, at: int) -> list[e.Event]:
    """The record is there."""
    repo = state.repos.get(given.repo)
    owed = repo is not None and any(known.landing == given.landing for known in repo.queue.unrecorded)
    return [e.LandingRecorded(repo=given.repo, landing=given.landing)] if owed else []
