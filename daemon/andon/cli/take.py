"""`andon take`: a person drives a session from here on; `--back` gives it to the factory again."""

import argparse

from andon.cli import attach, codes, out, reach
from andon.schema import inputs as i

EXAMPLES = """\
examples:
  andon take T3               take it over and go into its tmux session (C-b d leaves)
  andon take T3 --stay        take it over without going in
  andon take T3 --back        the factory may nudge, answer and end it again
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which session, and whether to go in."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("--stay", action="store_true", help="do not attach")
    parser.add_argument("--back", action="store_true", help="give it back")


def run(args: argparse.Namespace) -> int:
    """Take it over (and go in), or give it back."""
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        if args.back:
            done = client.do(i.GiveBack(attempt=session.attempt))
        elif session.taken and not args.stay:
            done = None
        else:
            done = client.do(i.TakeOver(attempt=session.attempt))
    if done is not None:
        out.say(out.clean(done.text))
    if args.back or args.stay:
        return codes.OK
    out.say(f"when you are done: andon take {session.attempt} --back")
    args.only_print = False
    return attach.run(args)
