"""The command `andon`: finds the verb, loads only its module, prints mistakes. Must never know what a verb does."""

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

from andon.cli import codes
from andon.cli.verbs import GROUPS, VERBS, Verb

if TYPE_CHECKING:
    from andon.schema.errors import Mistake

HEAD = """\
usage: andon [VERB …]          andon alone opens the screen

Runs a fleet of coding agents on your repositories, proves what they did, and lands what is proven.
"""
FOOT = """\
Each verb explains itself: andon VERB --help      Exit codes: andon help exit-codes
First steps: andon init, then andon add "what you want", then andon
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code. Never raises for what a person can mend."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except SystemExit as left:
        if left.code is not None and not isinstance(left.code, int):
            print(left.code, file=sys.stderr)
            return codes.NOT_SO
        return left.code or codes.OK
    except KeyboardInterrupt:
        return codes.INTERRUPTED
    except BrokenPipeError:
        # The reader is gone: point stdout elsewhere, or Python complains once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.BROKEN_PIPE


def _run(words: list[str]) -> int:
    if not words:
        words = ["status"] if not (sys.stdout.isatty() and sys.stdin.isatty()) else ["screen"]
    name, *rest = words
    if name in ("-h", "--help") or (name == "help" and not rest):
        print(overview())
        return codes.OK
    if name == "help":
        if rest == ["exit-codes"]:
            print(codes.TEXT, end="")
            return codes.OK
        name, rest = rest[0], ["--help"]
    if name in ("-V", "--version"):
        name = "version"
    return _guarded(name, rest)


def _guarded(name: str, words: list[str]) -> int:
    """Run a verb; a mistake is printed."""
    from andon.schema.errors import Mistake

    try:
        verb = VERBS.get(name)
        if verb is None:
            raise _unknown(name)
        return run_verb(verb, words)
    except Mistake as mistake:
        return _explain(mistake)


def run_verb(verb: Verb, words: list[str]) -> int:
    """Load the verb's module, parse its words, run it."""
    module = importlib.import_module(verb.module)
    parser = argparse.ArgumentParser(
        prog=f"andon {verb.name}", description=f"{verb.help[0].upper()}{verb.help[1:]}.", allow_abbrev=False,
        epilog=getattr(module, "EXAMPLES", ""), formatter_class=argparse.RawDescriptionHelpFormatter)
    module.arguments(parser)
    code: int = module.run(parser.parse_args(getattr(module, "completed", list)(words)))
    return code


def overview() -> str:
    """All verbs by group."""
    lines = [HEAD]
    for group in GROUPS:
        lines.append(group)
        lines += [f"  {verb.name:<9} {verb.help}" for verb in VERBS.values() if verb.group == group]
        lines.append("")
    return "\n".join([*lines, FOOT.rstrip()])


def _unknown(name: str) -> "Mistake":
    import difflib

    from andon.schema.errors import Mistake

    near = difflib.get_close_matches(name, [verb.name for verb in VERBS.values() if verb.group], n=1, cutoff=0.5)
    mend = f"did you mean `andon {near[0]}`?" if near else "`andon --help` lists all verbs"
    return Mistake(f"there is no verb `{name}`", mend=mend)


def _explain(mistake: "Mistake") -> int:
    """Print a mistake and name its exit code."""
    from andon.cli.out import clean_lines
    from andon.client import DaemonDown, Declined

    sys.stdout.flush()
    print(f"andon: {clean_lines(str(mistake.problem))}", file=sys.stderr)
    if isinstance(mistake, DaemonDown):
        return codes.NO_DAEMON
    return codes.DECLINED if isinstance(mistake, Declined) else codes.MISTAKE


if __name__ == "__main__":
    sys.exit(main())
