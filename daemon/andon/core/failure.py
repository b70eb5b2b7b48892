"""What happens after a failure: another attempt with its packet, or, at a limit, a question to a person. Pure."""

import hashlib

from andon.core.state import State, Task
from andon.schema import events as e
from andon.schema.ids import GateId
from andon.schema.settings import Settings

BACKOFF_LIMIT_S = 300.0
OPTIONS = (
    e.Option(key="retry", label="Try again", consequence="The counters start anew; the agent gets the failure and your note."),
    e.Option(key="cancel", label="Give it up", consequence="The task ends as failed; all work stays in its salvage refs."),
)


def fingerprint(*parts: str) -> str:
    """A short name for a failure: equal failures have equal fingerprints."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def gate_id(state: State) -> GateId:
    """The name of the next gate."""
    return GateId(f"G{state.gate_count + 1}")


def backoff_ms(settings: Settings, tries: int) -> int:
    """The wait before try number `tries` + 1, in milliseconds."""
    return int(min(settings.retry.backoff_s * 2.0 ** max(tries - 1, 0), BACKOFF_LIMIT_S) * 1000)


def send_back(state: State, task: Task, failure: e.FailureClass, print_: str, packet: str, at: int) -> list[e.Event]:
    """The task goes back before its first station, and to a person when a cap is reached."""
    settings = state.repos[task.repo].settings
    counted = [*task.failures]
    transient = sum(1 for known in counted if known.failure == "transient") + (failure == "transient")
    not_before = at + backoff_ms(settings, transient) if failure == "transient" else 0
    retry = e.RetryScheduled(task=task.task, failure=failure, fingerprint=print_, packet=packet, not_before=not_before)
    reason = limit_reached(settings, task, failure, print_, transient)
    if not reason:
        return [retry]
    gate = e.GateOpened(
        gate=gate_id(state), task=task.task, kind="failure", question=f"{task.task} {reason}. What now?", options=OPTIONS,
        recommendation="cancel" if failure == "contract" else "retry", because=first_line(packet), risk="review",
        station=task.station,
    )
    return [retry, gate]


def limit_reached(settings: Settings, task: Task, failure: str, print_: str, transient: int) -> str:
    """Which cap this failure reaches, in words; empty when none."""
    if failure == "transient":
        return f"could not be worked on {transient} times" if transient > settings.retry.transient else ""
    counted = [known for known in task.failures if known.failure != "transient"]
    same = 1 + sum(1 for known in counted if known.fingerprint == print_)
    if len(counted) + 1 >= settings.budget.attempts:
        return f"has used its {settings.budget.attempts} attempts"
    if same >= settings.retry.same_failure:
        return f"failed {same} times in the same way"
    return ""


def first_line(text: str) -> str:
    """The first line that says something, without markdown marks."""
    return next((line.strip("#*- ").strip() for line in text.splitlines() if line.strip("#*- ").strip()), "")[:300]


def packet_of(headline: str, *sections: tuple[str, str]) -> str:
    """The markdown that tells the next attempt what failed. Sections without text are left out."""
    parts = [f"## The last attempt did not pass: {headline}"]
    parts += [f"### {title}\n\n{text.strip()}" for title, text in sections if text.strip()]
    return "\n\n".join(parts)[:12_000]
