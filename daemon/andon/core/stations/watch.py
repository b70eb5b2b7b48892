"""The watch station: after landing the target itself is proven, and when it is red the change that made it so is found. Pure.

Theory of operation. Only the newest commit of the target is proven, once for all changes that it holds. A failure is run again
before it is believed. Then the steps since the check was last green are bisected, each on its own tree. What is found stops
the line, and a person is asked about that change, or it is taken back by a proven revert when the settings say so. When the cord is
released the target is looked at anew: what made it red may have been mended outside.
"""

from collections.abc import Iterator

from andon.core.failure import gate_id
from andon.core.queue import steer
from andon.core.queue.facts import Landed, Watched
from andon.core.state import Proof, Repository, State, Task, cord_key, proof_key
from andon.core.stations import check, compared
from andon.schema import events as e
from andon.schema.ids import Oid, RunId
from andon.schema.settings import Check, Station

WHO = "andon"
SURE = 2
"""Failures on one tree before they are believed, and results without a yes or no before it is left at that."""
OPTIONS = (
    e.Option(key="revert", label="Take it back", consequence="A revert is made, proved in the queue and landed."),
    e.Option(key="keep", label="Leave it", consequence="It stays; the line stands until you resume it, and the target stays red."),
)


def passed(state: State, task: Task, station: Station) -> bool:
    """Whether every check of the station was green on a target that holds the change."""
    repo = state.repos[task.repo]
    return all(covers(repo, wanted, task) for wanted in check.checks_at(repo.settings, station))


def wait(state: State, task: Task, station: Station, at: int) -> list[e.Event]:
    """Nothing: the target is proven once for all that it holds (`advance`)."""
    return []


def covers(repo: Repository, wanted: Check, task: Task) -> bool:
    """Whether the check was green on a step of the target that holds the task's change."""
    green = dict(repo.queue.green).get(wanted.name)
    places = {step.commit: place for place, step in enumerate(repo.queue.landed)}
    mine = next((place for place, step in enumerate(repo.queue.landed) if step.task == task.task), -1)
    return green is not None and (green == repo.trunk or places.get(green, -1) >= mine >= 0)


def advance(state: State, repo: Repository, at: int) -> list[e.Event]:
    """What is still to be found out about the target as it stands."""
    if not repo.trunk or not repo.is_trusted:
        return []
    for wanted in watched_checks(repo):
        if dict(repo.queue.green).get(wanted.name) == repo.trunk or any_run(state, repo, wanted):
            continue
        told = any(red.check == wanted.name and red.commit == repo.trunk for red in repo.queue.red)
        if told and known(state, repo, wanted, repo.tree)[1].fails >= SURE:
            continue
        events = find_out(state, repo, wanted)
        if events:
            return events
    return []


def watched_checks(repo: Repository) -> list[Check]:
    """The checks of all watch stations."""
    lines = repo.settings.lines.values()
    stations = [station for line in lines for station in line.stations if station.kind == "watch"]
    return list({known.name: known for station in stations for known in check.checks_at(repo.settings, station)}.values())


def any_run(state: State, repo: Repository, wanted: Check) -> bool:
    """Whether the station runs this check now."""
    return any(run.purpose == "watch" and run.repo == repo.repo and run.check == wanted.name for run in state.runs.values())


def find_out(state: State, repo: Repository, wanted: Check) -> list[e.Event]:
    """The next step: a run, green, or red with its suspect."""
    proof, seen = known(state, repo, wanted, repo.tree)
    if proof is not None and proof.result == "pass":
        green = e.TargetGreen(repo=repo.repo, check=wanted.name, commit=repo.trunk, run=proof.run)
        key = problem_key(repo, wanted)
        return [green, *([e.ProblemCleared(key=key)] if key in state.problems else [])]
    if seen.unevaluated >= SURE:
        return unevaluated(state, repo, wanted)
    if proof is None or seen.fails < SURE:
        return [run_of(state, repo, wanted, repo.trunk, repo.tree)]
    return bisect(state, repo, wanted, proof)


def known(state: State, repo: Repository, wanted: Check, tree: Oid) -> tuple[Proof | None, Watched]:
    """What is known of a check on a tree."""
    proof = state.proofs.get(proof_key(repo.repo, tree, check.definition_of(compared.as_it_stands(wanted), repo.settings)))
    seen = (one for one in repo.queue.watched if (one.check, one.tree) == (wanted.name, tree))
    return proof, next(seen, Watched(check=wanted.name, tree=tree))


def run_of(state: State, repo: Repository, wanted: Check, commit: Oid, tree: Oid) -> e.RunPlanned:
    """One run on a commit of the target."""
    return e.RunPlanned(
        run=RunId(f"R{state.run_count + 1}"), repo=repo.repo, purpose="watch", check=wanted.name, commit=commit, tree=tree,
        definition=check.definition_of(compared.as_it_stands(wanted), repo.settings),
    )


def steps_since_green(repo: Repository, wanted: Check) -> tuple[tuple[Landed, ...], bool]:
    """The target's steps since the check was last green, and whether it ever was as far as is known."""
    green = dict(repo.queue.green).get(wanted.name)
    place = next((n for n, step in enumerate(repo.queue.landed) if step.commit == green), None)
    before = next((n for n, step in enumerate(repo.queue.landed) if step.before == green), None)
    start = place + 1 if place is not None else before
    return (repo.queue.landed[start:], True) if start is not None else (repo.queue.landed, False)


def bisect(state: State, repo: Repository, wanted: Check, proof: Proof) -> list[e.Event]:
    """Look at the middle of the steps in doubt, or say which one it was."""
    steps, was_green = steps_since_green(repo, wanted)
    low, high = -1, len(steps) - 1
    while high - low > 1:
        middle = (low + high) // 2
        step = steps[middle]
        seen_proof, seen = known(state, repo, wanted, step.tree)
        if seen_proof is not None and seen_proof.result == "pass":
            low = middle
        elif seen.fails >= SURE:
            high = middle
        elif seen.unevaluated >= SURE:
            break
        else:
            return [run_of(state, repo, wanted, step.commit, step.tree)]
    sure = was_green or low >= 0
    suspects = steps[low + 1 : high + 1] if sure else ()
    return found(state, repo, wanted, proof, tuple(suspects))


def found(state: State, repo: Repository, wanted: Check, proof: Proof, suspects: tuple[Landed, ...]) -> list[e.Event]:
    """The target is red: said once for a suspect, with the cord, the ticket, or the revert."""
    tasks = tuple(step.task for step in suspects if step.task)
    before = next((red for red in repo.queue.red if red.check == wanted.name), None)
    red = e.TargetRed(
        repo=repo.repo, check=wanted.name, commit=repo.trunk, run=proof.run, because=proof.because, suspects=tasks,
    )
    if before is not None and before.suspects == tasks:
        return [red]
    events: list[e.Event] = [red, *cords(state, repo, wanted, tasks[:1])]
    if len(tasks) == 1 and len(suspects) == 1:
        return [*events, *blamed(state, repo, wanted, proof, state.tasks.get(tasks[0]))]
    whose = "what came before" if not suspects else "commits that are not ours"
    return [*events, suspected(repo, wanted, proof, ", ".join(tasks) or whose)]


def suspected(repo: Repository, wanted: Check, proof: Proof, whose: str) -> e.ProblemNoticed:
    """The red target as a problem of the repository, for whom nobody can be asked about."""
    return e.ProblemNoticed(
        key=problem_key(repo, wanted), repo=repo.repo, what=f"the target does not pass {wanted.name}: {proof.because}",
        where=f"{repo.repo} at {repo.trunk[:10]}, run {proof.run}; suspected: {whose}",
        mend="mend the target, or revert one with andon revert; then andon resume the line",
    )


def cords(state: State, repo: Repository, wanted: Check, tasks: tuple[str, ...]) -> Iterator[e.Event]:
    """The cord of the suspect's line; without one, of every line that lands here."""
    task = next((state.tasks[name] for name in state.tasks if name in tasks), None)
    lines = [task.line] if task else [line.name for line in repo.settings.lines.values()
                                      if any(station.kind == "land" for station in line.stations)]
    because = f"the target is red: {wanted.name}" + (f", since {task.task}" if task else "")
    for line in lines:
        if cord_key(repo.repo, line) not in state.cords:
            yield e.CordPulled(repo=repo.repo, line=line, because=because, by=WHO)


def blamed(state: State, repo: Repository, wanted: Check, proof: Proof, task: Task | None) -> list[e.Event]:
    """The one change that made it red: taken back, or a person is asked."""
    if task is None:
        return [suspected(repo, wanted, proof, "an older change")]
    because = f"{wanted.name} fails on the target since {task.task} landed, {SURE} times: {proof.because}"
    key = f"revert:{task.task}:{task.landed}"
    if repo.settings.queue.revert == "auto" and not task.title.startswith("Revert ") and key not in state.keys:
        return [steer.reverting(state, task.task, because, WHO, key=key)]
    if task.over or task.gate:
        return [suspected(repo, wanted, proof, task.task)]
    return [e.GateOpened(
        gate=gate_id(state), task=task.task, kind="red", question=f"{task.task} made the target red. Take it back?",
        options=OPTIONS, recommendation="revert", because=f"{because} (run {proof.run})"[:600], risk="review",
        commit=task.landed, station=task.station,
    )]


def unevaluated(state: State, repo: Repository, wanted: Check) -> list[e.Event]:
    """It cannot be said whether the target is green; a person hears of it once."""
    key = problem_key(repo, wanted)
    if key in state.problems:
        return []
    return [e.ProblemNoticed(
        key=key, repo=repo.repo, what=f"{wanted.name} could not be evaluated on the target, {SURE} times",
        where=f"{repo.repo} at {repo.trunk[:10]}", mend="andon log shows the runs; it is tried again on the next commit",
    )]


def problem_key(repo: Repository, wanted: Check) -> str:
    """The key of what is wrong with a check on the target."""
    return f"target:{repo.repo}:{wanted.name}"
