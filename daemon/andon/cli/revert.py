"""`andon revert`: takes a landed change back, as a new commit that is proved and landed like any other."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.errors import Mistake
from andon.schema.inputs import RevertLanding

EXAMPLES = """\
examples:
  andon revert T5 --because "breaks the import of old files"

The history stays: the revert is a change of its own, which waits in `andon queue` and lands when the tree without T5 is proven.
Where later work has changed the same lines, an agent gets the task to take it out.
`andon undo` is something else: it lays out what an attempt had written as a directory, and lands nothing.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which landing, and why."""
    parser.add_argument("task", help="a task that has landed, like T5; `andon show COMMIT` tells which task a commit is")
    parser.add_argument("--because", default="", help="why, for the record and for the commit's message")
    parser.add_argument("--key", default="", help="the same key again makes no second revert")


def run(args: argparse.Namespace) -> int:
    """Ask for the revert."""
    with reach.daemon() as client:
        task = reach.the_task(client.views(), args.task)
        if not task.landed and task.state not in ("landed", "watching", "done"):
            raise Mistake(f"{task.task} has not landed: it is {task.state}",
                          mend=f"`andon queue drop {task.task}` takes it out of the queue, `andon cancel {task.task}` ends it")
        done = client.do(RevertLanding(task=task.task, because=args.because, key=args.key))
    made = " ".join(done.ids)
    told = f"takes {task.task} back: {out.clean(task.title)}; it lands when it is proven"
    print(f"{made}  {told}" if made else out.clean(done.text) or f"a change {told}")
    return codes.OK
