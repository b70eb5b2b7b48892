"""`andon gate`: open questions to a person."""

import argparse

from andon.cli import codes, out, reach
from andon.cli.answering import answer, facts
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.views import GateView

EXAMPLES = """\
examples:
  andon gate ls
  andon gate show G4                          question, options, claims, diff, and what an answer is bound to
  andon gate answer G4 approve
  andon gate answer G7 --because "use the second one"     an answer in your own words to an agent's question
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """ls, show, answer."""
    sub = parser.add_subparsers(dest="what", metavar="ls|show|answer")
    ls = sub.add_parser("ls", help="the open gates, oldest first")
    ls.add_argument("--json", action="store_true", help="a JSON array of gate views")
    show = sub.add_parser("show", help="one gate with its diff")
    show.add_argument("gate", help="a gate like G4, or its task like T3")
    show.add_argument("--no-diff", action="store_true", help="without the diff")
    show.add_argument("--json", action="store_true", help="the gate view as one JSON object")
    reply = sub.add_parser("answer", help="answer a gate")
    reply.add_argument("gate", help="a gate like G4, or its task like T3")
    reply.add_argument("option", nargs="?", default="", help="one of its options; to an agent's question also your own words")
    reply.add_argument("--because", default="", help="why, or the answer in your own words")
    reply.add_argument("--bound", metavar="DIGEST", default="", help="answer only if the gate is still bound to this")
    parser.set_defaults(json=False)


def run(args: argparse.Namespace) -> int:
    """List, show or answer."""
    if args.what == "show":
        return _show(args)
    if args.what == "answer":
        with reach.daemon() as client:
            return answer(client, args.gate, args.option, because=args.because, bound=args.bound)
    return _ls(args)


def _ls(args: argparse.Namespace) -> int:
    with reach.daemon() as client:
        gates = sorted(reach.of(GateView, client.views()), key=lambda gate: gate.opened_at)
    if args.json:
        out.dump(gates)
        return codes.OK
    rows = [(gate.gate, gate.task, gate.kind, gate.risk, out.age(gate.opened_at), gate.recommendation, gate.question)
            for gate in gates]
    out.table(rows, ("GATE", "TASK", "KIND", "RISK", "AGE", "RECOMMENDED", "QUESTION"))
    if not gates:
        out.say("no open gates: nothing waits for you")
    return codes.OK


def _show(args: argparse.Namespace) -> int:
    with reach.daemon() as client:
        gate = reach.the_gate(client.views(), args.gate)
        if args.json:
            import msgspec

            print(plain_json(msgspec.json.encode(gate)))
            return codes.OK
        print("\n".join(facts(gate)))
        if gate.diff and not args.no_diff:
            from andon.cli.diff import print_blob

            print()
            try:
                print_blob(client, gate.diff)
            except Mistake as mistake:
                out.say(f"andon: the diff cannot be shown: {out.clean(mistake.problem.what)}")
    return codes.OK
