"""Requirements of a repository, read from a file of its own; knows TOML and Markdown, and no test."""

import re
import tomllib
from pathlib import Path

import msgspec

from andon.proofs.fact import Unevaluated
from andon.schema.errors import Mistake

LIMIT = 5000


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the software is to do, under a name that stays."""

    id: str
    text: str


def load(path: Path, pattern: str) -> dict[str, Requirement]:
    """Requirements by id, in their order. Raises Mistake for a file that is wrong, Unevaluated for one without any."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Unevaluated(f"there are no requirements: {path} is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"the requirements cannot be read: {error}", where=str(path), mend="name a text file") from None
    found = _toml(path, text) if path.suffix == ".toml" else _markdown(path, text, pattern)
    if not found:
        raise Unevaluated(f"{path.name} names no requirement: an id looks like {pattern}")
    if len(found) > LIMIT:
        raise Unevaluated(f"{path.name} names more than {LIMIT} requirements")
    return found


def _toml(path: Path, text: str) -> dict[str, Requirement]:
    """`[requirements]` with `id = "text"`, or tables with a `text` in them."""
    try:
        tree = tomllib.loads(text).get("requirements", {})
    except ValueError as error:
        raise Mistake(f"the requirements cannot be read: {error}", where=str(path), mend="correct the file") from None
    found = {}
    for name, said in tree.items() if isinstance(tree, dict) else ():
        told = said.get("text") if isinstance(said, dict) else said
        if not isinstance(told, str):
            raise Mistake(f"requirement `{name}` says nothing", where=str(path), mend=f'write `{name} = "what is to be so"`')
        found[name] = Requirement(id=name, text=told)
    return found


def _markdown(path: Path, text: str, pattern: str) -> dict[str, Requirement]:
    """A heading, an entry of a list or a row of a table that begins with an id."""
    try:
        line = re.compile(rf"^\s*(?:#+\s+|[-*+]\s+|\d+\.\s+|\|\s*)(?:\[.\]\s+)?[*_`\[]*({pattern})[*_`\]]*"
                          r"\s*[:.|)\u2013\u2014-]*\s*(.*)$")
    except re.error as error:
        raise Mistake(f"`{pattern}` is no regular expression: {error}", where="--id", mend="correct it") from None
    found: dict[str, Requirement] = {}
    for number, row in enumerate(text.splitlines(), 1):
        match = line.match(row)
        if match is None:
            continue
        if match[1] in found:
            raise Mistake(f"requirement `{match[1]}` is there twice", where=f"{path}:{number}", mend="give each an id of its own")
        found[match[1]] = Requirement(id=match[1], text=match[2].strip(" |*"))
    return found
