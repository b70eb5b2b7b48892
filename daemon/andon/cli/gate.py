"""`andon gate`: open questions to a person."""

import argparse
import re
import time

from andon.cli import codes, gate_deeds, gate_log, out, reach
from andon.cli.answering import answer, facts, marks, signed_arguments
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.schema.views import GateView

EXAMPLES = """\
examples:
  andon gate ls
  andon gate show G4                          question, options, claims, diff, and what an answer is bound to
  andon gate answer G4 approve
  andon gate answer G1 G2 G3 approve          all are shown first; one signature each; a refusal of one leaves the others
  andon gate answer G7 --because "use the second one"     an answer in your own words to an agent's question
  andon gate snooze G4 --until 15:00          or 2h; it is counted meanwhile, and comes back by itself
  andon gate delegate G4 --to ana --because "she knows the parser"
  andon gate log --task T3                    what was decided, by whom, on what, signed by which key
"""
NAMED = re.compile(r"[GgTt][1-9]\d{0,8}")
"""Words that name a gate or its task."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """ls, show, answer, and what else is done with gates."""
    sub = parser.add_subparsers(dest="what", metavar="ls|show|answer|snooze|delegate|log")
    ls = sub.add_parser("ls", help="the open gates: those told again first, then the oldest; snoozed ones last")
    ls.add_argument("--json", action="store_true", help="a JSON array of gate views")
    show = sub.add_parser("show", help="one gate with its diff")
    show.add_argument("gate", help="a gate like G4, or its task like T3")
    show.add_argument("--no-diff", action="store_true", help="without the diff")
    show.add_argument("--json", action="store_true", help="the gate view as one JSON object")
    reply = sub.add_parser("answer", help="answer gates")
    reply.add_argument("words", nargs="+", metavar="GATE … OPTION",
                       help="gates like G4 or tasks like T3, then one of the options; to an agent's question also your own words")
    reply.add_argument("--because", default="", help="why, or the answer in your own words")
    reply.add_argument("--bound", metavar="DIGEST", default="", help="answer only if the gate is still bound to this")
    signed_arguments(reply)
    gate_deeds.arguments(sub)
    gate_log.arguments(sub)
    parser.set_defaults(json=False)


def run(args: argparse.Namespace) -> int:
    """List, show, answer, put off, leave to somebody, look up."""
    if args.what == "show":
        return _show(args)
    if args.what == "answer":
        named, option = _named(args.words)
        with reach.daemon() as client:
            return answer(client, named, option, because=args.because, bound=args.bound, role=args.role)
    deeds = {"snooze": gate_deeds.snooze, "wake": gate_deeds.wake, "delegate": gate_deeds.delegate, "log": gate_log.run}
    return deeds.get(args.what, _ls)(args)


def _named(words: list[str]) -> tuple[list[str], str]:
    """The gates and the option: the first word names a gate whatever it looks like, the others as long as they look like one."""
    count = next((n for n, word in enumerate(words) if n and not NAMED.fullmatch(word)), len(words))
    if len(words) > count + 1:
        raise Mistake(f"`{words[count + 1]}` comes after the option `{words[count]}`", where="andon gate answer",
                      mend="name the gates first, then one option; put words of your own in quotes")
    return words[:count], words[count] if count < len(words) else ""


def _ls(args: argparse.Namespace) -> int:
    now = time.time()
    with reach.daemon() as client:
        gates = sorted(reach.of(GateView, client.views()),
                       key=lambda gate: (gate.snoozed_until / 1000 > now, -gate.raised, gate.opened_at))
    if args.json:
        out.dump(gates)
        return codes.OK
    rows = [(gate.gate, gate.task, gate.kind, gate.risk, out.age(gate.opened_at), gate.recommendation, "; ".join(marks(gate, now)),
             gate.question) for gate in gates]
    noted = any(row[6] for row in rows)
    head = ("GATE", "TASK", "KIND", "RISK", "AGE", "RECOMMENDED", "NOTE", "QUESTION")
    out.table([row if noted else (*row[:6], row[7]) for row in rows], head if noted else (*head[:6], head[7]))
    napping = sum(gate.snoozed_until / 1000 > now for gate in gates)
    if napping:
        out.say(f"{plural(napping, 'gate')} of {len(gates)} snoozed")
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
