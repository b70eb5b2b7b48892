"""`andon stop`: pulls the cord of a line."""

import argparse

from andon.cli import codes, reach
from andon.schema.errors import Mistake
from andon.schema.inputs import PullCord

EXAMPLES = """\
examples:
  andon stop build --because "main is red"
  andon stop shop/build --because "release day"

Running agents go on; nothing new starts and nothing lands until `andon resume`.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which line, and why."""
    parser.add_argument("line", help="a line: NAME, or REPO/NAME")
    parser.add_argument("--because", required=True, help="why: everybody who looks at the board reads it")
    parser.add_argument("--repo", default="", help="the repository's id, when several have a line of this name")


def run(args: argparse.Namespace) -> int:
    """Stop it."""
    if not args.because.strip():
        raise Mistake("stopping a line needs a reason", where="--because", mend="say why: everybody reads it on the board")
    with reach.daemon() as client:
        line = reach.the_line(client.views(), args.line, args.repo)
        client.do(PullCord(repo=line.repo, line=line.line, because=args.because))
    print(f"line {line.repo}/{line.line} stands still until `andon resume {line.repo}/{line.line}`; running agents go on")
    return codes.OK
