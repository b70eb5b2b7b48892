"""`andon waivers`: the rules that people set aside."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.views import FactoryView

EXAMPLES = """\
examples:
  andon waivers
  andon waivers --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How to print."""
    parser.add_argument("--json", action="store_true", help="a JSON array of waivers")


def run(args: argparse.Namespace) -> int:
    """Print those that stand."""
    with reach.daemon() as client:
        standing = [one for view in reach.of(FactoryView, client.views()) for one in view.waivers]
    if args.json:
        out.dump(standing)
        return codes.OK
    rows = [(one.waiver, one.repo, one.rule, one.scope, out.moment(one.until), "yes" if one.signed else "no", one.by, one.because)
            for one in standing]
    out.table(rows, ("WAIVER", "REPO", "RULE", "FOR", "UNTIL", "SIGNED", "BY", "BECAUSE"))
    if not standing:
        out.say("no rule is set aside")
    return codes.OK
