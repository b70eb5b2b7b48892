"""`andon attach`: puts this terminal into an agent's tmux session."""

import argparse
import os
import sys

from andon.cli import reach
from andon.schema.attach import attach_argv
from andon.schema.errors import Mistake

EXAMPLES = """\
examples:
  andon attach T3            C-b d leaves the session again; the agent goes on
  andon attach T3 --print    print the command instead of running it
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose session."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("--print", dest="only_print", action="store_true", help="print the command instead of running it")


def run(args: argparse.Namespace) -> int:
    """Become tmux; returns only when it only prints."""
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
    argv = attach_argv(reach.place(), session.session)
    if args.only_print:
        import shlex

        print(shlex.join(argv))
        return 0
    if not sys.stdin.isatty():
        raise Mistake("attaching needs a terminal", mend=f"`andon tail {args.session}` follows the session as text")
    env = {key: value for key, value in os.environ.items() if key not in ("TMUX", "TMUX_PANE")}
    sys.stdout.flush()
    os.execvpe(argv[0], argv, env)
