"""What follows when an interactive agent ends a turn: a look at its checkout, then its end, a question, or one nudge. Pure."""

from collections.abc import Iterator

from andon.core.assertions import asks_something
from andon.core.messages import queued
from andon.core.state import KEPT_CLAIMS, Attempt, State, Task
from andon.schema import effects as f, events as e, inputs as i

NUDGES = 1
"""Times that an agent is told what is missing before its work is judged as it is."""
WORDS = 2000
"""Characters of last words that are kept."""


def over(state: State, given: i.TurnOver, at: int) -> list[e.Event]:
    """The end of a turn, each once. One with work in the background is no end yet."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "running" or given.turn <= attempt.turns or given.background > 0:
        return []
    return [e.TurnSeen(
        attempt=given.attempt, n=attempt.turns_before + given.turn, text=given.text[-WORDS:], trouble=given.trouble or "",
        until=given.until,
    )]


def owes(state: State, attempt: Attempt) -> Iterator[f.Effect]:
    """The look at the checkout after the latest turn, when it ended well and no person is at it."""
    if not attempt.interactive or not attempt.at_work or attempt.taken or attempt.turn_trouble or attempt.looked >= attempt.turn:
        return
    yield f.LookAtWork(
        attempt=attempt.attempt, n=attempt.turn, path=attempt.path, git_dir=state.repos[attempt.repo].git_dir,
        base=attempt.start or attempt.base, text=attempt.turn_text,
    )


def looked(state: State, given: i.WorkSeen, at: int) -> list[e.Event]:
    """What the checkout holds. What it means is decided in `wanted`."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or not attempt.at_work or attempt.taken or given.n != attempt.turn or given.n <= attempt.looked:
        return []
    seen: list[e.Event] = [
        e.WorkLooked(attempt=given.attempt, n=given.n, committed=given.committed, dirty=given.dirty),
    ]
    return [*seen, *contradictions(attempt, given.contradictions)]


def asserted(state: State, given: i.AssertionSeen, at: int) -> list[e.Event]:
    """Something asserted is not so."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "running":
        return []
    return contradictions(attempt, ((given.asserted, given.observed),))


def contradictions(attempt: Attempt, pairs: tuple[tuple[str, str], ...]) -> list[e.Event]:
    """Each assertion that is not so, once."""
    new = {said[:300]: seen[:300] for said, seen in pairs if said and said[:300] not in attempt.contradicted}
    room = max(0, KEPT_CLAIMS - len(attempt.contradicted))
    return [e.ClaimContradicted(attempt=attempt.attempt, asserted=said, observed=seen) for said, seen in list(new.items())[:room]]


def finish_done(state: State, given: i.FinishDone, at: int) -> list[e.Event]:
    """The tree was told to end."""
    attempt = state.attempts.get(given.attempt)
    owed = attempt is not None and attempt.phase == "running" and attempt.finish_asked and not attempt.finish_done
    return [e.FinishTold(attempt=given.attempt)] if owed else []


def wanted(state: State, task: Task, attempt: Attempt, at: int) -> list[e.Event]:
    """What follows from the latest look; nothing while words are on their way or a person is at it."""
    waits = attempt.taken or attempt.open_asks or attempt.outbox or attempt.turn != attempt.looked
    if not attempt.interactive or not attempt.at_work or waits or attempt.settled >= attempt.looked:
        return []
    if attempt.budget_hit and not attempt.said_finished:
        return []
    missing = missing_of(attempt)
    if attempt.contradicted and not attempt.diverged:
        return queued(state, attempt, "divergence", diverging(attempt, missing))
    if not missing or attempt.said_finished:
        why = "it says that it is finished" if attempt.said_finished else "its turn is over and its work is committed"
        return [e.FinishAsked(attempt=attempt.attempt, because=why)]
    if asks_something(attempt.turn_text):
        return [e.QuestionSeen(
            attempt=attempt.attempt, ask=f"turn-{attempt.turn}", text=last_words(attempt.turn_text), by_message=True,
        )]
    if attempt.nudged < NUDGES:
        return queued(state, attempt, "nudge", f"Your turn is over, but {missing}. {MEND}")
    return [e.FinishAsked(attempt=attempt.attempt, because=f"it ended its turn again, and {missing}: its work is judged as it is")]


MEND = ("If the task is done, commit everything that belongs to it on your branch and end your turn. If it is not, go on. If you "
        "need a decision, ask one clear question.")


def missing_of(attempt: Attempt) -> str:
    """What a finished piece of work would have and this has not; empty when nothing is missing."""
    if not attempt.committed:
        left = " and there are uncommitted changes in your checkout" if attempt.dirty else ""
        return f"there is no new commit on your branch{left}"
    return "there are uncommitted changes beside your commit" if attempt.dirty else ""


def diverging(attempt: Attempt, missing: str) -> str:
    """What was said and is not so, told once."""
    said = "; ".join(f"“{said}” ({seen})" for said, seen in list(zip(attempt.contradicted, attempt.observed, strict=True))[:5])
    also = f" Also, {missing}." if missing else ""
    return (f"What you said does not agree with what the factory found: {said}.{also} Please look again, correct the work or "
            "your statement, commit, and end your turn.")


def last_words(text: str) -> str:
    """The last paragraph."""
    return text.strip().split("\n\n")[-1].strip()[-600:] or "(no words)"
