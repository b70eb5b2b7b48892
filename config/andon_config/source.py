"""One layer of settings as text, tree and lines. Knows TOML and files, not what any key means."""

import re
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from andon.schema.errors import Mistake
from andon_config import positions

OriginName = Literal["default", "person", "repository", "command line"]
SIZE_LIMIT = 256 * 1024
"""Bytes of one settings file."""
PLACE = re.compile(r"\s*\((?:at )?(?:line (\d+), column (\d+)|end of document)\)\s*$")
"""How tomllib says where it stopped."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed layer. `tree` is what tomllib made of it."""

    origin: OriginName
    name: str
    """What a person calls it: a path."""
    tree: dict[str, Any]
    lines: dict[positions.Path, int]
    committed: bool = False
    """It is the text in the target commit: mending it takes a commit."""

    def where(self, path: positions.Path) -> str:
        """File and line of a path, or of the nearest table above it."""
        if self.origin == "command line":
            return f"{self.name}: {dotted(path)}"
        for size in range(len(path), 0, -1):
            if path[:size] in self.lines:
                return f"{self.name}:{self.lines[path[:size]]}"
        return self.name

    def mistake(self, path: positions.Path, what: str, mend: str) -> Mistake:
        """What is wrong at this path."""
        return Mistake(what, where=self.where(path), mend=mend + (", and commit it" if self.committed else ""))


def dotted(path: positions.Path) -> str:
    """A path as people write it: `stations.build.kind`, `lines.build.stations[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else toml(part)
            text += f".{word}" if text else word
    return text


def toml(value: object) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        inside = ", ".join(f"{dotted((key,))} = {toml(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(each) for each in value)}]"
    if isinstance(value, int) and value.bit_length() > 256:
        return hex(value)  # Python refuses to write long numbers in decimal
    return str(value)


def read_text(text: str, *, origin: OriginName, name: str, committed: bool = False) -> Source:
    """Parse one layer. Raises Mistake with line and column when it is not TOML."""
    text = text.removeprefix("\ufeff")
    if len(text) > SIZE_LIMIT:
        raise _too_large(name)
    try:
        tokens = positions.tokens(text)
        tree = tomllib.loads(text)
        lines = positions.positions(tokens)
    except RecursionError:
        raise Mistake(f"{name} is nested too deeply", where=name, mend="write it flat: tables with plain values") from None
    except ValueError as error:
        raise _not_toml(str(error), name, text, committed=committed) from None
    return Source(origin=origin, name=name, tree=tree, lines=lines, committed=committed)


def _too_large(name: str) -> Mistake:
    return Mistake(f"{Path(name).name} is larger than {SIZE_LIMIT // 1024} KB", where=name, mend="keep only settings in it")


def _not_toml(message: str, name: str, text: str, *, committed: bool) -> Mistake:
    found = PLACE.search(message)
    reason = message[: found.start()] if found else message
    where, place = name, "it"
    if found and found[1]:
        where, place = f"{name}:{found[1]}:{found[2]}", f"line {found[1]}, column {found[2]}"
    elif found:
        where, place = f"{name}:{text.count(chr(10)) + (not text.endswith(chr(10)))}", "the end of the file"
    mend = f"correct {place}" + (" and commit it" if committed else "")
    return Mistake(f"{Path(name).name} is not TOML: {reason[:1].lower()}{reason[1:]}", where=where, mend=mend)


def read_file(path: Path | None, *, origin: OriginName) -> Source | None:
    """Parse a settings file; None when there is none. Raises Mistake when it cannot be read."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Mistake(
            f"cannot read {path.name}: {error.strerror or error}", where=str(path), mend="make it a file that you may read",
        ) from None
    if len(data) > SIZE_LIMIT:
        raise _too_large(str(path))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Mistake(f"{path.name} is not UTF-8", where=f"{path}:{line}", mend=f"save it as UTF-8: look at line {line}") from None
    return read_text(text, origin=origin, name=str(path))


@cache
def defaults() -> Source:
    """The settings that Andon ships with."""
    text = resources.files("andon_config").joinpath("defaults.toml").read_text(encoding="utf-8")
    return read_text(text, origin="default", name="defaults.toml")
