"""`andon status`: the factory at a glance."""

import argparse
from collections import Counter

from andon.cli import codes, out, reach
from andon.schema.sandbox import Reached
from andon.schema.sentences import plural
from andon.schema.views import (
    AnyView,
    FactoryView,
    GateView,
    LineView,
    ProblemView,
    QueueView,
    RepositoryView,
    SessionView,
    TaskView,
)

EXAMPLES = """\
examples:
  andon status
  andon status --json      a JSON array of all views but the tasks'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How to print."""
    parser.add_argument("--json", action="store_true", help="a JSON array of all views but the tasks'")
    parser.set_defaults(json=False)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    with reach.daemon() as client:
        views = client.views()
        pid = client.welcome.pid
    if args.json:
        out.dump(view for view in views if not isinstance(view, TaskView))
        return codes.OK
    for factory in reach.of(FactoryView, views):
        because = f": {factory.because}" if factory.because else ""
        _tell("daemon", f"{factory.mode}, version {factory.version}, pid {pid}, up {out.age(factory.started_at)}, "
                        f"{factory.wip} of {plural(factory.wip_limit, 'agent')} at work{because}")
        _tell("walls", _walls(factory.walls))
        if factory.waivers:
            soonest = min(factory.waivers, key=lambda one: one.until)
            _tell("waived", f"{plural(len(factory.waivers), 'rule')} set aside, the next until {out.moment(soonest.until)}: "
                            "andon waivers")
    _repositories(views)
    _tasks(views)
    _needs(views)
    return codes.OK


def _walls(best: Reached | None) -> str:
    """What stands around agents and checks of repositories that ask for the best; why it is not more, and the mend."""
    if best is None:
        return "not known which this machine gives; `andon doctor` looks"
    tool = f" by {best.tool}" if best.tool else ""
    return " ".join(filter(None, (f"{best.level}{tool}{':' if best.because else ''}", best.because, best.mend)))


def _repositories(views: tuple[AnyView, ...]) -> None:
    repos = reach.of(RepositoryView, views)
    for repo in repos:
        facts = [f"target {repo.target} at {repo.trunk[:10]}"]
        facts += ["not trusted: run `andon trust`"] if not repo.trusted else []
        facts += [f"walls: {repo.walls_now or f'{repo.walls}, which this machine does not give'}"]
        facts += [f"your branch is behind: {repo.behind}" + (f" ({repo.mend})" if repo.mend else "")] if repo.behind else []
        _tell("repo", f"{repo.repo} at {repo.path}: {'; '.join((*facts, *repo.notes))}")
    for line in reach.of(LineView, views):
        if line.lights != "dim" or line.lights_why:
            _tell("lights", f"{line.repo}/{line.line} {line.lights}{f': {line.lights_why}' if line.lights_why else ''}")
        if line.cord:
            _tell("stopped", f"{line.repo}/{line.line} by {line.cord_by} {out.age(line.cord_at)} ago: {line.cord}")
    for queue in reach.of(QueueView, views):
        if queue.held:
            _tell("queue", f"{queue.repo}: stopped by {queue.held_by} {out.age(queue.held_at)} ago: {queue.held}")
        for red in queue.red:
            suspects = f"; suspected: {', '.join(red.suspects)}" if red.suspects else ""
            _tell("red", f"{queue.repo}: {queue.target} does not pass {red.check} at {red.commit[:10]}: {red.because}{suspects}")
    if not repos:
        _tell("repo", "none yet: run `andon init` in a repository")


def _tasks(views: tuple[AnyView, ...]) -> None:
    counts = Counter(task.state for task in reach.of(TaskView, views))
    told = ", ".join(f"{count} {out.state_word(state)}" for state, count in counts.most_common())
    _tell("tasks", told or "none yet")
    for session in reach.of(SessionView, views):
        _tell("session", f"{session.attempt} {session.agent}, {session.health}: {session.because}")


def _needs(views: tuple[AnyView, ...]) -> None:
    for gate in sorted(reach.of(GateView, views), key=lambda gate: gate.opened_at):
        _tell("gate", f"{gate.gate} {gate.task}, open for {out.age(gate.opened_at)}: {gate.question}")
    for problem in reach.of(ProblemView, views):
        often = f", {problem.times:,} times or more" if problem.times > 1 else ""
        where = f" ({problem.where}{often})" if problem.where else ""
        _tell("problem", f"{problem.what}{where}" + (f" — {problem.mend}" if problem.mend else ""))


def _tell(name: str, text: str) -> None:
    print(f"{name:<8} {out.clean(text)}")
