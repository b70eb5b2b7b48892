"""`andon resume`: releases the cord of a line."""

import argparse

from andon.cli import codes, reach
from andon.schema.inputs import ReleaseCord

EXAMPLES = """\
examples:
  andon resume build
  andon resume shop/build
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which line."""
    parser.add_argument("line", help="a line: NAME, or REPO/NAME")
    parser.add_argument("--repo", default="", help="the repository's id, when several have a line of this name")


def run(args: argparse.Namespace) -> int:
    """Let it move."""
    with reach.daemon() as client:
        line = reach.the_line(client.views(), args.line, args.repo)
        client.do(ReleaseCord(repo=line.repo, line=line.line))
    print(f"line {line.repo}/{line.line} moves again")
    return codes.OK
