"""`andon query`: questions about all that happened, read-only, out of the ledger itself; works with the daemon down."""

import argparse
import csv
import re
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from andon.cli import codes, out, reach
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.layout import Layout
from andon.schema.sentences import plural

if TYPE_CHECKING:
    from andon.record.guarded import Answer

EXAMPLES = """\
examples:
  andon query --list                       the saved questions
  andon query landed-alone                 what landed without a person
  andon query approvals --param by=kim     parameters are named; `--list` tells them
  andon query gate-waits --csv > gates.csv
  andon query "SELECT agent, count(*) AS n FROM attempts GROUP BY agent"
  andon query --schema                     every view and column, as words; with --json as JSON
  andon query --sql reverted               what a saved question asks

Questions only read: the connection cannot write, attach, call out or run for long. An answer is of one moment, takes at most 10
seconds after the views that it names were filled (at most 60), 8 MiB and 1 GiB of memory, and shows the first 1,000 rows (--rows N,
at most 100,000). What `andon forget` took away stays withheld; a row of an older release is read as it was written.
A question of your own is a file NAME.sql or NAME.toml in the folder `questions` of your settings directory.
"""
ROWS, MOST_ROWS = 1_000, 100_000
CELL = 60
"""Signs of a cell in a table; the last column has the rest of the line. --json and --csv cut nothing."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is asked, how it is printed."""
    parser.add_argument("question", nargs="?", default="", metavar="NAME|SQL",
                        help="a saved question, or one in SQL; `-`: read it from standard input")
    parser.add_argument("--param", action="append", default=[], metavar="X=Y",
                        help="a value for :x in the question; may be repeated")
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"the first N rows (default: {ROWS})")
    parser.add_argument("--list", action="store_true", help="the saved questions and their parameters")
    parser.add_argument("--schema", action="store_true", help="the views and what their columns mean")
    parser.add_argument("--sql", action="store_true", help="print a saved question's SQL instead of asking it")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--json", action="store_true", help="the answer as one JSON object")
    kinds.add_argument("--csv", action="store_true", help="the answer as CSV")


def run(args: argparse.Namespace) -> int:
    """Ask, print."""
    layout = reach.place()
    if args.list:
        return _list(layout, args.json)
    if args.schema:
        return _schema(args.json)
    if not args.question.strip():
        raise Mistake("what is asked?", mend="name a saved question (`andon query --list`) or give a SELECT")
    if not 1 <= args.rows <= MOST_ROWS:
        raise Mistake(f"{args.rows} rows cannot be shown", where="--rows", mend=f"a number from 1 to {MOST_ROWS}")
    return _ask(layout, args)


def _ask(layout: Layout, args: argparse.Namespace) -> int:
    from andon.record import board, guarded, questions

    given = _given(args.param)
    text = sys.stdin.read() if args.question.strip() == "-" else args.question.strip()
    saved = questions.named(layout, text) if questions.NAME.fullmatch(text) else None
    if args.sql:
        print(out.clean_lines((saved.sql if saved else text).strip()))
        return codes.OK
    values = questions.filled(saved, given) if saved and not saved.where.endswith(".sql") else questions.plain(given)
    found = board.answer(layout, saved.sql if saved else text, values, rows=args.rows, heap=guarded.HEAP)
    if args.json:
        print(plain_json(msgspec.json.encode({
            "question": saved.name if saved else text, "columns": found.columns, "cut": found.cut,
            "milliseconds": round(found.seconds * 1000), "rows": [dict(zip(_keys(found), row, strict=True)) for row in found.rows],
        })))
    elif args.csv:
        _csv(found)
    else:
        _table(found, saved.title if saved else "")
    if found.cut:
        out.say(f"andon: {found.cut}; --rows N shows more" if "rows are shown" in found.cut else f"andon: {found.cut}")
    return codes.OK


def _given(params: list[str]) -> dict[str, str]:
    """`x=y` of each parameter."""
    given: dict[str, str] = {}
    for one in params:
        name, sign, value = one.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_]\w{0,63}", name):
            raise Mistake(f"`{one}` is no parameter", where="--param", mend="write it like --param by=kim")
        given[name] = value
    return given


def _keys(found: "Answer") -> list[str]:
    """Names of the columns, each once."""
    seen: dict[str, int] = {}
    names = []
    for name in found.columns:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        return cell.hex()
    return out.clean(str(cell))


def _table(found: "Answer", title: str) -> None:
    if title:
        print(out.paint(title, "bold"))
    rows = [[_cut(_shown(cell)) for cell in row[:-1]] + [_shown(row[-1])] for row in found.rows]
    out.table(rows, [name.upper() for name in found.columns])
    if not rows:
        print("nothing")
    out.say(f"{plural(len(rows), 'row')}, {found.seconds * 1000:.0f} ms")


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[:CELL - 1]}…"


def _csv(found: "Answer") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.columns)
    for row in found.rows:
        plain = [cell.hex() if isinstance(cell, bytes) else cell for cell in row]
        writer.writerow([out.clean_lines(cell) if isinstance(cell, str) else cell for cell in plain])


def _list(layout: Layout, json: bool) -> int:
    from andon.record import questions

    known = questions.listed(layout)
    if json:
        out.dump([msgspec.structs.replace(one, sql="") for one in known])
        return codes.OK
    for one in known:
        where = f"  ({out.clean(one.where)})" if one.where else ""
        print(f"{out.paint(f'{one.name:<16}', 'bold')} {out.clean(one.title)}{where}")
        if one.hidden:
            print(f"{'':<16} not asked: {out.clean(one.hidden)}")
        for name, param in one.params.items():
            default = "" if param.default is None else f" (default: {param.default})" if param.default != "" else " (default: all)"
            print(f"{'':<16} --param {out.clean(name)}=…  {out.clean(f'{param.about or param.type}{default}')}")
    out.say(f"your own lie in {questions.folder(layout)}")
    return codes.OK


def _schema(json: bool) -> int:
    from andon.record.board import EVENT, views

    itself = {"name": "event", "about": "The ledger itself: every event, as it was recorded.", "columns": EVENT}
    told: list[dict[str, Any]] = [itself]
    told += [{"name": view.name, "about": view.about, "columns": view.columns} for view in views()]
    if json:
        out.dump([*told])
        return codes.OK
    for one in told:
        print(f"{out.paint(one['name'], 'bold')}  {one['about']}")
        for name, about in one["columns"].items():
            print(f"  {name:<13} {about}")
        print()
    return codes.OK
