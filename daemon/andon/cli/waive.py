"""`andon waive`: sets a rule aside for one task or some paths, until a moment."""

import argparse
import re
import time
from datetime import datetime

from andon.cli import codes, out, reach
from andon.cli.answering import with_signature
from andon.schema.errors import Mistake
from andon.schema.ids import RepoId, TaskId
from andon.schema.inputs import EndWaiver, WaiveRule
from andon.schema.views import RepositoryView

EXAMPLES = """\
RULE is a word of the column RULE of `andon classify`. A waiver sets aside what that rule says of the task or the paths, and nothing
else; it ends by itself, at the latest after [policy] waiver_days. What is of class stop needs a signed approval. A check cannot be
waived: what lands was proven.

examples:
  andon waive dependency --task T3 --until 2d --because "the lock file alone, looked at by hand"
  andon waive unmatched --paths 'notes/**' --until 2031-05-01 --because "nobody reads them but us"
  andon waive --end W2 --because "no longer needed"
  andon waivers
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, for what, until when, why."""
    parser.add_argument("rule", nargs="?", default="", help="the rule to set aside")
    parser.add_argument("--task", default="", help="for this task alone")
    parser.add_argument("--paths", action="append", default=[], metavar="GLOB", help="for these paths; may be repeated")
    parser.add_argument("--until", default="", metavar="DATE", help="2031-05-01, 2031-05-01T18:00, or 12h, 3d from now")
    parser.add_argument("--because", default="", help="why: it stands in the ledger and on the board")
    parser.add_argument("--end", default="", metavar="WAIVER", help="take a waiver back instead")
    parser.add_argument("--role", default="", help="sign in this role of yours; without it, in your first")
    parser.add_argument("--repo", default="", help="the repository's id, when there are several")


def run(args: argparse.Namespace) -> int:
    """Set it aside, or take that back."""
    if args.end:
        with reach.daemon() as client:
            client.do(EndWaiver(waiver=args.end.upper(), because=args.because))
        print(f"waiver {out.clean(args.end.upper())} ended: the rule counts again")
        return codes.OK
    if not args.rule:
        raise Mistake("which rule is to be set aside?", mend="name one, or --end a waiver; `andon waive --help` shows examples")
    until = moment(args.until)
    with reach.daemon() as client:
        views = client.views()
        task = reach.the_task(views, args.task) if args.task else None
        repo = task.repo if task else _repository(reach.of(RepositoryView, views), args.repo)
        wanted = WaiveRule(repo=repo, rule=args.rule, task=task.task if task else TaskId(""), paths=tuple(args.paths),
                           until=until, because=args.because)
        done = client.do(with_signature(views, wanted, args.role))
    print(f"{out.clean(done.text)}, until {out.moment(until)}")
    return codes.OK


def moment(text: str) -> int:
    """A moment in Unix milliseconds. Mistake when it is none."""
    if not text:
        raise Mistake("a waiver needs an end", where="--until", mend="say --until 2d, or --until 2031-05-01")
    if found := re.fullmatch(r"(\d{1,5})([mhd])", text):
        return int((time.time() + int(found[1]) * {"m": 60, "h": 3_600, "d": 86_400}[found[2]]) * 1000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Mistake(f"`{text}` is no date", where="--until", mend="write 2031-05-01, 2031-05-01T18:00, 12h or 3d") from None


def _repository(views: list[RepositoryView], wanted: str) -> RepoId:
    found = [view.repo for view in views if not wanted or view.repo == wanted]
    if len(found) != 1:
        names = ", ".join(view.repo for view in views) or "none yet"
        what = f"there is no repository {wanted}" if wanted else "which repository is meant?"
        raise Mistake(what, where="--repo", mend=f"one of: {names}")
    return found[0]
