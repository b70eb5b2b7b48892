"""`andon list`: tasks, those that need a person first."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.schema.views import ClaimCell, TaskView

EXAMPLES = """\
examples:
  andon list                       what is open, and what failed
  andon list --state waiting       only those that wait for a person
  andon list --all --json          everything, as a JSON array of task views
"""
STATES = ("queued", "building", "checking", "waiting", "landing", "landed", "done", "failed", "stopped", "paused")
QUIET = ("landed", "done", "stopped")
"""States that are listed only when asked for."""
_ORDER = {state: n for n, state in enumerate(("waiting", "paused", "failed", "landing", "checking", "building", "queued"))}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--state", metavar="S,…", default="", help=f"only these states: {', '.join(STATES)}")
    parser.add_argument("--repo", metavar="REPO", default="", help="only this repository (id or path)")
    parser.add_argument("--all", action="store_true", help="also what is landed, done or stopped")
    parser.add_argument("--json", action="store_true", help="a JSON array of task views")


def run(args: argparse.Namespace) -> int:
    """Print the tasks."""
    states = _states(args.state)
    with reach.daemon() as client:
        views = client.views()
    tasks = reach.of(TaskView, views)
    if args.repo:
        repo = reach.the_repository(views, args.repo).repo
        tasks = [task for task in tasks if task.repo == repo]
    shown = [task for task in tasks if (task.state in states if states else args.all or task.state not in QUIET)]
    shown.sort(key=lambda task: (not task.attention, _ORDER.get(task.state, 9), _number(task)))
    if args.json:
        out.dump(shown)
        return codes.OK
    several = len({task.repo for task in tasks}) > 1
    out.table([_row(task, several) for task in shown], _head(several))
    _foot(len(shown), len(tasks))
    return codes.OK


def _states(text: str) -> tuple[str, ...]:
    states = tuple(word.strip() for word in text.split(",") if word.strip())
    for state in states:
        if state not in STATES:
            raise Mistake(f"there is no state `{state}`", where="--state", mend=f"the states are: {', '.join(STATES)}")
    return states


def _number(task: TaskView) -> int:
    digits = task.task[1:]
    return int(digits) if digits.isdigit() else 0


def _head(several: bool) -> tuple[str, ...]:
    return ("TASK", *(("REPO",) if several else ()), "STATE", "AGE", "AGENT", "CLAIMS", "TITLE")


def _row(task: TaskView, several: bool) -> tuple[str, ...]:
    told = task.attention or (task.why[0] if task.why else "")
    agent = f"{task.agent} {task.health}".strip() if task.state == "building" else ""
    return (task.task, *((str(task.repo),) if several else ()), out.state_word(task.state), out.age(task.since), agent,
            claims_word(task.claims), f"{task.title} — {told}" if told else task.title)


def claims_word(claims: tuple[ClaimCell, ...]) -> str:
    """All claims in a few signs: `✓3`, `✓2 ✗lint`."""
    proven = sum(claim.status == "proven" for claim in claims)
    others = [f"{out.GLYPHS.get(claim.status, ' ')}{claim.claim}" for claim in claims if claim.status != "proven"]
    return " ".join(([f"✓{proven}"] if proven else []) + others)


def _foot(shown: int, known: int) -> None:
    if not known:
        out.say('no tasks yet: `andon add "what you want"` adds the first')
    elif shown < known:
        out.say(f"{plural(known - shown, 'task')} not shown: `andon list --all` shows everything")
