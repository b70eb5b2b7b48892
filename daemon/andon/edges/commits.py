"""Commits as bytes: makes, names and reads them; must never know what they are for.

A commit's name follows from its bytes, so a commit can be named, and compared with one that exists, without being written.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.edges.git import EMAIL, NAME, look
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

COMMIT_BYTES = 2**20
"""Of a commit that is read without git; a longer one is left to it."""
_TRAILER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*: ?\S|\(cherry picked from commit |[ \t]+\S")
_OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")
"""Control characters but line ends and tabs, lines that only some see, and what turns the direction of reading."""


class Missing(Mistake):
    """An object is not there."""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that was read."""

    oid: Oid
    tree: Oid
    parents: tuple[Oid, ...]
    author: str
    """Name, address and date as git writes them."""
    encoding: str = ""
    message: str


def person(at: int, name: str = NAME, email: str = EMAIL) -> str:
    """The line of an author or committer; `at` in unix milliseconds."""
    return f"{name} <{email}> {at // 1000} +0000"


def commit_bytes(tree: str, parents: Sequence[str], message: str, *, author: str, committer: str = "", encoding: str = "") -> bytes:
    """The bytes of a commit; the message ends in one newline."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {author}", f"committer {committer or author}"]
    if encoding:
        lines.append(f"encoding {encoding}")
    return ("\n".join(lines) + "\n\n" + message.rstrip("\n") + "\n").encode(errors="surrogateescape")


def name_of(data: bytes) -> Oid:
    """The name of a commit of these bytes; the name of its tree tells by which digest objects are named here."""
    kind = hashlib.sha256 if data.index(b"\n") == len(b"tree ") + 64 else hashlib.sha1
    return Oid(kind(b"commit %d\0" % len(data) + data, usedforsecurity=False).hexdigest())


async def write_commit(git_dir: Path | str, data: bytes) -> Oid:
    """Write a commit as a loose object; its name. Equal bytes have equal names, and are written once."""
    return await asyncio.to_thread(_write, Path(git_dir) / "objects", data)


def _write(objects: Path, data: bytes) -> Oid:
    """What `git hash-object -w` does, without a process: a queue of many changes writes many commits."""
    oid = name_of(data)
    folder = objects / oid[:2]
    place = folder / oid[2:]
    if not place.exists():
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(objects.stat().st_mode & 0o7777)
        handle, aside = tempfile.mkstemp(prefix="tmp_obj_", dir=folder)  # as git names them: its housekeeping clears leftovers
        with os.fdopen(handle, "wb") as file:
            file.write(zlib.compress(b"commit %d\0" % len(data) + data))
            file.flush()
            os.fchmod(handle, objects.stat().st_mode & 0o444)
            os.fsync(handle)
        Path(aside).rename(place)
    return oid


async def resolve(git_dir: Path | str, names: Sequence[str]) -> list[Oid]:
    """What these names are (`<commit>^{tree}` and the like), in this order, in one process; a Mistake when one is nothing."""
    if not names:
        return []
    said = await look(git_dir, "cat-file", "--batch-check=%(objectname)", stdin="".join(f"{name}\n" for name in names).encode())
    found = said.text.splitlines()
    for name, line in zip(names, found, strict=True):
        if " " in line:
            raise Missing(f"There is no {name[:12]} in this repository.", where=str(git_dir), mend="See git fsck.")
    return [Oid(line) for line in found]


async def read_commits(git_dir: Path | str, oids: Sequence[str]) -> list[Commit]:
    """Read commits, in this order, in one process at most; a Mistake when one is not there."""
    plain = await asyncio.to_thread(plain_commits, git_dir, oids)
    if plain is not None:
        return plain
    out = (await look(git_dir, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode())).out
    found, at = [], 0
    for oid in oids:
        end = out.index(b"\n", at)
        words = out[at:end].split()
        if len(words) != 3 or words[1] != b"commit":
            raise Mistake(f"{oid[:12]} is no commit of this repository.", where=str(git_dir), mend="See git fsck.")
        size = int(words[2])
        found.append(_parsed(Oid(words[0].decode()), out[end + 1:end + 1 + size]))
        at = end + 2 + size
    return found


def plain_commits(git_dir: Path | str, oids: Sequence[str]) -> list[Commit] | None:
    """These commits, when each is a file of its own whose bytes have its name, as new ones are; None: git must be asked."""
    found = []
    for oid in oids:
        data = _plain(Path(git_dir) / "objects" / oid[:2] / oid[2:])
        if data is None or name_of(data) != oid:
            return None
        found.append(_parsed(Oid(oid), data))
    return found


def _plain(place: Path) -> bytes | None:
    """The bytes of a commit that git keeps as a file of its own; None when there is none, or it is something else."""
    try:
        unpacker = zlib.decompressobj()
        whole = unpacker.decompress(place.read_bytes(), COMMIT_BYTES)
    except (OSError, zlib.error):
        return None
    head, _, data = whole.partition(b"\0")
    told = unpacker.eof and data.startswith(b"tree ")
    return data if told and head == b"commit %d" % len(data) else None


def _parsed(oid: Oid, data: bytes) -> Commit:
    head, _, message = data.decode(errors="surrogateescape").partition("\n\n")
    lines = [line.partition(" ") for line in head.split("\n")]
    values = {key: value for key, _, value in reversed(lines) if key}
    if "tree" not in values or "author" not in values:
        raise Mistake(f"{oid[:12]} is no whole commit.", where=oid, mend="See git fsck.")
    parents = tuple(Oid(value) for key, _, value in lines if key == "parent")
    return Commit(oid=oid, tree=Oid(values["tree"]), parents=parents, author=values["author"],
                  encoding=values.get("encoding", ""), message=message)


def harmless(message: str) -> str:
    """A message that we write anew, without what a terminal would obey when somebody reads the log."""
    return _OBEYED.sub("", message)


def with_trailers(message: str, trailers: Sequence[str]) -> str:
    """A message with these lines at its end, in the block of trailers that it has or in one of their own."""
    text = message.rstrip()
    blocks = re.split(r"\n[ \t]*\n", text)
    block = blocks[-1].splitlines() if len(blocks) > 1 else []
    new = [line for line in trailers if line not in block]
    if not new:
        return text + "\n"
    joined = bool(block) and all(_TRAILER.match(line) for line in block)
    return text + ("\n" if joined else "\n\n") + "\n".join(new) + "\n"
