"""`andon wait`: until tasks have reached a state. Costs nothing while nothing happens: the daemon tells."""

import argparse
import time
from collections.abc import Iterable, Sequence

from andon.cli import codes, out, reach
from andon.client import Client, DaemonDown
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.ids import TaskId
from andon.schema.views import AnyView, TaskView

EXAMPLES = """\
examples:
  andon wait T3                          until T3 has landed; exit code 1 when it fails or is cancelled
  andon wait T3 T4 --timeout 10m
  andon wait T3 --state waiting          until it has a question
"""
COUNTS = {"landed": ("landed", "done"), "over": ("landed", "done", "failed", "stopped")}
"""States by which a wish is fulfilled, where it is more than the state itself."""
WISHES = ("landed", "done", "over", "queued", "building", "checking", "waiting", "landing", "failed", "stopped", "paused")
ENDS = ("done", "failed", "stopped")
"""From here a task goes nowhere by itself."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which tasks, which state, how long."""
    parser.add_argument("task", nargs="+", help="tasks, like T3")
    parser.add_argument("--state", choices=WISHES, default="landed",
                        help="the state to wait for; `over` is any end (default: landed)")
    parser.add_argument("--timeout", metavar="TIME", default="", help="give up after this long: 90, 90s, 10m, 2h (exit code 1)")


def run(args: argparse.Namespace) -> int:
    """Wait."""
    tasks = tuple(dict.fromkeys(reach.task_id(text) for text in args.task))
    seconds = duration(args.timeout) if args.timeout else 0.0
    with reach.daemon() as client:
        return wait_for(client, tasks, args.state, seconds)


def wait_for(client: Client, tasks: Sequence[TaskId], wish: str, seconds: float = 0.0) -> int:
    """0 when all tasks are in the state; 1 as soon as one cannot come there any more, or after `seconds`."""
    until = time.monotonic() + seconds if seconds else None
    snapshot = client.ask(wire.Subscribe())
    views = snapshot.views if isinstance(snapshot, wire.Snapshot) else ()
    for task in tasks:
        reach.the_task(views, task)
    watch = _Watch(tasks, COUNTS.get(wish, (wish,)))
    watch.see(views, ())
    try:
        stream = client.stream(until=until)
        while watch.missing and not watch.ended:
            reply = next(stream, None)
            if reply is None:
                raise DaemonDown("the daemon stopped while we waited", mend="`andon up` starts it; then wait again")
            if isinstance(reply, wire.Changes):
                watch.see(reply.views, reply.gone)
    except TimeoutError:
        out.say(f"andon: {', '.join(watch.missing)} not {wish} after {seconds:g} s")
        return codes.NOT_SO
    return codes.NOT_SO if watch.ended else codes.OK


class _Watch:
    """What is still missing, told as it happens."""

    def __init__(self, tasks: Sequence[TaskId], wanted: tuple[str, ...]) -> None:
        self.missing = list(tasks)
        self.ended = False
        self._wanted = wanted
        self._told: dict[TaskId, str] = {}

    def see(self, views: Iterable[AnyView], gone: Sequence[str]) -> None:
        """Take note of new views."""
        for view in views:
            if isinstance(view, TaskView) and view.task in self.missing:
                self._see(view)
        for task in [task for task in self.missing if f"task:{task}" in gone]:
            out.say(f"{task} is gone")
            self.ended = True

    def _see(self, view: TaskView) -> None:
        if view.state in self._wanted:
            self.missing.remove(view.task)
            print(f"{view.task} {out.state_word(view.state)}" + (f" as {view.landed[:10]}" if view.landed else ""), flush=True)
        elif view.state in ENDS:
            because = out.clean(view.attention or "; ".join(view.why))
            print(f"{view.task} {out.state_word(view.state)}" + (f": {because}" if because else ""), flush=True)
            self.ended = True
        elif view.attention and self._told.get(view.task) != view.attention:
            self._told[view.task] = view.attention
            out.say(f"{view.task} {out.state_word(view.state)}: {out.clean(view.attention)}"
                    + (f" (`andon gate show {view.gate}`)" if view.gate else ""))


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `2h`."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise Mistake(f"`{text}` is no length of time", where="--timeout", mend="write for example 90s, 10m or 2h")
    return seconds
