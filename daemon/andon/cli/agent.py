"""`andon agent`: what an agent may say from inside its session. Writes into its own job directory, decides nothing."""

import argparse
import os
import sys
from typing import Literal

from andon.cli import codes, out
from andon.cli.wait import duration
from andon.schema.clean import clean
from andon.schema.errors import Mistake

EXAMPLES = """\
examples (inside a session):
  andon agent task                                                  the whole text of the task
  andon agent context                                               JSON: task, attempt, title, base, answers so far
  andon agent say "the parser is done, tests next"
  andon agent ask "Which name?" --option quiet --option silent      prints the answer when it is there
  andon agent finished "all tests pass" --commit HEAD
  andon agent handoff "out of context; the open point is the cache"
"""

KINDS: dict[str, Literal["progress", "finished", "handoff"]] = {"say": "progress", "finished": "finished", "handoff": "handoff"}
"""What a verb leaves in the outbox."""

def arguments(parser: argparse.ArgumentParser) -> None:
    """task, context, say, ask, finished, handoff."""
    sub = parser.add_subparsers(dest="what", metavar="task|context|say|ask|finished|handoff", required=True)
    sub.add_parser("task", help="print the whole text of the task")
    sub.add_parser("context", help="print what this session is, and the answers so far, as JSON")
    say = sub.add_parser("say", help="report progress")
    say.add_argument("text", nargs="+")
    ask = sub.add_parser("ask", help="ask a person and wait for the answer")
    ask.add_argument("text", nargs="+")
    ask.add_argument("--option", action="append", default=[], help="a possible answer; may be repeated")
    ask.add_argument("--no-wait", action="store_true", help="do not wait: print the question's number")
    ask.add_argument("--timeout", default="", help="wait at most this long: 90s, 10m (exit code 1)")
    finished = sub.add_parser("finished", help="say that the work is committed")
    finished.add_argument("text", nargs="*")
    finished.add_argument("--commit", default="", help="the commit (default: none named)")
    handoff = sub.add_parser("handoff", help="give the task back, with what the next one should know")
    handoff.add_argument("text", nargs="+")


def run(args: argparse.Namespace) -> int:
    """Print what was asked for, or leave the message; for a question, wait for its answer."""
    from andon.schema import mailbox

    job = mailbox.job_directory(os.environ)
    if args.what in ("task", "context"):
        print(clean((mailbox.read_task if args.what == "task" else mailbox.read_context)(job)))
        return codes.OK
    text = " ".join(args.text).strip()
    if args.what != "finished" and not text:
        raise Mistake("there is nothing to say", mend=f'for example: andon agent {args.what} "…"')
    if args.what == "ask":
        said = mailbox.leave(job, "ask", text, options=tuple(args.option))
        if args.no_wait:
            print(said.n)
            return codes.OK
        answer = mailbox.await_answer(job, said.n, seconds=duration(args.timeout) if args.timeout else 0.0)
        if answer is None:
            out.say(f"andon: question {said.n} is not answered yet; it stays open")
            return codes.NOT_SO
        print(clean(answer.text))
        return codes.OK
    commit = _resolved(args.commit) if args.what == "finished" and args.commit else ""
    said = mailbox.leave(job, KINDS[args.what], text, commit=commit)
    print(f"noted ({said.n})", file=sys.stderr)
    return codes.OK


def _resolved(name: str) -> str:
    """The commit's full name, when git knows it; else what was said."""
    import subprocess

    try:
        found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
                               capture_output=True, text=True, check=False)
    except OSError:
        return name
    return found.stdout.strip() or name
