"""Starting a session again in its checkout: when that is done, in which conversation, and what it is told. Pure."""

from andon.core.accounts import ramp_until
from andon.core.failure import backoff_ms
from andon.core.state import Attempt, State
from andon.schema import events as e, inputs as i

AGAIN = ("restart", "fresh")
"""What may follow a stop: the same conversation, or a new one."""


def possible(state: State, attempt: Attempt) -> bool:
    """Whether it may be started once more, by the factory or by a person."""
    return attempt.sitting <= state.factory.restarts


def after_stop(state: State, attempt: Attempt, at: int) -> list[e.Event]:
    """It was stopped to be started again."""
    fresh = attempt.stop_then == "fresh"
    return [resumed(state, attempt, attempt.stop_asked, at, at, fresh=fresh, said=attempt.stop_note)]


def after_end(state: State, attempt: Attempt, read: i.WorkRead, because: str, at: int) -> list[e.Event]:
    """It ended badly by itself: gone on with when there is something to go on with, and the bound is not reached."""
    crashed = attempt.exit_because in ("exit", "lost", "stopped")
    work = attempt.interactive and (read.dirty or read.commit not in (attempt.base, attempt.start))
    limit = state.accounts.get(attempt.account)
    if not crashed or not (attempt.conversation or work) or not possible(state, attempt) or (limit and not limit.until):
        return []
    wait = backoff_ms(state.repos[attempt.repo].settings, attempt.sitting)
    return [resumed(state, attempt, because, at, at + wait)]


def resumed(
    state: State, attempt: Attempt, because: str, at: int, not_before: int, *, fresh: bool = False, said: str = "",
) -> e.Event:
    """The event of another sitting. An account at its limit is waited for."""
    limit = state.accounts.get(attempt.account)
    conversation = "" if fresh else attempt.conversation
    told = [f"Your session was ended and is started again: {because}."]
    if not conversation:
        told.append("The conversation before is not there any more; your checkout is as it was left. Look at `git status` and "
                    "`git log` first.")
    if attempt.salvage:
        told.append(f"A snapshot of everything that was there is kept at `{attempt.salvage}`"
                    f"{f' (commit {attempt.salvage_oid[:12]})' if attempt.salvage_oid else ''}.")
    if said:
        told.append(f"A person says: {said}")
    return e.SessionResumed(
        attempt=attempt.attempt, sitting=attempt.sitting + 1, conversation=conversation, because=because,
        note="\n\n".join([*told, "Go on with the task where you stopped."]),
        not_before=max(not_before, limit.until if limit else 0, ramp_until(state, at)),
    )
