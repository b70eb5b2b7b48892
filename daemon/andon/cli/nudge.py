"""`andon nudge`: tells an agent that stands still to go on, in the factory's own words."""

import argparse

from andon.cli import codes, out, reach
from andon.schema import inputs as i

EXAMPLES = """\
examples:
  andon nudge T3
  andon explain T3        first see why it stands still
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whom."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")


def run(args: argparse.Namespace) -> int:
    """Nudge it."""
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        done = client.do(i.Nudge(attempt=session.attempt))
    print(out.clean(done.text))
    return codes.OK
