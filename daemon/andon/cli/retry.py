"""`andon retry`: gives tasks another attempt."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.inputs import RetryTask

EXAMPLES = """\
examples:
  andon retry T3
  andon retry T3 --note "the fixture you need is in tests/data"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which tasks, and what the agent is told."""
    parser.add_argument("task", nargs="+", help="tasks, like T3")
    parser.add_argument("--note", default="", help="what the next attempt is told")


def run(args: argparse.Namespace) -> int:
    """Retry each."""
    with reach.daemon() as client:
        views = client.views()
        tasks = [reach.the_task(views, text) for text in args.task]
        for task in tasks:
            done = client.do(RetryTask(task=task.task, note=args.note))
            print(out.clean(done.text) or f"{task.task} gets another attempt")
    return codes.OK
