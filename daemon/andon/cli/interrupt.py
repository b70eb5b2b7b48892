"""`andon interrupt`: ends an agent's turn, not its session."""

import argparse

from andon.cli import codes, out, reach
from andon.schema import inputs as i

EXAMPLES = """\
examples:
  andon interrupt T3 --because "it goes the wrong way"
  andon send T3 "start with the tests instead"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose turn."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("--because", default="", help="why; it stands in the ledger")


def run(args: argparse.Namespace) -> int:
    """Ask for it; whether the turn ended is shown by the session's state."""
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        done = client.do(i.Interrupt(attempt=session.attempt, because=args.because))
    print(out.clean(done.text))
    return codes.OK
