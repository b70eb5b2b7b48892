"""`andon queue clashes`: which live changes will collide, how, and on which lines."""

import argparse

from andon.cli import codes, out, reach
from andon.schema.sentences import plural
from andon.schema.views import ClashView

KINDS = {"hot": "≠ hot: they do not merge", "soft": "≈ soft: they merge, and change the same thing"}
"""Sign and meaning of each kind."""
HUNKS_LIMIT = 6
"""Places that are printed of one clash."""


def run(args: argparse.Namespace) -> int:
    """Print them, the hot ones first."""
    with reach.daemon() as client:
        views = client.views()
    clashes = reach.of(ClashView, views)
    if args.of and args.of.strip().lstrip("Tt").isdigit():
        task = reach.the_task(views, args.of).task
        clashes = [clash for clash in clashes if task in (clash.one, clash.other)]
    elif args.of:
        repo = reach.the_repository(views, args.of).repo
        clashes = [clash for clash in clashes if clash.repo == repo]
    clashes.sort(key=lambda clash: (clash.kind != "hot", clash.since))
    if args.json:
        out.dump(clashes)
        return codes.OK
    for clash in clashes:
        _clash(clash)
    if not clashes:
        out.say("no live changes meet, as far as was compared")
    return codes.OK


def _clash(clash: ClashView) -> None:
    one, other = (f"{task} {out.clean(title)}".rstrip() for task, title in zip((clash.one, clash.other), clash.titles, strict=True))
    print(out.paint(f"{clash.one} and {clash.other}  {KINDS[clash.kind]}, for {out.age(clash.since) or '?'}", "bold"))
    print(f"  {one}\n  {other}")
    for hunk in clash.hunks[:HUNKS_LIMIT]:
        place = f":{hunk.line}" + (f"-{hunk.line + hunk.count - 1}" if hunk.count > 1 else "") if hunk.line else ""
        kind = "" if hunk.kind == "content" else f" ({out.clean(hunk.kind)})"
        print(f"    {out.clean(hunk.path)}{place}{kind}")
    if len(clash.hunks) > HUNKS_LIMIT:
        print(f"    … {plural(len(clash.hunks) - HUNKS_LIMIT, 'more place')} (--json has all)")
    if clash.told:
        print(f"  told: {', '.join(clash.told)}")
