"""`andon flaky`: tests in quarantine, with the runs that disagreed; changes nothing."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.sentences import plural
from andon.schema.views import QueueView

EXAMPLES = """\
examples:
  andon flaky                    tests that said yes and no about one tree: evidence, and when they come out
  andon flaky shop --json        a JSON array, one object a test

Their failure is excused as long as there are no more than [queue] flaky allows; after [queue] flaky_passes passes in a row they
come out by themselves, before that with `andon queue mended REPO TEST`. `andon log` names the runs; each keeps its report.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which repository."""
    parser.add_argument("repo", nargs="?", default="", metavar="REPO", help="only this one (id or path)")
    parser.add_argument("--json", action="store_true", help="a JSON array, one object a test")


def run(args: argparse.Namespace) -> int:
    """Print them."""
    with reach.daemon() as client:
        views = client.views()
    queues = sorted(reach.of(QueueView, views), key=lambda queue: queue.repo)
    if args.repo:
        wanted = reach.the_repository(views, args.repo).repo
        queues = [queue for queue in queues if queue.repo == wanted]
    if args.json:
        import msgspec

        out.dump([{"repo": queue.repo, **msgspec.to_builtins(one)} for queue in queues for one in queue.quarantine])
        return codes.OK
    rows = [
        (queue.repo, one.test, one.check, str(one.seen), out.age(one.last), f"{one.passes} of {one.needed}" if one.needed else "-",
         "excused" if one.excused else "counts", " ".join(one.runs))
        for queue in queues for one in queue.quarantine
    ]
    out.table(rows, ("REPO", "TEST", "CHECK", "SEEN", "LAST", "PASSES", "FAILURE", "RUNS THAT DISAGREED"))
    for queue in queues:
        if len(queue.quarantine) > queue.quarantine_budget:
            out.say(f"{queue.repo}: {plural(len(queue.quarantine), 'test')} in quarantine, and [queue] flaky excuses at most "
                    f"{queue.quarantine_budget}: until there are fewer, every failure counts")
    if not rows:
        out.say("no test is known to be flaky")
    return codes.OK
