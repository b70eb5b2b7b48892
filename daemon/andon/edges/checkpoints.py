"""Says how long the ledger is and what its tree's root is, at any moment; must never write, and never know what an event means.

Theory of operation. The leaves are the rows' chain hashes, each as its 32 bytes. Of the tree only its peaks are kept: the first
question reads the column of hashes once, in a thread, on a read-only connection of its own; each later one reads the rows that
came since. What was read is bound by the chain already, so a row that changes behind our back shows in `andon log --verify`.
"""

import asyncio
import base64
import hashlib
import sqlite3
from contextlib import closing

from andon.edges import keys, merkle
from andon.ledger_reader import connect
from andon.schema.errors import Mistake
from andon.schema.evidence import Checkpoint
from andon.schema.layout import Layout

SLICE = 20_000
"""Rows that are read at once."""
_HASHES = "SELECT seq, hash FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
NOTE_KIND = b"\x01"
"""C2SP's number for ed25519 in a key's hash."""


class Checkpoints:
    """The ledger's tree in this process. One in the factory; safe to ask from several tasks at once."""

    def __init__(self, layout: Layout, origin: str) -> None:
        self._layout, self.origin = layout, origin
        self._tree = merkle.Growing()
        self._turn = asyncio.Lock()

    async def at(self) -> Checkpoint:
        """The ledger as it is durable now. Raises Mistake when it cannot be read or rows are missing in it."""
        async with self._turn:
            return await asyncio.to_thread(self._grow)

    async def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The proof that row `seq` (from 1) is among the first `size`. Reads the whole column: for whoever audits."""
        leaves = await asyncio.to_thread(self._leaves, size)
        return await asyncio.to_thread(merkle.inclusion, leaves, seq - 1)

    async def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """The proof that the ledger of `old` rows is the beginning of the one of `size`."""
        return await asyncio.to_thread(merkle.consistency, await asyncio.to_thread(self._leaves, size), old)

    def _grow(self) -> Checkpoint:
        self._read(self._tree, None)
        return Checkpoint(origin=self.origin, size=self._tree.size, root=self._tree.root())

    def _leaves(self, size: int) -> list[bytes]:
        found = _Listed()
        self._read(found, size)
        if found.size < size:
            raise Mistake(f"The ledger has {found.size} events and not {size}.", where=str(self._layout.ledger))
        return found.leaves

    def _read(self, into: "merkle.Growing | _Listed", most: int | None) -> None:
        """Add the rows that are not in it yet."""
        try:
            with closing(connect(self._layout.ledger)) as db:
                while most is None or into.size < most:
                    count = SLICE if most is None else min(SLICE, most - into.size)
                    rows = db.execute(_HASHES, (into.size, count)).fetchall()
                    for seq, chained in rows:
                        if seq != into.size + 1:
                            raise Mistake(f"Event {into.size + 1} is missing in the ledger.", where=str(self._layout.ledger),
                                          mend="See `andon log --verify`.")
                        into.add(bytes.fromhex(chained))
                    if len(rows) < count:
                        return
        except (sqlite3.Error, ValueError) as error:
            raise Mistake(f"The ledger's hashes cannot be read: {error}.", where=str(self._layout.ledger),
                          mend="See `andon log --verify`.") from error


class _Listed:
    """Leaves, as they are."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []

    @property
    def size(self) -> int:
        return len(self.leaves)

    def add(self, data: bytes) -> None:
        self.leaves.append(data)


def signed_note(checkpoint: Checkpoint, signer: "keys.Signer") -> str:
    """The checkpoint as C2SP's tlog-checkpoint, signed: what a public log or a witness takes."""
    body = f"{checkpoint.origin}\n{checkpoint.size}\n{checkpoint.root64}\n"
    signature = note_hash(checkpoint.origin, signer.public) + signer.sign_bytes(body.encode())
    return f"{body}\n\u2014 {checkpoint.origin} {base64.b64encode(signature).decode()}\n"


def note_hash(name: str, public: bytes) -> bytes:
    """The four bytes by which a signed note names a key."""
    return hashlib.sha256(name.encode() + b"\n" + NOTE_KIND + public).digest()[:4]
