"""`andon verify`: re-computes what stands behind landed commits, offline; needs no daemon and no settings."""

import argparse
from collections.abc import Callable
from pathlib import Path

from andon.cli import codes, out, reach
from andon.schema.errors import Mistake
from andon.thirdparty import command
from andon.thirdparty.landing import Evidence, Point
from andon.thirdparty.objects import Repository
from andon.thirdparty.signed import Refused, Trust, Unevaluated

EXAMPLES = """\
examples:
  andon verify                        the commit that is checked out, point by point
  andon verify T3                     each landing of T3
  andon verify --all                  everything since the first landing with evidence; plain commits are shown as such
  andon verify T3 --against-ledger    and whether the ledger here is a longer form of the one that was signed
  andon verify HEAD --trust trust.json --repository ~/clone    as somebody else would, in a fresh clone
  andon verify --write-trust trust.json    this factory's trust file, for them

A fresh clone has no evidence yet: git fetch origin refs/andon/evidence:refs/andon/evidence
What every point means: each signature by the role that may make it, the same change, policy, checks and approval as the commit
says, the merge made anew. It does not prove that a check means anything, nor that nobody stole a key.

Exit code 0: all of it holds. 1: something is refused, or the one commit asked about is a plain one.
5: nothing is refused, and not everything could be evaluated.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which commits, and whom to believe."""
    command.arguments(parser)
    parser.add_argument("--against-ledger", action="store_true", help="compare its checkpoints with the ledger of this factory")
    parser.add_argument("--write-trust", metavar="FILE", default="", help="copy this factory's trust file, over nothing, and end")


def run(args: argparse.Namespace) -> int:
    """Look, and print what was found."""
    if args.write_trust:
        return _write_trust(Path(args.write_trust))
    try:
        evidence = opened(args.repository, args.trust, args.branch)
    except (Refused, Unevaluated) as error:
        return _short(error)
    try:
        return command.examine(args, evidence, _after(evidence) if args.against_ledger else list)
    except (Refused, Unevaluated) as error:
        return _short(error)
    finally:
        evidence.repository.close()


def opened(repository: str, trust: str, branch: str) -> Evidence:
    """The evidence of a repository, as a trust file has it. The caller closes its repository. Raises Refused or Unevaluated."""
    layout = reach.place()
    file = Path(trust) if trust else layout.home / command.TRUST
    if not file.is_file():
        raise Mistake("there is no trust file: without one, nobody's word counts", where=str(file),
                      mend="name one with --trust; the factory's own is written by `andon verify --write-trust FILE` where it runs")
    believed = Trust.read(file)
    found = Repository(Path(repository or "."))
    try:
        return Evidence(found, believed, (layout.home / "blobs",), branch)
    except (Refused, Unevaluated):
        found.close()
        raise


def _short(error: Exception) -> int:
    """What ended it before anything could be looked at."""
    out.say(f"andon: {out.clean(str(error))}")
    return codes.NOT_SO if isinstance(error, Refused) else codes.NOT_EVALUATED


def _after(evidence: Evidence) -> Callable[[], list[Point]]:
    def compared() -> list[Point]:
        from andon.cli.verify_ledger import against

        return [against(reach.place().ledger, evidence.roots)]

    return compared


def _write_trust(to: Path) -> int:
    layout = reach.place()
    own = layout.home / command.TRUST
    if not own.is_file():
        raise Mistake("this factory has no trust file yet", where=str(own), mend="it is made when the daemon starts: `andon up`")
    data = own.read_bytes()
    try:
        with to.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise Mistake("a trust file is never written over another file", where=str(to), mend="name a new one") from error
    except OSError as error:
        raise Mistake(f"the file cannot be written: {error.strerror}", where=str(to), mend="name another place") from error
    print(f"{to}  whom to believe what; hand it over by another way than the repository")
    return codes.OK
