"""The agents' own verbs as a Model Context Protocol server on stdio: `python -m andon_agents.verbs_server`.

It writes into and reads from the one job directory that `$ANDON_JOB` names, as `andon agent …` does; it decides nothing. A
question blocks until a person answered, with a sign of life every few seconds; a question that is asked again, with nothing said
in between, is the same question: a client that gave up waiting may ask once more, and a person is asked once.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from andon.schema import mailbox
from andon.schema.errors import Mistake

KEEP_ALIVE_S, LOOK_S = 5.0, 0.2
"""Between two signs of life while a question waits, and between two looks for its answer: a look at one file, no model call."""
INSTRUCTIONS = (
    "Your task in this factory. get_task tells what to do; report_progress says where you are; ask_human asks a person and waits; "
    "say_finished says that your work is committed; hand_off gives the task back. Nothing said here is a decision: the factory "
    "looks at your commits and runs its own checks."
)
server = MCPServer("andon", instructions=INSTRUCTIONS, log_level="ERROR")


@server.tool()
def get_task() -> str:
    """The whole text of your task."""
    return _told(mailbox.read_task)


@server.tool()
def get_context() -> str:
    """JSON: task, attempt, title, the commit you began from, and the answers a person gave you so far."""
    return _told(mailbox.read_context)


@server.tool()
def report_progress(text: str) -> str:
    """Tell in a sentence where you are. A person may read it; nobody answers."""
    return _left("progress", text)


@server.tool()
async def ask_human(question: str, context: Context, options: list[str] | None = None) -> str:
    """Ask a person and wait for the answer. Give options where there are some. Ask only what you cannot find out yourself."""
    job = _job()
    try:
        said = mailbox.ask_once(job, _words(question), options=tuple(options or ()))
    except (Mistake, OSError) as error:
        raise _refused(error) from None
    waited = 0.0
    while (answer := mailbox.read_answer(job, said.n)) is None:
        if waited % KEEP_ALIVE_S < LOOK_S:
            await context.report_progress(waited, message=f"question {said.n} waits for a person")
        await anyio.sleep(LOOK_S)
        waited += LOOK_S
    return answer.text


@server.tool()
def hand_off(text: str) -> str:
    """Give the task back, with what the next one should know. End your turn after it."""
    return _left("handoff", text)


@server.tool()
def say_finished(summary: str, commit: str = "") -> str:
    """Say that your work is committed; name the commit if you can (HEAD will do). End your turn after it."""
    return _left("finished", summary, _resolved(commit))


def _left(kind: mailbox.Kind, text: str, commit: str = "") -> str:
    """Leave a message; its number."""
    try:
        said = mailbox.leave(_job(), kind, text if kind == "finished" else _words(text), commit=commit)
    except (Mistake, OSError) as error:
        raise _refused(error) from None
    return f"noted ({said.n})"


def _told(read: "mailbox.Reader") -> str:
    """What a file of the job says."""
    try:
        return read(_job())
    except (Mistake, OSError) as error:
        raise _refused(error) from None


def _job() -> Path:
    try:
        return mailbox.job_directory(os.environ)
    except Mistake as error:
        raise _refused(error) from None


def _words(text: str) -> str:
    if not text.strip():
        raise ToolError("there is nothing to say")
    return text.strip()


def _refused(error: Exception) -> ToolError:
    """What the agent reads when it did not work."""
    return ToolError(str(error) if isinstance(error, Mistake) else f"the job directory cannot be used: {error}")


def _resolved(name: str) -> str:
    """The commit's full name, when git knows it here; else what was said."""
    if not name:
        return ""
    try:
        found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
                               capture_output=True, text=True, check=False, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return name
    return found.stdout.strip() or name


def main() -> int:
    """Serve until the client closes its end."""
    try:
        mailbox.job_directory(os.environ)
    except Mistake as error:
        print(f"andon: {error}", file=sys.stderr)
        return 2
    logging.getLogger("mcp").setLevel(logging.ERROR)
    server.run("stdio")
    return 0


if __name__ == "__main__":
    sys.exit(main())
