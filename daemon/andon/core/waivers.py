"""Rules that a person set aside: for a task or for paths, until a moment, then they count again by themselves. Pure.

Theory of operation. A waiver stands in the ledger and nowhere else, so no change, flag or variable can bring its own. Its end is a
deadline of the state: nothing polls, and whatever is decided after it finds the rule in force. It sets aside findings, one by one;
what no waiver covers judges as before. Nothing sets aside a check: what lands was proven.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from andon.core.classify import because_of, class_of_rule, classified
from andon.core.globs import matches
from andon.core.state import State, Task, Waiver
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.facts import MEANING
from andon.schema.ids import TaskId
from andon.schema.verdicts import Classified, Finding

DAY_MS = 86_400_000
LIMIT = 200
"""Waivers that may stand at once in one factory."""
BY_PATH = ("stop", "review", "unmatched", "size")
"""Rules that are no facts: those of `[policy]` on paths and size."""
NEVER = ("unread",)
"""What cannot be waived by anybody: nobody knows what it would set aside."""


def judged(state: State, task: Task) -> Classified | None:
    """The class of a task's change with all waivers that cover something of it; None before there is a change."""
    if task.work is None:
        return None
    known = classified(state.repos[task.repo].settings.policy, task.work)
    mine = [waiver for waiver in state.waivers.values() if waiver.repo == task.repo]
    return applied(known, mine, task.task) if mine else known


def applied(known: Classified, waivers: list[Waiver], task: TaskId) -> Classified:
    """The same with findings set aside; each says by which waiver."""
    marked = tuple(msgspec.structs.replace(one, waived=covering(waivers, one, task)) for one in known.findings)
    counting = [one for one in marked if not one.waived]
    used = sorted({one.waived for one in marked if one.waived})
    if not used:
        return known
    risk: e.Risk = counting[0].risk if counting else "ship"
    told = because_of(risk, counting) if counting else "nothing that counts speaks against it"
    words = "; ".join(f"{one.waiver} waives {one.rule} until {day(one.until)}: {one.because}" for one in waivers
                      if one.waiver in used)
    return msgspec.structs.replace(known, risk=risk, because=f"{told}; {words}", findings=marked)


def covering(waivers: list[Waiver], finding: Finding, task: TaskId) -> str:
    """The waiver that sets a finding aside; empty when none does. One without a signature sets nothing of class stop aside."""
    return next((one.waiver for one in waivers if one.rule == finding.rule and finding.rule not in NEVER
                 and (finding.risk != "stop" or one.signature)
                 and (one.task == task if one.task else bool(finding.path) and matches(finding.path, one.paths))), "")


def day(at: int) -> str:
    """A moment as a date and time in UTC, without asking a clock."""
    days, rest = divmod(at // 1000, 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    date = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return f"{year + era * 400 + (month <= 2):04}-{month:02}-{date:02} {rest // 3600:02}:{rest % 3600 // 60:02} UTC"


# --- a person's commands ---------------------------------------------------------------------------------------------


def granted(state: State, command: i.WaiveRule, at: int) -> list[e.Event]:
    """It was checked before."""
    return [e.WaiverGranted(
        waiver=f"W{state.waiver_count + 1}", repo=command.repo, rule=command.rule, task=command.task, paths=command.paths,
        until=command.until, because=command.because, by=command.by, signature=command.signature,
    )]


def ended(state: State, command: i.EndWaiver, at: int) -> list[e.Event]:
    """Taken back."""
    return [e.WaiverEnded(waiver=command.waiver, because=command.because or "taken back", by=command.by)]


def refuse(state: State, command: i.WaiveRule) -> Problem | None:
    """A known rule, one scope, an end within the bound, a reason; and a signature for what is of class stop."""
    repo = state.repos.get(command.repo)
    if repo is None:
        return Problem(what=f"repository {command.repo} is not registered", mend="`andon status` names those that are")
    rules = sorted({*BY_PATH, *MEANING} - set(NEVER) - {"owner"})
    if command.rule in repo.settings.checks or command.rule == "tests-kept":
        return Problem(what=f"{command.rule} is a check, and what lands was proven: no waiver sets it aside",
                       mend="mend the check, or change [checks] in a change of its own")
    if command.rule not in rules:
        return Problem(what=f"there is no rule {command.rule} that can be waived", mend=f"one of: {', '.join(rules)}")
    days = repo.settings.policy.waiver_days
    return refuse_scope(state, command) or refuse_end(state, command, days) or refuse_stop(state, command)


def refuse_scope(state: State, command: i.WaiveRule) -> Problem | None:
    """Exactly one of a task and paths, and a reason."""
    if bool(command.task) == bool(command.paths):
        return Problem(what="a waiver is for one task or for some paths", mend="say --task T3 or --paths 'docs/**', not both")
    if command.task and (command.task not in state.tasks or state.tasks[command.task].repo != command.repo):
        return Problem(what=f"{command.repo} has no open task {command.task}", mend="`andon list` shows them")
    if any(not glob.strip("*/ ") for glob in command.paths):
        return Problem(what="a waiver for every path is no waiver but another policy", mend="name the paths, or change [policy]")
    if not command.because.strip():
        return Problem(what="a waiver needs a reason", mend='say it with --because "…": it stands in the ledger')
    if len(state.waivers) >= LIMIT:
        return Problem(what=f"{LIMIT} waivers stand, the most there may be", mend="`andon waivers` shows them; end some")
    return None


def refuse_end(state: State, command: i.WaiveRule, days: int) -> Problem | None:
    """Later than now, and within `[policy] waiver_days`."""
    if not days:
        where = "[policy] waiver_days = 0"
        return Problem(what="this repository allows no waivers", where=where, mend="change what is wrong instead")
    if command.until <= state.at:
        return Problem(what=f"{day(command.until)} is over", where="--until", mend="name a moment that is still to come")
    if command.until > state.at + days * DAY_MS:
        return Problem(what=f"a waiver holds for at most {days} days here, until {day(state.at + days * DAY_MS)}", where="--until",
                       mend="name an earlier moment; [policy] waiver_days says how long")
    return None


def refuse_stop(state: State, command: i.WaiveRule) -> Problem | None:
    """What stops is set aside by a signed approval alone."""
    policy = state.repos[command.repo].settings.policy
    if command.signature or class_of_rule(policy, command.rule) != "stop":
        return None
    return Problem(what=f"{command.rule} is of class stop: only a signed approval sets it aside", where=command.rule,
                   mend="approve the change at its gate instead, or sign with an SSH key")


def refuse_ending(state: State, command: i.EndWaiver) -> Problem | None:
    """It must stand."""
    if command.waiver in state.waivers:
        return None
    return Problem(what=f"no waiver {command.waiver} stands", mend=f"standing: {', '.join(state.waivers) or 'none'}")


# --- time ------------------------------------------------------------------------------------------------------------


def over(state: State, at: int) -> list[e.Event]:
    """Waivers whose time is over, or whose task is."""
    events: list[e.Event] = []
    for waiver in state.waivers.values():
        task = state.tasks.get(waiver.task) if waiver.task else None
        if waiver.until <= at:
            events.append(e.WaiverEnded(waiver=waiver.waiver, because="its time is over"))
        elif waiver.task and (task is None or task.over):
            events.append(e.WaiverEnded(waiver=waiver.waiver, because=f"{waiver.task} is over"))
    return events


def deadlines(state: State, at: int) -> Iterator[int]:
    """When the next one ends."""
    yield from (waiver.until for waiver in state.waivers.values() if waiver.until > at)


HANDLERS: dict[type, Callable[[State, Any, int], list[e.Event]]] = {i.WaiveRule: granted, i.EndWaiver: ended}
CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {i.WaiveRule: refuse, i.EndWaiver: refuse_ending}
