"""What agents stand still for: permissions and questions by their own means. Decided by the settings or by a person. Pure."""

from collections.abc import Iterator

from andon.core.failure import gate_id
from andon.core.messages import queued
from andon.core.permissions import LIMIT, PATHS, Ruling, rule
from andon.core.state import KEPT_ASKS, Ask, Attempt, Gate, State, Task
from andon.schema import effects as f, events as e, inputs as i

OPTIONS = (
    e.Option(key="allow", label="Allow", consequence="It does this, once."),
    e.Option(key="deny", label="Deny", consequence="It does not; it is told your words and goes on without."),
)


def seen(state: State, given: i.AskSeen, at: int) -> list[e.Event]:
    """An ask, once; what follows from it is decided in `wanted`."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or attempt.phase != "running" or len(attempt.open_asks) >= KEPT_ASKS:
        return []
    if given.ask in attempt.told_asks or any(ask.ask == given.ask for ask in attempt.open_asks):
        return []
    if given.text:
        options = tuple(option[:80] for option in given.options[:9])
        return [e.QuestionSeen(
            attempt=given.attempt, ask=given.ask, text=given.text[:2000], options=options, by_message=not given.answerable,
        )]
    return [e.PermissionAsked(
        attempt=given.attempt, ask=given.ask, tool=given.tool[:200], deed=given.deed,
        target=given.target[: LIMIT + 1], paths=given.paths[: PATHS + 1], by_keys=not given.answerable,
    )]


def gone(state: State, given: i.AskGone, at: int) -> list[e.Event]:
    """It was answered at its own screen, or withdrawn: nobody has to decide it any more."""
    attempt = state.attempts.get(given.attempt)
    if attempt is None or not any(ask.ask == given.ask for ask in attempt.open_asks):
        return []
    events: list[e.Event] = [e.PermissionSettled(attempt=given.attempt, ask=given.ask, how=given.how or "gone")]
    gate = gate_of(state, attempt, given.ask)
    because = f"it stands no longer: {given.how or 'gone'}"
    return [*events, e.GateVoided(gate=gate.gate, because=because)] if gate else events


def gate_of(state: State, attempt: Attempt, ask: str) -> Gate | None:
    """The open gate about an ask."""
    gate = state.gates.get(state.tasks[attempt.task].gate)
    return gate if gate is not None and gate.attempt == attempt.attempt and gate.ask == ask and ask else None


def told(state: State, given: i.AskAnswered, at: int) -> list[e.Event]:
    """The agent took the decision, or no longer wanted it."""
    attempt = state.attempts.get(given.attempt)
    open_ask = next((ask for ask in attempt.open_asks if ask.ask == given.ask), None) if attempt else None
    if open_ask is None or not open_ask.decided:
        return []
    return [e.PermissionSettled(attempt=given.attempt, ask=given.ask, how=given.how or "delivered")]


def owes(attempt: Attempt) -> Iterator[f.Effect]:
    """Decisions that the agent was not told yet."""
    for ask in attempt.open_asks:
        if ask.decided and not ask.by_message:
            yield f.AnswerAsk(attempt=attempt.attempt, ask=ask.ask, allow=ask.allow, text=ask.answer, by_keys=ask.by_keys)


def wanted(state: State, task: Task, attempt: Attempt, at: int) -> list[e.Event]:
    """What follows from the asks that stand: a decision of the settings, an answer as a message, or the gate of the oldest."""
    for ask in attempt.open_asks:
        if ask.by_message and ask.decided:
            return answered_by_message(state, attempt, ask)
        ruling = None if ask.decided or ask.text or attempt.taken else ruling_of(state, attempt, ask)
        if ruling is not None and ruling.word != "ask":
            return [e.PermissionDecided(
                attempt=attempt.attempt, ask=ask.ask, allow=ruling.word == "allow", because=ruling.because, by="policy",
            )]
    first = next((ask for ask in attempt.open_asks if not ask.decided), None)
    if first is None or task.gate or attempt.taken:
        return []
    return [question_gate(state, task, attempt, first) if first.text else permission_gate(state, task, attempt, first)]


def ruling_of(state: State, attempt: Attempt, ask: Ask) -> Ruling:
    """What the settings of the repository say."""
    return rule(state.repos[attempt.repo].settings.permissions, ask, attempt.path)


def answered_by_message(state: State, attempt: Attempt, ask: Ask) -> list[e.Event]:
    """No channel takes the answer: it goes in as words."""
    return [
        e.PermissionSettled(attempt=attempt.attempt, ask=ask.ask, how="answered by a message"),
        *queued(state, attempt, "answer", ask.answer or "(no words)", "a person"),
    ]


def question_gate(state: State, task: Task, attempt: Attempt, ask: Ask) -> e.Event:
    """A question to a person."""
    options = tuple(e.Option(key=option, label=option) for option in dict.fromkeys(ask.options) if option != "answer")
    free = e.Option(key="answer", label="Answer in words", consequence="The agent gets your text.")
    return e.GateOpened(
        gate=gate_id(state), task=task.task, kind="question", question=ask.text, options=(*options, free),
        because=f"{attempt.attempt} asks and waits", attempt=attempt.attempt, ask=ask.ask, station=task.station,
    )


def permission_gate(state: State, task: Task, attempt: Attempt, ask: Ask) -> e.Event:
    """What the settings leave to a person."""
    ruling = ruling_of(state, attempt, ask)
    whole = ask.target or ", ".join(ask.paths)
    target = whole if len(whole) <= SHOWN else f"{whole[:SHOWN]} … ({len(whole)} characters in all: see the session)"
    deed = ask.deed if ask.deed != "other" else "use"
    with_tool = f" ({ask.tool})" if ask.tool else ""
    return e.GateOpened(
        gate=gate_id(state), task=task.task, kind="permission", options=OPTIONS, because=ruling.because,
        question=f"{attempt.attempt} wants to {VERBS.get(deed, deed)}{with_tool}: {target or 'it does not say what'}",
        risk="stop" if "outside" in ruling.because else "review", attempt=attempt.attempt, ask=ask.ask, station=task.station,
    )


SHOWN = 3000
"""Characters of a request that its gate shows."""
VERBS = {"shell": "run a command", "edit": "change a file", "read": "read a file", "fetch": "fetch", "mcp": "use a tool",
         "use": "use a tool"}


def decided(state: State, gate: Gate, command: i.AnswerGate) -> list[e.Event]:
    """A person's decision on a permission."""
    attempt = state.attempts.get(gate.attempt)
    if attempt is None or not any(ask.ask == gate.ask for ask in attempt.open_asks):
        return []
    allow = command.option == "allow"
    because = command.because or f"{'allowed' if allow else 'denied'} by {command.by or 'a person'}"
    return [e.PermissionDecided(
        attempt=attempt.attempt, ask=gate.ask, allow=allow, because=because, by=command.by or "somebody",
    )]
