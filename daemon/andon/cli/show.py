"""`andon show`: one task on one page."""

import argparse

from andon.cli import codes, out, reach
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.schema.views import TaskDetail, TaskView

EXAMPLES = """\
examples:
  andon show T3
  andon show T3 --diff       with the whole diff
  andon show T3 --json       the task's detail as JSON
"""
SPEC_LINES = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which task, how much of it."""
    parser.add_argument("task", help="a task, like T3")
    parser.add_argument("--diff", action="store_true", help="print the diff of its change too")
    parser.add_argument("--json", action="store_true", help="the detail as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the page."""
    with reach.daemon() as client:
        reply = client.ask(wire.GetTask(task=reach.task_id(args.task)))
        if not isinstance(reply, wire.TaskIs):
            raise Mistake(f"the daemon has no detail of {args.task}", mend="`andon list --all` shows all tasks")
        if args.json:
            import msgspec

            print(msgspec.json.encode(reply.detail).decode())
            return codes.OK
        _page(reply.detail)
        if args.diff and reply.detail.diff:
            from andon.cli.diff import print_blob

            print()
            print_blob(client, reply.detail.diff)
    return codes.OK


def _page(detail: TaskDetail) -> None:
    task = detail.task
    print(out.paint(f"{task.task}  {out.clean(task.title)}", "bold"))
    for name, value in _facts(task):
        if value:
            print(f"  {name:<10} {out.clean(value)}")
    _section("specification", detail.spec.strip().split("\n"), SPEC_LINES)
    _claims(task)
    _attempts(detail)
    _timeline(detail)
    if detail.packet and task.state not in ("landed", "done", "stopped"):
        _section("told to the next attempt", detail.packet.strip().split("\n"), SPEC_LINES)


def _facts(task: TaskView) -> list[tuple[str, str]]:
    change = f"{plural(task.files, 'file')}, +{task.insertions} -{task.deletions}" if task.files else ""
    return [
        ("state", f"{out.state_word(task.state)} for {out.age(task.since)}" + (f", at {task.station}" if task.station else "")),
        ("needs you", task.attention + (f" (andon gate show {task.gate})" if task.gate else "")),
        ("why", "; ".join(task.why)),
        ("where", f"{task.repo}, line {task.line}" + (f", priority {task.priority}" if task.priority else "")),
        ("agent", f"{task.agent} {task.health}".strip()),
        ("attempt", task.attempt),
        ("says", f"“{task.says}” (asserted)" if task.says else ""),
        ("after", ", ".join(task.after)),
        ("paths", ", ".join(task.paths)),
        ("overlaps", ", ".join(task.overlaps)),
        ("change", change + (f", commit {task.commit[:10]}" if task.commit else "") + (f", risk {task.risk}" if task.risk else "")),
        ("landed", task.landed),
    ]


def _section(head: str, lines: list[str], limit: int) -> None:
    print(out.paint(f"\n{head}", "bold"))
    for line in lines[:limit]:
        print(f"  {out.clean_lines(line)}".rstrip())
    if len(lines) > limit:
        print(f"  … {plural(len(lines) - limit, 'more line')} (--json has all)")


def _claims(task: TaskView) -> None:
    if task.claims:
        print(out.paint("\nclaims", "bold"))
    for claim in task.claims:
        print(f"  {out.paint(f'{out.state_word(claim.status):<13}', claim.status)} {out.clean(claim.claim)}"
              + (f": {out.clean(claim.because)}" if claim.because else ""))


def _attempts(detail: TaskDetail) -> None:
    if not detail.attempts:
        return
    print(out.paint("\nattempts", "bold"))
    rows = [(one.attempt, one.agent, one.state, one.isolation, out.age(one.started), one.commit[:10],
             one.outcome + (f"  kept at {one.salvage}" if one.salvage else "")) for one in detail.attempts]
    out.table(rows, ("ATTEMPT", "AGENT", "STATE", "CHECKOUT", "AGE", "COMMIT", "OUTCOME"), indent="  ")


def _timeline(detail: TaskDetail) -> None:
    if detail.timeline:
        print(out.paint("\ntimeline", "bold"))
    for one in detail.timeline:
        print(f"  {out.moment(one.at)}  {out.clean(one.text)}")
