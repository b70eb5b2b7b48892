"""Files that are to stay as they are, as facts with their digests; it reads bytes and no format."""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from andon.proofs.fact import Fact
from andon.schema.errors import Mistake

HELP = "files that stay as they are, by their digests"
FILES = 10_000
"""Files that one pattern may name."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which files."""
    parser.add_argument("files", nargs="+", metavar="GLOB", help="a file, or a pattern such as \"fixtures/**/*.golden\"")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each file's name, and one for its content."""
    for path, pattern in named(args.files, root):
        if path is None:
            yield Fact(group="golden", name=pattern, state="fails", told="no file is named by this")
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(root).as_posix()
        yield Fact(group="golden", name=name)
        yield Fact(group="golden", name=f"{name} is sha256:{digest[:32]}")


def named(patterns: Sequence[str], root: Path) -> list[tuple[Path | None, str]]:
    """Plain files below the root that these patterns name, each once, with the pattern; None for a pattern that names no file.
    Raises Mistake for one that leads out."""
    found: dict[Path, str] = {}
    without: list[tuple[Path | None, str]] = []
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise Mistake(f"`{pattern}` leads out of the checkout", where="the command line", mend="name files from its root")
        hits = [path for path, _ in zip(sorted(root.glob(pattern)), range(FILES), strict=False)]
        plain = [path for path in hits if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(root).parts]
        found |= {path: pattern for path in plain if path not in found}
        if not plain:
            without.append((None, pattern))
    return [*without, *sorted(found.items())]
