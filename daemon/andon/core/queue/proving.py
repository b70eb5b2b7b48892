"""The proof of a merged tree: which checks are still wanted, and what their results say of the landing. Pure."""

from andon.core import walls
from andon.core.queue.facts import Checked, Landing
from andon.core.queue.standing import checks_for, keys, outcome_of, settled
from andon.core.state import Proof, Repository, Run, State, proof_key
from andon.core.stations import check, compared
from andon.schema import events as e, inputs as i
from andon.schema.ids import Digest, Oid, RunId
from andon.schema.settings import Check


def advance(state: State, repo: Repository, landing: Landing) -> list[e.Event]:
    """The events that bring one landing's proof forward by one step; empty while runs are under way and when it is judged."""
    if not landing.candidate or landing.passed or not repo.is_trusted:
        return []
    checks = checks_for(state, landing)
    if not checks:
        because = "no check is configured, so nothing can be proven"
        return [e.LandingJudged(landing=landing.landing, result="unevaluated", because=because, final=True)]
    known = {checked.check: checked for checked in landing.checked}
    failed = [checked for checked in landing.checked if checked.result == "fail"]
    if failed:
        return [judged(landing, "fail", failed)]
    events: list[e.Event] = []
    for group in compared.staged(checks):
        for wanted in group:
            if wanted.name not in known:
                planned = sum(isinstance(event, e.RunPlanned) for event in events)
                events += step(state, repo, landing, wanted, planned)
        if any(wanted.name not in known for wanted in group):
            return events
        if any(known[wanted.name].result == "unevaluated" for wanted in group):
            break  # what is heavier starts once all that is cheaper holds
    open_ = [checked for checked in landing.checked if checked.result == "unevaluated"]
    return [judged(landing, "unevaluated", open_) if open_ else judged(landing, "pass", list(landing.checked))]


def judged(landing: Landing, result: e.Result, told: list[Checked]) -> e.LandingJudged:
    """The verdict with its reasons."""
    because = "; ".join(f"{checked.check}: {checked.because}" for checked in told)
    return e.LandingJudged(
        landing=landing.landing, result=result, because=because[:600], final=any(checked.final for checked in told),
    )


def step(state: State, repo: Repository, landing: Landing, wanted: Check, planned: int) -> list[e.Event]:
    """What is known of one check on this tree, or a run of it; empty while one is under way."""
    if any(run.landing == landing.landing and run.check == wanted.name for run in state.runs.values()):
        return []
    definition = check.definition_of(compared.as_it_stands(wanted), repo.settings)
    proof = None if repeats(state, repo, landing, wanted) else usable(state, repo, landing, wanted)
    if proof is not None:
        return [told(landing, wanted, proof, state)]
    first = base_first(state, repo, wanted, definition, planned)
    return [*first, e.RunPlanned(
        run=RunId(f"R{state.run_count + planned + len(first) + 1}"), repo=repo.repo, task=landing.task, purpose="landing",
        check=wanted.name, definition=definition, commit=landing.candidate, tree=landing.tree, landing=landing.landing,
    )]


def base_first(state: State, repo: Repository, wanted: Check, definition: Digest, planned: int) -> list[e.Event]:
    """A run of the target as it is, where its findings are what those of the merged tree are compared with, and are not known."""
    if not wanted.baseline or check.baseline_run(state, repo, repo.tree, definition) is not None:
        return []
    if proof_key(repo.repo, repo.tree, definition) in state.proofs:
        return []
    return [e.RunPlanned(
        run=RunId(f"R{state.run_count + planned + 1}"), repo=repo.repo, purpose="baseline", check=wanted.name,
        definition=definition, commit=repo.trunk, tree=repo.tree,
    )]


def repeats(state: State, repo: Repository, landing: Landing, wanted: Check) -> bool:
    """Whether a check is to be run although its result on this tree is known: it failed with these members, and neither that
    nor the contrary was seen often enough. One pass after a failure is not told again as a second."""
    known = outcome_of(repo, keys(landing), alone=landing.why == "apart")
    return any(failed.check == wanted.name for failed in known.failed) and known.fails > 0 and not settled(state, repo, known)


def usable(state: State, repo: Repository, landing: Landing, wanted: Check) -> Proof | None:
    """A known yes or no for exactly this tree."""
    bare = compared.as_it_stands(wanted)
    proof = state.proofs.get(proof_key(repo.repo, landing.tree, check.definition_of(bare, repo.settings)))
    if proof is None or not compared.comparable(bare, proof, repo.tree):
        return None
    return proof if proof.result != "unevaluated" and walls.as_good(state, repo.repo, proof) else None


def told(landing: Landing, wanted: Check, proof: Proof, state: State) -> e.LandingChecked:
    """What an earlier run says of this tree."""
    lost = proof.lost_tests if not may_remove_tests(state, landing) else ()
    result, said = check.verdict(proof, lost)
    return e.LandingChecked(
        landing=landing.landing, check=wanted.name, result=result, run=proof.run,
        because=f"{said} (same tree, proven by {proof.run})", failing=proof.failing or lost,
        detail="\n".join((*proof.failing, *lost))[:4000], walls=proof.walls, evidence=proof.evidence,
    )


def may_remove_tests(state: State, landing: Landing) -> bool:
    """Whether one of the members was given leave to remove tests."""
    return any(state.tasks[member.task].may_remove_tests for member in landing.members if member.task in state.tasks)


def ran(state: State, landing: Landing, run: Run, seen: i.CheckRan) -> list[e.Event]:
    """A run of a landing ended."""
    if run.commit != landing.candidate or landing.passed:
        return []
    lost = seen.lost_tests if not may_remove_tests(state, landing) else ()
    result, because = check.verdict(seen, lost)
    detail = "\n".join((*seen.failing, *lost, seen.tail))[:4000] if result != "pass" else ""
    final = result == "unevaluated" and seen.cause in check.FINAL_CAUSES
    return [e.LandingChecked(
        landing=landing.landing, check=run.check, result=result, run=run.run, because=because, detail=detail, final=final,
        failing=(*seen.failing, *lost)[:50] if result == "fail" else (), walls=seen.walls,
        evidence=seen.evidence,
    )]


def base_of(state: State, run: Run) -> Oid:
    """The tree that a run is held against, as its proof remembers it."""
    task = state.tasks.get(run.task)
    return task.work.base_tree if task and task.work and run.purpose == "change" else Oid("")


def flaked(state: State, run: Run, seen: i.CheckRan) -> list[e.Event]:
    """That this tree was told the opposite of before; a run that was not evaluated tells nothing."""
    known = state.proofs.get(proof_key(run.repo, run.tree, run.definition))
    if known is None or "unevaluated" in (known.result, seen.result) or known.result == seen.result:
        return []
    wanted = state.repos[run.repo].settings.checks.get(run.check)
    if wanted is not None and not compared.comparable(compared.as_it_stands(wanted), known, base_of(state, run)):
        return []
    tests = known.failing if known.result == "fail" else seen.failing
    landing = state.landings.get(run.landing)
    inside = tuple(member.task for member in landing.members) if landing else ((run.task,) if run.task else ())
    return [e.FlakeSeen(
        repo=run.repo, check=run.check, tree=run.tree, tests=tests[:50], runs=(known.run, seen.run), tasks=inside[:50],
    )]
