"""`andon approve`: yes to what a gate shows, bound to exactly that."""

import argparse

from andon.cli import reach
from andon.cli.answering import answer

EXAMPLES = """\
examples:
  andon approve T3
  andon approve G4 --bound 4f2c19d07a55e1b3     only if it is still what `andon gate show` printed then
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which gate."""
    parser.add_argument("gate", help="a gate like G4, or its task like T3")
    parser.add_argument("--because", default="", help="why, for the record")
    parser.add_argument("--bound", metavar="DIGEST", default="", help="approve only what you saw earlier under this digest")


def run(args: argparse.Namespace) -> int:
    """Show what it binds to and approve it."""
    with reach.daemon() as client:
        return answer(client, args.gate, "approve", because=args.because, bound=args.bound)
