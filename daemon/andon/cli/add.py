"""`andon add`: turns a seed into a task."""

import argparse

import msgspec

from andon.cli import codes, out, reach
from andon.cli.seed import Seed, listed, read_seed
from andon.schema.errors import Mistake
from andon.schema.ids import TaskId
from andon.schema.inputs import AddTask
from andon.schema.views import AnyView, LineView, RepositoryView, TaskView

EXAMPLES = """\
examples:
  andon add "make --version print the version"
  andon add spec.md --after T3,T4 --paths 'src/**,tests/**'
  andon add "port the parser" --race claude,codex
  generate-spec | andon add - --key nightly-7     the same key never adds twice

A markdown file may begin with front matter: lines between two --- lines, one `key: value` a line (this is not YAML):
  ---
  title: Greet by name
  after: T3, T4
  paths: src/**, tests/**
  priority: 5
  ---
The keys are title, after, paths, priority, line and agent. Options on the command line win over it.
The title is the front matter's, else the first heading, else the first line.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What makes a task."""
    parser.add_argument("seed", nargs="+", help="a sentence, a markdown file, or - for standard input")
    parser.add_argument("--after", metavar="T3,T4", default="", help="start only when these have landed")
    parser.add_argument("--paths", metavar="GLOBS", action="append", default=[],
                        help="paths it may touch, comma-separated; may be repeated")
    parser.add_argument("--line", metavar="LINE", default="", help="the line it walks (default: build)")
    parser.add_argument("--priority", type=int, metavar="N", default=None, help="higher goes first (default: 0)")
    parser.add_argument("--agent", metavar="NAME", default="", help="a name of [agents] in andon.toml")
    parser.add_argument("--race", metavar="A,B", default="",
                        help="agents that each get the task; the better-proven change goes on, the others end")
    parser.add_argument("--may-remove-tests", action="store_true", help="tests of the base may disappear with this change")
    parser.add_argument("--repo", metavar="REPO", default="", help="id or path of the repository (default: the one you stand in)")
    parser.add_argument("--key", metavar="KEY", default="", help="idempotency key: the same key never adds twice")
    parser.add_argument("--wait", action="store_true", help="wait until it has landed; exit code 1 when it does not")
    parser.add_argument("--json", action="store_true", help='print {"task": "T7", …} instead of a sentence')


def run(args: argparse.Namespace) -> int:
    """Add it; the daemon is started when it does not run."""
    seed = read_seed(args.seed[0] if len(args.seed) == 1 else " ".join(args.seed))
    with reach.daemon(start=True) as client:
        views = client.views()
        repo = reach.the_repository(views, args.repo)
        command = _command(args, seed, repo, views)
        done = client.do(command)
        task = done.ids[0] if done.ids else ""
        if len(done.ids) > 1 and not args.json:
            out.say(f"{' and '.join(done.ids)} race; the better-proven change goes on")
        _tell(args, command, task, before=any(view.task == task for view in reach.of(TaskView, views)))
        if not args.wait:
            return codes.OK
        from andon.cli.wait import wait_for

        return wait_for(client, (TaskId(task),), "landed")


def _command(args: argparse.Namespace, seed: Seed, repo: RepositoryView, views: tuple[AnyView, ...]) -> AddTask:
    priority = args.priority if args.priority is not None else seed.priority
    line = args.line or seed.line or "build"
    lines = [view.line for view in reach.of(LineView, views) if view.repo == repo.repo]
    if lines and line not in lines:
        raise Mistake(f"{repo.repo} has no line `{line}`", where="--line" if args.line else "front matter",
                      mend=f"its lines are: {', '.join(lines)}")
    return AddTask(
        repo=repo.repo, title=seed.title, spec=seed.spec, line=line, after=_after(args.after, seed),
        paths=tuple(path for text in args.paths for path in listed(text)) or seed.paths, priority=priority or 0,
        agent=args.agent or seed.agent, may_remove_tests=args.may_remove_tests, key=args.key, race=tuple(listed(args.race)))


def _after(option: str, seed: Seed) -> tuple[TaskId, ...]:
    return tuple(reach.task_id(word) for word in (listed(option) or seed.after))


def _tell(args: argparse.Namespace, command: AddTask, task: str, *, before: bool) -> None:
    if args.json:
        row = msgspec.json.encode({"task": task, "repo": command.repo, "title": command.title, "before": before})
        print(row.decode(), flush=True)
        return
    told = "  (added before with this key)" if before else ""
    print(f"{task}  {out.clean(command.title)}{told}", flush=True)
