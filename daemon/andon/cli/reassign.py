"""`andon reassign`: stops the attempt, keeps its work, and gives the task to another agent."""

import argparse

from andon.cli import codes, out, reach
from andon.schema import inputs as i

EXAMPLES = """\
examples:
  andon reassign T3 codex
  andon reassign T3 claude --note "the first try forgot the migration"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which task, to whom."""
    parser.add_argument("task", help="a task like T3")
    parser.add_argument("agent", help="a name of [agents] in andon.toml")
    parser.add_argument("--note", default="", help="words for the next agent")


def run(args: argparse.Namespace) -> int:
    """Ask for it."""
    with reach.daemon() as client:
        task = reach.the_task(client.views(), args.task)
        done = client.do(i.ReassignTask(task=task.task, agent=args.agent, note=args.note))
    print(out.clean(done.text))
    return codes.OK
