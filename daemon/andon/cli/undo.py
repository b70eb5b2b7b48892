"""`andon undo`: restores the snapshot of an attempt as a directory beside everything else."""

import argparse

from andon.cli import codes, out, reach
from andon.schema import wire
from andon.schema.errors import Mistake

EXAMPLES = """\
examples:
  andon undo T3.1        what the first attempt of T3 had written, committed or not
  andon undo T3          the same for its latest attempt

Nothing is overwritten: the snapshot becomes a new directory, whose path is printed.
To take back what has landed on the target: `andon revert T3`.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which attempt."""
    parser.add_argument("attempt", help="an attempt like T3.1, or a task like T3 for its latest")


def run(args: argparse.Namespace) -> int:
    """Restore it."""
    with reach.daemon() as client:
        attempt = reach.attempt_id(args.attempt) or reach.the_task(client.views(), args.attempt).attempt
        if not attempt:
            raise Mistake(f"{args.attempt} has no attempt yet: there is nothing to restore",
                          mend=f"`andon why {args.attempt}` says why")
        reply = client.ask(wire.Undo(attempt=attempt))
    path = " ".join(reply.ids) if isinstance(reply, wire.Done) else ""
    text = reply.text if isinstance(reply, wire.Done) else ""
    print(f"{attempt} restored at {out.clean(path)}" if path else out.clean(text) or f"{attempt} restored")
    return codes.OK
