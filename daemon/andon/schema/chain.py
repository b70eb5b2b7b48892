"""The ledger's hash chain: how one row is bound to the row before it. Knows no file and no database."""

import hashlib
from typing import NamedTuple

GENESIS = "0" * 64
"""What the first row has for `prev`."""
FORMAT = 1
"""Format of the ledger file, kept in its `user_version`. A file with a higher one belongs to a newer release."""


class Row(NamedTuple):
    """One row of the table `event`, as it is stored. `subject` is an index for readers and outside the hash; the rest is bound."""

    seq: int
    at: int
    kind: str
    version: int
    subject: str
    data: str
    prev: str
    hash: str


def link(prev: str, seq: int, at: int, kind: str, version: int, data: str) -> str:
    """The hash of a row: sha256 hex over the row before and everything that this one says."""
    return hashlib.sha256(f"{prev}\n{seq}\n{at}\n{kind}\n{version}\n{data}".encode("utf-8", "surrogatepass")).hexdigest()


def chain(seq: int, prev: str, at: int, kind: str, version: int, subject: str, data: str) -> Row:
    """The row with this place in the chain."""
    return Row(seq, at, kind, version, subject, data, prev, link(prev, seq, at, kind, version, data))


def flaw(row: Row, seq: int, prev: str) -> str:
    """Why `row` cannot be the one after event `seq` whose hash is `prev`; empty when it is."""
    if row.seq != seq + 1:
        return f"event {seq + 1} is missing"
    if link(row.prev, row.seq, row.at, row.kind, row.version, row.data) != row.hash:
        return f"event {row.seq} was changed after it was written"
    if row.prev != prev:
        return f"event {row.seq} does not follow event {seq}: one of the two was replaced"
    return ""
