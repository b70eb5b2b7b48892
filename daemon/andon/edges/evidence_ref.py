"""The tree under `refs/andon/evidence`: reads a file of it and adds some, all at once; must never know what they say.

Theory of operation. Writers of one machine take turns by a lock of their own. Its holder reads the ref, and what it imports has
that commit for its parent: `git fast-import` moves the ref at its very end and only forward, so whoever moved it meanwhile without
the lock (a fetch, another machine on a shared disk) makes the import come to nothing, and it is made again on what is there then.
"""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from andon.edges.git import EMAIL, NAME, GitFailed, clear_stale_lock, git, held, look, need_place, read_ref
from andon.schema.evidence import EVIDENCE_REF
from andon.schema.faults import point
from andon.schema.ids import Oid

WRITES = 8
"""How often a write is tried when others write too."""
PACKED = (("fastimport.unpackLimit", "1"),)
"""What is imported stays a pack, which git keeps from its garbage collection until the ref is set. Loose objects it would let go:
whoever collects garbage in that moment would leave a ref to what is gone."""
KEPT = b"fast-import"
"""What git's import writes into its own keep files."""
_ABSENT = (b"missing", b"ambiguous")


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are to be there, and why."""

    message: str
    files: Mapping[str, bytes]
    holds: tuple[str, ...] = ()
    """Commits that are to come along with the evidence: further parents of its commit."""


class Evidence:
    """The evidence of one repository as it was when this was made; writes are for the holder of the lock (`writing`)."""

    def __init__(self, git_dir: Path, tip: Oid | None, hold: int | None = None) -> None:
        self._git_dir, self.tip, self._hold = git_dir, tip, hold

    async def read(self, path: str) -> bytes | None:
        """A file; None when there is none."""
        return (await self.read_all([path]))[path]

    async def read_all(self, paths: list[str]) -> dict[str, bytes | None]:
        """Several files, in one process."""
        if self.tip is None:
            return dict.fromkeys(paths)
        asked = "".join(f"{self.tip}:{path}\n" for path in paths).encode()
        out = (await look(self._git_dir, "cat-file", "--batch", stdin=asked)).out
        found: dict[str, bytes | None] = {}
        at = 0
        for path in paths:
            end = out.index(b"\n", at)
            words = out[at:end].split(b" ")
            if words[-1] in _ABSENT:
                found[path], at = None, end + 1
                continue
            size = int(words[-1])
            found[path] = out[end + 1 : end + 1 + size] if words[-2] == b"blob" else None
            at = end + 2 + size
        return found

    async def write(self, what: Import) -> bool:
        """Add these files in one commit; whether it went in. Durable on return.

        False: the ref was moved meanwhile, or a garbage collection took what was half written.
        """
        clear_stale_lock(self._git_dir / f"{EVIDENCE_REF}.lock")
        point("evidence.import")
        done = await git(
            "fast-import", "--quiet", "--done", "--date-format=raw", git_dir=self._git_dir, hold=self._hold, check=False,
            config=PACKED, finish=True, stdin=_stream(self.tip, what))
        point("evidence.imported")
        if done.code == 0:
            return True
        self._clear_keeps()
        collected = "/objects/" in done.err and "No such file" in done.err  # somebody's gc cleared what was half written
        if collected or "Not updating" in done.err or "cannot lock ref" in done.err:
            return False
        raise GitFailed(("fast-import",), done, str(self._git_dir))

    def _clear_keeps(self) -> None:
        """Take away what an import that failed left: a word to keep a pack that is not there."""
        for keep in (self._git_dir / "objects" / "pack").glob("pack-*.keep"):
            with contextlib.suppress(OSError):
                if keep.read_bytes() == KEPT and not keep.with_suffix(".idx").exists():
                    keep.unlink()


async def reading(git_dir: Path | str) -> Evidence:
    """The evidence as it is now."""
    common = Path(git_dir)
    need_place(common)
    return Evidence(common, await read_ref(common, EVIDENCE_REF))


@contextlib.asynccontextmanager
async def writing(git_dir: Path | str) -> AsyncIterator[Evidence]:
    """The same for one writer at a time: of all tasks and processes of this machine, one is in here."""
    common = Path(git_dir)
    need_place(common)
    async with held(common / "andon" / "evidence") as hold:
        yield Evidence(common, await read_ref(common, EVIDENCE_REF), hold)


def _stream(tip: Oid | None, what: Import) -> bytes:
    # What is tried again is another commit, so another pack: the name of one that came to nothing may be taken still.
    message = f"{what.message}\n\nImport: {secrets.token_hex(8)}\n".encode("utf-8", "replace")
    parts = [
        b"feature done\ncommit %s\ncommitter %s <%s> %d +0000\ndata %d\n%s\n"
        % (EVIDENCE_REF.encode(), NAME.encode(), EMAIL.encode(), int(time.time()), len(message), message),
        b"from %s\n" % tip.encode() if tip else b"",
        *(b"merge %s\n" % oid.encode() for oid in what.holds),
    ]
    parts += [b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data) for path, data in what.files.items()]
    return b"".join((*parts, b"\ndone\n"))
