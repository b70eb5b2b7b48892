"""`andon why`: why a task does not run."""

import argparse

from andon.cli import codes, out, reach

EXAMPLES = """\
examples:
  andon why T3
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which task."""
    parser.add_argument("task", help="a task, like T3")
    parser.add_argument("--json", action="store_true", help="a JSON array of reasons")


def run(args: argparse.Namespace) -> int:
    """Print each reason on a line; for a task that runs or is over, say that."""
    with reach.daemon() as client:
        task = reach.the_task(client.views(), args.task)
    reasons = [*([task.attention] if task.attention else []), *task.why]
    if args.json:
        out.dump(reasons)
        return codes.OK
    print(f"{task.task} {out.state_word(task.state)} for {out.age(task.since)}" + (f", at {task.station}" if task.station else ""))
    for reason in reasons:
        print(f"  {out.clean(reason)}")
    if not reasons and task.state in ("building", "checking", "landing"):
        print(f"  nothing holds it up{f': attempt {task.attempt} is {task.health}' if task.health else ''}")
    if task.gate:
        print(f"  see: andon gate show {task.gate}")
    return codes.OK
