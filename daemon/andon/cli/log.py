"""`andon log`: what happened, read from the ledger itself; works with the daemon down."""

import argparse
import time

import msgspec

from andon.cli import codes, out, reach
from andon.cli.wait import duration
from andon.forgetting import shown
from andon.ledger_reader import read_log
from andon.schema.clean import plain_json
from andon.schema.events import Recorded, kind_of, subject_of
from andon.schema.layout import Layout
from andon.schema.sentences import sentence

EXAMPLES = """\
examples:
  andon log                              the last 50 events
  andon log T3                           those of T3 and its attempts
  andon log --kind gate.opened,gate.answered --limit 10
  andon log --json --all                 the whole ledger as CloudEvents, one a line
  andon log --follow --json              and what happens from here on
"""
PAGE = 1000
FOLLOW_S = 0.25
"""How often `--follow` looks for new rows. A look is one query on an index."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which events, how printed."""
    parser.add_argument("subject", nargs="?", default="", help="a task, attempt, gate, run, landing or repository")
    parser.add_argument("--limit", type=int, metavar="N", default=50, help="the last N events (default: 50)")
    parser.add_argument("--all", action="store_true", help="all events from the first on")
    parser.add_argument("--after", type=int, metavar="SEQ", default=None, help="all events after this one")
    parser.add_argument("--kind", metavar="K,…", default="", help="only these kinds, like task.added")
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what happens from here on")
    parser.add_argument("--for", dest="seconds", metavar="TIME", default="", help="with --follow: end after this long")
    parser.add_argument("--json", action="store_true", help="CloudEvents, one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Print them."""
    layout = reach.place()
    show = _Printer(layout, args.json)
    kinds = tuple(word.strip() for word in args.kind.split(",") if word.strip())
    subject = args.subject.upper() if args.subject[:1] in "tgrl" and args.subject[1:2].isdigit() else args.subject
    last = args.after or 0
    if args.all or args.after is not None:
        while rows := read_log(layout, after=last, limit=PAGE, kinds=kinds, subject=subject):
            show.rows(rows)
            last = rows[-1].seq
    else:
        rows = read_log(layout, limit=max(args.limit, 0), kinds=kinds, subject=subject, newest=True)
        show.rows(rows)
        last = max((row.seq for row in (rows or read_log(layout, limit=1, newest=True))), default=0)
    if not args.follow:
        return codes.OK
    until = time.monotonic() + duration(args.seconds) if args.seconds else float("inf")
    while time.monotonic() < until:
        rows = read_log(layout, after=last, limit=PAGE, kinds=kinds, subject=subject)
        show.rows(rows)
        last = rows[-1].seq if rows else last
        if len(rows) < PAGE:
            time.sleep(FOLLOW_S)
    return codes.OK


class _Printer:
    """Rows as people or programs read them."""

    def __init__(self, layout: Layout, json: bool) -> None:
        self._json = json
        self._source = layout.home.as_uri()
        self._layout = layout

    def rows(self, rows: list[Recorded]) -> None:
        """Print and flush."""
        for row in shown(self._layout, rows):
            print(self._cloud(row) if self._json else _line(row))
        if rows:
            print(end="", flush=True)

    def _cloud(self, row: Recorded) -> str:
        from andon.schema.cloudevents import to_cloudevent

        return plain_json(msgspec.json.encode(to_cloudevent(row, self._source)))


def _line(row: Recorded) -> str:
    told = out.clean(sentence(row.event))
    subject, kind = out.clean(subject_of(row.event)), out.paint(kind_of(row.event), "dim")
    return f"{row.seq:>7}  {out.moment(row.at)}  {subject:<8}  {told}  {kind}"
