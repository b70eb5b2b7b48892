"""What check runs and judged claims change."""

from immutables import Map

from andon.core.folds.table import forget, on, replace, with_queue, with_task
from andon.core.queue.facts import KEPT_TIMES, KEPT_WATCHED, Watched
from andon.core.state import KEPT_PROOFS, RERUNS, Claim, Proof, Run, State, proof_key
from andon.schema import events as e
from andon.schema.ids import Oid


@on(e.RunPlanned)
def _(state: State, event: e.RunPlanned) -> State:
    run = Run(
        run=event.run, repo=event.repo, task=event.task, purpose=event.purpose, check=event.check, definition=event.definition,
        commit=event.commit, tree=event.tree, landing=event.landing,
    )
    return replace(state, runs=state.runs.set(event.run, run), run_count=state.run_count + 1)


@on(e.RunFinished)
def _(state: State, event: e.RunFinished) -> State:
    run = state.runs.get(event.run)
    if run is None:
        return state
    state = forget(replace(state, runs=state.runs.delete(event.run)), event.run)
    if event.cpu_s and event.seconds and run.repo in state.repos:
        uses = state.repos[run.repo].queue.uses
        state = with_queue(state, run.repo, uses=(*uses, (event.cpu_s, event.seconds))[-KEPT_TIMES:])
    if event.result == "pass" and run.repo in state.repos:
        state = quieter(state, run)
    if run.purpose == "watch":
        state = watched(state, run, event)
    if event.result != "unevaluated" or run.purpose == "baseline":
        state = remember(state, run, event)
    return state


def quieter(state: State, run: Run) -> State:
    """One pass more of what was flaky: on another tree, for on its own a pass is half of the flake."""
    flakes = state.repos[run.repo].queue.flakes
    if not any(flake.check == run.check and run.tree not in flake.trees for flake in flakes):
        return state
    told = tuple(replace(flake, passes=flake.passes + 1) if flake.check == run.check and run.tree not in flake.trees else flake
                 for flake in flakes)
    return with_queue(state, run.repo, flakes=told)


def watched(state: State, run: Run, event: e.RunFinished) -> State:
    """Count what the watch station saw; a run that was given up saw nothing."""
    repo = state.repos.get(run.repo)
    if repo is None or event.result == "pass" or event.cause == "superseded":
        return state
    known = next((one for one in repo.queue.watched if (one.check, one.tree) == (run.check, run.tree)), None)
    seen = known or Watched(check=run.check, tree=run.tree)
    seen = replace(
        seen, fails=seen.fails + (event.result == "fail"), unevaluated=seen.unevaluated + (event.result == "unevaluated"),
    )
    others = tuple(one for one in repo.queue.watched if one is not known)
    return with_queue(state, run.repo, watched=(*others, seen)[-KEPT_WATCHED:])


def remember(state: State, run: Run, event: e.RunFinished) -> State:
    """Keep the result as a proof of its tree, forgetting the oldest half at the bound."""
    task = state.tasks.get(run.task)
    compared = task.work.base_tree if task and task.work and run.purpose == "change" else Oid("")
    proof = Proof(
        run=event.run, result=event.result, because=event.because, names=event.names, base_tree=compared,
        lost_tests=event.lost_tests, failing=event.failing[:50], seq=state.seq, walls=event.walls, evidence=event.evidence, at=state.at,
    )
    proofs = state.proofs
    if len(proofs) >= KEPT_PROOFS:
        proofs = Map(sorted(proofs.items(), key=lambda item: item[1].seq)[KEPT_PROOFS // 2 :])
    return replace(state, proofs=proofs.set(proof_key(run.repo, run.tree, run.definition), proof))


@on(e.ClaimJudged)
def _(state: State, event: e.ClaimJudged) -> State:
    task = state.tasks.get(event.task)
    if task is None:
        return state
    claim = Claim(
        claim=event.claim, status=event.status, because=event.because, commit=event.commit, run=event.run, at=state.at,
        detail=event.detail, walls=event.walls, evidence=event.evidence,
    )
    others = tuple(other for other in task.claims if other.claim != event.claim)
    rerun = RERUNS if event.final else task.rerun + (event.status == "unevaluated")
    return with_task(state, event.task, claims=(*others, claim), rerun=rerun)
