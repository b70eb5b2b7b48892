"""`andon lineage`: who asked for a change, built, judged, approved and landed it, and what came after; daemon up or down."""

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from andon.cli import codes, out, reach
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake

if TYPE_CHECKING:
    from andon.record.lineage import Lineage, Node

EXAMPLES = """\
examples:
  andon lineage T3
  andon lineage 4be21c9        a commit of any registered repository; HEAD and branches are those of the one you stand in
  andon lineage HEAD --json    with its relations, and as a PROV-JSON document under `prov`

A commit is found again after a squash, a rebase or a cherry-pick, by its trailers, by the landing that brought it, or by an equal
patch. One that is not the factory's is shown as `human`. What the record should have and does not is listed under holes.
"""
PARTS = ("asked", "planned", "built", "judged", "approved", "landed", "after")
WIDTH = 80


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of what."""
    parser.add_argument("what", metavar="COMMIT|TASK", help="a task like T3; a commit: part of its hash, a branch, a tag")
    parser.add_argument("--repo", metavar="REPO", default="", help="where to look for a commit (default: in all registered ones)")
    parser.add_argument("--json", action="store_true", help="nodes, relations, holes and PROV-JSON as one object")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from andon.record.lineage import TASK, lineage, prov

    if not args.what.strip():
        raise Mistake("an empty name is no task and no commit", mend="a task is named like T3; `andon list` shows them")
    name = args.what.strip() if TASK.fullmatch(args.what.strip()) else _here(args.what.strip())
    found = lineage(reach.place(), name, args.repo)
    if args.json:
        print(plain_json(msgspec.json.encode({**msgspec.structs.asdict(found), "prov": prov(found)})))
    else:
        _page(found)
    return codes.OK


def _here(name: str) -> str:
    """The hash of what a name means in the checkout that we stand in; the name itself where it means nothing there."""
    from andon.cli.gitlook import git

    return git(Path.cwd(), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") or name


def _page(found: "Lineage") -> None:
    """A tree, part by part."""
    head = f"commit {found.commit[:12]}" if found.commit else found.task
    if found.origin == "human":
        print(out.paint(f"{head} in {found.repo}: human", "bold"))
        _line(f"“{out.clean(found.subject)}” by {out.clean(found.author)}, {out.moment(found.at)}", "  ")
        _line("no trailer, no landing and no equal patch of the factory's: it is somebody's own", "  ")
    else:
        how = {"ledger": "by the ledger", "trailer": "by its trailers", "landing": "by the landing that brought it",
               "patch-id": "by an equal patch", "none": ""}[found.found_by]
        print(out.paint(f"{head} in {found.repo}: {found.task or 'the factory'}, known {how}", "bold"))
        for part in PARTS:
            _part(part, [node for node in found.nodes if node.part == part and node.kind != "agent"], found)
    if found.holes:
        print(out.paint("holes", "bold"))
    for hole in found.holes:
        _line(f"? {out.clean(hole)}", "  ", "    ")


def _part(part: str, nodes: list["Node"], found: "Lineage") -> None:
    tops = [node for node in nodes if not node.under or not any(other.id == node.under for other in nodes)]
    if not tops:
        return
    print(out.paint(part, "bold"))
    for n, node in enumerate(tops):
        last = n == len(tops) - 1
        _node(node, found, "└─ " if last else "├─ ", "   " if last else "│  ")
        for below in (other for other in nodes if other.under == node.id):
            _line(out.clean(below.told), "   " if last else "│  ", "   " if last else "│  ", "└─ ")


def _node(node: "Node", found: "Lineage", sign: str, rest: str) -> None:
    who = [other.told for edge in found.edges if edge.of == node.id and edge.relation in ("wasAssociatedWith", "wasAttributedTo")
           for other in found.nodes if other.id == edge.to and not edge.to.startswith("agent:")]
    by = f", by {', '.join(dict.fromkeys(who))}" if who and not any(name in node.told for name in who) else ""
    when = f"{out.moment(node.at)}  " if node.at else ""
    _line(f"{when}{out.clean(node.told)}{out.clean(by)}", "", rest, sign)
    told = "; ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in node.facts.items())
    if told:
        _line(out.paint(out.clean(told), "dim"), rest, rest)


def _short(value: str) -> str:
    """A digest or an object's name as people know it."""
    return value[:12] if len(value) in (40, 64) and set(value) <= set("0123456789abcdef") else value


def _line(text: str, first: str, rest: str = "  ", sign: str = "") -> None:
    """One entry, wrapped at the width of a terminal of old."""
    width = min(out.columns(), WIDTH)
    print(textwrap.fill(text, width, initial_indent=first + sign, subsequent_indent=rest + "  ", break_long_words=True) or first)
