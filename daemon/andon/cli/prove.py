"""`andon prove`: what holds in a checkout, as named facts in a JUnit report; needs no daemon, and a check of one runs it."""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from andon.cli import codes, out
from andon.proofs import kinds
from andon.schema.errors import Mistake
from andon.schema.proofs import UNEVALUATED_EXIT

if TYPE_CHECKING:
    from andon.proofs.fact import Fact

EXAMPLES = """\
kinds:
""" + "".join(f"  {name:<9} {told}\n" for name, (_, told) in kinds.OURS.items()) + """
examples:
  andon prove                                     lists the kinds; --json as an array
  andon prove api --report before.xml             the public names of this checkout's packages
  andon prove api --base before.xml               and what went missing since, by name
  andon prove cli "python3 -m shop"               options and subcommands of a program
  andon prove schema openapi.yaml "sql/*.sql"
  andon prove matrix --requirements R.toml -- pytest -q --junitxml={junit}
  andon prove build --run "shop --version"
  andon prove journey journeys/*.toml
  andon prove KIND --help                         the words of one kind

As a check: `run = "andon prove api --report {report}"`, `report = "junit"`. The daemon runs it on the base commit as well, so
what a change takes away fails its check by name. Exit code 0: all hold; 1: one does not; 114: something could not be looked at,
which is no pass.
"""
SHOWN = 40
"""Facts that do not hold, printed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which kind; its own words follow."""
    parser.add_argument("--json", action="store_true", help="without a kind: the list of kinds as a JSON array")
    parser.add_argument("kind", nargs="?", default="", help="what to look at")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Look, tell, write the report."""
    from andon.proofs.fact import Fact, Unevaluated, distinct, exit_code, missing, report

    if not args.kind:
        return _kinds(as_json=args.json)
    kind = kinds.load(args.kind)
    given = _parsed(args.kind, kind, args.words)
    root = Path(given.root).expanduser().absolute()
    if not root.is_dir():
        raise Mistake(f"there is no folder {root}", where="--root", mend="name the root of a checkout")
    try:
        facts = distinct(kind.facts(given, root))
        facts += missing(facts, Path(given.base)) if given.base else []
        if not facts:
            raise Unevaluated("nothing was found to look at")
    except Unevaluated as told:
        facts = [Fact(group=args.kind, name="can be looked at", state="unevaluated", told=str(told))]
    if given.report:
        _write(Path(given.report), report(args.kind, facts))
    _tell(args.kind, facts, as_json=given.json)
    return exit_code(facts)


def _parsed(name: str, kind: kinds.Kind, words: Sequence[str]) -> argparse.Namespace:
    """The words of a kind. Those after `--` are a command of the person's own."""
    place = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        prog=f"andon prove {name}", description=f"{kind.HELP[0].upper()}{kind.HELP[1:]}.", allow_abbrev=False,
        epilog=getattr(kind, "EXAMPLES", ""), formatter_class=argparse.RawDescriptionHelpFormatter)
    kind.arguments(parser)
    parser.add_argument("--root", default=".", metavar="DIR", help="the checkout (default: where you stand)")
    parser.add_argument("--report", default="", metavar="FILE", help="where the JUnit report goes")
    parser.add_argument("--base", default="", metavar="FILE", help="an earlier report: what held there and is gone fails by name")
    parser.add_argument("--json", action="store_true", help="the facts as a JSON array instead of words")
    given = parser.parse_args(list(words[:place]))
    given.command = list(words[place + 1:])
    return given


def _kinds(*, as_json: bool) -> int:
    listed = [(name, told) for name, (_, told) in kinds.OURS.items()]
    listed += [(entry.name, entry.value) for entry in kinds.others()]
    if as_json:
        print(json.dumps([{"kind": name, "help": told} for name, told in listed], indent=2))
    else:
        for name, told in listed:
            print(f"{name:<9} {out.clean(told)}")
    return codes.OK


def _write(path: Path, data: bytes) -> None:
    """The whole report or none of it."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".report-", delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
    except OSError as error:
        with contextlib.suppress(NameError, OSError):
            Path(file.name).unlink()
        raise Mistake(f"the report cannot be written: {error.strerror}", where=str(path),
                      mend="name a file in a folder of yours") from error


def _tell(kind: str, facts: Sequence["Fact"], *, as_json: bool) -> None:
    """What holds in a line, and everything else by name."""
    from andon.proofs.fact import exit_code

    if as_json:
        print(json.dumps([{"group": fact.group, "name": fact.name, "state": fact.state, "told": fact.told,
                           **({"properties": dict(fact.properties)} if fact.properties else {})} for fact in facts], indent=2))
        return
    others = [fact for fact in facts if fact.state != "holds"]
    for fact in others[:SHOWN]:
        head, _, rest = out.clean_lines(fact.told).strip().partition("\n")
        print(f"{fact.state}: {out.clean(fact.group)}: {out.clean(fact.name)}" + (f": {head}" if head else ""))
        for line in rest.splitlines()[-60:] if fact.state == "fails" else ():
            print(f"    {line}")
    if len(others) > SHOWN:
        print(f"… and {len(others) - SHOWN} more")
    print(f"{kind}: " + ", ".join(f"{count} {state}" for state in ("holds", "fails", "skipped", "unevaluated")
                                  if (count := sum(fact.state == state for fact in facts))).replace("holds", "hold"))
    if exit_code(facts) == UNEVALUATED_EXIT:
        print(f"andon prove {kind}: could not be evaluated as a whole, so it is no pass", file=sys.stderr)
