"""`andon lights`: how much a person sees of what each line lands, and the approval by which a line may be dark."""

import argparse

from andon.cli import codes, out, reach
from andon.cli.answering import with_signature
from andon.schema.inputs import ApproveLights
from andon.schema.views import LineView

EXAMPLES = """\
  on    a person sees every change
  dim   what is of class ship lands by itself, a review asks (so it is without being told)
  dark  what is of class review lands too, a stop never

Say it in andon.toml: [lines.build] lights = "dark". Dark is in force only once the line is above [policy.floors] and a signed
approval let it be; it dims by itself when a week is below them.

examples:
  andon lights
  andon lights shop/build dark --because "six weeks without a revert"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Look, or approve."""
    parser.add_argument("line", nargs="?", default="", help="a line: NAME, or REPO/NAME")
    parser.add_argument("lights", nargs="?", default="", choices=("dim", "dark", ""), metavar="dim|dark",
                        help="approve dark, or take that back")
    parser.add_argument("--because", default="", help="why")
    parser.add_argument("--role", default="", help="sign in this role of yours; without it, in your first")
    parser.add_argument("--repo", default="", help="the repository's id, when several have a line of this name")
    parser.add_argument("--json", action="store_true", help="a JSON array of lines")


def run(args: argparse.Namespace) -> int:
    """Show the lines, or approve."""
    with reach.daemon() as client:
        views = client.views()
        if args.line and args.lights:
            line = reach.the_line(views, args.line, args.repo)
            wanted = ApproveLights(repo=line.repo, line=line.line, lights=args.lights, because=args.because)
            done = client.do(with_signature(views, wanted, args.role) if args.lights == "dark" else wanted)
            print(out.clean(done.text))
            return codes.OK
    lines = [reach.the_line(views, args.line, args.repo)] if args.line else reach.of(LineView, views)
    if args.json:
        out.dump(lines)
        return codes.OK
    out.table([(f"{one.repo}/{one.line}", one.lights, one.figures, one.lights_why or one.floors) for one in lines],
              ("LINE", "LIGHTS", "LATELY", "NOT DARK BECAUSE"))
    return codes.OK
