"""`andon forward`: takes the person's own checkout forward to what has landed."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.inputs import ForwardTarget

EXAMPLES = """\
examples:
  andon forward              the repository you stand in
  andon forward shop

Only a fast-forward: your commits, your index and your files stay as they are. Uncommitted changes do not stand in the way as
long as they are in other files than those that move; where they are in the same, nothing happens and it says which.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which repository."""
    parser.add_argument("repo", nargs="?", default="", metavar="REPO",
                        help="a repository: id or path (default: the one you stand in)")


def run(args: argparse.Namespace) -> int:
    """Take it forward."""
    with reach.daemon() as client:
        repo = reach.the_repository(client.views(), args.repo)
        done = client.do(ForwardTarget(repo=repo.repo))
    print(out.clean(done.text) or f"your {out.clean(repo.target)} of {repo.repo} is taken forward")
    return codes.OK
