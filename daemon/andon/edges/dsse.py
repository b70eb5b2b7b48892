"""Envelopes as DSSE has them, one line of canonical JSON each: makes, reads strictly, verifies. Must never know what is signed."""

import base64
import binascii
import hashlib
import json
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from andon.schema.errors import Mistake
from andon.schema.evidence import PAYLOAD_TYPE
from andon.schema.ids import Digest

LARGEST = 2**53 - 1
"""Integers past it are read as another number by half of the world."""
LINE_BYTES = 16 * 2**20
"""Of one envelope."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature: whose, and its bytes."""

    keyid: str
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A statement and who signed it. Being read says nothing about the signatures: `verified` does."""

    payload: bytes
    payload_type: str = PAYLOAD_TYPE
    signatures: tuple[Signature, ...]

    @property
    def statement(self) -> dict[str, Any]:
        """The payload as JSON; empty when it is none."""
        try:
            found = json.loads(self.payload)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces, in UTF-8. ValueError for what has no one spelling: floats, null, large integers."""
    _plain(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _plain(value: object) -> None:
    match value:
        case bool() | str():
            return
        case int() if abs(value) <= LARGEST:
            return
        case list() | tuple():
            for one in value:
                _plain(one)
        case dict():
            for key, one in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"{key!r} is no name of a field")
                _plain(one)
        case _:
            raise ValueError(f"{value!r:.80} has no one spelling in a signed statement")


def digest_of(data: bytes) -> Digest:
    """sha256 in hex: the name of a blob, a policy, and of an envelope by its line without the newline."""
    return Digest(hashlib.sha256(data).hexdigest())


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode(envelope: Envelope) -> bytes:
    """The line of an envelope, without a newline."""
    signatures = [{"keyid": one.keyid, "sig": _b64(one.sig)} for one in envelope.signatures]
    return canonical({"payload": _b64(envelope.payload), "payloadType": envelope.payload_type, "signatures": signatures})


def decode(line: bytes) -> Envelope:
    """The envelope of a line. Only the one canonical spelling is read: any other is a Mistake, and so is an unsigned one."""
    try:
        if len(line) > LINE_BYTES:
            raise ValueError(f"it is longer than {LINE_BYTES} bytes")
        body = json.loads(line)
        if not isinstance(body, dict) or set(body) != {"payload", "payloadType", "signatures"}:
            raise ValueError("it has not exactly payload, payloadType and signatures")
        signatures = body["signatures"]
        if not isinstance(signatures, list) or not signatures:
            raise ValueError("nobody signed it")
        made = Envelope(
            payload=_bytes(body["payload"]), payload_type=_text(body["payloadType"]),
            signatures=tuple(_signature(one) for one in signatures))
        if encode(made) != line:
            raise ValueError("it is not spelled canonically")
    except (ValueError, RecursionError) as error:  # also binascii's and json's own
        raise Mistake(f"This is no envelope: {error}.", where=line[:80].decode(errors="replace")) from error
    return made


def verified(envelope: Envelope, keyid: str, public: bytes) -> bool:
    """Whether the owner of this ed25519 key (32 bytes) signed the envelope, by plain DSSE, under that key's id."""
    signed = pae(envelope.payload, envelope.payload_type)
    return any(one.keyid == keyid and _holds(public, one.sig, signed) for one in envelope.signatures)


def _holds(public: bytes, sig: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(sig, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def _bytes(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise ValueError(f"base64: {error}") from error


def _signature(value: object) -> Signature:
    if not isinstance(value, dict) or set(value) != {"keyid", "sig"}:
        raise ValueError("a signature has not exactly keyid and sig")
    return Signature(keyid=_text(value["keyid"]), sig=_bytes(value["sig"]))
