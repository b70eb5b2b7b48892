"""`andon sessions`: the agents at work, each with its state, the reason for it, and what it spent."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.views import SessionView

EXAMPLES = """\
examples:
  andon sessions             who is at work, and how we know
  andon sessions --json      a JSON array of session views
  andon explain T3           the rule and the raw evidence behind one state
"""
CALM = ("working", "thinking", "background", "compacting", "starting", "finished")
"""States that need nobody; the others come first."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How to print."""
    parser.add_argument("--json", action="store_true", help="a JSON array of session views")


def run(args: argparse.Namespace) -> int:
    """Print them."""
    with reach.daemon() as client:
        sessions = reach.of(SessionView, client.views())
    sessions.sort(key=lambda view: (view.health in CALM, view.since))
    if args.json:
        out.dump(sessions)
        return codes.OK
    out.table([_row(view) for view in sessions], ("SESSION", "AGENT", "STATE", "FOR", "COST", "BECAUSE"))
    if not sessions:
        out.say("no agent is at work: `andon list` shows the tasks")
    return codes.OK


def _row(view: SessionView) -> tuple[str, ...]:
    state = out.state_word(view.health) + (f" ({view.cause})" if view.cause and view.cause not in view.health else "")
    sure = "" if view.confidence == "certain" else f"{view.confidence}: "
    taken = f"taken by {view.taken}; " if view.taken else ""
    because = f"{taken}{sure}{out.clean(view.because)} [{view.source}]"
    return view.attempt, out.clean(view.agent), state, out.age(view.since), _cost(view), because


def _cost(view: SessionView) -> str:
    if not view.metered:
        return "-"
    if view.metered == "unmetered":
        return "unmetered"
    tokens = view.input_tokens + view.output_tokens
    return f"${view.usd:.2f}, {tokens:,} tokens" if view.usd else f"{tokens:,} tokens"
