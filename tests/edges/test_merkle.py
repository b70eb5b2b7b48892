import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings, strategies as st

import ledgerkit
from andon.edges import merkle
from andon.edges.checkpoints import Checkpoints, note_hash, signed_note
from andon.edges.keys import Keys
from andon.edges.ledger_file import insert, open_for_writing, values
from andon.schema.chain import Row
from andon.schema.errors import Mistake

LEAVES = st.lists(st.binary(max_size=6), max_size=70)


# --- RFC 6962 as it is written, section 2.1, without a thought for speed ----------------------------------------------


def naive(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) <= 1:
        return []
    k = split(len(leaves))
    return [*path(m, leaves[:k]), naive(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), naive(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [naive(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), naive(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), naive(leaves[:k])]


# --- the tree --------------------------------------------------------------------------------------------------------


def test_the_empty_tree_and_the_known_answers_of_certificate_transparency() -> None:
    told = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
    leaves = [bytes.fromhex(one) for one in told]
    assert merkle.root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root_of(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root_of(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(LEAVES)
def test_growing_leaf_by_leaf_gives_the_root_of_each_beginning(leaves: list[bytes]) -> None:
    tree = merkle.Growing()
    for n, data in enumerate(leaves):
        assert (tree.size, tree.root()) == (n, naive(leaves[:n]))
        tree.add(data)
    assert tree.root() == naive(leaves) and len(tree._peaks) == len(leaves).bit_count()


@settings(deadline=None)
@given(LEAVES.filter(bool), st.data())
def test_each_leaf_is_proven_by_the_standards_own_path_and_nothing_else_is(leaves: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    proof, root, size = merkle.inclusion(leaves, at), naive(leaves), len(leaves)
    assert list(proof) == path(at, leaves)
    assert merkle.included(leaves[at], at, size, proof, root)
    assert not merkle.included(leaves[at] + b"x", at, size, proof, root)
    assert not merkle.included(leaves[at], at, size, (*proof, root), root)
    assert not merkle.included(leaves[at], at, 4 * size, proof, root)
    assert not merkle.included(leaves[at], size, size, proof, root) and not merkle.included(leaves[at], -1, size, proof, root)
    if proof:
        n = data.draw(st.integers(0, len(proof) - 1))
        bad = (*proof[:n], hashlib.sha256(proof[n]).digest(), *proof[n + 1:])
        assert not merkle.included(leaves[at], at, size, bad, root) and not merkle.included(leaves[at], at, size, proof[:-1], root)


@settings(deadline=None)
@given(LEAVES, st.data())
def test_each_beginning_is_proven_by_the_standards_own_proof_and_no_other_tree_is(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(0, len(leaves)))
    proof, root, size = merkle.consistency(leaves, old), naive(leaves), len(leaves)
    assert list(proof) == (subproof(old, leaves, True) if old else [])
    assert merkle.consistent(old, naive(leaves[:old]), size, root, proof)
    if old > 0:
        other = naive([*leaves[:old - 1], leaves[old - 1] + b"x"])
        assert not merkle.consistent(old, other, size, root, proof)
    if 0 < old < size:
        assert not merkle.consistent(old, naive(leaves[:old]), size, naive([*leaves, b"x"]), proof)
        assert not merkle.consistent(old, naive(leaves[:old]), size, root, proof[:-1])
        assert not merkle.consistent(size, root, old, naive(leaves[:old]), proof)


def test_a_proof_of_what_is_not_there_is_refused() -> None:
    for index in (-1, 3):
        with pytest.raises(ValueError, match="there is no leaf"):
            merkle.inclusion([b"a", b"b", b"c"], index)
    with pytest.raises(ValueError, match="there are not 4"):
        merkle.consistency([b"a", b"b", b"c"], 4)


# --- over the ledger -------------------------------------------------------------------------------------------------


def leaves_of(rows: list[Row]) -> list[bytes]:
    return [bytes.fromhex(row.hash) for row in rows]


async def test_a_checkpoint_tells_the_ledger_as_it_is_and_reads_only_what_came_since(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    rows = ledgerkit.rows_of(ledgerkit.added(n) for n in range(1, 41))
    ledgerkit.fill(where, rows[:30])
    checkpoints = Checkpoints(where, "andon/x")
    first = await checkpoints.at()
    assert (first.size, first.root, first.origin) == (30, naive(leaves_of(rows[:30])), "andon/x")
    asked: list[tuple[int, int]] = []
    grow = merkle.Growing.add
    try:
        merkle.Growing.add = lambda tree, data: (asked.append((tree.size, 1)), grow(tree, data))[1]  # type: ignore[method-assign,assignment,func-returns-value] # counts
        with closing(open_for_writing(where)) as db:
            db.execute(insert(10), values(rows[30:]))
        later = await checkpoints.at()
    finally:
        merkle.Growing.add = grow  # type: ignore[method-assign] # as it was
    assert (later.size, later.root) == (40, naive(leaves_of(rows))) and [size for size, _ in asked] == list(range(30, 40))
    assert (await checkpoints.at()) == later
    proof = await checkpoints.consistency(first.size, later.size)
    assert merkle.consistent(first.size, first.root, later.size, later.root, proof)
    assert merkle.included(leaves_of(rows)[6], 6, 40, await checkpoints.inclusion(7, 40), later.root)


async def test_a_cut_off_ledger_cannot_be_proven_to_hold_an_earlier_checkpoint(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    ledgerkit.fill(where, ledgerkit.rows_of(ledgerkit.added(n) for n in range(1, 20)))
    with pytest.raises(Mistake, match="has 19 events and not 25"):
        await Checkpoints(where, "andon/x").consistency(19, 25)


async def test_a_row_that_is_missing_in_the_middle_is_named(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    ledgerkit.fill(where, ledgerkit.rows_of(ledgerkit.added(n) for n in range(1, 20)))
    ledgerkit.tamper(where, "DELETE FROM event WHERE seq = 7")
    with pytest.raises(Mistake, match="Event 7 is missing"):
        await Checkpoints(where, "andon/x").at()


async def test_an_empty_or_unreadable_ledger(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    with pytest.raises(Mistake, match="no ledger yet"):
        await Checkpoints(where, "andon/x").at()
    ledgerkit.fill(where, [])
    assert (await Checkpoints(where, "andon/x").at()).line == f"0 {'47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='}"
    with closing(sqlite3.connect(where.ledger)) as db:
        db.execute("DROP TABLE event")
    with pytest.raises(Mistake, match="cannot be read"):
        await Checkpoints(where, "andon/x").at()


async def test_a_checkpoint_goes_out_as_a_signed_note_that_others_verify(tmp_path: Path) -> None:
    import base64

    where = ledgerkit.factory(tmp_path)
    ledgerkit.fill(where, ledgerkit.rows_of([ledgerkit.added(1)]))
    keys = Keys.load(where.keys)
    note = signed_note(at := await Checkpoints(where, keys.origin).at(), keys.daemon)
    body, _, tail = note.partition("\n\n")
    assert (body + "\n").split("\n") == [keys.origin, "1", at.root64, ""]
    dash, name, sig = tail.removesuffix("\n").split(" ")
    raw = base64.b64decode(sig, validate=True)
    assert (dash, name, raw[:4]) == ("\u2014", keys.origin, note_hash(keys.origin, keys.daemon.public))
    Ed25519PublicKey.from_public_bytes(keys.daemon.public).verify(raw[4:], (body + "\n").encode())
