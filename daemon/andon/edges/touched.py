"""Reads from git what a tree holds and which lines a change touched; must never ask the code under test."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from andon.edges.git import Output, look
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

TEXT_BYTES = 48 * 2**20
"""Bytes of files that are read for one report; files past it are not."""
DIFF_BYTES = 60 * 2**20
_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--text", "-M", "-U0",
         "--inter-hunk-context=0", "--submodule=short")
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}

Added = dict[str, dict[int, bytes]]
"""The lines that a change added or altered, by path and number."""


async def files_of(git_dir: Path | str, tree: Oid) -> dict[str, str]:
    """Every file of a tree with the name of its blob; submodules are left out."""
    listed = await look(git_dir, "ls-tree", "-r", "-z", "--full-tree", tree)
    return await asyncio.to_thread(_listed, listed)


def _listed(listed: Output) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in listed.items:
        facts, _, path = item.partition("\t")
        _, kind, name = facts.split(" ")
        if kind == "blob":
            found[path] = name
    return found


async def texts_of(git_dir: Path | str, files: Mapping[str, str], wanted: Iterable[str]) -> dict[str, bytes]:
    """The content of these files, as far as they exist and fit."""
    named = [path for path in sorted(set(wanted)) if path in files]
    sizes = await look(git_dir, "cat-file", "--batch-check=%(objectsize)", stdin=_asked(files, named))
    left, taken = TEXT_BYTES, []
    for path, size in zip(named, sizes.text.split("\n") if named else (), strict=True):
        if size.isdigit() and int(size) <= left:
            left -= int(size)
            taken.append(path)
    told = (await look(git_dir, "cat-file", "--batch", stdin=_asked(files, taken))).out
    found: dict[str, bytes] = {}
    at = 0
    for path in taken:
        end = told.index(b"\n", at)
        size_ = int(told[at:end].rsplit(b" ", 1)[1])
        found[path] = told[end + 1 : end + 1 + size_]
        at = end + 2 + size_
    return found


def _asked(files: Mapping[str, str], paths: Iterable[str]) -> bytes:
    return "".join(f"{files[path]}\n" for path in paths).encode()


def lines_of(data: bytes) -> tuple[str, ...]:
    """The lines of a file, as tools number them."""
    lines = data.decode(errors="surrogateescape").split("\n")
    return tuple(line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines))


async def moved_between(git_dir: Path | str, base: Oid, tree: Oid) -> dict[str, str]:
    """The new path of each file that has another one."""
    told = await look(git_dir, "diff-tree", "-r", "-M", "--diff-filter=R", "--name-status", "-z", base, tree)
    items = told.items
    return {old: new for _, old, new in zip(items[0::3], items[1::3], items[2::3], strict=True)}


async def added_between(git_dir: Path | str, base: Oid, tree: Oid) -> Added:
    """The lines of `tree` that `base` does not have, of every changed file that is still there. A Mistake when they are many."""
    told = await look(git_dir, *_DIFF, base, tree, "--", limit=DIFF_BYTES)
    if told.truncated:
        raise Mistake(f"The change is larger than the {DIFF_BYTES >> 20} MiB of a diff that are read.", where=f"{base}..{tree}",
                      mend="Split the change, or keep generated files out of it.")
    return await asyncio.to_thread(added_in, told.out)


def added_in(diff: bytes) -> Added:
    """The same of a diff with no lines around its hunks. Content is counted, so none of it passes for a header."""
    found: Added = {}
    own: dict[int, bytes] = {}
    lines = diff.split(b"\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith(b"+++ "):
            name = _name(line[4:])
            own = found.setdefault(name, {}) if name else {}
        elif hunk := _HUNK.match(line):
            gone, first, new = (int(part) if part is not None else 1 for part in hunk.groups())
            for mark, count in ((b"-", gone), (b"+", new)):
                for number in range(count):
                    if mark == b"+":
                        own[first + number] = lines[at][1:]
                    at += 1
                if lines[at : at + 1] == [b"\\ No newline at end of file"]:
                    at += 1
    return found


def _name(word: bytes) -> str:
    """The path that a header names; empty for a file that is gone."""
    word = word.removesuffix(b"\t")
    if word.startswith(b'"') and word.endswith(b'"'):
        word = _ESCAPED.sub(lambda seen: _plain(seen[1]), word[1:-1])
    return "" if word == b"/dev/null" else word.removeprefix(b"b/").decode(errors="surrogateescape")


def _plain(word: bytes) -> bytes:
    return bytes([int(word, 8)]) if len(word) == 3 else _LETTERS.get(word, word)
