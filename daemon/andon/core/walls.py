"""Within which walls a change came about, and whether that lets it land without a person. Pure; it never looks at a machine.

Theory of operation. Every attempt and every check run carries the level that its shim built; what is not known counts as the
weakest. `[policy] walls` is the least that may land unseen. Below it a person is asked, and what they were told is the floor from
then on: a landing whose proof ran within still weaker walls asks once more.
"""

import msgspec

from andon.core.queue.facts import Landing
from andon.core.state import Proof, Repository, State, Task
from andon.schema import events as e
from andon.schema.ids import RepoId
from andon.schema.sandbox import Known, Level, rank, weakest, within
from andon.schema.settings import Walls

PROBLEM = "walls"
"""Key of the problem that this machine gives less than strict walls."""


def wanted(state: State, task: Task) -> Level:
    """The least level that may land without a person."""
    return state.repos[task.repo].settings.policy.walls


def levels(task: Task) -> list[tuple[str, Known]]:
    """How the task's change came about: each part with its level. What the daemon made itself was built by nobody."""
    work = task.work
    if work is None:
        return []
    built: list[tuple[str, Known]] = [("built", work.walls)] if work.attempt else []
    return built + [(f"proven ({claim.claim})", claim.walls) for claim in task.claims
                    if claim.run and claim.commit == work.commit and not claim.claim.endswith("@merge")]


def level_of(task: Task) -> Known:
    """The weakest level of what stands behind the task's change; empty: not known, or nothing stands behind it yet."""
    return weakest(level for _, level in levels(task))


def below(state: State, task: Task) -> str:
    """Why the change may not land without a person; empty when its walls were strong enough."""
    return complaint(task, wanted(state, task), wanted(state, task))


def too_weak(state: State, task: Task) -> str:
    """The same once a person was asked: empty also when they let it land knowing of walls as weak as these."""
    return complaint(task, wanted(state, task), floor(state, task))


def complaint(task: Task, asked: Level, least: Known) -> str:
    """What was done within walls below `least`, in one sentence."""
    weak = [f"{part} {within(level)}" for part, level in levels(task) if rank(level) < rank(least)]
    return f"{', '.join(weak[:4])}; [policy] walls asks for {asked}" if weak else ""


def floor(state: State, task: Task) -> Known:
    """The least level for a proof of the merged tree: what a person was told and agreed to, else what the policy asks for."""
    asked: Known = wanted(state, task)
    consent = task.consent
    agreed = consent is not None and task.work is not None and consent.commit == task.work.commit
    return weakest((asked, consent.walls)) if consent is not None and agreed else asked


def proof_level(landing: Landing) -> Known:
    """The weakest level of the runs that prove a merged tree."""
    return weakest(checked.walls for checked in landing.checked)


def unproven(state: State, landing: Landing) -> list[tuple[Task, str]]:
    """Members that the proof of their merged tree is too weak for, each with the reason."""
    level = proof_level(landing)
    tasks = [state.tasks[member.task] for member in landing.members if member.task in state.tasks]
    because = f"the merged tree of {landing.landing} was proven {within(level)}; [policy] walls asks for"
    return [(task, f"{because} {wanted(state, task)}") for task in tasks if rank(level) < rank(floor(state, task))]


def given(state: State, repo: Repository) -> Known:
    """The level at which jobs of a repository run now; empty: not known."""
    asked = repo.settings.sandbox.level
    best = state.walls
    if asked == "best":
        return best.level if best else ""
    return asked


def of_agents(repo: Repository) -> Walls:
    """What stands around its agents and the commands of their checkouts.

    A linked worktree shares the repository's own git directory, which no walls can both open and protect: there are none.
    """
    asked = repo.settings.sandbox
    return msgspec.structs.replace(asked, level="none") if repo.settings.checkout.isolation == "worktree" else asked


def as_good(state: State, repo: RepoId, proof: Proof) -> bool:
    """Whether a known result need not be seen again: a run now would have no walls that matter more."""
    known = state.repos[repo]
    useful = min(rank(known.settings.policy.walls), rank(given(state, known)))
    return rank(proof.walls) >= useful


def told(state: State) -> list[e.Event]:
    """Say it, and take it back, when this machine gives less than strict walls to a repository that asks for the best or more."""
    best, known = state.walls, state.problems.get(PROBLEM)
    names = [name for name in sorted(state.repos) if best and rank(best.level) < rank(asked_of(state.repos[name]))]
    if best is None or not names:
        return [e.ProblemCleared(key=PROBLEM)] if known else []
    held = [name for name in names if state.repos[name].settings.sandbox.level != "best"]
    run = [name for name in names if name not in held]
    parts = [f"agents and checks of {', '.join(run)} run within walls of level {best.level}"] if run else []
    parts += [f"nothing of {', '.join(held)} starts, for this machine gives walls of level {best.level}"] if held else []
    what = "; ".join(parts)
    unseen = " Until then a person is asked before a change lands." if run else ""
    event = e.ProblemNoticed(
        key=PROBLEM, what=f"{what}: {best.because}"[:600], where="this machine; [sandbox] level in andon.toml",
        mend=f"{best.mend} `andon doctor` looks again.{unseen}".strip(),
    )
    same = known is not None and (known.what, known.mend) == (event.what, event.mend)
    return [] if same else [event]


def asked_of(repo: Repository) -> Level:
    """What a repository should run at; the best there is for one that says `best`."""
    level = repo.settings.sandbox.level
    return "strict" if level == "best" else level
