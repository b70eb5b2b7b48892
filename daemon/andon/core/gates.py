"""A gate that nobody answers: naps, who it is for, rising, telling; and what is said to who comes too late. Pure."""

from collections.abc import Callable, Iterator
from typing import Any

from andon.core.state import Gate, State
from andon.core.troubles import clear, noticed
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.gate_inputs import SNOOZE_LIMIT_S
from andon.schema.ids import GateId
from andon.schema.settings import Routes
from andon.schema.words import shorten

RISKS = ("ship", "review", "stop", "none")
"""In order; a threshold lets its own and higher ones through, and nothing is as high as `none`."""
PROBLEM_MS = 3_600_000
"""A problem that comes and goes is told at most this often (milliseconds)."""
QUIET = ("route:", "approvers:")
"""Problems that are not told outside: of the routes themselves, and of gates that are told anyway."""
NAME_LIMIT = 80
"""Characters of the name of whom a gate is for."""


def closed(state: State, gate: GateId) -> Problem:
    """What is said of a gate that is not open: what became of it and through whom, as far as it is remembered."""
    mend = f"open gates: {', '.join(state.gates) or 'none'}"
    known = next((one for one in reversed(state.decided) if one.gate == gate), None)
    if known is None:
        return Problem(what=f"{gate} is not open: it was answered, or what it asked about changed", mend=mend)
    seconds = max(0, state.at - known.at) // 1000
    ago = f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
    return Problem(what=f"{gate} is not open: it {known.what}, {ago} ago", where=f"andon gate log {gate}", mend=mend)


# --- commands --------------------------------------------------------------------------------------------------------


def can_snooze(state: State, command: i.SnoozeGate) -> Problem | None:
    """An open gate, and not for too long."""
    gate = state.gates.get(command.gate)
    if gate is None:
        return closed(state, command.gate)
    if not 0 <= command.seconds <= SNOOZE_LIMIT_S:
        what = f"{command.gate} cannot be snoozed for so long" if command.seconds > 0 else "a nap ends in the future"
        return Problem(what=what, where="--until", mend=f"at most {SNOOZE_LIMIT_S // 3600} hours, then it comes back by itself")
    if not command.seconds and not gate.snoozed_until:
        return Problem(what=f"{command.gate} is not snoozed", mend="nothing to do")
    return None


def snooze(state: State, command: i.SnoozeGate, at: int) -> list[e.Event]:
    """A nap, or its end."""
    if not command.seconds:
        return [e.GateWoken(gate=command.gate, by=command.by)]
    return [e.GateSnoozed(gate=command.gate, until=at + command.seconds * 1000, because=command.because, by=command.by)]


def can_delegate(state: State, command: i.DelegateGate) -> Problem | None:
    """An open gate, a name and a reason; where persons are named in the settings, one of them."""
    if command.gate not in state.gates:
        return closed(state, command.gate)
    name = command.to.strip()
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        return Problem(what="nobody is named", where="--to", mend=f"a name of at most {NAME_LIMIT} characters")
    if not command.because.strip():
        return Problem(what="a gate is left to somebody with a reason", where=command.gate, mend='say it with --because "…"')
    known = {*state.factory.operators, *state.factory.signers}
    if known and name not in known:
        return Problem(what=f"{name} is none of those who sign here", where="--to", mend=f"known: {', '.join(sorted(known)[:12])}")
    return None


def delegate(state: State, command: i.DelegateGate, at: int) -> list[e.Event]:
    """Who it is for."""
    return [e.GateDelegated(gate=command.gate, to=command.to.strip(), because=command.because, by=command.by)]


# --- time ------------------------------------------------------------------------------------------------------------


def ticked(state: State, at: int) -> list[e.Event]:
    """Naps that are over, and gates that rise."""
    events: list[e.Event] = []
    for gate in state.gates.values():
        if gate.snoozed_until and gate.snoozed_until <= at:
            events.append(e.GateWoken(gate=gate.gate))
        elif 0 < rises_at(state, gate) <= at:
            events.append(e.GateRaised(gate=gate.gate, n=gate.raised + 1))
    return events


def rises_at(state: State, gate: Gate) -> int:
    """When (unix milliseconds) a gate that takes no nap rises next; 0: it does not. A period after the last time, however long
    nobody was there."""
    routes = state.factory.routes
    if not routes.escalate_minutes or gate.raised >= routes.escalate_times or not wanted(routes, gate):
        return 0
    return gate.raised_at + int(routes.escalate_minutes * 60_000)


def deadlines(state: State) -> Iterator[int]:
    """When time alone changes something about a gate."""
    for gate in state.gates.values():
        if gate.snoozed_until:
            yield gate.snoozed_until
        elif rises := rises_at(state, gate):
            yield rises
    yield from (due for _, due in untold(state))


# --- routes ----------------------------------------------------------------------------------------------------------


def wanted(routes: Routes, gate: Gate) -> bool:
    """Whether any route outside of the inbox takes this gate."""
    return reaches(routes.desktop, gate) or (bool(routes.command) and reaches(routes.command_from, gate))


def reaches(threshold: str, gate: Gate) -> bool:
    """Whether a gate's risk is at or above a threshold."""
    return RISKS.index(gate.risk) >= RISKS.index(threshold)


def owes(state: State) -> list[f.TellGate]:
    """Gates that the person's routes were not gone through for since they opened or rose. A nap holds it back."""
    routes = state.factory.routes
    return [tell(state, gate) for gate in state.gates.values()
            if gate.noticed < gate.raised and not gate.snoozed_until and gate.task in state.tasks and wanted(routes, gate)]


def tell(state: State, gate: Gate) -> f.TellGate:
    """The deed; routes that do not want this gate are left out of it."""
    routes, task = state.factory.routes, state.tasks[gate.task]
    chosen = Routes(
        desktop=routes.desktop if reaches(routes.desktop, gate) else "none",
        command=routes.command if reaches(routes.command_from, gate) else (), seconds=routes.seconds,
    )
    return f.TellGate(
        gate=gate.gate, n=gate.raised, task=gate.task, repo=task.repo, title=shorten(task.title), question=gate.question,
        recommendation=gate.recommendation, because=gate.because, risk=gate.risk, to=gate.to, opened_at=gate.opened_at,
        routes=chosen,
    )


def untold(state: State) -> Iterator[tuple[str, int]]:
    """Problems that the routes are to tell, and from when on."""
    routes = state.factory.routes
    if not routes.problems or (routes.desktop == "none" and not routes.command):
        return
    last = dict(state.problems_told)
    for key, trouble in state.problems.items():
        if not key.startswith(QUIET) and last.get(key, -1) < trouble.at:
            yield key, last[key] + PROBLEM_MS if key in last else 0


def owes_problems(state: State, at: int) -> list[f.TellProblem]:
    """Those of them that are due."""
    told = []
    for key, due in untold(state):
        trouble = state.problems[key]
        if due <= at:
            told.append(f.TellProblem(
                problem=key, at=trouble.at, what=trouble.what, where=trouble.where, mend=trouble.mend, repo=trouble.repo,
                task=trouble.task, routes=state.factory.routes,
            ))
    return told


def heard(state: State, given: i.ProblemHeard, at: int) -> list[e.Event]:
    """A problem counts as told even where a route failed."""
    if given.problem_key not in state.problems:
        return []
    failed = tuple(one.route for one in given.unheard)
    return [e.ProblemTold(key=given.problem_key, told=given.told, failed=failed), *route_news(state, given.told, given.unheard)]


def was_told(state: State, given: i.GateTold, at: int) -> list[e.Event]:
    """It counts as told even where a route failed: that is a problem for a person, the inbox has the gate, and it rises again."""
    gate = state.gates.get(given.gate)
    if gate is None or gate.noticed >= given.n:
        return []
    events: list[e.Event] = [e.GateNoticed(
        gate=given.gate, n=given.n, told=given.told, failed=tuple(one.route for one in given.unheard),
    )]
    return [*events, *route_news(state, given.told, given.unheard)]


def route_news(state: State, told: tuple[str, ...], unheard: tuple[i.RouteFailed, ...]) -> list[e.Event]:
    """Which routes are broken, once each, until they work."""
    events: list[e.Event] = []
    for route in told:
        events += clear(state, f"route:{route}")
    for one in unheard:
        events += noticed(state, f"route:{one.route}", i.TroubleSeen(key="", problem=one.problem))
    return events


CHECKS: dict[type, Callable[[State, Any], Problem | None]] = {i.SnoozeGate: can_snooze, i.DelegateGate: can_delegate}
HANDLERS: dict[type, Callable[[State, Any, int], list[e.Event]]] = {
    i.SnoozeGate: snooze, i.DelegateGate: delegate, i.GateTold: was_told, i.ProblemHeard: heard,
}
