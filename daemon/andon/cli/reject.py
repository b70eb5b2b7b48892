"""`andon reject`: sends changes back to their agents with a reason."""

import argparse

from andon.cli import reach
from andon.cli.answering import answer, signed_arguments
from andon.schema.errors import Mistake

EXAMPLES = """\
examples:
  andon reject T3 --because "the flag must be called --quiet"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which gates, and why."""
    parser.add_argument("gate", nargs="+", help="gates like G4, or their tasks like T3")
    parser.add_argument("--because", required=True, help="what is wrong: the next attempt is told")
    parser.add_argument("--bound", metavar="DIGEST", default="", help="reject only what you saw earlier under this digest")
    signed_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show what it binds to and reject it."""
    if not args.because.strip():
        raise Mistake("a rejection needs a reason", where="--because", mend="say what is wrong: the next attempt is told")
    with reach.daemon() as client:
        return answer(client, args.gate, "reject", because=args.because, bound=args.bound, role=args.role)
