"""The names of the tests that a runner would run, as facts; it runs none of them."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from andon.proofs import running
from andon.proofs.fact import Fact, Unevaluated

HELP = "names of the tests that a runner collects"
EXAMPLES = """\
examples:
  andon prove tests                                     python3 -m pytest --collect-only -q
  andon prove tests -- cargo test -- --list
  andon prove tests --pattern "^(Test\\w+)$" -- go test -list . ./...
"""
PYTEST = ("python3", "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "--color=no")
PATTERN = r"^(\S.*::\S.*?)(?:: test)?$"
"""A line that names a test: pytest's, cargo's."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How names are told apart from other lines."""
    parser.add_argument("--pattern", default=PATTERN,
                        help="a regular expression; its first group is the name (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long collecting may take")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each name. A collection that fails says nothing about any."""
    try:
        pattern = re.compile(args.pattern)
    except re.error as error:
        raise Unevaluated(f"`{args.pattern}` is no regular expression: {error}") from None
    argv = args.command or list(PYTEST)
    ran = running.run(argv, cwd=root, seconds=args.seconds)
    if ran.code != 0:
        raise Unevaluated(f"tests could not be collected (exit code {ran.code})\n{ran.told[-3000:]}")
    for line in ran.out.splitlines():
        if match := pattern.match(line.rstrip()):
            yield Fact(group="tests", name=match[1] if match.re.groups else match[0])
