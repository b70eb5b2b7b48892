"""What an agent can say from inside its session: report, ask, finish, hand off. Decides nothing; knows only its job directory."""

from andon.schema.mailbox import await_answer, job_directory, leave


def say(text: str) -> None:
    """Report progress. Raises Mistake outside of a session."""
    leave(job_directory(), "progress", text)


def ask(text: str, options: tuple[str, ...] = (), *, seconds: float = 0.0) -> str:
    """Ask a person and wait for the answer; empty when `seconds` (0: for ever) pass without one."""
    job = job_directory()
    answer = await_answer(job, leave(job, "ask", text, options=options).n, seconds=seconds)
    return answer.text if answer else ""


def finished(commit: str, text: str = "") -> None:
    """Say that the work is done at this commit. The daemon looks for itself."""
    leave(job_directory(), "finished", text, commit=commit)


def handoff(text: str) -> None:
    """Give the task back with what the next one should know."""
    leave(job_directory(), "handoff", text)
