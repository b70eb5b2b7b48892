"""`andon undo`: walks a step backwards: a landing, a task, a removed checkout, an order; shows it first, looks at it after."""

import argparse
import time

from andon.cli import codes, out, reach
from andon.cli.asking import agreed
from andon.cli.wait import duration
from andon.client import Client
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.undo import UndoView

EXAMPLES = """\
examples:
  andon undo T3.1           what the first attempt of T3 had written, committed or not, as a directory
  andon undo T3             the same for its latest attempt
  andon undo --list T3      the steps of T3, and what takes each back or that nothing does
  andon undo L5             a landing: a revert of each member, the last first, each proved and landed (`andon revert T5`: of one)
  andon undo T3 --whole     all that T3 did: taken back where it has landed, else ended with its work kept
  andon undo 412            one recorded step by its number in `andon log`: a cord, a hold, an order, a cancelled task
  andon undo L5 --dry-run   only show what would be done

Nothing is overwritten and no history is rewritten: a snapshot becomes a new directory, a landed change gets a revert that lands as
any other does. A step that was undone before, or that is no longer as it was left, is refused: what differs is said. Asked again
after a crash it goes on where it stood. Exit code 1: it stopped before the end.
"""
POLL_S = 0.3
"""How often an undo that waits for the queue is looked at."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which step."""
    parser.add_argument("step", metavar="STEP", help="a landing (L5), a task (T3), an attempt (T3.1) or an event (412)")
    parser.add_argument("--whole", action="store_true", help="of a task: all that it did, not only its latest checkout")
    parser.add_argument("--list", action="store_true", help="the steps of a task, with their inverse or `irreversible`")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--because", default="", help="why, for the record and for reverts")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--no-wait", action="store_true", help="begin it, and do not wait for its end")
    parser.add_argument("--for", dest="seconds", metavar="TIME", default="", help="wait at most this long; it goes on without you")
    parser.add_argument("--json", action="store_true", help="the steps, or the undo, as JSON")


def run(args: argparse.Namespace) -> int:
    """List, show, or walk back."""
    if args.list:
        return _list(args)
    from andon.record.steps import ATTEMPT, TASK, named

    step = named(args.step)
    with reach.daemon() as client:
        if not args.whole and not args.dry_run and (ATTEMPT.fullmatch(step) or TASK.fullmatch(step)):
            return _restore(client, args)
        return _walk(client, step, args)


def _restore(client: Client, args: argparse.Namespace) -> int:
    """The snapshot of an attempt, as a directory."""
    attempt = reach.attempt_id(args.step) or reach.the_task(client.views(), args.step).attempt
    if not attempt:
        raise Mistake(f"{args.step} has no attempt yet: there is nothing to restore",
                      mend=f"`andon why {args.step}` says why")
    reply = client.ask(wire.Undo(attempt=attempt))
    path = " ".join(reply.ids) if isinstance(reply, wire.Done) else ""
    text = reply.text if isinstance(reply, wire.Done) else ""
    print(f"{attempt} restored at {out.clean(path)}" if path else out.clean(text) or f"{attempt} restored")
    return codes.OK


def _walk(client: Client, step: str, args: argparse.Namespace) -> int:
    """Show, ask, begin, wait, tell what was seen."""
    view = _ask(client, step, args, go=False)
    if args.dry_run or view.state == "open":
        _tell(view, args.json and args.dry_run)
    if args.dry_run:
        return codes.OK
    if view.state != "open":
        if not args.json:
            _plan(view)
        if not agreed(f"Walk {view.step} back?", yes=args.yes):
            return codes.NOT_SO
    view = _ask(client, step, args, go=True)
    until = time.monotonic() + duration(args.seconds) if args.seconds else float("inf")
    told = 0
    while view.state == "open" and not args.no_wait and time.monotonic() < until:
        told = _news(view, told, args.json)
        time.sleep(POLL_S)
        view = _ask(client, step, args, go=False, undo=view.undo)
    _tell(view, args.json)
    return codes.NOT_SO if view.state == "stopped" else codes.OK


def _ask(client: Client, step: str, args: argparse.Namespace, *, go: bool, undo: str = "") -> UndoView:
    reply = client.ask(wire.UndoStep(step=step, whole=args.whole, go=go, undo=undo, because=args.because))
    if not isinstance(reply, wire.UndoIs):
        raise Mistake(f"the daemon does not say how {step} is walked back", mend="`andon undo --list TASK` lists a task's steps")
    return reply.view


def _plan(view: UndoView) -> None:
    """What would be done, in order."""
    print(out.paint(f"to walk {view.step} back:", "bold"))
    for n, deed in enumerate(view.deeds, 1):
        print(f"  {n}  {out.clean(deed.told)}")
    for kept in view.kept:
        print(f"  stays: {out.clean(kept)}")


def _news(view: UndoView, told: int, json: bool) -> int:
    """Deeds that were seen since the last look."""
    seen = [deed for deed in view.deeds if deed.state == "seen"]
    for deed in seen[told:] if not json else ():
        print(f"  seen: {out.clean(deed.observed)}", flush=True)
    return len(seen)


def _tell(view: UndoView, json: bool) -> None:
    """The undo as it is now."""
    if json:
        import msgspec

        from andon.schema.clean import plain_json

        print(plain_json(msgspec.json.encode(view)))
        return
    if view.state == "planned":
        return _plan(view)
    words = {"open": "is under way", "done": "is walked back", "stopped": "stopped"}
    print(out.paint(f"{view.undo}  {view.step} {words[view.state]}", "bold"))
    for n, deed in enumerate(view.deeds, 1):
        print(f"  {n}  {deed.state:<9}  {out.clean(deed.observed or deed.told)}")
    for line in (*view.world, *([f"because: {view.because}"] if view.because else [])):
        print(f"  {out.clean(line)}")
    return None


def _list(args: argparse.Namespace) -> int:
    """The steps of a task, out of the ledger; works with the daemon down."""
    from andon.record.steps import steps_of

    steps = steps_of(reach.place(), reach.task_id(args.step))
    if args.json:
        out.dump(steps)
        return codes.OK
    rows = [(str(step.seq), step.step or "-", step.how, step.told, step.by + (f" (before it: {step.gate})" if step.gate else ""))
            for step in steps]
    for seq, name, how, told, by in rows:
        print(f"{seq:>6}  {name:<7} {how:<13} {out.clean(told)}")
        print(f"{'':>6}  {'':<7} {out.paint(out.clean(by), 'dim')}")
    return codes.OK
