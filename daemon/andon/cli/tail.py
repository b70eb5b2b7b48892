"""`andon tail`: follows an agent's pane as text until its session ends."""

import argparse
import difflib
import re
import time
from collections.abc import Sequence

from andon.cli import codes, out, reach
from andon.cli.wait import duration
from andon.client import DaemonDown
from andon.schema import wire
from andon.schema.clean import clean, clean_row

EXAMPLES = """\
examples:
  andon tail T3              until the session ends
  andon tail T3 --once       what the pane shows now
"""

_SGR = re.compile(r"\x1b\[[0-9;:]*m")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose pane."""
    parser.add_argument("session", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("--once", action="store_true", help="print what the pane shows now, and end")
    parser.add_argument("--for", dest="seconds", metavar="TIME", default="", help="end after this long")


def run(args: argparse.Namespace) -> int:
    """Print rows as they appear."""
    until = time.monotonic() + duration(args.seconds) if args.seconds else None
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
        client.ask(wire.WatchPane(attempt=session.attempt))
        before: list[str] = []
        try:
            for reply in client.stream(until=until):
                if not isinstance(reply, wire.PaneIs) or reply.attempt != session.attempt:
                    continue
                rows = shown(reply.rows)
                for row in fresh(before, rows):
                    print(row)
                print(end="", flush=True)
                before = rows
                if args.once:
                    return codes.OK
                if not reply.alive or reply.state == "ended":
                    out.say(f"{session.attempt} has ended")
                    return codes.OK
        except TimeoutError:
            return codes.OK
    raise DaemonDown("the daemon stopped while we watched; the agent goes on", mend="`andon up` starts it; then tail again")


def shown(rows: Sequence[str]) -> list[str]:
    """Rows as they may be printed here, without the blank ones at the end."""
    told = [f"{clean_row(row)}\x1b[0m" if out.coloured() and "\x1b" in row else clean(row).rstrip() for row in rows]
    while told and not told[-1].strip():
        told.pop()
    return told


def fresh(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The rows to print after what was printed before: what scrolled in, and what was drawn anew in place.

    A row that only spins or counts, so has the same letters as one it replaces, is not printed again.
    """
    told: list[str] = []
    for what, old, old_end, new, new_end in difflib.SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if what in ("insert", "replace"):
            spun = {letters(row) for row in before[old:old_end]} - {""}
            told += [row for row in now[new:new_end] if letters(row) not in spun]
    return told


def letters(row: str) -> str:
    """The letters of a row: what stays while a spinner turns and a clock counts."""
    return "".join(sign for sign in _SGR.sub("", row) if sign.isalpha())
