"""The kinds of proofs by name, ours and those that others bring; loads only the one that is asked for."""

import argparse
import importlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from andon.schema.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from andon.proofs.fact import Fact

GROUP = "andon.proofs"
"""The entry-point group in which others' kinds are found. The entry is a module or an object with this protocol."""
OURS = {
    "api": ("andon.proofs.api", "public names of Python packages and what a caller may give them"),
    "cli": ("andon.proofs.commandline", "options and subcommands, as `--help` tells them"),
    "schema": ("andon.proofs.schemas", "fields, columns and routes of JSON Schema, OpenAPI, SQL and protobuf files"),
    "tests": ("andon.proofs.collected", "names of the tests that a runner collects"),
    "golden": ("andon.proofs.golden", "files that stay as they are, by their digests"),
    "matrix": ("andon.proofs.matrix", "requirements, each with tests that show it and tests that show its limits"),
    "build": ("andon.proofs.package", "a clean build, and the program installed from what was built"),
    "journey": ("andon.proofs.journey", "the real application, started and driven"),
    "format": ("andon.proofs.formats", "documents of evidence against the schemas that the repository keeps"),
}
"""Module and help of each of ours: a table, because within a job's walls the metadata of packages may not exist."""


class Kind(Protocol):
    """How one kind of fact is found."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Its own words on the command line. What follows `--` there is `args.command`."""
        ...

    def facts(self, args: argparse.Namespace, root: Path) -> "Iterable[Fact]":
        """What is so in this checkout. Raises Unevaluated when that cannot be told, Mistake for what a person can mend."""
        ...


def load(name: str) -> Kind:
    """The kind of this name. Raises Mistake."""
    if name in OURS:
        return cast("Kind", importlib.import_module(OURS[name][0]))
    for entry in others():
        if entry.name == name:
            try:
                return cast("Kind", entry.load())
            except (ImportError, AttributeError) as error:
                mend = "install that package again, or remove it"
                raise Mistake(f"the proof `{name}` cannot be loaded: {error}", where=entry.value, mend=mend) from error
    import difflib

    names = [*OURS, *(entry.name for entry in others())]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    mend = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(names)}"
    raise Mistake(f"there is no kind of proof `{name}`", mend=mend)


def others() -> list[EntryPoint]:
    """Kinds that installed packages bring; ours keep their names."""
    return [entry for entry in entry_points(group=GROUP) if entry.name not in OURS]
