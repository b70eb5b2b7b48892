"""`andon revert`: takes a landed change back, as a new commit that is proved and landed like any other."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.errors import Mistake
from andon.schema.inputs import RevertLanding
from andon.schema.views import TaskView

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
        task = reach.task_id(args.task)
        known = next((view for view in reach.of(TaskView, client.views()) if view.task == task), None)
        if known and not known.landed and known.state not in ("landed", "watching", "done"):
            raise Mistake(f"{task} has not landed: it is {known.state}",
                          mend=f"`andon queue drop {task}` takes it out of the queue, `andon cancel {task}` ends it")
        done = client.do(RevertLanding(task=task, because=args.because, key=args.key))
    made = " ".join(done.ids)
    title = f": {out.clean(known.title)}" if known else ""
    told = f"takes {task} back{title}; it lands when it is proven"
    print(f"{made}  {told}" if made else out.clean(done.text) or f"a change {told}")
    return codes.OK
