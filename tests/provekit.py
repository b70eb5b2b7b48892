"""Runs proofs in this process, and makes the small projects that they look at."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from andon.proofs import kinds
from andon.proofs.fact import Fact, distinct


def facts(kind: str, root: Path, *words: str, command: tuple[str, ...] = ()) -> list[Fact]:
    """What a kind of proof finds."""
    found = kinds.load(kind)
    parser = argparse.ArgumentParser()
    found.arguments(parser)
    given = parser.parse_args(list(words))
    given.command = list(command)
    return distinct(found.facts(given, root))


def names(found: list[Fact], state: str = "holds") -> set[str]:
    """The names in this state, with their groups."""
    return {f"{fact.group}: {fact.name}" for fact in found if fact.state == state}


def lay(root: Path, files: Mapping[str, str]) -> Path:
    """These files below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return root
