"""`andon queue simulate`: what each policy would have done with this repository's own history."""

import argparse

from andon.cli import codes, out, reach
from andon.cli.queue_show import span
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.schema.views import PolicyRow

HEAD = ("POLICY", "SLOTS", "LANDED", "SENT BACK", "RUNS", "RUNS/LANDED", "WASTED", "HOURS", "WAIT P50", "WAIT P95", "RED")


def run(args: argparse.Namespace) -> int:
    """Ask the daemon, print a table."""
    if args.slots < 0:
        raise Mistake(f"{args.slots} is no number of slots", where="--slots",
                      mend="a whole number from 1; 0 is what the queue has now")
    with reach.daemon() as client:
        repo = reach.the_repository(client.views(), args.repo).repo
        reply = client.ask(wire.SimulateQueue(repo=repo, slots=args.slots, seed=args.seed))
    if not isinstance(reply, wire.SimulationIs):
        raise Mistake("the daemon cannot simulate",
                      mend="`andon version` and `andon status` tell whether it is older than this command")
    if args.json:
        out.dump(reply.rows)
        return codes.OK
    if not reply.rows:
        out.say(out.clean(reply.text) or f"{repo} has no history to simulate yet")
        return codes.OK
    print(out.paint(f"{repo}: {plural(reply.entries, 'change')} of its history", "bold"))
    out.table([_row(row) for row in reply.rows], HEAD)
    if reply.text:
        print(out.clean_lines(reply.text))
    return codes.OK


def _row(row: PolicyRow) -> tuple[str, ...]:
    each = f"{row.runs / row.landed:.2f}" if row.landed else "-"
    return (row.policy, str(row.slots), str(row.landed), str(row.sent_back), str(row.runs), each, str(row.wasted),
            f"{row.hours:.1f}", span(row.wait_p50_s), span(row.wait_p95_s), str(row.red))
