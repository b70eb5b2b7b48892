"""Problems that a person should mend: noticed once, cleared when they are gone. Pure."""

from andon.core.state import State
from andon.schema import events as e, inputs as i


def noticed(state: State, key: str, given: i.TroubleSeen) -> list[e.Event]:
    """A problem, once: the same words again say nothing new."""
    problem, known = given.problem, state.problems.get(key)
    if known is not None and (known.what, known.where, known.mend) == (problem.what, problem.where, problem.mend):
        return []
    return [e.ProblemNoticed(key=key, repo=given.repo, what=problem.what, where=problem.where, mend=problem.mend)]


def clear(state: State, key: str) -> list[e.Event]:
    """The end of a problem, when it is there."""
    return [e.ProblemCleared(key=key)] if key in state.problems else []
