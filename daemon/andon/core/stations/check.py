"""The check station: which runs are wanted, and what their results mean for a change."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from andon.core import walls
from andon.core.assertions import claims_tests
from andon.core.claimed import producing
from andon.core.failure import fingerprint, gate_id, packet_of, send_back
from andon.core.state import RERUNS, Claim, Proof, Repository, Run, State, Task, proof_key
from andon.core.stations import compared
from andon.schema import events as e, inputs as i, proofs
from andon.schema.ids import Digest, Oid, RunId
from andon.schema.sentences import plural
from andon.schema.settings import STAGE, Check, Settings, Station

FINAL_CAUSES = (
    "missing-tool", "zero-tests", "unreadable-report", "setup", "memory", "proof", "stale-report", "other-commit", "dead-rule",
    "empty-selection", "zero-lines", "files-missing", "no-data", "old-data",
)
"""Causes of an unevaluated run that a second run would only repeat."""
SAID = "tests pass"
"""What an agent may assert and a check may refute."""
STATUS: dict[e.Result, e.ClaimStatus] = {"pass": "proven", "fail": "refuted", "unevaluated": "unevaluated"}
"""What a result makes of the claim that it is about."""
OPTIONS = (
    e.Option(key="run-again", label="Run again", consequence="The check runs once more on the same commit."),
    e.Option(key="send-back", label="Send back", consequence="The agent gets another attempt with this report."),
    e.Option(key="cancel", label="Give it up", consequence="The task ends as failed; all work stays in its salvage refs."),
)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The exact thing that is to be proven."""

    task: Task
    commit: Oid
    tree: Oid
    base: Oid
    base_tree: Oid


@lru_cache(maxsize=512)
def digest_of(told: bytes) -> Digest:
    """sha256, remembered: definitions are compared at every step."""
    return Digest(hashlib.sha256(told).hexdigest())


def definition_of(check: Check, settings: Settings) -> Digest:
    """The digest of everything that defines a run besides the tree."""
    ours = (proofs.FORMAT,) if proofs.COMMAND in check.run else ()
    what = msgspec.structs.replace(check, stage=STAGE)  # when it starts is no part of what it is
    also = (rules,) if (rules := compared.rules_of(check, settings)) else ()
    told = msgspec.json.encode((what, settings.checkout.setup, settings.checkout.keep, *ours, *also), order="deterministic")
    return digest_of(told)


def checks_at(settings: Settings, station: Station) -> tuple[Check, ...]:
    """The checks of a station, in order of their names in the settings; those that its claims are produced by too."""
    names = station.checks or tuple(settings.checks)
    names = (*names, *(name for name in producing(settings, station) if name not in names))
    return tuple(settings.checks[name] for name in names if name in settings.checks)


def subject_of_change(task: Task) -> Subject | None:
    """The change of a task as the thing to prove."""
    work = task.work
    if work is None:
        return None
    return Subject(
        task=task, commit=work.commit, tree=work.tree, base=work.base, base_tree=work.base_tree,
    )


def advance(state: State, task: Task, station: Station, at: int) -> list[e.Event]:
    """What the station wants next: runs, a way back, a question. Empty while runs are under way or when all is proven."""
    subject = subject_of_change(task)
    if subject is None or task.gate:
        return []
    settings = state.repos[task.repo].settings
    return want(state, subject, checks_at(settings, station), at)


def passed(state: State, task: Task, station: Station) -> bool:
    """Whether every check of the station is proven for the task's exact commit, and there is at least one."""
    subject = subject_of_change(task)
    checks = checks_at(state.repos[task.repo].settings, station)
    return subject is not None and all_proven(subject, checks)


def all_proven(subject: Subject, checks: Sequence[Check]) -> bool:
    """Whether every check is proven for exactly this commit. No checks prove nothing."""
    found = [claim_for(subject, check) for check in checks]
    return bool(found) and all(claim is not None and claim.status == "proven" for claim in found)


def claim_for(subject: Subject, check: Check) -> Claim | None:
    """The claim of a check about exactly this commit."""
    known = subject.task.claims
    return next((claim for claim in known if claim.claim == check.name and claim.commit == subject.commit), None)


def want(state: State, subject: Subject, checks: Sequence[Check], at: int) -> list[e.Event]:
    """The events that bring the proof of a subject forward by one step."""
    task = subject.task
    if not checks:
        return [] if task.gate else [ask(state, task, subject.commit, "no check is configured, so nothing can be proven")]
    for group in compared.staged(checks):
        events = want_stage(state, subject, group, at)
        if events or not all_proven(subject, group):  # what is heavier starts once all that is cheaper holds
            return events
    return []


def want_stage(state: State, subject: Subject, checks: Sequence[Check], at: int) -> list[e.Event]:
    """The same for the checks of one stage."""
    task, settings = subject.task, state.repos[subject.task.repo].settings
    events: list[e.Event] = []
    waiting, open_claims = False, []
    for check in checks:
        claim = claim_for(subject, check)
        if claim is not None and claim.status in ("proven", "refuted"):
            continue
        if in_flight(state, subject, check):
            waiting = True
            continue
        proof = usable_proof(state, subject, check, definition_of(compared.of_change(check, task), settings))
        if proof is not None:
            events.append(judge(subject, check, proof))
        elif claim is not None and task.rerun >= RERUNS:
            open_claims.append(claim)
        else:
            return [*events, *plan(state, subject, check)]
    if events or waiting:
        return events
    refuted = [claim for check in checks if (claim := claim_for(subject, check)) and claim.status == "refuted"]
    if refuted:
        return back(state, task, refuted, at)
    if open_claims and not task.gate:
        return [ask(state, task, subject.commit, "; ".join(f"{claim.claim}: {claim.because}" for claim in open_claims))]
    return []


def in_flight(state: State, subject: Subject, check: Check) -> bool:
    """Whether a run of this check on this commit is planned and has no result."""
    return (subject.task.task, check.name, subject.commit) in under_way(state)


_latest: tuple[State, frozenset[tuple[str, ...]]] = (State(), frozenset())
"""The runs of the state that was asked about last: a memo, because every open task asks."""


def under_way(state: State) -> frozenset[tuple[str, ...]]:
    """What the runs of changes are about: task, check and commit of each."""
    global _latest
    if _latest[0].runs is not state.runs:
        told = frozenset((run.task, run.check, run.commit) for run in state.runs.values() if run.purpose == "change")
        _latest = (state, told)
    return _latest[1]


def usable_proof(state: State, subject: Subject, check: Check, definition: Digest) -> Proof | None:
    """A known result for this tree, compared with the same base."""
    proof = state.proofs.get(proof_key(subject.task.repo, subject.tree, definition))
    if proof is None or proof.result == "unevaluated" or not walls.as_good(state, subject.task.repo, proof):
        return None
    if not compared.comparable(check, proof, subject.base_tree):
        return None
    same_tests = check.report != "junit" or subject.task.may_remove_tests or proof.base_tree == subject.base_tree
    return proof if same_tests else None


def plan(state: State, subject: Subject, check: Check) -> list[e.Event]:
    """One run of the check, and before it one of the base when its tests are not known yet."""
    repo = state.repos[subject.task.repo]
    definition = definition_of(compared.of_change(check, subject.task), repo.settings)
    of_base = definition_of(compared.as_it_stands(check), repo.settings)
    events: list[e.Event] = []
    if needs_baseline(state, repo, subject, check, of_base):
        events.append(e.RunPlanned(
            run=RunId(f"R{state.run_count + 1}"), repo=repo.repo, purpose="baseline", check=check.name, definition=of_base,
            commit=subject.base, tree=subject.base_tree,
        ))
    events.append(e.RunPlanned(
        run=RunId(f"R{state.run_count + len(events) + 1}"), repo=repo.repo, task=subject.task.task, purpose="change",
        check=check.name, definition=definition, commit=subject.commit, tree=subject.tree,
    ))
    return events


def needs_baseline(state: State, repo: Repository, subject: Subject, check: Check, definition: Digest) -> bool:
    """Whether the tests that pass on the base are still unknown and matter."""
    if not compared.base_run(check) or (check.report == "junit" and subject.task.may_remove_tests):
        return False
    known = proof_key(repo.repo, subject.base_tree, definition) in state.proofs
    return not known and baseline_run(state, repo, subject.base_tree, definition) is None


def baseline_run(state: State, repo: Repository, tree: Oid, definition: Digest) -> Run | None:
    """The run under way that will tell which tests pass on a tree."""
    return next(
        (run for run in state.runs.values()
         if run.purpose == "baseline" and run.repo == repo.repo and run.tree == tree and run.definition == definition),
        None,
    )


def judge(subject: Subject, check: Check, proof: Proof) -> e.ClaimJudged:
    """The claim that follows from a known proof."""
    lost = proof.lost_tests if not subject.task.may_remove_tests else ()
    status = STATUS[verdict(proof, lost)[0]]
    because = f"{proof.because} (same tree, proven by {proof.run})" if not lost else lost_sentence(lost)
    return e.ClaimJudged(
        task=subject.task.task, commit=subject.commit, claim=check.name, status=status, because=because,
        run=proof.run, detail="\n".join(lost), walls=proof.walls, evidence=proof.evidence,
    )


def lost_sentence(lost: Sequence[str]) -> str:
    """One sentence on tests that went missing."""
    return f"{plural(len(lost), 'test')} of the base no longer pass here: {', '.join(lost[:3])}"


def verdict(seen: Proof | i.CheckRan, lost: Sequence[str]) -> tuple[e.Result, str]:
    """What a run says, and why, once the tests that went missing count: a pass without them is none."""
    return ("fail", lost_sentence(lost)) if lost and seen.result == "pass" else (seen.result, seen.because)


def finished(ran: i.CheckRan) -> e.RunFinished:
    """The result as an event."""
    return e.RunFinished(
        run=ran.run, result=ran.result, because=ran.because, cause=ran.cause, passed=ran.passed, failed=ran.failed,
        skipped=ran.skipped, failing=ran.failing, names=ran.names, log=ran.log, report=ran.report, evidence=ran.evidence,
        seconds=ran.seconds, cpu_s=ran.cpu_s, lost_tests=ran.lost_tests, walls=ran.walls,
    )


def judge_run(state: State, run: Run, ran: i.CheckRan) -> list[e.Event]:
    """The claim that a result makes, when the change it was run for is still the current one."""
    task = state.tasks.get(run.task)
    if task is None or task.over or not is_current(state, task, run):
        return []
    lost = ran.lost_tests if not task.may_remove_tests else ()
    result, because = verdict(ran, lost)
    status = STATUS[result]
    detail = "\n".join((*ran.failing, *lost, ran.tail)) if status != "proven" else ""
    return [e.ClaimJudged(
        task=task.task, commit=run.commit, claim=run.check, status=status, because=because, run=run.run, detail=detail[:4000],
        final=status == "unevaluated" and ran.cause in FINAL_CAUSES, walls=ran.walls, evidence=ran.evidence,
    )]


def stale_runs(state: State) -> list[e.Event]:
    """Runs that nobody wants any more: their check was redefined, or what they were to prove is gone."""
    return [
        e.RunFinished(run=run.run, result="unevaluated", because=because, cause="superseded")
        for run in sorted(state.runs.values(), key=lambda run: int(run.run[1:])) if (because := stale_because(state, run))
    ]


def stale_because(state: State, run: Run) -> str:
    """Why a run is no longer wanted; empty when it is."""
    settings = state.repos[run.repo].settings
    known = settings.checks.get(run.check)
    if known is None or run.definition not in {definition_of(one, settings) for one in (known, compared.as_it_stands(known))}:
        return f"check {run.check} was redefined before it ran"
    if run.purpose == "landing":
        landing = state.landings.get(run.landing)
        current = landing is not None and landing.candidate == run.commit and not landing.passed
        return "" if current else f"{run.landing} is over"
    task = state.tasks.get(run.task)
    if task is not None and run.purpose == "change" and (task.over or not is_current(state, task, run)):
        return f"{run.task} has moved on"
    return ""


def is_current(state: State, task: Task, run: Run) -> bool:
    """Whether a run is about what the task now wants to prove."""
    return task.work is not None and task.work.commit == run.commit


def baseline_trouble(state: State, run: Run, ran: i.CheckRan) -> list[e.Event]:
    """Say it when the target itself is not green, and when it is again."""
    key = f"target:{run.repo}:{run.check}"
    if ran.result == "pass":
        return [e.ProblemCleared(key=key)] if key in state.problems else []
    return [e.ProblemNoticed(
        key=key, repo=run.repo, what=f"the target itself does not pass {run.check}: {ran.because}",
        where=f"{run.repo} at {run.commit[:10]}, run {run.run}",
        mend="mend the target first: changes that pass there will land, those that inherit the failure will not",
    )]


def back(state: State, task: Task, refuted: Sequence[Claim], at: int) -> list[e.Event]:
    """The change goes back with its failing claims."""
    headline = "; ".join(f"{claim.claim}: {claim.because}" for claim in refuted)
    stat = f"{plural(task.work.paths_total, 'file')}, +{task.work.insertions} -{task.work.deletions}" if task.work else ""
    sections = [(f"{claim.claim} ({claim.run})", f"```\n{claim.detail[:3500]}\n```" if claim.detail else "") for claim in refuted]
    told = contradiction(state, task, refuted)
    believed = [("What you said", f"“{one.asserted}”: {one.observed}") for one in told]
    packet = packet_of(headline, *sections, *believed, ("Your change", stat))
    print_ = fingerprint("test", *(f"{claim.claim} {claim.because}" for claim in refuted))
    return [*told, *send_back(state, task, "test", print_, packet, at)]


def contradiction(state: State, task: Task, refuted: Sequence[Claim]) -> list[e.ClaimContradicted]:
    """That its agent said that tests pass, when a check of its change says that they do not."""
    attempt = state.attempts.get(task.work.attempt) if task.work else None
    if attempt is None or not claims_tests(attempt.turn_text or attempt.says) or SAID in attempt.contradicted:
        return []
    of_change = [f"{claim.claim}: {claim.because}" for claim in refuted if not claim.claim.endswith("@merge")]
    return [e.ClaimContradicted(attempt=attempt.attempt, asserted=SAID, observed=told) for told in of_change[:1]]


def ask(state: State, task: Task, commit: Oid, because: str) -> e.GateOpened:
    """A check could not say yes or no, so a person is asked. It is never taken for a pass."""
    return e.GateOpened(
        gate=gate_id(state), task=task.task, kind="unevaluated",
        question=f"{task.task}: a check could not be evaluated. What now?", options=OPTIONS, recommendation="run-again",
        because=because[:600], risk="review", commit=commit, station=task.station,
    )
