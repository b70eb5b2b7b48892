"""`andon send`: types a line into an agent's session."""

import argparse

from andon.cli import codes, reach
from andon.schema import wire
from andon.schema.errors import Mistake

EXAMPLES = """\
examples:
  andon send T3 "please also update the changelog"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """To whom, and what."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("text", nargs="+", help="what to type; Enter is pressed after it")


def run(args: argparse.Namespace) -> int:
    """Send it."""
    text = " ".join(args.text)
    if not text.strip():
        raise Mistake("there is nothing to send", mend='for example: andon send T3 "go on"')
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        client.ask(wire.SendText(attempt=session.attempt, text=text))
    print(f"sent to {session.attempt}")
    return codes.OK
