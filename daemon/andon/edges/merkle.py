"""The tree of RFC 6962 over a growing list: roots, proofs, and their verification. Pure; must never know what the leaves are.

Theory of operation. A list of n leaves is told by the roots of the perfect subtrees that it falls apart into, one for each bit of
n: so much is kept to grow (`Growing`), and the root comes out of it. Proofs need the leaves again and are worked out when asked.
"""

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").digest()
"""The root over nothing."""


def leaf(data: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Growing:
    """A tree that only grows: O(log n) to keep and for each leaf."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        """Roots of the perfect subtrees, the largest first."""

    def add(self, data: bytes) -> None:
        """One more leaf."""
        found, size = leaf(data), self.size
        while size & 1:
            found, size = node(self._peaks.pop(), found), size >> 1
        self._peaks.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._peaks:
            return EMPTY
        *rest, found = self._peaks
        for peak in reversed(rest):
            found = node(peak, found)
        return found


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over these leaves."""
    tree = Growing()
    for data in leaves:
        tree.add(data)
    return tree.root()


def inclusion(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The proof that leaf `index` (from 0) is among these: the sisters on its way up. Raises ValueError when it is not."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} among {len(leaves)}")
    low, high, path = 0, len(leaves), list[bytes]()
    while high - low > 1:
        split = low + _half(high - low)
        if index < split:
            path.append(root_of(leaves[split:high]))
            high = split
        else:
            path.append(root_of(leaves[low:split]))
            low = split
    return tuple(reversed(path))


def consistency(leaves: Sequence[bytes], old: int) -> tuple[bytes, ...]:
    """The proof that the first `old` of these leaves are the beginning of all. Raises ValueError when there are not so many."""
    if not 0 <= old <= len(leaves):
        raise ValueError(f"there are not {old} leaves among {len(leaves)}")
    if old in (0, len(leaves)):
        return ()
    low, high, path, whole = 0, len(leaves), list[bytes](), True
    while high > old:
        split = low + _half(high - low)
        if old <= split:
            path.append(root_of(leaves[split:high]))
            high = split
        else:
            path.append(root_of(leaves[low:split]))
            low, whole = split, False
    if not whole:
        path.append(root_of(leaves[low:high]))
    return tuple(reversed(path))


def included(data: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that leaf `index` of a tree of `size` leaves with this root is `data`."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf(data)
    for sister in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node(sister, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, sister)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `old` leaves is the beginning of the tree of `size` leaves."""
    if old == size:
        return not proof and old_root == root
    if not 0 < old < size:
        return old == 0 and not proof and old_root == EMPTY
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for sister in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node(sister, first), node(sister, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node(second, sister)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _half(size: int) -> int:
    """The largest power of two below `size` (2 and up)."""
    return 1 << (size - 1).bit_length() - 1
