"""`andon advisories`: the known vulnerabilities that dependency checks look in; how old they are, and new ones from a file."""

import argparse
import time
from pathlib import Path

import msgspec

from andon.cli import codes, out, reach
from andon.schema.sentences import plural

EXAMPLES = """\
examples:
  andon advisories                   what is kept, and how old it is
  andon advisories update all.zip    reads OSV's archive of an ecosystem in place of what was kept of it

A check with `use = "dependencies"` asks no network: it looks in what is kept here, and data that is older than its `max_age_days`
is no evidence. OSV publishes an archive for each ecosystem; PyPI and npm are read:
  https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip
Works with the daemon up or down. Exit code 1: nothing is kept.
"""


class Kept(msgspec.Struct, frozen=True):
    """What is kept of one ecosystem."""

    ecosystem: str
    advisories: int
    modified: int
    """Unix milliseconds of the newest change of any of them."""
    days: int
    source: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """ls, update."""
    sub = parser.add_subparsers(dest="what", metavar="ls|update")
    parser.set_defaults(what="ls", json=False)
    listed = sub.add_parser("ls", help="what is kept, and how old it is")
    new = sub.add_parser("update", help="read an archive of OSV")
    new.add_argument("file", metavar="FILE", help="all.zip of an ecosystem")
    for one in (listed, new):
        one.add_argument("--json", action="store_true", help="a JSON array of {ecosystem, advisories, modified, days, source}")


def run(args: argparse.Namespace) -> int:
    """Show, or read an archive and show."""
    from andon.scans import advisories

    folder = reach.place().home / "advisories"
    if args.what == "update":
        advisories.update(folder, Path(args.file).expanduser())
    now = int(time.time() * 1000)
    kept = [Kept(age.ecosystem, age.advisories, age.modified, age.days(now), age.source)
            for _, age in sorted(advisories.ages(folder).items())]
    if args.json:
        out.dump(kept)
    elif kept:
        rows = [(one.ecosystem, str(one.advisories), plural(one.days, "day"), out.clean(one.source)) for one in kept]
        out.table(rows, ("OF", "ADVISORIES", "OLD", "FROM"))
    else:
        out.say("andon: no advisories are kept here; `andon advisories update FILE` reads OSV's archive")
    return codes.OK if kept else codes.NOT_SO
