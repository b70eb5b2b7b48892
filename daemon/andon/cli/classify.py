"""`andon classify`: of which class a change is and why, for any commit, range, diff or checkout; needs no daemon."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from andon.cli import codes, gitlook, out, reach
from andon.schema.errors import Mistake

if TYPE_CHECKING:
    from andon.schema.settings import Policy
    from andon.schema.verdicts import Classified

EXAMPLES = """\
The class is ship (may land by itself), review (one person looks) or stop. Every rule is asked and the highest wins; what no rule
names is review. The policy is the one committed on the target; facts are read from git alone, and nothing of the repository runs.
What could not be read stops.

examples:
  andon classify                       what your checkout would commit, against HEAD
  andon classify HEAD~3..HEAD          a range of commits
  andon classify T3                    the newest work of a task
  git diff main | andon classify --diff -
  andon classify HEAD --fail-on stop   exit code 1 when it stops: for a hook or a pipeline
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to classify, and how to tell."""
    parser.add_argument(
        "what", nargs="?", default="", metavar="TASK|COMMIT|RANGE", help="what to classify (default: your checkout)"
    )
    parser.add_argument("--diff", metavar="FILE", default="", help="a diff by git in a file, or - for standard input")
    parser.add_argument("--worktree", action="store_true", help="all that differs from HEAD in the checkout, new files included")
    parser.add_argument("--repo", default="", help="path of the repository (default: the one you stand in)")
    parser.add_argument("--fail-on", choices=("review", "stop"), default="", help="exit code 1 when it is of this class or above")
    parser.add_argument("--json", action="store_true", help="a JSON array with one object: risk, because, findings, reviewers")


def run(args: argparse.Namespace) -> int:
    """Classify and explain."""
    if sum((bool(args.what), bool(args.diff), args.worktree)) > 1:
        raise Mistake("only one of TASK|COMMIT|RANGE, --diff and --worktree can be classified at once", mend="leave the others out")
    known = _classified(args)
    if args.json:
        out.dump([known])
    else:
        _tell(known, bool(args.diff))
    order = ("ship", "review", "stop")
    return codes.NOT_SO if args.fail_on and order.index(known.risk) >= order.index(args.fail_on) else codes.OK


def _classified(args: argparse.Namespace) -> "Classified":
    from andon import classifying
    from andon_config.compare import comparing

    top = gitlook.top_level(Path(args.repo or ".").expanduser())
    policy, target = _policy(top)
    compare = comparing(reach.place().person_settings)
    if args.diff:
        owned = next(
            (
                text
                for path in (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
                if (text := gitlook.git(top, "show", f"refs/heads/{target}:{path}")) is not None
            ),
            "",
        )
        return classifying.of_diff(_diff(args.diff), policy, compare, owned)
    common = Path(gitlook.git(top, "rev-parse", "--path-format=absolute", "--git-common-dir") or top / ".git")
    if args.what:
        return classifying.of_range(common, args.what, target, policy, compare)
    return classifying.of_worktree(top, common, policy, compare)


def _diff(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise Mistake(
            f"{name} cannot be read: {error.strerror}", where="--diff", mend="name a file with a diff, or - for standard input"
        ) from None


def _policy(top: Path) -> "tuple[Policy, str]":
    """The policy of the target's commit, as the daemon would take it: never that of the change."""
    from andon_config.load import load_repository

    own = reach.place().person_settings
    person = own if own.exists() else None
    first = load_repository(
        work=None, base=gitlook.git(top, "show", "HEAD:andon.toml"), base_where="HEAD:andon.toml", person=person
    )
    target = first.settings.target
    base = gitlook.committed(top, target)
    loaded = load_repository(work=None, base=base, base_where=f"{target}:andon.toml", person=person)
    return loaded.settings.policy, target


def _tell(known: "Classified", alone: bool) -> None:
    print(f"{out.paint(known.risk, 'bold')}: {out.clean(known.because)}")
    rows = [
        (
            one.risk,
            one.rule,
            f"{one.path}:{one.line}" if one.line else one.path,
            one.because.removeprefix(f"{one.path}:{one.line}: " if one.line else f"{one.path}: "),
        )
        for one in known.findings
    ]
    out.table(rows, ("CLASS", "RULE", "WHERE", "WHY"))
    if known.reviewers:
        print(f"owners to look at it: {out.clean(', '.join(known.reviewers))}")
    if alone:
        out.say("note: of a diff alone less is known than of its commits; what whole files would tell is taken as not known")
