"""What the verifier reads, and how strictly: keys, signatures, JSON, and any bytes at all."""

import ast
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings, strategies as st

import gitkit
from andon.thirdparty import change, command, landing, objects, signed
from andon.thirdparty.landing import HOLDS, HUMAN, REFUSED, UNEVALUATED, Evidence
from andon.thirdparty.objects import Commit, Repository
from andon.thirdparty.signed import Refused, Trust, ed25519
from andon.thirdparty.single import script
from evidencekit import Change, Lab, canonical
from tamperkit import predicate

ORDER = 2**252 + 27742317777372353535851937790883648493
VECTORS = (
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)
"""RFC 8032, 7.1: key, message, signature."""
SMALL = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
)
"""Points of small order."""


# --- signatures -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc_hold(key: str, message: str, signature: str) -> None:
    args = (bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))
    assert ed25519(*args)
    assert not ed25519(args[0], args[1] + b"x", args[2])


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=80), flip=st.integers(0, 511))
def test_signatures_hold_as_another_implementation_makes_them_and_no_bit_may_differ(seed: bytes, message: bytes, flip: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    made = bytearray(key.sign(message))
    assert ed25519(public, message, bytes(made))
    made[flip // 8] ^= 1 << flip % 8
    assert not ed25519(public, message, bytes(made))


@pytest.mark.parametrize("point", SMALL)
def test_keys_and_points_of_small_order_sign_nothing(point: str) -> None:
    weak = bytes.fromhex(point)
    assert not ed25519(weak, b"anything", bytes.fromhex(SMALL[0]) + bytes(32))
    key, message, signature = (bytes.fromhex(word) for word in VECTORS[1])
    assert not ed25519(key, message, weak + signature[32:])


def test_an_s_that_is_not_reduced_is_refused() -> None:
    key, message, signature = (bytes.fromhex(word) for word in VECTORS[2])
    more = int.from_bytes(signature[32:], "little") + ORDER
    assert not ed25519(key, message, signature[:32] + more.to_bytes(32, "little"))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=70))
def test_no_bytes_are_a_signature_by_chance_or_an_error(key: bytes, message: bytes, signature: bytes) -> None:
    assert not ed25519(key, message, signature)


# --- any bytes at all -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("words") / "lab")
    lab.keys["approval-ana"] = lab.daemon  # recorded: a hundred signatures by ssh-keygen would take long
    lab.edits["approval-ana"] = predicate(signed=False)
    lab.land(lab.work("T1", {"a.txt": "one\n"}))
    return lab


@pytest.fixture(scope="module")
def evidence(landed: Lab) -> Iterator[Evidence]:
    repository = Repository(landed.repo)
    yield Evidence(repository, Trust.read(landed.trust_file))
    repository.close()


class Altered(Evidence):
    """Evidence some of whose files, and whose commit's message, are what a test says."""

    def __init__(self, like: Evidence, files: dict[str, bytes], message: str = "") -> None:
        super().__init__(like.repository, like.trust)
        self.files, self.message = files, message

    def file(self, folder: str, name: str, ending: str = "") -> bytes | None:
        path = f"{folder}/{name[:2]}/{name}{ending}"
        return self.files[path] if path in self.files else super().file(folder, name, ending)


def in_words(evidence: Evidence, files: dict[str, bytes], message: str = "") -> str:
    """The verdict; whatever the bytes are, there is one."""
    altered = Altered(evidence, files, message)
    kept = altered.repository.commit(altered.tip)
    if message:
        honest = Repository.commit
        spoken = kept._replace(message=message)

        def said(self: Repository, oid: str) -> Commit:
            return spoken if oid == kept.oid else honest(self, oid)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Repository, "commit", said)
            report = altered.guarded(kept.oid)
    else:
        report = altered.guarded(kept.oid)
    list(command.table(report))
    json.dumps(report.as_json())
    return report.verdict


FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.data())
def test_a_file_with_other_bytes_never_holds_and_never_ends_in_an_error(
    data: st.DataObject, landed: Lab, evidence: Evidence,
) -> None:
    path = data.draw(st.sampled_from([path for path in landed.paths() if not path.startswith("seals/")]))
    whole = landed.read(path)
    at, size = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
    some = st.binary(max_size=20).map(lambda more: whole[:at] + more + whole[at + size:])
    changed = data.draw(st.one_of(st.binary(max_size=200), some))
    verdict = in_words(evidence, {path: changed})
    assert verdict == HOLDS if changed == whole else verdict in (REFUSED, UNEVALUATED)


@FUZZ
@given(text=st.one_of(st.text(max_size=300), st.lists(st.sampled_from([
    "Andon-Task: T1", "Andon-Change: x", "Andon-Bundle: sha256:", "Andon-Policy: sha256:0", "Andon-Ledger: 5", "",
]), max_size=9).map("\n".join)))
def test_a_commit_message_of_any_words_never_holds_and_never_ends_in_an_error(text: str, evidence: Evidence) -> None:
    assert in_words(evidence, {}, text or "x") in (REFUSED, UNEVALUATED, HUMAN)


ODD: tuple[Any, ...] = (
    None, 0, -1, 2**53 - 1, "", "x", "0" * 64, "A" * 1_000, [], [[]], {}, {"sha256": 3}, True, ["x", 1], "\x1b[31m",
    "2026-01-01T00:00:00Z",
)


def spots(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(inner, (*path, key))


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["test", "run", "approval-ana", "summary", "checkpoint", "landing", "merged"]), data=st.data())
def test_statements_that_are_signed_and_make_no_sense_never_end_in_an_error(
    kind: str, data: st.DataObject, landed: Lab, evidence: Evidence,
) -> None:
    def edit(body: dict[str, Any]) -> dict[str, Any]:
        body = honest(body) if honest else body
        *way, last = data.draw(st.sampled_from([spot for spot in spots(body) if spot]))
        inner: Any = body
        for key in way:
            inner = inner[key]
        inner[last] = data.draw(st.sampled_from(ODD))
        return body

    honest: Any = landed.edits.get(kind)
    task = landing.Evidence(evidence.repository, evidence.trust)
    tip = task.repository.commit(task.tip)
    head = task.repository.commit(tip.parents[1])
    landed.edits[kind] = edit
    try:
        bundle, policy, ledger, files = landed.seal(Change("T1", head.oid, head.tree, tip.parents[0]))
        member = {"task": "T1", "change": head.oid, "commit": tip.oid, "bundle": bundle}
        files = landed.recorded(tip.parents[0], tip.oid, "merge", [member], files)
    finally:
        landed.edits.pop(kind)
        if honest:
            landed.edits[kind] = honest
    trailers = (f"Andon-Task: T1\nAndon-Attempt: T1.1\nAndon-Bundle: sha256:{bundle}\nAndon-Policy: sha256:{policy}\n"
                f"Andon-Ledger: {ledger}\nAndon-Change: {head.oid}\n")
    assert in_words(evidence, files, f"Land T1: do it\n\n{trailers}") in (HOLDS, REFUSED, UNEVALUATED)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
).map(lambda value: json.dumps(value).encode())))
def test_a_trust_file_of_any_bytes_is_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    file.write_bytes(data)
    with pytest.raises(Refused):
        Trust.read(file)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 50_000, b'{"a":1e999}', b'{"a":NaN}', b'{"a":' + b"9" * 5_000 + b"}",
                                  b'{"a":1,"a":1}', b"\xff\xfe", b"", b"null"])
def test_json_that_others_read_in_two_ways_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        signed.read_json(data, "text")


# --- the one file ---------------------------------------------------------------------------------------------------------------


def test_the_script_needs_the_standard_library_alone_and_no_name_stands_for_two_things() -> None:
    tree = ast.parse(script())
    wanted = {(node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else name.name.split(".")[0]
              for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}
    assert wanted <= sys.stdlib_module_names
    names = [name for node in tree.body for name in defined(node)]
    assert sorted(names) == sorted(set(names))


def defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def test_no_line_of_the_modules_is_lost_in_the_script() -> None:
    text = ast.unparse(ast.parse(script()))
    for part in (signed, objects, change, landing, command):
        assert part.__file__
        for node in ast.parse(Path(part.__file__).read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert ast.unparse(node) in text, node.name


def test_the_script_parses_as_an_older_python_reads_it() -> None:
    ast.parse(script(), feature_version=(3, 9))


def test_the_script_says_what_the_command_says(landed: Lab, tmp_path: Path) -> None:
    file = tmp_path / "verify.py"
    file.write_text(script())
    where = ["--repository", str(landed.repo), "--trust", str(landed.trust_file)]
    argv = [sys.executable, "-I", "-S", str(file), *where, "--json", "T1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == command.OK and done.stderr == ""
    repository = Repository(landed.repo)
    own = Evidence(repository, Trust.read(landed.trust_file)).verify(gitkit.ref(landed.repo, "HEAD"))
    repository.close()
    assert json.loads(done.stdout)["reports"] == [json.loads(json.dumps(own.as_json()))]


# --- what it costs --------------------------------------------------------------------------------------------------------------


def test_an_honest_landing_is_verified_in_half_a_second_of_work_with_few_processes(landed: Lab) -> None:
    best = 9.0
    for _ in range(3):
        begun = sum(os.times()[:4])  # ours and that of every git: what others do on this machine does not count
        repository = Repository(landed.repo)
        report = Evidence(repository, Trust.read(landed.trust_file)).verify(gitkit.ref(landed.repo, "HEAD"))
        repository.close()
        best = min(best, sum(os.times()[:4]) - begun)
        assert report.verdict == HOLDS and repository.processes <= 5
    assert best < 0.5


def test_base64_has_one_spelling() -> None:
    body = canonical({"payload": base64.b64encode(b"{}").decode().rstrip("="), "payloadType": "x", "signatures": []})
    with pytest.raises(Refused):
        signed.open_envelope(body, Trust("", {"daemon": {}, "verifier": {}}, "", {}, []))
