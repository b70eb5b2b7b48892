"""What attempts and check runs were refused by their walls: each thing is told once, and again when it is ten times as often. Pure.

Theory of operation. The list of everything lies in the job's directory; here stands what a person is told, in bounded number:
of one attempt `MOST` things and one line for the rest, of the latest `ATTEMPTS` attempts. A line stays until a person puts it
away, also when the task is long over. Nothing follows from it: a refusal is no verdict on the work, and stops nothing.
"""

import msgspec

from andon.core.state import Refusal, State, Trouble
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, RepoId, RunId, TaskId
from andon.schema.sandbox import UNLISTED
from andon.schema.session_sentences import refusal

MOST = 20
"""Different things of one attempt that are told one by one."""
ATTEMPTS = 100
"""Attempts whose refusals are remembered; the oldest go first, with their problems."""
AGAIN = 10
"""So many times as often as was told is told again."""
KEY = "access:"
replace = msgspec.structs.replace


def seen(state: State, given: i.AccessSeen, at: int) -> list[e.Event]:
    """A refusal, when it is news."""
    attempt = state.attempts.get(given.attempt)
    known = state.refusals.get(given.attempt, ())
    if attempt is None and not known and RunId(given.attempt) not in state.runs:
        return []
    one = next((each for each in known if (each.kind, each.what) == (given.kind, given.what)), None)
    if one is not None and given.times < AGAIN * one.times:
        return []
    what, kind, rule, times = given.what, given.kind, given.rule, given.times
    if one is None and len(known) >= MOST:
        if any(not each.what for each in known):
            return []
        what, kind, rule, times = "", "more", f"more than {MOST} different things", 1
    run = state.runs.get(RunId(given.attempt))
    task = attempt.task if attempt else run.task if run else TaskId(given.attempt.partition(".")[0])
    return [e.AccessRefused(attempt=given.attempt, task=task, kind=kind, what=what, rule=rule, times=times)]


def dismiss(state: State, given: i.DismissProblem, at: int) -> list[e.Event]:
    """A person has seen it."""
    return [e.ProblemCleared(key=given.problem, by=given.by)]


def refuse(state: State, given: i.DismissProblem) -> Problem | None:
    """Only what an attempt was refused can be put away; any other problem goes when it is mended."""
    if given.problem not in state.problems:
        return Problem(what="this problem is not there any more", mend="nothing to do")
    if not given.problem.startswith(KEY):
        return Problem(what="this problem cannot be put away", mend="it goes by itself when it is mended")
    return None


def folded(state: State, event: e.AccessRefused) -> State:
    """The state with this refusal and its problem."""
    known = state.refusals.get(event.attempt, ())
    run = state.runs.get(RunId(event.attempt))
    if not known and event.attempt not in state.attempts and run is None:
        return state
    before = next((each for each in known if (each.kind, each.what) == (event.kind, event.what)), None)
    one = Refusal(kind=event.kind, what=event.what, rule=event.rule, times=event.times, at=before.at if before else state.at)
    told = tuple(one if each is before else each for each in known) if before else (*known, one)
    state = replace(state, refusals=state.refusals.set(event.attempt, told))
    homes = (state.tasks.get(event.task), state.attempts.get(event.attempt), run)
    trouble = Trouble(
        what=refusal(event.attempt, event.kind, event.what), where=event.rule, mend=mend(event), task=event.task, at=one.at,
        repo=next((home.repo for home in homes if home is not None), RepoId("")), attempt=event.attempt, times=event.times,
    )
    return forgotten(replace(state, problems=state.problems.set(key_of(event), trouble)))


def key_of(event: e.AccessRefused) -> str:
    """The problem's name."""
    return f"{KEY}{event.attempt}/{event.kind}/{event.what}"


def mend(event: e.AccessRefused) -> str:
    """What a person can do."""
    look = f"nothing of yours was reached; `andon show {event.attempt} --access` lists all that it tried"
    if event.kind == "host" and event.what and event.rule.startswith(UNLISTED):
        host = event.what.removesuffix(":443").removesuffix(":80")
        return f"{look}; when it may go there: \"{host}\" in [sandbox] hosts"
    return look


def forgotten(state: State) -> State:
    """Without the oldest attempts beyond the bound."""
    while len(state.refusals) > ATTEMPTS:
        oldest = min(state.refusals, key=lambda name: (state.refusals[name][0].at, name))
        problems = state.problems
        for key, trouble in state.problems.items():
            if key.startswith(KEY) and trouble.attempt == oldest:
                problems = problems.delete(key)
        state = replace(state, refusals=state.refusals.delete(oldest), problems=problems)
    return state


def of(state: State, attempt: AttemptId) -> tuple[Refusal, ...]:
    """What the ledger keeps of an attempt."""
    return state.refusals.get(attempt, ())
