import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given, strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2  # type: ignore[import-untyped] # it ships no types
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2  # type: ignore[import-untyped] # it ships no types
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2  # type: ignore[import-untyped] # it ships no types
from in_toto_attestation.v1.statement import Statement  # type: ignore[import-untyped] # it ships no types
from securesystemslib.dsse import Envelope as Theirs
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key  # type: ignore[attr-defined] # its own __all__ leaves it out

from andon.edges import dsse, statements
from andon.edges.keys import Keys, Signer
from andon.schema.errors import Mistake
from andon.schema.evidence import AGENT_RUN, CHECKPOINT, LANDING, PAYLOAD_TYPE, TEST_RESULT, VERDICT, Checkpoint, readable
from sealkit import Shop, shop


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Keys.load(tmp_path / "keys").verifier


@pytest.fixture
def at_work(tmp_path: Path) -> Shop:
    return shop(tmp_path)


def theirs(signer: Signer) -> Key:
    """Our key as another implementation has it, found by the id that we write."""
    return Key.from_dict(signer.keyid, {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": signer.public.hex()}})


# --- canonical -------------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner), max_leaves=12)


@given(PLAIN)
def test_what_is_signed_has_one_spelling_and_reads_back_as_it_was(value: object) -> None:
    data = dsse.canonical(value)
    assert json.loads(data) == value and dsse.canonical(json.loads(data)) == data


@pytest.mark.parametrize("bad", [1.0, 0.5, None, 2**53, -(2**53), b"x", {"a": [1.5]}, {1: "a"}, float("nan")])
def test_what_has_no_one_spelling_is_never_signed(bad: object) -> None:
    with pytest.raises(ValueError):
        dsse.canonical({"a": bad})


def test_a_broken_letter_becomes_a_question_mark_and_not_an_error() -> None:
    assert dsse.canonical({"a": "x\udc80"}) == b'{"a":"x?"}'


# --- the envelope ----------------------------------------------------------------------------------------------------


def test_the_encoding_is_the_one_of_the_standards_own_example() -> None:
    assert dsse.pae(b"hello world", "http://example.com/HelloWorld") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.binary(max_size=200))
def test_an_envelope_reads_back_as_it_was(payload: bytes) -> None:
    made = dsse.Envelope(payload=payload, signatures=(dsse.Signature(keyid="k", sig=b"s" * 64), dsse.Signature(keyid="l", sig=b"")))
    assert dsse.decode(dsse.encode(made)) == made and b"\n" not in dsse.encode(made)


def test_another_implementation_verifies_what_we_sign_and_encodes_it_the_same(signer: Signer) -> None:
    line = signer.sign(b'{"a":1}')
    envelope = Theirs.from_dict(json.loads(line))
    assert envelope.pae() == dsse.pae(b'{"a":1}')
    assert set(envelope.verify([theirs(signer)], 1)) == {signer.keyid}
    assert dsse.canonical(envelope.to_dict()) == line


def test_a_changed_payload_type_or_signature_is_refused_by_them_and_by_us(signer: Signer) -> None:
    good = dsse.decode(signer.sign(b'{"a":1}'))
    flipped = bytes((good.signatures[0].sig[0] ^ 1,)) + good.signatures[0].sig[1:]
    changed = [
        dsse.Envelope(payload=b'{"a":2}', signatures=good.signatures),
        dsse.Envelope(payload=good.payload, payload_type="text/plain", signatures=good.signatures),
        dsse.Envelope(payload=good.payload, signatures=(dsse.Signature(keyid=signer.keyid, sig=flipped),)),
        dsse.Envelope(payload=good.payload, signatures=(dsse.Signature(keyid=signer.keyid, sig=b""),)),
        dsse.Envelope(payload=good.payload, signatures=(dsse.Signature(keyid="other", sig=good.signatures[0].sig),)),
    ]
    assert signer.signed(good)
    for bad in changed:
        assert not signer.signed(bad)
        with pytest.raises(VerificationError):
            Theirs.from_dict(json.loads(dsse.encode(bad))).verify([theirs(signer)], 1)


def test_one_of_our_keys_does_not_pass_for_the_other(tmp_path: Path) -> None:
    keys = Keys.load(tmp_path / "keys")
    envelope = dsse.decode(keys.daemon.sign(b"{}"))
    assert keys.daemon.signed(envelope) and not keys.verifier.signed(envelope)
    assert not dsse.verified(envelope, keys.daemon.keyid, keys.verifier.public)


def spellings() -> dict[str, bytes]:
    good = {"payload": "e30=", "payloadType": PAYLOAD_TYPE, "signatures": [{"keyid": "k", "sig": "AA=="}]}

    def told(**changed: Any) -> bytes:
        return dsse.canonical({**good, **changed})

    return {
        "spaces": json.dumps(good, sort_keys=True).encode(),
        "unsorted": json.dumps(dict(reversed(good.items())), separators=(",", ":")).encode(),
        "a newline": told() + b"\n", "one more field": told(extra="x"), "a field less": b'{"payload":"e30=","signatures":[]}',
        "a name twice": told()[:-1] + b',"payload":"e30="}', "no signature": told(signatures=[]),
        "signatures that are no list": told(signatures="x"),
        "url-safe base64": told(payload="_-8="), "base64 without its end": told(payload="e30"),
        "base64 with waste bits": told(payload="e31="),
        "base64 with a newline": told(payload="e3\n0="), "a payload that is a number": told(payload=1),
        "one more in a signature": told(signatures=[{"keyid": "k", "sig": "AA==", "cert": "x"}]),
        "no keyid": told(signatures=[{"sig": "AA=="}]),
        "a list": b"[]", "nothing": b"", "rubbish": b"\xff\xfe", "deep": b"[" * 100_000,
    }


@pytest.mark.parametrize("kind", spellings())
def test_only_the_one_spelling_of_an_envelope_is_read(kind: str) -> None:
    with pytest.raises(Mistake, match="no envelope"):
        dsse.decode(spellings()[kind])


def test_an_envelope_that_is_too_long_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsse, "LINE_BYTES", 10)
    with pytest.raises(Mistake, match="longer than 10 bytes"):
        dsse.decode(b'{"payload":"e30=","payloadType":"x","signatures":[{"keyid":"k","sig":"AA=="}]}')


def test_a_person_reads_a_statement_and_who_signed_it_and_any_other_text_as_it_is(signer: Signer) -> None:
    told = json.loads(readable(signer.sign(b'{"a":"\xc3\xa9"}').decode()))
    assert told == {"a": "\xe9", "signedBy": [signer.keyid]}
    odd = ('{"payload":1}', '{"payload":"e30=","signatures":[1]}', '{"payload":"W10=","signatures":[]}')
    for text in ("", "plain words", "[1]", *odd):
        assert readable(text) == text


# --- our statements, by the definitions of others --------------------------------------------------------------------

PREDICATES = {TEST_RESULT: test_result_pb2.TestResult, AGENT_RUN: provenance_pb2.Provenance, VERDICT: vsa_pb2.VerificationSummary}


def well_formed(payload: bytes) -> str:
    """The statement by in-toto's own definition, and its predicate by its own; what kind it is."""
    body = json.loads(payload)
    assert dsse.canonical(body) == payload
    statement = Statement.copy_from_pb(json_format.ParseDict(body, Statement([], "", {}).pb))
    statement.validate()
    kind = body["predicateType"]
    if kind in PREDICATES:
        levels = body["predicate"].pop("verifiedLevels", [])  # a list in the standard, and one text in these bindings
        assert all(isinstance(one, str) for one in levels) and bool(levels) is (kind == VERDICT)
        told = json_format.ParseDict(body["predicate"], PREDICATES[kind](), ignore_unknown_fields=True)
        known = json_format.MessageToDict(told)
        assert set(known) >= {TEST_RESULT: {"result", "configuration"}, AGENT_RUN: {"buildDefinition", "runDetails"},
                              VERDICT: {"verifier", "resourceUri", "policy", "inputAttestations", "verificationResult"}}[kind]
    return str(kind)


async def test_every_statement_that_we_make_is_one_by_in_totos_own_definitions(at_work: Shop) -> None:
    parts = at_work.parts(approvals=(at_work.approval(),))
    sealed = await at_work.seal(parts)
    kinds = [well_formed(envelope.payload) for envelope in at_work.bundle(sealed)]
    assert kinds == [TEST_RESULT, AGENT_RUN, "https://andon.dev/attestation/human-approval/v1", CHECKPOINT, VERDICT]
    assert well_formed(statements.landing(at_work.landing(sealed))) == LANDING
    assert {envelope.payload_type for envelope in at_work.bundle(sealed)} == {PAYLOAD_TYPE}


async def test_what_failed_and_what_could_not_be_told_are_well_formed_too(at_work: Shop) -> None:
    from andon.edges import evidence
    from andon.schema.inputs import CheckRan
    from andon.schema.jobs import Exit

    effect = at_work.effect()
    for result, told in (("pass", "PASSED"), ("fail", "FAILED"), ("unevaluated", "WARNED")):
        for seen in (None, Exit(code=127), Exit(signal=9)):
            ran = CheckRan(run=effect.run, result=result, because="x", failing=("a",), lost_tests=("b",), seconds=0.4)  # type: ignore[arg-type] # each
            payload = evidence.statement(effect, ran, seen, ("PATH",))
            assert well_formed(payload) == TEST_RESULT
            predicate = json.loads(payload)["predicate"]
            assert (predicate["result"], predicate["andonResult"], predicate["milliseconds"]) == (told, result, 400)
            assert predicate.get("exit") == (seen.code if seen else None) and predicate["environment"]["variables"] == ["PATH"]


def test_the_whole_number_of_a_ledger_stays_whole() -> None:
    size = 2**53 - 1
    payload = statements.checkpoint(Checkpoint(origin="andon/x", size=size, root=b"\0" * 32))
    assert b'"size":%d' % size in payload
    assert base64.b64decode(json.loads(payload)["predicate"]["root"]) == b"\0" * 32


def test_no_statement_carries_a_secret(at_work: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from andon.edges import withheld

    monkeypatch.setenv("SOME_API_KEY", "a-most-secret-value")
    withheld.keep(at_work.layout.home)
    key = "sk-" + "ant-" + "a1" * 16
    try:
        digest = at_work.ran(because=f"it said a-most-secret-value and {key}")
        parts = msgspec.structs.replace(at_work.parts(), title=f"use {key}", because="a-most-secret-value")
        payloads = [dsse.decode(at_work.blobs.get(digest)).payload, statements.agent_run(parts, digest),
                    statements.verdict(parts, digest, [digest])]
    finally:
        monkeypatch.undo()
        withheld.keep(None)
    for payload in payloads:
        assert b"secret-value" not in payload and key.encode() not in payload and b"withheld" in payload
        well_formed(payload)
