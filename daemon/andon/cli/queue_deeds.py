"""What a person decides about the merge queue: order, hold, drop, stop, mended tests. Each is one command to the daemon."""

import argparse
import difflib
from collections.abc import Callable, Sequence

from andon.cli import codes, out, reach
from andon.client import Client
from andon.schema import inputs
from andon.schema.errors import Mistake
from andon.schema.views import AnyView, EntryView, QueueView


def run(args: argparse.Namespace) -> int:
    """Carry out one of them."""
    with reach.daemon() as client:
        _DEEDS[args.what](client, client.views(), args)
    return codes.OK


def the_entry(views: Sequence[AnyView], text: str) -> EntryView:
    """The change in a queue that a person named. Mistake when it is in none."""
    task = reach.the_task(views, text)
    for entry in reach.of(EntryView, views):
        if entry.task == task.task:
            return entry
    over = task.state in ("landed", "watching", "done")
    mend = f"`andon revert {task.task}` takes it back" if over else f"`andon why {task.task}` says what it waits for"
    raise Mistake(f"{task.task} is not in the queue: it is {task.state}", mend=mend)


def _told(done: str, otherwise: str) -> None:
    print(out.clean(done) or otherwise)


def _move(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    entry, before = the_entry(views, args.task), the_entry(views, args.before)
    if entry.task == before.task:
        raise Mistake(f"{entry.task} cannot go before itself", where="--before", mend="name another change of the queue")
    if entry.repo != before.repo:
        raise Mistake(f"{entry.task} is in the queue of {entry.repo}, {before.task} in that of {before.repo}", where="--before",
                      mend=f"name a change of {entry.repo}; `andon queue {entry.repo}` lists them")
    done = client.do(inputs.OrderQueue(task=entry.task, before=before.task, because=args.because))
    _told(done.text, f"{entry.task} goes directly before {before.task}")


def _next(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    entry = the_entry(views, args.task)
    done = client.do(inputs.OrderQueue(task=entry.task, because=args.because))
    _told(done.text, f"{entry.task} is to land next")


def _hold(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    for task in [reach.the_task(views, text) for text in args.task]:
        done = client.do(inputs.HoldEntry(task=task.task, because=args.because))
        _told(done.text, f"{task.task} does not land until `andon queue release {task.task}`")


def _release(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    for task in [reach.the_task(views, text) for text in args.task]:
        done = client.do(inputs.ReleaseEntry(task=task.task))
        _told(done.text, f"{task.task} may land again")


def _drop(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    entry = the_entry(views, args.task)
    if not args.because.strip():
        raise Mistake("dropping a change needs a reason", where="--because", mend="say what should be different: its agent is told")
    done = client.do(inputs.DropEntry(task=entry.task, because=args.because, cancel=args.cancel))
    kept = f"{entry.task} is given up; its work is kept: `andon undo {entry.task}`"
    _told(done.text, kept if args.cancel else f"{entry.task} goes back to its agent with these words")


def _stop(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    if not args.because.strip():
        raise Mistake("stopping a queue needs a reason", where="--because", mend="say why: everybody reads it on the queue")
    repo = reach.the_repository(views, args.repo).repo
    done = client.do(inputs.HoldQueue(repo=repo, because=args.because))
    _told(done.text, f"nothing lands in {repo} until `andon queue resume {repo}`; agents go on")


def _resume(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    repo = reach.the_repository(views, args.repo).repo
    done = client.do(inputs.ResumeQueue(repo=repo))
    _told(done.text, f"changes land in {repo} again")


def _mended(client: Client, views: Sequence[AnyView], args: argparse.Namespace) -> None:
    repo = reach.the_repository(views, args.repo).repo
    excused = [test for queue in reach.of(QueueView, views) if queue.repo == repo for test in queue.flaky]
    for test in args.test:
        if test not in excused:
            near = difflib.get_close_matches(test, excused, n=1, cutoff=0.4)
            known = f"did you mean `{near[0]}`?" if near else f"`andon queue {repo}` lists those that are"
            raise Mistake(f"`{test}` is not excused in {repo}: its failure counts", mend=known)
    done = client.do(inputs.ForgetFlakes(repo=repo, tests=tuple(dict.fromkeys(args.test))))
    _told(done.text, f"failures count again: {', '.join(args.test)}")


_DEEDS: dict[str, Callable[[Client, Sequence[AnyView], argparse.Namespace], None]] = {
    "move": _move, "next": _next, "hold": _hold, "release": _release, "drop": _drop, "stop": _stop, "resume": _resume,
    "mended": _mended,
}
