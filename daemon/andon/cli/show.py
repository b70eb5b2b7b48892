"""`andon show`: one task on one page; a commit is told which task it is."""

import argparse
import re
from pathlib import Path

from andon.cli import codes, out, reach, show_steps
from andon.client import Client, Declined
from andon.schema import wire
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.ids import RepoId
from andon.schema.sentences import plural
from andon.schema.views import AnyView, Provenance, RepositoryView, TaskDetail, TaskView

EXAMPLES = """\
examples:
  andon show T3
  andon show T3 --diff       with the whole diff
  andon show T3 --json       the task's detail as JSON
  andon show T3 --claim tests              what this claim rests on: statement, files, command, walls, how to run it again
  andon show T3 --claim tests --file log   one file of it; --json gives everything for programs
  andon show T3.1 --access   what this attempt tried to reach (of a task: its latest); --dismiss puts its problems away
  andon show 4be21c9         which task this commit of the target is, after a merge, a squash or a rebase; then its page
  andon show main --json     the same of a branch's tip, as JSON: commit, task, attempt, accepted head, proven commit

Exit code 1: nothing that the factory landed is that commit.
"""
SPEC_LINES = 12
TASK = re.compile(r"[Tt]?[1-9]\d{0,8}")
HASH = re.compile(r"[0-9a-fA-F]{4,64}")
LEAST_HASH = 7
"""Digits from which a bare number may also be the beginning of a commit's name."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which task or commit, how much of it."""
    parser.add_argument("task", metavar="TASK|COMMIT|ATTEMPT",
                        help="a task, like T3; a commit: part of its name, a branch, a tag; with --access an attempt, like T3.1")
    parser.add_argument("--repo", metavar="REPO", default="",
                        help="where to look for a commit (default: the one you stand in, else all)")
    parser.add_argument("--diff", action="store_true", help="print the diff of its change too")
    parser.add_argument("--claim", metavar="NAME", help="open one claim of the task: `tests`, `lint`, `scope` …")
    parser.add_argument("--file", metavar="NAME", help="with --claim: print this file of its evidence: statement, report, log …")
    parser.add_argument("--access", action="store_true", help="what an attempt tried to reach: hosts, paths, sockets, limits")
    parser.add_argument("--dismiss", action="store_true", help="with --access: put its problems away, they were seen")
    parser.add_argument("--json", action="store_true", help="the detail as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the page of a task, or what is known of a commit."""
    with reach.daemon() as client:
        if args.access or args.dismiss:
            from andon.cli import show_access

            return show_access.run(client, args)
        if args.claim or args.file:
            return _claim(client, args)
        if TASK.fullmatch(args.task.strip()):
            try:
                return _show(client, args.task, args)
            except Declined:
                if not args.task.strip().isdigit() or len(args.task.strip()) < LEAST_HASH:
                    raise
        return _commit(client, args)


def _claim(client: Client, args: argparse.Namespace) -> int:
    """What one claim of a task rests on."""
    from andon.cli import show_claim

    if not args.claim:
        raise Mistake("--file names a file of a claim, and no claim is named", mend="andon show T3 --claim tests --file log")
    return show_claim.run(client, args, reach.task_id(args.task))


def _show(client: Client, task: str, args: argparse.Namespace) -> int:
    """One task."""
    reply = client.ask(wire.GetTask(task=reach.task_id(task)))
    if not isinstance(reply, wire.TaskIs):
        raise Mistake(f"the daemon has no detail of {task}", mend="`andon list --all` shows all tasks")
    if args.json:
        import msgspec

        print(plain_json(msgspec.json.encode(reply.detail)))
        return codes.OK
    _page(reply.detail)
    if args.diff and reply.detail.diff:
        from andon.cli.diff import print_blob

        print()
        print_blob(client, reply.detail.diff)
    return codes.OK


def _commit(client: Client, args: argparse.Namespace) -> int:
    """Which task a commit is, then that task's page. NOT_SO when it is none."""
    if not args.task.strip():
        raise Mistake("an empty name is no task and no commit", mend="a task is named like T3; `andon list` shows them")
    found = _find(client, args.task.strip(), args.repo)
    if args.json:
        import msgspec

        print(plain_json(msgspec.json.encode(found)))
        return codes.OK if found.task else codes.NOT_SO
    name = found.commit[:12] or out.clean(args.task)
    if not found.task:
        out.say(f"andon: {name} is no commit that this factory landed{f' in {found.repo}' if found.repo else ''}")
        return codes.NOT_SO
    print(out.paint(f"{name} is {out.clean(found.task)}  {out.clean(found.title)}", "bold"))
    for word, value in _provenance(found):
        if value:
            print(f"  {word:<10} {out.clean(value)}")
    if TASK.fullmatch(found.task):
        try:
            print()
            return _show(client, found.task, args)
        except Declined:
            pass
    out.say(f"the factory keeps no page of {out.clean(found.task)}: what stands above is all that is known")
    return codes.OK


def _find(client: Client, commit: str, repo: str) -> Provenance:
    """In the repository that is named, or the one around us, then in all."""
    views = client.views()
    around = reach.the_repository(views, repo) if repo else _around(views)
    here = around.repo if around else RepoId("")
    if around and not HASH.fullmatch(commit):
        commit = _named(around, commit)
    places = (here,) if repo or not here else (here, RepoId(""))
    for place in places:
        try:
            reply = client.ask(wire.FindCommit(commit=commit, repo=place))
        except Declined:
            if place == places[-1]:
                raise
            continue
        if isinstance(reply, wire.ProvenanceIs) and (reply.found.task or place == places[-1]):
            return reply.found
    raise Mistake(f"the daemon cannot tell what {commit} is", mend="`andon list --all` shows all tasks")


def _around(views: tuple[AnyView, ...]) -> RepositoryView | None:
    """The repository that we stand in; None when in none."""
    try:
        return reach.the_repository(views)
    except Mistake:
        return None


def _named(repo: RepositoryView, name: str) -> str:
    """The hash of what a branch, a tag or `HEAD~2` means in the person's own checkout; the name itself when git knows none."""
    from andon.cli.gitlook import git

    return git(Path(repo.path), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") or name


def _provenance(found: Provenance) -> list[tuple[str, str]]:
    known = {"ledger": "from the ledger", "none": "",
             "note": "from git notes, which anybody who writes here can write; `andon notes show` says by what",
             "trailer": "from the trailers of the commit's message alone, which anybody can write"}
    return [
        ("where", found.repo),
        ("attempt", found.attempt),
        ("accepted", f"{found.change[:12]}, the head that was judged" if found.change else ""),
        ("proven", f"with {found.proven[:12]}" + (f" in {found.landing}" if found.landing else "") if found.proven else ""),
        ("landed", out.moment(found.landed_at) if found.landed_at else ""),
        ("known", known[found.by]),
    ]


def _page(detail: TaskDetail) -> None:
    task = detail.task
    print(out.paint(f"{task.task}  {out.clean(task.title)}", "bold"))
    for name, value in _facts(task):
        if value:
            print(f"  {name:<10} {out.clean(value)}")
    _section("specification", detail.spec.strip().split("\n"), SPEC_LINES)
    _claims(task)
    show_steps.steps(task)
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
        ("walls", task.walls),
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
    rows = [(one.attempt, one.agent, one.state, one.isolation, one.walls, out.age(one.started), one.commit[:10],
             one.outcome + (f"  kept at {one.salvage}" if one.salvage else "")) for one in detail.attempts]
    out.table(rows, ("ATTEMPT", "AGENT", "STATE", "CHECKOUT", "WALLS", "AGE", "COMMIT", "OUTCOME"), indent="  ")


def _timeline(detail: TaskDetail) -> None:
    if detail.timeline:
        print(out.paint("\ntimeline", "bold"))
    for one in detail.timeline:
        print(f"  {out.moment(one.at)}  {out.clean(one.text)}")
