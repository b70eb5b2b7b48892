"""`andon restart`: starts a session again in its checkout, with the same conversation or with a summary."""

import argparse

from andon.cli import codes, out, reach
from andon.schema import inputs as i

EXAMPLES = """\
examples:
  andon restart T3                          the same conversation goes on
  andon restart T3 --fresh                  a new conversation, told what happened so far
  andon restart T3 --fresh --note "leave the parser alone"

What it wrote is snapshotted first and stays in its checkout.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which session, and how."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("--fresh", action="store_true", help="a new conversation with a summary instead of the same one")
    parser.add_argument("--note", default="", help="words for the new sitting")


def run(args: argparse.Namespace) -> int:
    """Ask for it."""
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        done = client.do(i.RestartSession(attempt=session.attempt, fresh=args.fresh, note=args.note))
    print(out.clean(done.text))
    return codes.OK
