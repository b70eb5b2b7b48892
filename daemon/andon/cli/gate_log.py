"""`andon gate log`: decision records out of the ledger itself; works with the daemon down."""

import argparse
import time
from collections.abc import Iterable, Iterator

import msgspec

from andon.cli import codes, out, reach
from andon.cli.wait import duration
from andon.forgetting import shown
from andon.ledger_reader import read_log
from andon.schema import events as e
from andon.schema.errors import Mistake
from andon.schema.ids import Digest, GateId, Oid, TaskId

PAGE = 1000
KINDS = ("gate.opened", "gate.approved", "gate.answered", "gate.voided", "gate.delegated")


class Decision(msgspec.Struct, kw_only=True):
    """One question with what became of it."""

    gate: GateId
    task: TaskId
    kind: str
    risk: str
    question: str
    because_asked: str
    options: tuple[e.Option, ...]
    recommendation: str
    commit: Oid
    shown: Digest
    """What an answer is bound to: sha256 of the summary that was shown; empty: there was nothing to bind."""
    opened: int
    """Unix milliseconds."""
    answer: str = ""
    """The option; `void` when what it asked about went away."""
    why: str = ""
    by: str = ""
    """Who was at the socket."""
    approvers: tuple[e.Approver, ...] = ()
    """Who signed, in which role, with which key, and the envelope of each statement; without a key: as the daemon recorded it."""
    left_to: str = ""
    at: int = 0
    waited_s: int = 0
    followed: bool | None = None
    """Whether it is what was recommended; None when nothing was."""


def arguments(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Which decisions, how printed."""
    parser = sub.add_parser("log", help="what was decided: shown what, answered how and why, by whom, by which key, when")
    parser.add_argument("gate", nargs="?", default="", help="a gate like G4, open or not")
    parser.add_argument("--task", default="", help="only about this task, like T3")
    parser.add_argument("--by", default="", metavar="WHO", help="only answers of this person, by login or as they sign")
    parser.add_argument("--since", default="", metavar="TIME", help="only answers of the last 90m, 2h, 7d, or since 2026-01-31")
    parser.add_argument("--limit", type=int, metavar="N", default=50, help="the last N (default: 50)")
    parser.add_argument("--all", action="store_true", help="all, with those that are void")
    parser.add_argument("--json", action="store_true", help="a JSON array of decision records")


def run(args: argparse.Namespace) -> int:
    """Print them, oldest first."""
    task = reach.task_id(args.task) if args.task else ""
    since = _since(args.since) if args.since else 0
    found = [one for one in decisions() if one.answer and (args.all or args.gate or one.answer != "void")
             and (not args.gate or one.gate == args.gate.upper()) and (not task or one.task == task) and one.at >= since
             and (not args.by or args.by in {one.by, *(who.name for who in one.approvers)})]
    chosen = found if args.all else found[-max(args.limit, 0):] if args.limit > 0 else []
    if args.json:
        out.dump(chosen)
        return codes.OK
    for one in chosen:
        print("\n".join(_lines(one)))
    if not chosen:
        out.say("no such decision" + (": it may still be open, `andon gate ls`" if args.gate else ""))
    return codes.OK


def decisions() -> Iterator[Decision]:
    """All questions of the ledger in the order in which they ended, then the open ones."""
    open_: dict[GateId, Decision] = {}
    for row in _rows():
        match row.event:
            case e.GateOpened() as event:
                open_[event.gate] = _asked(event, row.at)
            case e.GateApproved() as event if event.gate in open_:
                open_[event.gate].approvers += (event.approver,)
            case e.GateDelegated() as event if event.gate in open_:
                open_[event.gate].left_to = event.to
            case e.GateAnswered() as event if event.gate in open_:
                yield _answered(open_.pop(event.gate), event, row.at)
            case e.GateVoided() as event if event.gate in open_:
                one = open_.pop(event.gate)
                one.answer, one.why, one.at, one.waited_s = "void", event.because, row.at, (row.at - one.opened) // 1000
                yield one
    yield from open_.values()


def _rows() -> Iterable[e.Recorded]:
    layout, last = reach.place(), 0
    while rows := read_log(layout, after=last, limit=PAGE, kinds=KINDS):
        yield from shown(layout, rows)
        last = rows[-1].seq


def _asked(event: e.GateOpened, at: int) -> Decision:
    return Decision(
        gate=event.gate, task=event.task, kind=event.kind, risk=event.risk, question=event.question, because_asked=event.because,
        options=event.options, recommendation=event.recommendation, commit=event.commit, shown=event.bound, opened=at,
    )


def _answered(one: Decision, event: e.GateAnswered, at: int) -> Decision:
    one.answer, one.why, one.by, one.at, one.waited_s = event.option, event.because, event.by, at, (at - one.opened) // 1000
    one.followed = event.option == one.recommendation if one.recommendation else None
    if event.approver is not None and event.approver not in one.approvers:
        one.approvers += (event.approver,)
    return one


def _since(text: str) -> int:
    """Unix milliseconds of what a person wrote. Mistake for what is no time."""
    if text[:1].isdigit() and text[-1:] in "smhd":
        return int((time.time() - duration(text)) * 1000)
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError:
        raise Mistake(f"`{text}` is no time", where="--since", mend="write for example 2h, 7d or 2026-01-31") from None


def _lines(one: Decision) -> list[str]:
    options = ", ".join(f"{option.key}{' (recommended)' if option.key == one.recommendation else ''}" for option in one.options)
    told = [out.paint(f"{one.gate}  {one.task}  {out.clean(one.question)}", "bold"),
            f"  asked    {out.moment(one.opened)}, {one.kind}, risk {one.risk}: {out.clean(one.because_asked)}",
            f"  options  {out.clean(options) or 'own words'}",
            f"  answer   {out.clean(one.answer)}" + (f": {out.clean(one.why)}" if one.why else ""),
            f"  when     {out.moment(one.at)}, after {one.waited_s} s" + (f", by {out.clean(one.by)}" if one.by else "")]
    for who in one.approvers:
        role = f" as {out.clean(who.role)}" if who.role else ""
        key = f"signed with {who.key}" if who.key else "not signed"
        told.append(f"  who      {out.clean(who.name)}{role}, {key}" + (f", statement {who.envelope[:16]}" if who.envelope else ""))
    told += [f"  left to  {out.clean(one.left_to)}"] if one.left_to else []
    return [*told, *([f"  shown    {one.shown[:16]}, commit {one.commit[:10]}"] if one.shown else [])]
