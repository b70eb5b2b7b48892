"""The agent station: judges what an attempt brought. Silence, words and exit codes prove nothing; git does."""

from andon.core import resume, seen
from andon.core.failure import fingerprint, gate_id, packet_of, send_back
from andon.core.globs import matches
from andon.core.state import Attempt, State, Task
from andon.schema import events as e, inputs as i
from andon.schema.sentences import plural
from andon.schema.settings import Station

Fault = tuple[e.FailureClass, str]
"""Failure class and message."""
LIMIT_OPTIONS = (
    e.Option(key="extend", label="More time", consequence="It goes on with its limit granted once more."),
    e.Option(key="stop", label="Stop it", consequence="Its work is kept in a salvage ref; the task goes back or asks again."),
)


def passed(state: State, task: Task, station: Station) -> bool:
    """Whether an attempt's change was accepted and nobody works on it any more."""
    return task.work is not None and not task.live


def advance(state: State, task: Task, station: Station, at: int) -> list[e.Event]:
    """Nothing: who gets an agent next is for the scheduler, which looks at all tasks at once."""
    return []


def asks(state: State, task: Task, at: int) -> list[e.Event]:
    """The gate that a running attempt wants: its oldest question without an answer, then more time when it was paused."""
    attempt = state.attempts.get(task.live)
    if attempt is None or task.gate or attempt.phase != "running" or attempt.stop_asked:
        return []
    if attempt.asks:
        question = attempt.asks[0]
        options = tuple(e.Option(key=option, label=option) for option in question.options)
        free = e.Option(key="answer", label="Answer in words", consequence="The agent gets your text.")
        return [e.GateOpened(
            gate=gate_id(state), task=task.task, kind="question", question=question.text, options=(*options, free),
            because=f"{attempt.attempt} asks and waits", attempt=attempt.attempt, n=question.n, station=task.station,
        )]
    if not attempt.pause_asked or attempt.budget_hit:
        return []
    because = f"{attempt.attempt} has worked {round((at - attempt.started_at) / 60_000)} minutes, its limit"
    return [e.GateOpened(
        gate=gate_id(state), task=task.task, kind="limit", question=f"{because}. More time?", options=LIMIT_OPTIONS,
        because=because, attempt=attempt.attempt, station=task.station,
    )]


def failure_of_stop(attempt: Attempt) -> e.FailureClass:
    """How a stop counts: one that only gives the task to another agent is no fault of the work."""
    return "transient" if attempt.stop_then == "reassign" else "limit"


def detail_of_stop(attempt: Attempt) -> str:
    """What the next agent is told about what the one before left."""
    if attempt.stop_then != "reassign":
        return ""
    left = "Everything that it left is on the branch `andon/previous`, committed or not." if attempt.salvage_oid else ""
    return "\n\n".join(text for text in (f"{attempt.agent} had it before.", left, attempt.stop_note) if text)


def close(state: State, attempt: Attempt, failure: e.FailureClass, message: str, at: int, detail: str = "") -> list[e.Event]:
    """The attempt gave nothing: it ends, and its task goes back or is already over."""
    print_ = fingerprint(failure, message)
    events: list[e.Event] = [
        e.AttemptFailed(attempt=attempt.attempt, failure=failure, fingerprint=print_, message=message),
    ]
    task = state.tasks.get(attempt.task)
    if task and not task.over and task.live == attempt.attempt:
        events += send_back(state, task, failure, print_, packet_of(message, ("What was seen", detail)), at)
    return events


def work_read(state: State, read: i.WorkRead, at: int) -> list[e.Event]:
    """Accept the attempt's commit as the task's change, or say why not. A stale fencing token changes nothing."""
    attempt = state.attempts.get(read.attempt)
    if attempt is None or attempt.phase != "ended" or attempt.fence != read.fence:
        return []
    task = state.tasks[attempt.task]
    if task.over or attempt.stop_asked:
        return close(state, attempt, failure_of_stop(attempt), attempt.stop_asked or "the task is over", at)
    fault = (
        fault_of_exit(attempt) or fault_of_history(attempt, read) or fault_of_words(attempt, read) or fault_of_scope(task, read)
        or fault_of_sight(state, attempt, read)
    )
    again = resume.after_end(state, attempt, read, fault[1], at) if fault and fault[0] in ("transient", "crash") else []
    if again:
        return again
    if fault:
        return close(state, attempt, *fault, at)
    imported = e.WorkImported(
        attempt=attempt.attempt, commit=read.commit, tree=read.tree, base=attempt.base, base_tree=read.base_tree,
        paths=read.paths, paths_total=read.paths_total, insertions=read.insertions, deletions=read.deletions, diff=read.diff,
        said_commit=attempt.said_commit, facts=read.facts,
    )
    told = f"{plural(read.paths_total, 'file')}, +{read.insertions} -{read.deletions}, descends from {attempt.base[:10]}"
    events: list[e.Event] = [
        imported,
        e.ClaimJudged(task=task.task, commit=read.commit, claim="work", status="proven", because=told),
    ]
    if task.paths:
        within = f"all changes are within {', '.join(task.paths)}"
        events.append(e.ClaimJudged(task=task.task, commit=read.commit, claim="scope", status="proven", because=within))
    return [*events, e.AttemptAccepted(attempt=attempt.attempt, commit=read.commit)]


def fault_of_exit(attempt: Attempt) -> Fault | None:
    """An attempt whose process did not end well is not accepted, whatever it committed before.

    One that the factory itself ended, because its turn was over, ended well.
    """
    if attempt.finish_asked and attempt.exit_because == "stopped":
        return None
    if attempt.exit_because == "lost":
        return "transient", "the session was lost before it ended"
    if attempt.exit_because == "stopped":
        return "transient", "its session was ended from outside, and nobody had asked for it"
    if attempt.exit_because == "not-started":
        return "contract", "the agent's command could not be started"
    if attempt.exit_because == "timeout":
        return "limit", "the agent ran into its time limit"
    if attempt.exit_code != 0:
        code = "a signal" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
        return "crash", f"the agent ended with {code}{f': {attempt.exit_error}' if attempt.exit_error else ''}"
    return None


def fault_of_history(attempt: Attempt, read: i.WorkRead) -> Fault | None:
    """The commits must be there, must be its own and must change something."""
    if read.refused:
        return "contract", f"git refused the work: {read.refused}"
    if read.commit in (attempt.base, attempt.start):
        left = "; it left changes that it did not commit" if read.dirty else ""
        return "contract", f"it says it is done but committed nothing{left}"
    if not read.descends:
        return "contract", "its head does not descend from the commit it was given"
    if read.foreign:
        return "contract", f"it contains commits of other tasks ({', '.join(oid[:10] for oid in read.foreign[:3])})"
    if read.tree == read.base_tree:
        return "contract", "its commits change nothing"
    return None


def fault_of_words(attempt: Attempt, read: i.WorkRead) -> Fault | None:
    """A commit that the agent names must be the one on its branch."""
    said = attempt.said_commit
    if said and not read.commit.startswith(said):
        return "contract", f"it named commit {said[:12]}, but its branch holds {read.commit[:12]}"
    return None


def fault_of_scope(task: Task, read: i.WorkRead) -> Fault | None:
    """Only paths that the task may touch."""
    if not task.paths:
        return None
    if read.paths_total > len(read.paths):
        return "contract", f"it changed {read.paths_total} paths, more than can be compared with its scope"
    outside = [path for path in read.paths if not matches(path, task.paths)]
    return ("contract", f"it changed paths outside its scope: {', '.join(outside[:5])}") if outside else None


def fault_of_sight(state: State, attempt: Attempt, read: i.WorkRead) -> Fault | None:
    """No path that is hidden from it, or that it may only read."""
    told = seen.fault_of(state, attempt, read)
    return ("contract", told) if told else None
