"""`andon cost`: what was spent, read from the ledger itself; works with the daemon down. Unknown spending is said to be unknown."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from andon.cli import codes, out, reach
from andon.ledger_reader import read_log
from andon.schema import events as e
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.layout import Layout

EXAMPLES = """\
examples:
  andon cost                       by task
  andon cost --by agent            by agent; also: account, line, repository, day
  andon cost --by task --day today
  andon cost --by day --json       a JSON array with one object a day
"""
WAYS = ("task", "agent", "account", "line", "repository", "day")
KINDS = tuple(str(kind.__struct_config__.tag) for kind in (
    e.TaskAdded, e.AttemptClaimed, e.AttemptStarted, e.AttemptExited, e.AttemptLost, e.UsageCounted,
))
COUNTS = ("input", "output", "cache_read", "cache_write", "requests")
NOTHING = e.UsageCounted(attempt=AttemptId(""), metered="unmetered")
"""Of an attempt that told nothing."""
PAGE = 5000
UNMETERED = "unmetered"


class Cost(msgspec.Struct, kw_only=True):
    """What was spent under one key."""

    key: str
    usd: float = 0.0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    requests: int = 0
    attempts: int = 0
    metered: tuple[str, ...] = ()
    """How it is known: `reported`, `gateway`, `priced`, and `unmetered` where a part of it is not."""
    usd_is: Literal["known", "at-least", "unmetered"] = "known"


class Spender(msgspec.Struct, kw_only=True):
    """One attempt, as far as the ledger tells."""

    task: str
    agent: str
    account: str
    repo: str
    line: str
    spent: e.UsageCounted | None = None


def arguments(parser: argparse.ArgumentParser) -> None:
    """How it is summed up."""
    parser.add_argument("--by", choices=WAYS, default="task", help="what each row is (default: task)")
    parser.add_argument("--day", metavar="DAY", default="", help="only what was spent on this day: today, or 2026-01-31 (UTC)")
    parser.add_argument("--json", action="store_true", help="a JSON array, one object a row")


def run(args: argparse.Namespace) -> int:
    """Print the sums."""
    day = day_named(args.day)
    rows = costs(reach.place(), args.by, day)
    if args.json:
        out.dump(rows)
        return codes.OK
    if not rows:
        out.say(f"nothing was spent{f' on {day}' if day else ''}, as far as it is metered")
        return codes.OK
    out.table([row_of(each) for each in rows], (args.by.upper(), "USD", "INPUT", "OUTPUT", "CACHED", "ATTEMPTS", "KNOWN FROM"))
    out.say(f"altogether {dollars(whole(rows))}")
    return codes.OK


def day_named(text: str) -> str:
    """The UTC day that a person named; empty for all."""
    if text == "today":
        return datetime.now(UTC).strftime("%Y-%m-%d")
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d") if text else ""
    except ValueError:
        raise Mistake(f"`{text}` is no day", where="--day", mend="write it like 2026-01-31, or today") from None


def costs(layout: Layout, by: str, day: str = "") -> list[Cost]:
    """What was spent, by one thing, in the order in which each spent first."""
    tasks: dict[str, tuple[str, str]] = {}
    known: dict[str, Spender] = {}
    rows: dict[str, Cost] = {}
    seen: set[tuple[str, str]] = set()
    ended: dict[str, int] = {}

    def add(attempt: str, at: int, more: e.UsageCounted) -> None:
        spender, today = known[attempt], day_of(at)
        if day and today != day:
            return
        key = {
            "task": spender.task, "agent": f"{spender.repo}/{spender.agent}", "account": spender.account,
            "line": f"{spender.repo}/{spender.line}", "repository": spender.repo, "day": today,
        }[by]
        row = rows.setdefault(key, Cost(key=key))
        put(row, more)
        row.attempts += (key, attempt) not in seen
        seen.add((key, attempt))

    for row in recorded(layout):
        event = row.event
        if isinstance(event, e.TaskAdded):
            tasks[event.task] = (event.repo, event.line)
        elif isinstance(event, e.AttemptClaimed):
            repo, line = tasks.get(event.task, ("?", "?"))
            account = event.account or event.agent
            known[event.attempt] = Spender(task=event.task, agent=event.agent, account=account, repo=repo, line=line)
        elif isinstance(event, e.UsageCounted) and event.attempt in known:
            add(event.attempt, row.at, more_than(event, known[event.attempt].spent))
            known[event.attempt].spent = event
        elif isinstance(event, e.AttemptExited | e.AttemptLost) and event.attempt in known:
            ended[event.attempt] = row.at
    for attempt, at in ended.items():
        if known[attempt].spent is None:  # it ran, and nobody told what it spent
            add(attempt, at, NOTHING)
    return list(rows.values())


def recorded(layout: Layout) -> Iterator[e.Recorded]:
    """All rows of the ledger that bear on spending, page by page."""
    last = 0
    while rows := read_log(layout, after=last, limit=PAGE, kinds=KINDS):
        yield from rows
        last = rows[-1].seq


def day_of(at: int) -> str:
    """The UTC day of a moment (unix milliseconds)."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")


def more_than(now: e.UsageCounted, before: e.UsageCounted | None) -> e.UsageCounted:
    """What was spent since the record before: records are running sums."""
    if before is None:
        return now
    parts = {name: getattr(now, name) - getattr(before, name) for name in COUNTS}
    return msgspec.structs.replace(now, usd=now.usd - before.usd, **parts)


def put(row: Cost, more: e.UsageCounted) -> None:
    """Onto a row."""
    row.usd = round(row.usd + more.usd, 6)
    row.input, row.output = row.input + more.input, row.output + more.output
    row.cache_read, row.cache_write = row.cache_read + more.cache_read, row.cache_write + more.cache_write
    row.requests += more.requests
    row.metered = tuple(sorted({*row.metered, more.metered or UNMETERED}))
    if UNMETERED in row.metered:
        row.usd_is = "at-least" if len(row.metered) > 1 else "unmetered"


def whole(rows: list[Cost]) -> Cost:
    """All rows as one."""
    found = Cost(key="", usd=sum(row.usd for row in rows), metered=tuple({word for row in rows for word in row.metered}))
    if UNMETERED in found.metered:
        found.usd_is = "at-least" if len(found.metered) > 1 else "unmetered"
    return found


def dollars(cost: Cost) -> str:
    """The money of a row, with what is not known of it."""
    if cost.usd_is == "unmetered":
        return UNMETERED
    return f"{'at least ' if cost.usd_is == 'at-least' else ''}${cost.usd:,.2f}"


def row_of(cost: Cost) -> tuple[str, ...]:
    """A row for people."""
    tokens = [f"{count:,}" for count in (cost.input, cost.output, cost.cache_read + cost.cache_write)]
    told = tokens if any((cost.input, cost.output, cost.cache_read)) or cost.usd_is == "known" else ["?"] * 3
    return cost.key, dollars(cost), *told, str(cost.attempts), ", ".join(cost.metered)
