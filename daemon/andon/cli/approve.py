"""`andon approve`: yes to what gates show, bound to exactly that, and signed where a key is set."""

import argparse

from andon.cli import reach
from andon.cli.answering import answer, signed_arguments

EXAMPLES = """\
examples:
  andon approve T3
  andon approve T1 T2 T5                       all are shown first; one signature each
  andon approve G4 --bound 4f2c19d07a55e1b3     only if it is still what `andon gate show` printed then
  andon approve G4 --role security

With a key in [operator] of your own andon.toml each yes is signed by it; a change of class stop lands with signed ones only.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which gates."""
    parser.add_argument("gate", nargs="+", help="gates like G4, or their tasks like T3")
    parser.add_argument("--because", default="", help="why, for the record")
    parser.add_argument("--bound", metavar="DIGEST", default="", help="approve only what you saw earlier under this digest")
    signed_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show what it binds to and approve it."""
    with reach.daemon() as client:
        return answer(client, args.gate, "approve", because=args.because, bound=args.bound, role=args.role)
