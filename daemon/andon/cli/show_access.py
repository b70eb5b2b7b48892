"""`andon show ATTEMPT --access`: what an attempt tried to reach, what was let through, and what of it is not seen."""

import argparse
import re

from andon.cli import codes, out, reach
from andon.client import Client
from andon.schema import wire
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from andon.schema.inputs import DismissProblem
from andon.schema.sentences import plural
from andon.schema.views import ProblemView

RUN = re.compile(r"[Rr][1-9]\d{0,8}")
ATTEMPT = re.compile(r"[Tt]?([1-9]\d{0,8}\.[1-9]\d{0,5})")


def run(client: Client, args: argparse.Namespace) -> int:
    """Print the list; with `--dismiss` put its problems away after."""
    attempt = attempt_of(client, args.task)
    reply = client.ask(wire.GetAccess(attempt=attempt))
    if not isinstance(reply, wire.AccessIs):
        raise Mistake(f"the daemon has no list of {attempt}", mend="`andon show TASK` names a task's attempts")
    if args.json:
        import msgspec

        print(plain_json(msgspec.json.encode(reply)))
    else:
        tell(reply)
    if args.dismiss:
        dismiss(client, attempt)
    return codes.OK


def attempt_of(client: Client, name: str) -> AttemptId:
    """The attempt that is named; of a task the latest. Mistake when there is none."""
    if RUN.fullmatch(name.strip()):
        return AttemptId(name.strip().upper())
    found = ATTEMPT.fullmatch(name.strip())
    if found:
        return AttemptId(f"T{found[1]}")
    task = reach.the_task(client.views(), name)
    if not task.attempt:
        raise Mistake(f"{task.task} has had no attempt yet", where=TaskId(task.task), mend=f"`andon why {task.task}` says why")
    return task.attempt


def tell(reply: wire.AccessIs) -> None:
    """The list for people."""
    refused = sum(not row.allowed for row in reply.rows)
    walls = f"walls: {reply.level}" if reply.level else "walls: not known"
    print(out.paint(f"{reply.attempt}  {plural(len(reply.rows), 'thing')} tried, {refused} refused  ({walls})", "bold"))
    rows = [(out.moment(row.at), row.kind, "allowed" if row.allowed else "refused", str(row.times),
             f"{row.what} — {row.rule}" if row.rule else row.what) for row in reply.rows]
    out.table(rows, ("FIRST", "KIND", "RESULT", "TIMES", "WHAT AND WHY"), indent="  ")
    for note in reply.notes:
        out.say(out.clean(note))


def dismiss(client: Client, attempt: AttemptId) -> None:
    """Put the attempt's problems away: the list stays."""
    problems = [view.problem for view in reach.of(ProblemView, client.views()) if view.attempt == attempt]
    for problem in problems:
        client.do(DismissProblem(problem=problem))
    out.say(f"{plural(len(problems), 'problem')} of {attempt} put away; the list stays")
