"""Compares signed checkpoints with the ledger that is here: it must begin with what was signed. Reads only."""

import base64
import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from andon.ledger_reader import Broken, chained, connect
from andon.schema.chain import GENESIS
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.thirdparty.landing import HOLDS, REFUSED, UNEVALUATED, Point

NAME = "this ledger"


class Growing:
    """The tree of RFC 6962 over rows as they come."""

    def __init__(self) -> None:
        self.size, self._peaks = 0, list[bytes]()

    def add(self, leaf: bytes) -> None:
        """One more leaf."""
        found, size = hashlib.sha256(b"\0" + leaf).digest(), self.size
        while size & 1:
            found, size = hashlib.sha256(b"\1" + self._peaks.pop() + found).digest(), size >> 1
        self._peaks.append(found)
        self.size += 1

    def root(self) -> str:
        """In base64."""
        found = self._peaks[-1] if self._peaks else hashlib.sha256(b"").digest()
        for peak in reversed(self._peaks[:-1]):
            found = hashlib.sha256(b"\1" + peak + found).digest()
        return base64.b64encode(found).decode()


def against(ledger: Path, roots: Mapping[int, str]) -> Point:
    """Whether each checkpoint (root by size) is one of this ledger's own beginnings."""
    if not roots:
        return Point(NAME, UNEVALUATED, "no signed checkpoint was seen to compare it with")
    tree = Growing()
    try:
        with closing(connect(ledger)) as db:
            for row in chained(db, ledger, 0, GENESIS):
                tree.add(bytes.fromhex(row.hash))
                if tree.size in roots and roots[tree.size] != tree.root():
                    return Point(NAME, REFUSED, f"one of its first {tree.size} events was rewritten: it was signed otherwise")
    except Broken as error:
        return Point(NAME, REFUSED, f"{error.problem.what} ({error.problem.where})")
    except (Mistake, sqlite3.Error) as error:
        return Point(NAME, UNEVALUATED, f"it cannot be read: {error}")
    most = max(roots)
    if tree.size < most:
        return Point(NAME, REFUSED, f"its end was cut off: {plural(tree.size, 'event')}, and a signed checkpoint counts {most}")
    return Point(NAME, HOLDS, f"{plural(len(roots), 'signed checkpoint')}, the largest of {most} of the {tree.size} events here")
