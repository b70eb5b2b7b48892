"""How much a person sees of what a line lands, and whether a line has earned to be dark. Pure; its figures come from the state.

Theory of operation. `dim` is how a line is without being told: what is of class ship lands by itself, a review asks. `on` shows a
person everything. `dark` lets reviews land as well, never a stop: it is in force only where the settings say so *and* a person
approved it having seen figures above the floors *and* the line has not fallen below them since. Of these three an edit of the
settings alone gives one, so it has no effect beyond `dim`, and is told.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from andon.core.state import Repository, Shipped, State, cord_key
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import RepoId
from andon.schema.settings import Floors, Lights

DAY_MS = 86_400_000
KEPT = 1_000
"""Landings of one line that are remembered for its figures."""
WEEK_MS = 7 * DAY_MS
WEEK_LANDINGS = 3
"""In a week with fewer landings nothing is known of the week, and it dims nothing by itself."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a line has shown over some days."""

    days: int
    landings: int
    first_pass: int
    """Percent that landed with the first attempt."""
    escapes: int
    """Percent that were taken back or turned the target red, rounded up."""

    def told(self) -> str:
        """In one sentence, with its numbers."""
        share = f"{self.first_pass} % with their first attempt, {self.escapes} % escaped"
        return f"{self.landings} landings in {self.days} days, {share}"


def figures(state: State, repo: RepoId, line: str, days: int) -> Figures:
    """What a line has shown over the last days."""
    seen = [one for one in state.shipped.get(cord_key(repo, line), ()) if one.at > state.at - days * DAY_MS]
    total = len(seen)
    return Figures(
        days=days, landings=total, first_pass=100 * sum(one.first for one in seen) // total if total else 0,
        escapes=-(-100 * sum(one.escaped for one in seen) // total) if total else 0,
    )


def missing(shown: Figures, floors: Floors, *, landings: int) -> str:
    """Which floors these figures are below, with the numbers; empty when none."""
    low = []
    if shown.landings < landings:
        low.append(f"{shown.landings} landings in {shown.days} days, at least {landings} are asked for")
    if shown.first_pass < floors.first_pass:
        low.append(f"{shown.first_pass} % landed with their first attempt, at least {floors.first_pass} % are asked for")
    if shown.escapes > floors.escapes:
        low.append(f"{shown.escapes} % were taken back or turned the target red, at most {floors.escapes} % are allowed")
    return "; ".join(low)


def below(state: State, repo: Repository, line: str) -> str:
    """Why a line may not be dark, by its figures over all the days that count; empty when it may."""
    floors = repo.settings.policy.floors
    return missing(figures(state, repo.repo, line, floors.days), floors, landings=floors.landings)


def of(state: State, repo: Repository, line: str) -> Lights:
    """What is in force for a line."""
    known = repo.settings.lines.get(line)
    if known is None or known.lights != "dark":
        return known.lights if known else "dim"
    return "dark" if state.dark.get(cord_key(repo.repo, line)) else "dim"


def why(state: State, repo: Repository, line: str) -> str:
    """Why a line is less dark than its settings say; empty when it is as they say."""
    known = repo.settings.lines.get(line)
    if known is None or known.lights != "dark" or of(state, repo, line) == "dark":
        return ""
    low = below(state, repo, line)
    return f"it has not earned it: {low}" if low else "nobody approved it with a signature"


# --- a person's command ----------------------------------------------------------------------------------------------


def approved(state: State, command: i.ApproveLights, at: int) -> list[e.Event]:
    """It was checked before."""
    days = state.repos[command.repo].settings.policy.floors.days
    return [e.LightsApproved(
        repo=command.repo, line=command.line, lights=command.lights, because=command.because, by=command.by,
        shown=figures(state, command.repo, command.line, days).told(), signature=command.signature,
    )]


def refuse(state: State, command: i.ApproveLights) -> Problem | None:
    """Dark is earned, and signed for. What is less dark needs neither, and no approval: the settings say it."""
    repo = state.repos.get(command.repo)
    if repo is None or command.line not in repo.settings.lines:
        return Problem(what=f"{command.repo} has no line {command.line}", mend="`andon lights` shows all lines")
    if command.lights != "dark":
        return None
    where = f"line {command.repo}/{command.line}"
    if low := below(state, repo, command.line):
        mend = "[policy.floors] says what is asked for; let it land more first"
        return Problem(what=f"it has not earned to be dark: {low}", where=where, mend=mend)
    if not command.because.strip():
        return Problem(what="letting a line be dark needs a reason", where=where, mend='say it with --because "…"')
    if not command.signature:
        mend = "sign with an SSH key; until then it is dim"
        return Problem(what="only a signed approval lets a line be dark", where=where, mend=mend)
    return None


# --- what follows by itself ------------------------------------------------------------------------------------------


def told(state: State, at: int) -> list[e.Event]:
    """A dark line that fell below its floors dims; settings that ask for more than was earned are told, and taken back."""
    events: list[e.Event] = []
    for name in sorted(state.repos):
        repo = state.repos[name]
        for line in sorted(repo.settings.lines):
            events += dims(state, repo, line) or complaint(state, repo, line)
    return events


def dims(state: State, repo: Repository, line: str) -> list[e.Event]:
    """The end of an approval: a bad week, or figures below the floors over all the days that count."""
    if not state.dark.get(cord_key(repo.repo, line)):
        return []
    floors = repo.settings.policy.floors
    week = figures(state, repo.repo, line, 7)
    bad = missing(week, floors, landings=0) if week.landings >= WEEK_LANDINGS else ""
    low = f"this week {bad}" if bad else below(state, repo, line)
    return [e.LightsDimmed(repo=repo.repo, line=line, because=low[:400])] if low else []


def complaint(state: State, repo: Repository, line: str) -> list[e.Event]:
    """The problem that a line is less dark than its settings say, and its end."""
    key = f"lights:{cord_key(repo.repo, line)}"
    known, because = state.problems.get(key), why(state, repo, line)
    if not because:
        return [e.ProblemCleared(key=key)] if known else []
    if known is not None:
        return []
    return [e.ProblemNoticed(
        key=key, repo=repo.repo, what=f"line {repo.repo}/{line} is to be dark and stays dim: {because}"[:600],
        where="lights in andon.toml",
        mend=f"`andon lights` shows its figures; `andon lights {repo.repo}/{line} dark` approves, or say dim",
    )]


def noted(shipped: tuple[Shipped, ...], one: Shipped) -> tuple[Shipped, ...]:
    """One more landing, the oldest forgotten at the bound."""
    return (*shipped, one)[-KEPT:]


HANDLERS: dict[type, Callable[[State, Any, int], list[e.Event]]] = {i.ApproveLights: approved}
CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {i.ApproveLights: refuse}
