"""What proofs apart from the queue, and what becomes of their members, change in what is known of changes apart."""

from andon.core.folds.table import replace, with_landing, with_queue
from andon.core.queue.facts import KEPT_TRIED, Apart, Landing, Outcome
from andon.core.state import State
from andon.schema import events as e
from andon.schema.ids import Oid, RepoId, TaskId

Members = tuple[e.Member, ...]


def same(one: Members, other: Members) -> bool:
    """The same changes in the same order."""
    return [(member.task, member.commit) for member in one] == [(member.task, member.commit) for member in other]


def learned(outcomes: tuple[Outcome, ...], new: Outcome) -> tuple[Outcome, ...]:
    """With the new one in the place of what was known of the same members."""
    return (*(other for other in outcomes if not same(other.members, new.members)), new)[-KEPT_TRIED:]


def judged(known: Apart, landing: Landing, outcome: Outcome, result: e.Result) -> Apart:
    """After one more proof of these members. Only the first of a group tells how many fail."""
    if result == "unevaluated":
        return replace(known, outcomes=learned(known.outcomes, outcome))
    passed, new = result == "pass", not landing.suspect
    heads = tuple(member.commit for member in landing.members if passed and member.commit not in known.stood)
    return replace(
        known, outcomes=learned(known.outcomes, outcome), stood=(*known.stood, *heads)[-KEPT_TRIED:],
        grouped=known.grouped + len(landing.members) * new, failed=known.failed + (new and not passed),
    )


def landed(state: State, repo: RepoId, members: Members) -> State:
    """These are on the target: what is known of the others apart, and what is proved of them, goes on without them."""
    known = state.repos[repo].queue.apart
    gone = {member.commit for member in members}
    outcomes: tuple[Outcome, ...] = ()
    for outcome in known.outcomes:
        left = tuple(member for member in outcome.members if member.commit not in gone)
        outcomes = learned(outcomes, replace(outcome, members=left)) if left else outcomes
    stood = tuple(head for head in known.stood if head not in gone)
    decided = known.decided + len(known.stood) - len(stood)
    state = with_queue(state, repo, apart=replace(known, outcomes=outcomes, stood=stood, decided=decided))
    for landing in list(state.landings.values()):
        if landing.repo == repo and landing.why == "apart":
            state = without_members(state, landing, gone)
    return state


def without_members(state: State, landing: Landing, gone: set[Oid]) -> State:
    """A proof apart whose members have landed in part is one of the others; of none left it tells nothing, and is given up."""
    left = tuple(member for member in landing.members if member.commit not in gone)
    if len(left) == len(landing.members):
        return state
    last = left[-1] if left else landing.members[-1]
    return with_landing(state, landing.landing, members=left, task=last.task, commit=last.commit)


def sent_back(state: State, repo: RepoId, task: TaskId, head: Oid) -> State:
    """A culprit: nothing is known any more of members with it, and a new group that is being proved with it counts as failed."""
    known = state.repos[repo].queue.apart
    groups = [landing for landing in state.landings.values()
              if landing.repo == repo and landing.why == "apart" and not landing.suspect and landing.holds(task)]
    left = tuple(outcome for outcome in known.outcomes if all(member.commit != head for member in outcome.members))
    stood = head in known.stood
    return with_queue(state, repo, apart=replace(
        known, outcomes=left, stood=tuple(other for other in known.stood if other != head),
        decided=known.decided + stood, culprits=known.culprits + stood,
        grouped=known.grouped + sum(len(landing.members) for landing in groups), failed=known.failed + len(groups),
    ))
