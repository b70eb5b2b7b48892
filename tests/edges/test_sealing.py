import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges import evidence_ref, sealing, statements
from andon.edges.dsse import canonical, decode, digest_of
from andon.edges.keys import Keys
from andon.edges.statements import made, subject_of
from andon.schema import faults
from andon.schema.errors import Mistake
from andon.schema.evidence import CHECKPOINT, EVIDENCE_REF, LANDING, TEST_RESULT, VERDICT, ChangeParts, Sealed
from andon.schema.ids import Digest
from sealkit import REPO, Shop, shop

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture
def at_work(tmp_path: Path) -> Shop:
    return shop(tmp_path)


# --- what is sealed --------------------------------------------------------------------------------------------------


async def test_a_bundle_holds_every_envelope_and_its_verdict_names_each_of_them(at_work: Shop) -> None:
    parts = at_work.parts(approvals=(at_work.approval(),))
    sealed = await at_work.seal(parts)
    path = f"bundles/{sealed.bundle[:2]}/{sealed.bundle}.jsonl"
    data = at_work.bytes_of(path)
    assert digest_of(data) == sealed.bundle and data == at_work.blobs.get(sealed.bundle)
    lines, envelopes = data.splitlines(), at_work.bundle(sealed)
    verdict = envelopes[-1].statement
    assert verdict["predicateType"] == VERDICT and verdict["subject"] == subject_of(REPO, at_work.commit, at_work.tree)
    named = [one["digest"]["sha256"] for one in verdict["predicate"]["inputAttestations"]]
    assert named == [digest_of(line) for line in lines[:-1]]
    assert {parts.claims[0].evidence, *parts.approvals} <= {digest_of(line) for line in lines}
    assert verdict["predicate"]["policy"]["digest"]["sha256"] == sealed.policy == digest_of(parts.policy.encode())
    assert verdict["predicate"]["verificationResult"] == "PASSED"
    assert verdict["predicate"]["andon"] == {
        "task": "T1", "attempt": "T1.1", "change": at_work.commit, "risk": "review", "because": "two paths", "required": ["tests"],
        "shown": digest_of(parts.shown.encode()), "walls": "strict"}
    point = next(one.statement for one in envelopes if one.statement["predicateType"] == CHECKPOINT)["predicate"]
    assert sealed.ledger == f"{point['size']} {point['root']}" == (await at_work.checkpoints.at()).line
    signers = [at_work.keys.verifier if one.statement["predicateType"] == TEST_RESULT else at_work.keys.daemon for one in envelopes]
    assert all(signer.signed(one) for signer, one in zip(signers, envelopes, strict=True))


async def test_what_the_statements_point_to_is_in_the_repository_by_its_digest(at_work: Shop) -> None:
    parts = at_work.parts()
    sealed = await at_work.seal(parts)
    texts = [text.encode() for text in (parts.policy, parts.shown, parts.spec)]
    wanted = {digest_of(data) for data in (*texts, b"2 passed\n", b'["a","b"]')}
    found = {Path(path).name for path in at_work.files() if path.startswith("blobs/")}
    assert found == wanted and sealed.policy in found
    objects = gitkit.run(at_work.repo, "cat-file", "blob", f"{EVIDENCE_REF}:blobs/{sealed.policy[:2]}/{sealed.policy}")
    assert objects == parts.policy
    assert gitkit.run(at_work.repo, "fsck", "--full", "--strict") == ""


@pytest.mark.parametrize(("status", "required", "evidence", "told"), [
    ("proven", ("tests",), True, "PASSED"), ("refuted", ("tests",), True, "FAILED"), ("unevaluated", ("tests",), True, "FAILED"),
    ("proven", ("tests", "lint"), True, "FAILED"), ("proven", ("tests",), False, "FAILED"), ("refuted", (), True, "PASSED"),
])
async def test_the_verdict_passes_only_when_all_that_is_required_was_proven_by_a_run(
    at_work: Shop, status: str, required: tuple[str, ...], evidence: bool, told: str,
) -> None:
    parts = at_work.parts()
    claim = msgspec.structs.replace(parts.claims[0], status=status, **({} if evidence else {"evidence": Digest("")}))
    sealed = await at_work.seal(msgspec.structs.replace(parts, claims=(claim,), required=required))
    assert at_work.bundle(sealed)[-1].statement["predicate"]["verificationResult"] == told


async def test_a_huge_log_stays_out_of_the_repository_unread_and_is_named_all_the_same(
    at_work: Shop, monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = b"line\n" * (sealing.BLOB_BYTES // 5 + 1)
    parts = at_work.parts(evidence=at_work.ran(log=log))
    read: list[str] = []
    get = at_work.blobs.get

    def noted(digest: Digest) -> bytes:
        read.append(digest)
        return get(digest)

    monkeypatch.setattr(at_work.blobs, "get", noted)
    sealed = await at_work.seal(parts)
    assert digest_of(log) not in read and not any(digest_of(log) in path for path in at_work.files())
    assert digest_of(log) in at_work.bundle(sealed)[0].payload.decode()


async def test_a_blob_that_is_gone_is_left_out_and_the_rest_is_sealed(at_work: Shop) -> None:
    parts = at_work.parts()
    at_work.layout.blob(digest_of(b"2 passed\n")).unlink()
    assert (await at_work.seal(parts)).bundle
    assert not any(digest_of(b"2 passed\n") in path for path in at_work.files())


async def test_a_secret_in_specification_or_summary_does_not_reach_the_repository(at_work: Shop) -> None:
    key = "sk-" + "ant-" + "b2" * 16
    await at_work.seal(msgspec.structs.replace(at_work.parts(), spec=f"use {key}", shown=f"{key} is used", title=key))
    for path in at_work.files():
        data = at_work.bytes_of(path)
        decoded = [decode(line).payload for line in data.splitlines()] if path.endswith("jsonl") else []
        assert all(key.encode() not in one for one in (data, *decoded))


async def test_a_repository_of_sha_256_names_is_sealed_as_well(tmp_path: Path) -> None:
    at_work = shop(tmp_path, object_format="sha256")
    sealed = await at_work.seal(at_work.parts())
    await at_work.record(at_work.landing(sealed))
    assert len(at_work.commit) == 64 and len(gitkit.ref(at_work.repo, EVIDENCE_REF)) == 64
    assert await at_work.seal(at_work.parts()) == sealed
    assert at_work.bundle(sealed)[-1].statement["subject"][0]["digest"]["gitTree"] == at_work.tree


# --- what is refused -------------------------------------------------------------------------------------------------


async def test_evidence_that_is_missing_unsigned_foreign_or_of_another_tree_is_not_sealed(at_work: Shop) -> None:
    keys, blobs, tree = at_work.keys, at_work.blobs, at_work.tree
    payload = decode(blobs.get(at_work.ran())).payload
    other = made(subject_of(REPO, at_work.commit, "f" * 40), TEST_RESULT, {"result": "PASSED"})
    two = made(subject_of(REPO, at_work.commit, tree) * 2, TEST_RESULT, {"result": "PASSED"})
    cases = {
        "cannot be read": Digest("a" * 64), "never signed": blobs.put(payload),
        "not of a key": blobs.put(keys.daemon.sign(payload)),
        "is about": blobs.put(keys.verifier.sign(other)), "it is about None": blobs.put(keys.verifier.sign(two)),
        "it is a https://slsa.dev": blobs.put(keys.verifier.sign(made(subject_of(REPO, at_work.commit, tree), VERDICT, {}))),
    }
    for why, digest in cases.items():
        with pytest.raises(Mistake, match=why):
            await at_work.seal(at_work.parts(evidence=digest))
    assert gitkit.ref(at_work.repo, EVIDENCE_REF) == ""


async def test_an_approval_of_another_commit_or_of_another_kind_is_not_sealed(at_work: Shop) -> None:
    with pytest.raises(Mistake, match="it is a https://in-toto"):
        await at_work.seal(at_work.parts(approvals=(at_work.ran(),)))
    approval = at_work.approval()
    at_work.commit = type(at_work.commit)("c" * 40)
    parts = at_work.parts(evidence=at_work.ran())
    with pytest.raises(Mistake, match="is about"):
        await at_work.seal(msgspec.structs.replace(parts, approvals=(approval,)))


async def test_a_run_on_another_commit_of_the_same_tree_is_as_good(at_work: Shop) -> None:
    evidence = at_work.ran()
    at_work.commit = type(at_work.commit)(gitkit.commit(at_work.repo, {}, "The same files"))
    sealed = await at_work.seal(at_work.parts(evidence=evidence))
    assert at_work.bundle(sealed)[-1].statement["predicate"]["verificationResult"] == "PASSED"


async def test_a_repository_that_is_gone_is_a_clear_error(at_work: Shop, tmp_path: Path) -> None:
    parts = at_work.parts()
    at_work.repo.rename(tmp_path / "elsewhere")
    with pytest.raises(Mistake, match="is not a directory"):
        await at_work.seal(parts)


# --- once ------------------------------------------------------------------------------------------------------------


async def test_the_same_parts_are_sealed_once_also_by_a_later_daemon_whose_ledger_grew(at_work: Shop, tmp_path: Path) -> None:
    import ledgerkit

    parts = at_work.parts()
    sealed = await at_work.seal(parts)
    tip = gitkit.ref(at_work.repo, EVIDENCE_REF)
    rows = ledgerkit.rows_of(ledgerkit.added(n) for n in range(1, 9))[5:]
    ledgerkit.fill(at_work.layout, rows)
    later = Shop(at_work.layout.home, at_work.repo)
    assert await later.seal(parts) == sealed and gitkit.ref(at_work.repo, EVIDENCE_REF) == tip
    assert sealed.ledger.startswith("5 ") and (await later.seal(later.parts(2))).ledger.startswith("8 ")


async def test_a_repository_that_moved_still_knows_its_seals(at_work: Shop, tmp_path: Path) -> None:
    sealed = await at_work.seal(at_work.parts())
    at_work.repo.rename(tmp_path / "moved")
    moved = Shop(at_work.layout.home, tmp_path / "moved")
    assert await moved.seal(moved.parts()) == sealed
    assert len(gitkit.run(moved.repo, "rev-list", EVIDENCE_REF).splitlines()) == 1


async def test_a_bundle_that_is_gone_or_forged_is_made_anew(at_work: Shop, tmp_path: Path) -> None:
    parts = at_work.parts()
    sealed = await at_work.seal(parts)
    seal = next(path for path in at_work.files() if path.startswith("seals/"))
    stranger = Keys.load(tmp_path / "stranger")
    honest = at_work.blobs.get(sealed.bundle).splitlines()
    forged = sealing.file_of([*honest[:-1], stranger.daemon.sign(decode(honest[-1]).payload)])
    weak = at_work.parts(evidence=at_work.ran(run="R2"))
    older = (await at_work.seal(weak)).bundle
    for content in (b"", b"0" * 64, b"../../../etc/passwd", digest_of(forged).encode(), older.encode()):
        await _put(at_work, {seal: content, f"bundles/{digest_of(forged)[:2]}/{digest_of(forged)}.jsonl": forged})
        again = await at_work.seal(parts)
        assert at_work.keys.daemon.signed(at_work.bundle(again)[-1])
        assert parts.claims[0].evidence in {digest_of(line) for line in at_work.blobs.get(again.bundle).splitlines()}
        assert await at_work.seal(parts) == again


async def _put(at_work: Shop, files: dict[str, bytes]) -> None:
    """What somebody with the repository in hand can do."""
    async with evidence_ref.writing(at_work.git_dir) as ref:
        assert await ref.write(evidence_ref.Import(message="x", files=files))


async def test_many_at_once_from_tasks_and_processes_leave_one_chain_with_all_of_them(at_work: Shop) -> None:
    evidence = at_work.ran()
    mine = [at_work.parts(n, evidence=evidence) for n in (1, 1, 2, 3)]
    theirs = [_child(at_work, at_work.parts(n, evidence=evidence)) for n in (3, 4)]
    sealed = await asyncio.gather(*(at_work.seal(parts) for parts in mine))
    outs = [await asyncio.to_thread(child.communicate) for child in theirs]
    assert [child.returncode for child in theirs] == [0, 0], outs
    others = [msgspec.json.decode(out, type=Sealed) for out, _ in outs]
    assert sealed[0] == sealed[1] and others[0] == sealed[3]
    bundles = {one.bundle for one in (*sealed, *others)}
    assert len(bundles) == 4
    assert {Path(path).stem for path in at_work.files() if path.startswith("bundles/")} == bundles
    assert "Merge" not in gitkit.run(at_work.repo, "log", "--format=%s %p", EVIDENCE_REF)


def _child(at_work: Shop, parts: ChangeParts, fault: str = "", trace: str = "") -> "subprocess.Popen[bytes]":
    """A daemon of its own that seals and records once, and dies at a point."""
    env = os.environ | {"ANDON_FAULT": fault, "ANDON_FAULT_TRACE": trace, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, HERE / "sealkit.py", at_work.layout.home, at_work.repo], env=env,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin
    child.stdin.write(msgspec.json.encode(parts))
    child.stdin.close()
    child.stdin = None
    return child


async def test_who_moves_the_ref_without_the_lock_makes_the_seal_start_again_and_loses_nothing(
    at_work: Shop, monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await at_work.seal(at_work.parts(1))
    write = evidence_ref.Evidence.write
    moved: list[str] = []

    async def late(ref: evidence_ref.Evidence, what: evidence_ref.Import) -> bool:
        if not moved:  # another machine was quicker
            tip = gitkit.ref(at_work.repo, EVIDENCE_REF)
            moved.append(gitkit.run(at_work.repo, "commit-tree", "-p", tip, "-m", "Theirs", f"{tip}^{{tree}}"))
            gitkit.run(at_work.repo, "update-ref", EVIDENCE_REF, moved[0])
        return await write(ref, what)

    monkeypatch.setattr(evidence_ref.Evidence, "write", late)
    second = await at_work.seal(at_work.parts(2))
    kept = gitkit.run(at_work.repo, "rev-list", EVIDENCE_REF).splitlines()
    assert moved[0] in kept and len(kept) == 3
    assert {Path(path).stem for path in at_work.files() if path.startswith("bundles/")} == {first.bundle, second.bundle}


async def test_a_lock_that_a_killed_git_left_on_the_ref_is_cleared(at_work: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_ref, "WRITES", 1)
    monkeypatch.setattr(sealing, "WRITES", 1)
    await at_work.seal(at_work.parts(1))
    left = at_work.repo / ".git" / f"{EVIDENCE_REF}.lock"
    left.touch()
    os.utime(left, (1, 1))
    assert (await at_work.seal(at_work.parts(2))).bundle and not left.exists()


async def test_a_ref_that_never_stands_still_is_a_clear_error(at_work: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(ref: evidence_ref.Evidence, what: evidence_ref.Import) -> bool:
        return False

    monkeypatch.setattr(evidence_ref.Evidence, "write", refused)
    with pytest.raises(Mistake, match="kept moving its ref"):
        await at_work.seal(at_work.parts())


# --- kill -9 ---------------------------------------------------------------------------------------------------------


async def test_killed_at_any_point_the_next_daemon_seals_and_records_exactly_once(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    first = shop(tmp_path / "first")
    child = _child(first, first.parts(), trace=str(trace))
    _, err = child.communicate()
    assert child.returncode == 0, err
    points = [name for name in trace.read_text().splitlines() if not name.startswith(("keys", "trust"))]
    assert [name.partition(":")[0] for name in points] == [
        "seal.made", "evidence.import", "evidence.imported", "seal.written",
        "landing-record.made", "evidence.import", "evidence.imported", "landing-record.written"]
    places = [shop(tmp_path / str(n)) for n in range(len(points))]
    dying = [_child(here, here.parts(), fault=name) for here, name in zip(places, points, strict=True)]
    for here, child, name in zip(places, dying, points, strict=True):
        child.communicate()
        assert child.returncode == -9, name
        before = {path for path in here.files() if path.startswith("bundles/")}
        sealed = await here.seal(parts := here.parts())
        await here.record(here.landing(sealed, parts.claims[0].evidence))
        found = {path for path in here.files() if path.startswith("bundles/")}
        assert before <= found == {f"bundles/{sealed.bundle[:2]}/{sealed.bundle}.jsonl"}, name
        assert len(gitkit.run(here.repo, "rev-list", EVIDENCE_REF).splitlines()) == 2, name
        gitkit.run(here.repo, "fsck", "--full", "--strict")


def test_killed_while_keys_are_made_the_next_start_has_whole_ones(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from andon.edges.keys import Keys; Keys.load(Path(sys.argv[1]))"
    for n, name in enumerate(["keys.written:1", "keys.made:1", "keys.written:2", "keys.made:2", "keys.written:3", "keys.made:3"]):
        folder = tmp_path / str(n)
        env = os.environ | {"ANDON_FAULT": name, "PYTHONPATH": os.pathsep.join(sys.path)}
        assert subprocess.run([sys.executable, "-c", code, folder], env=env, check=False).returncode == -9, name
        kept = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
        Keys.load(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["daemon", "origin", "verifier"]
        assert all((folder / name).read_bytes() == data for name, data in kept.items())


def test_nothing_is_armed_by_itself() -> None:
    assert faults.ARMED == ""


# --- landings --------------------------------------------------------------------------------------------------------


async def test_a_landing_is_recorded_with_its_runs_and_a_checkpoint_and_only_once(at_work: Shop) -> None:
    evidence = at_work.ran()
    sealed = await at_work.seal(at_work.parts(evidence=evidence))
    parts = at_work.landing(sealed, evidence)
    await at_work.record(parts)
    tip = gitkit.ref(at_work.repo, EVIDENCE_REF)
    path = f"landings/{at_work.commit[:2]}/{at_work.commit}.jsonl"
    envelopes = [decode(line) for line in at_work.bytes_of(path).splitlines()]
    assert [one.statement["predicateType"] for one in envelopes] == [LANDING, TEST_RESULT, CHECKPOINT]
    said = envelopes[0].statement
    assert at_work.keys.daemon.signed(envelopes[0]) and said["subject"] == subject_of(REPO, at_work.commit, at_work.tree)
    assert said["predicate"] == {
        "landing": "L1", "target": "main", "onto": at_work.commit, "how": "merge", "tree": at_work.tree, "runs": [evidence],
        "members": [{"task": "T1", "change": at_work.commit, "commit": at_work.commit, "bundle": sealed.bundle}]}
    await Shop(at_work.layout.home, at_work.repo).record(parts)
    assert gitkit.ref(at_work.repo, EVIDENCE_REF) == tip


async def test_a_run_without_a_signed_envelope_of_this_tree_is_named_and_left_out(at_work: Shop) -> None:
    sealed = await at_work.seal(at_work.parts())
    other = at_work.keys.verifier.sign(made(subject_of(REPO, at_work.commit, "f" * 40), TEST_RESULT, {"result": "PASSED"}))
    runs = (Digest("a" * 64), at_work.blobs.put(canonical({"unsigned": True})), at_work.blobs.put(other), at_work.ran())
    await at_work.record(at_work.landing(sealed, *runs))
    lines = at_work.bytes_of(f"landings/{at_work.commit[:2]}/{at_work.commit}.jsonl").splitlines()
    assert [digest_of(line) for line in lines[1:-1]] == [runs[-1]]
    assert json.loads(decode(lines[0]).payload)["predicate"]["runs"] == list(runs)


async def test_a_forged_landing_record_is_replaced_and_stays_in_the_history(at_work: Shop, tmp_path: Path) -> None:
    sealed = await at_work.seal(at_work.parts())
    path = f"landings/{at_work.commit[:2]}/{at_work.commit}.jsonl"
    for forged in (b"rubbish", Keys.load(tmp_path / "other").daemon.sign(statements.landing(at_work.landing(sealed)))):
        await _put(at_work, {path: forged})
        await at_work.record(at_work.landing(sealed))
        first = decode(at_work.bytes_of(path).splitlines()[0])
        assert at_work.keys.daemon.signed(first)
    assert len(gitkit.run(at_work.repo, "log", "--format=%H", EVIDENCE_REF, "--", path).splitlines()) == 4


async def test_evidence_is_read_back_by_its_path(at_work: Shop) -> None:
    assert await sealing.read_evidence(at_work.git_dir, "bundles") is None
    sealed = await at_work.seal(at_work.parts())
    path = f"bundles/{sealed.bundle[:2]}/{sealed.bundle}.jsonl"
    assert await sealing.read_evidence(at_work.git_dir, path) == at_work.blobs.get(sealed.bundle)
    for nothing in ("bundles", "bundles/xx/none", "nothing here"):
        assert await sealing.read_evidence(at_work.git_dir, nothing) is None


async def test_whoever_collects_garbage_meanwhile_never_leaves_a_ref_to_what_is_gone(at_work: Shop) -> None:
    over = asyncio.Event()

    def collect() -> None:
        words = ["git", "-C", str(at_work.repo), "-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now"]
        subprocess.run(words, check=False, capture_output=True, timeout=60)

    async def collecting() -> None:
        while not over.is_set():
            await asyncio.to_thread(collect)

    async with asyncio.TaskGroup() as group:
        group.create_task(collecting())
        for n in range(25):
            await at_work.seal(msgspec.structs.replace(at_work.parts(), title=f"the {n}th"))
        over.set()
    assert gitkit.run(at_work.repo, "fsck", "--full", "--strict", "--no-dangling") == ""
    assert len([path for path in at_work.files() if path.startswith("seals/")]) == 25
