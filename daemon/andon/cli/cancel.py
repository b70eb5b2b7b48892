"""`andon cancel`: ends tasks; their work is kept."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.inputs import CancelTask

EXAMPLES = """\
examples:
  andon cancel T3 --because "superseded by T9"

What its agents wrote stays reachable: `andon undo T3` restores it as a directory, `andon retry T3` takes the task up again.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which tasks, and why."""
    parser.add_argument("task", nargs="+", help="tasks, like T3")
    parser.add_argument("--because", default="", help="why, for the record")


def run(args: argparse.Namespace) -> int:
    """Cancel each."""
    with reach.daemon() as client:
        views = client.views()
        tasks = [reach.the_task(views, text) for text in args.task]
        for task in tasks:
            done = client.do(CancelTask(task=task.task, because=args.because))
            print(out.clean(done.text) or f"{task.task} cancelled")
    return codes.OK
