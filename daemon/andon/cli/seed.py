"""Seeds: what a sentence, a markdown file or standard input says a task is. Reads at most one file; knows no daemon."""

import re
import sys
from pathlib import Path

import msgspec

from andon.schema.errors import Mistake

SEED_LIMIT = 1024 * 1024
"""Bytes of a specification."""
TITLE_LIMIT = 120
_KEYS = ("title", "after", "paths", "priority", "line", "agent")


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """What a text asks for. Fields other than title and spec come from its front matter; empty where it says nothing."""

    title: str
    spec: str
    after: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    priority: int | None = None
    line: str = ""
    agent: str = ""


def read_seed(what: str) -> Seed:
    """The seed that a command line names: `-` is standard input, an existing or markdown-like path a file, all else a sentence."""
    if what == "-":
        return parse(_text(sys.stdin.buffer.read(SEED_LIMIT + 1), "standard input"), "standard input")
    path = Path(what).expanduser()
    if _looks_like_a_file(what, path):
        return parse(_text(_read(path), str(path)), str(path))
    return parse(what, "the command line", front=False)


def parse(text: str, where: str, *, front: bool = True) -> Seed:
    """The seed in a text. Title: the front matter's, else the first heading, else the first line. Mistake when there is nothing."""
    told, body = _front_matter(text, where) if front else ({}, text)
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    if not lines:
        raise Mistake("there is nothing to do in this seed: it has no text", where=where,
                      mend='say what you want, for example: andon add "make `--version` print the version"')
    heading = next((line.lstrip("#").strip() for line in lines if re.match(r"#{1,6}\s+\S", line)), "")
    title = " ".join((told.get("title") or heading or lines[0]).split())
    return Seed(title=title if len(title) <= TITLE_LIMIT else title[: TITLE_LIMIT - 1].rstrip() + "…", spec=body.strip() + "\n",
                after=listed(told.get("after", "")), paths=listed(told.get("paths", "")), priority=_priority(told, where),
                line=told.get("line", ""), agent=told.get("agent", ""))


def listed(text: str) -> tuple[str, ...]:
    """`T3, T4` or `[T3, "T4"]` as its words."""
    words = (word.strip().strip("'\"") for word in text.strip().strip("[]").split(","))
    return tuple(word for word in words if word)


def _looks_like_a_file(what: str, path: Path) -> bool:
    try:
        if path.is_file():
            return True
    except (OSError, ValueError):
        return False
    return "\n" not in what and " " not in what.strip() and path.suffix.lower() in (".md", ".markdown", ".txt")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SEED_LIMIT + 1)
    except OSError as error:
        raise Mistake(f"the specification cannot be read: {error.strerror}", where=str(path),
                      mend="name a file that exists, or give the sentence itself in quotes") from error


def _text(data: bytes, where: str) -> str:
    if len(data) > SEED_LIMIT:
        raise Mistake(f"the specification is longer than {SEED_LIMIT} bytes", where=where,
                      mend="commit it to the repository and add a task that names the file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistake("the specification is not UTF-8 text", where=f"{where}, byte {error.start}",
                      mend="save it as UTF-8") from error


def _front_matter(text: str, where: str) -> tuple[dict[str, str], str]:
    """The `key: value` lines between two `---` lines at the top, and the rest. Not YAML: one line a key, the known keys only."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}, text
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    if not end:
        return {}, text
    told: dict[str, str] = {}
    for number, line in enumerate(lines[1:end], 2):
        key, colon, value = line.partition(":")
        name = key.strip().lower()
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not colon or name not in _KEYS or key != key.lstrip():
            raise Mistake(f"this line of the front matter is not understood: {line.strip()[:80]}", where=f"{where}:{number}",
                          mend=f"one line a key, and only: {', '.join(_KEYS)} (or remove the two --- lines)")
        told[name] = value.strip() if name in ("after", "paths") else value.strip().strip("'\"")
    return told, "\n".join(lines[end + 1:])


def _priority(told: dict[str, str], where: str) -> int | None:
    if "priority" not in told:
        return None
    try:
        return int(told["priority"])
    except ValueError:
        raise Mistake(f"the priority is no whole number: {told['priority'][:40]}", where=where,
                      mend="write for example: priority: 5") from None
