"""`andon send`: words for a running agent, once, with a receipt."""

import argparse
import sys

from andon.cli import codes, out, reach
from andon.schema import inputs as i
from andon.schema.errors import Mistake

EXAMPLES = """\
examples:
  andon send T3 "please also update the changelog"
  andon send T3 - < notes.md       from standard input
  andon send T3 "go on" --key k1   the same key is never sent twice
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """To whom, and what."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("text", nargs="+", help="what to say; `-` reads standard input")
    parser.add_argument("--key", default="", help="an idempotency key of your own")


def run(args: argparse.Namespace) -> int:
    """Queue it; the daemon delivers it once and keeps the receipt in the ledger."""
    text = sys.stdin.read() if args.text == ["-"] else " ".join(args.text)
    if not text.strip():
        raise Mistake("there is nothing to send", mend='for example: andon send T3 "go on"')
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        done = client.do(i.SendMessage(attempt=session.attempt, text=text, key=args.key))
    print(out.clean(done.text) or f"it was sent to {session.attempt} before")
    return codes.OK
