"""`andon down`: stops the daemon; agents go on."""

import argparse
import time

from andon import served
from andon.cli import codes, reach
from andon.client import Client, connect, running
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.schema.views import SessionView

EXAMPLES = """\
examples:
  andon down

Agents that are at work go on in their sessions; the next `andon up` finds them again.
"""
LEAVE_S = 30.0
"""How long the daemon may take to drain."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Why."""
    parser.add_argument("--because", default="andon down", help="why, for the record")


def run(args: argparse.Namespace) -> int:
    """Ask it to leave, and see it gone."""
    layout = reach.place()
    if not running(layout):
        print("the daemon is not running")
        return codes.OK
    with connect(layout) as client:
        live = len(reach.of(SessionView, client.views()))
        pid = client.welcome.pid
        client.ask(wire.Shutdown(because=args.because))
        served.stop(layout)  # a door that its manager holds open would let the next caller start it again
        _see_gone(client, pid)
    until = time.monotonic() + LEAVE_S
    while running(layout):
        if time.monotonic() > until:
            raise Mistake(f"the daemon (pid {pid}) still answers after {LEAVE_S:.0f} s", where=str(layout.socket),
                          mend=f"look at {layout.daemon_log}")
        time.sleep(0.02)
    print("the daemon has stopped" + (f"; {plural(live, 'agent')} {'goes' if live == 1 else 'go'} on" if live else ""))
    return codes.OK


def _see_gone(client: Client, pid: int) -> None:
    """Until the daemon closes the connection."""
    try:
        for _ in client.stream(until=time.monotonic() + LEAVE_S):
            pass
    except TimeoutError:
        raise Mistake(f"the daemon (pid {pid}) was told to leave and did not within {LEAVE_S:.0f} s",
                      where=str(client.layout.daemon_log), mend="look at its log") from None
