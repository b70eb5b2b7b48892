"""Reads what is signed, and by whom: trust file, envelopes, keys; standard library only, and it never knows a repository.

Nothing is read leniently: no field twice, one spelling of base64 and of a point, no number with a fraction. A statement counts only
with the signature of the role that may make it.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

NAMESPACE = "andon-approval@v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
TEST, RUN = "https://in-toto.io/attestation/test-result/v0.1", "https://slsa.dev/provenance/v1"
APPROVAL, SUMMARY = "https://andon.dev/attestation/human-approval/v1", "https://slsa.dev/verification_summary/v1"
CHECKPOINT, LANDING = "https://andon.dev/attestation/ledger-checkpoint/v1", "https://andon.dev/attestation/landing/v1"
WORD = {TEST: "a check run", RUN: "an agent run", APPROVAL: "an approval", SUMMARY: "a verification summary",
        CHECKPOINT: "a checkpoint", LANDING: "a landing record"}
ROLE = {TEST: "verifier", RUN: "daemon", SUMMARY: "daemon", CHECKPOINT: "daemon", LANDING: "daemon"}
LINE_LIMIT = 16 * 2**20
"""Bytes of one envelope."""
HEX, OID = re.compile(r"[0-9a-f]{64}"), re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")


class Refused(Exception):
    """It does not hold. The text is the reason."""


class Unevaluated(Exception):
    """It could not be looked at. The text says what was lacking."""


# --- ed25519, RFC 8032, strict: canonical s and points, no key or R of small order ----------------------------------------------

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)


def _add(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    one, two = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    three, four = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = two - one, four - three, four + three, two + one
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(a: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    one, two, three = a[0] * a[0] % P, a[1] * a[1] % P, 2 * a[2] * a[2] % P
    h = one + two
    e, g = h - (a[0] + a[1]) * (a[0] + a[1]), one - two
    f = three + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def _point(data: bytes) -> tuple[int, int, int, int] | None:
    """The point of 32 bytes; None when they are not the one spelling of one."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def _small(a: tuple[int, int, int, int]) -> bool:
    a = _double(_double(_double(a)))
    return a[0] % P == 0 and (a[1] - a[2]) % P == 0


BASE = _point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this is a signature of these bytes by that key, strictly."""
    if len(public) != 32 or len(signature) != 64 or BASE is None:
        return False
    key, spot, s = _point(public), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or spot is None or s >= L or _small(key) or _small(spot):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus = (P - key[0], key[1], key[2], P - key[3])
    table = (None, BASE, minus, _add(BASE, minus))
    found = (0, 1, 1, 0)
    for bit in range(max(s.bit_length(), k.bit_length()) - 1, -1, -1):
        found = _double(found)
        term = table[(s >> bit & 1) | (k >> bit & 1) << 1]
        found = found if term is None else _add(found, term)
    return (found[0] * spot[2] - spot[0] * found[2]) % P == 0 and (found[1] * spot[2] - spot[1] * found[2]) % P == 0


# --- reading, strictly ----------------------------------------------------------------------------------------------------------


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a field is there twice")
    return dict(pairs)


def _no_float(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no integer")


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) >= 2**53:
        raise ValueError(f"{text[:20]} is too large a number")
    return int(text)


def read_json(data: bytes, what: str, floats: bool = False) -> dict[str, Any]:
    """One JSON object: no field twice, no large number and (unless `floats`) none with a point. Raises Refused."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_int=_integer, parse_constant=_no_float,
                           parse_float=float if floats else _no_float)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the {what} cannot be read: {str(error)[:100] or 'nested too deep'}") from None
    if not isinstance(found, dict):
        raise Refused(f"the {what} cannot be read: it is no object")
    return found


def take(found: Any, kind: type, *path: str) -> Any:
    """The value at this path, of exactly this type. Raises Refused."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if type(found) is not kind:
        raise Refused(f"{'.'.join(path)} is missing, or is not what it should be")
    return found


def texts(found: Any, *path: str) -> list[str]:
    """A list of texts at this path."""
    items: list[str] = take(found, list, *path)
    if not all(isinstance(item, str) for item in items):
        raise Refused(f"{'.'.join(path)} is no list of texts")
    return items


def _unbase64(text: Any, what: str) -> bytes:
    try:
        data = base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is not base64 in its one spelling")
    return data


def sha256(data: bytes) -> str:
    """Of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def pae(payload: bytes) -> bytes:
    """What is signed: DSSE's encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def clean(text: object) -> str:
    """Words of somebody's, harmless to a terminal."""
    return "".join(sign if sign.isprintable() else "�" for sign in str(text))[:400]


class Trust(NamedTuple):
    """Whom to believe what: the one thing that does not come from the repository."""

    origin: str
    keys: dict[str, dict[str, bytes]]
    """By role (daemon, verifier), then by key id."""
    operators: str
    roles: dict[str, list[str]]
    policies: list[str]

    @classmethod
    def read(cls, path: Path) -> Trust:
        """The trust file. Raises Refused when it is none."""
        try:
            with path.open("rb") as file:
                data = file.read(2**20 + 1)
        except OSError as error:
            raise Unevaluated(f"the trust file {path} cannot be read: {error.strerror}") from None
        found = read_json(data[:2**20], "trust file")
        if found.get("version") != 1:
            raise Refused("the trust file is not of version 1")
        keys = {role: dict(map(_public, texts(found, role))) for role in ("daemon", "verifier")}
        if keys["daemon"].keys() & keys["verifier"].keys():
            raise Refused("the trust file gives one key two roles")
        roles = {name: texts(of, name) for of in (take(found, dict, "roles"),) for name in of}
        return cls(take(found, str, "origin"), keys, take(found, str, "operators"), roles, texts(found, "policies"))


def _public(line: str) -> tuple[str, bytes]:
    words = line.split()
    raw = _unbase64(words[1] if len(words) > 1 else "", "a key of the trust file")
    if words[0] != "ssh-ed25519" or len(raw) != 51 or raw[:19] != b"\0\0\0\x0bssh-ed25519\0\0\0\x20":
        raise Refused("the trust file has a key that is not ssh-ed25519")
    return sha256(raw[19:]), raw[19:]


class Envelope(NamedTuple):
    """A statement whose signature holds for the role that may make it."""

    digest: str
    kind: str
    commit: str
    tree: str
    body: dict[str, Any]
    """Its predicate."""
    payload: str
    """sha256 of the statement itself."""
    key: str
    """Which key signed: its id, or a person's fingerprint."""
    by: str
    """daemon, verifier, or the name of a person."""


def open_envelope(line: bytes, trust: Trust) -> Envelope:
    """Read an envelope and check who signed it. Raises Refused, or Unevaluated where ssh-keygen is lacking."""
    if len(line) > LINE_LIMIT:
        raise Refused("an envelope is larger than 16 MiB")
    outer = read_json(line, "envelope")
    if json.dumps(outer, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") != line:
        raise Refused("an envelope is not spelled canonically")
    signatures = take(outer, list, "signatures")
    if set(outer) != {"payload", "payloadType", "signatures"} or outer["payloadType"] != PAYLOAD_TYPE or len(signatures) != 1:
        raise Refused("an envelope is not one in-toto payload with one signature")
    payload, sig = _unbase64(outer["payload"], "a payload"), _unbase64(take(signatures[0], str, "sig"), "a signature")
    keyid = take(signatures[0], str, "keyid")
    said = read_json(payload, "statement")
    kind, body, subject = take(said, str, "predicateType"), take(said, dict, "predicate"), take(said, list, "subject")
    if said.get("_type") != STATEMENT or len(subject) != 1 or kind not in WORD:
        raise Refused(f"a statement is of an unknown type: {clean(kind)}")
    names = take(subject[0], dict, "digest")
    by, key = _signer(trust, kind, body, payload, keyid, sig)
    commit, tree = (names.get("sha256", ""), "") if kind == CHECKPOINT else (names.get("gitCommit", ""), names.get("gitTree", ""))
    if kind != CHECKPOINT and not (OID.fullmatch(str(commit)) and OID.fullmatch(str(tree))):
        raise Refused(f"the subject of {WORD[kind]} is no commit and tree")
    return Envelope(sha256(line), kind, str(commit), str(tree), body, sha256(payload), key, by)


def _signer(trust: Trust, kind: str, body: dict[str, Any], payload: bytes, keyid: str, sig: bytes) -> tuple[str, str]:
    """Who signed, and with which key. Only the role that may make such a statement counts."""
    if kind == APPROVAL and body.get("signed", True) is True:
        who, when = take(body, str, "approver"), take(body, str, "time")
        return who, operator(trust, who, when, pae(payload), keyid, sig)
    role = ROLE.get(kind, "daemon")
    public = trust.keys[role].get(keyid)
    if public is None:
        other = next((name for name, keys in trust.keys.items() if keyid in keys), "")
        who = f"the {other}'s key" if other else f"a key that the trust file does not name ({clean(keyid)[:12]})"
        raise Refused(f"{WORD[kind]} is signed with {who}; only the {role} may state it")
    if not ed25519(public, pae(payload), sig):
        raise Refused(f"the signature of {WORD[kind]} does not hold")
    return role, keyid


def _sshsig(armored: bytes) -> tuple[bytes, str]:
    """Public key and namespace inside an armored SSH signature."""
    match = re.fullmatch(rb"\s*-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*", armored)
    try:
        raw = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
    except (ValueError, binascii.Error):
        raw = b""
    fields: list[bytes] = []
    at = 10
    while raw[:10] == b"SSHSIG\0\0\0\1" and len(fields) < 2 and at + 4 <= len(raw):
        size = int.from_bytes(raw[at:at + 4], "big")
        fields.append(raw[at + 4:at + 4 + size])
        at += 4 + size
    if len(fields) != 2:
        raise Refused("an approval's signature is no SSH signature")
    return fields[0], fields[1].decode(errors="replace")


def operator(trust: Trust, who: str, when: str, signed: bytes, keyid: str, armored: bytes) -> str:
    """The fingerprint of the person's key that signed; expiry counts at the time of the approval. Raises Refused."""
    public, namespace = _sshsig(armored)
    fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")
    if namespace != NAMESPACE:
        raise Refused(f"an approval's signature was made for {clean(namespace)}, and not for {NAMESPACE}")
    if keyid != fingerprint:
        raise Refused("an approval names another key than the one that signed it")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,255}", who) or not moment(when):
        raise Refused("an approval has no readable approver or time")
    with tempfile.TemporaryDirectory(prefix="andon-verify-") as place:
        allowed, sig = Path(place) / "allowed_signers", Path(place) / "signature"
        allowed.write_text(trust.operators)
        sig.write_bytes(armored)
        argv = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", who, "-n", NAMESPACE, "-s", str(sig),
                "-O", "verify-time=" + re.sub(r"\D", "", when)]
        env = {"PATH": os.environ.get("PATH", ""), "TZ": "UTC0", "HOME": place, "LC_ALL": "C"}
        try:
            done = subprocess.run(argv, input=signed, capture_output=True, env=env, cwd=place, timeout=30, check=False)
        except FileNotFoundError:
            raise Unevaluated("ssh-keygen is not on PATH: approvals cannot be checked") from None
        except subprocess.TimeoutExpired:
            raise Unevaluated("ssh-keygen did not answer within 30 s") from None
    told = (done.stderr + done.stdout).decode(errors="replace").lower()
    if done.returncode != 0 and ("unknown option" in told or "usage:" in told):
        raise Unevaluated("this ssh-keygen is too old to check approvals")
    if done.returncode != 0:
        why = "had expired by then" if "expired" in told else "is not valid yet at that time" if "not yet valid" in told else (
            "is not one that the trust file allows them, or it signed something else")
        raise Refused(f"the approval by {clean(who)} does not hold: the key {fingerprint[:19]}… {why}")
    return fingerprint


def moment(text: str) -> int:
    """Unix seconds of `2026-11-20T04:57:12Z`; 0 when it is written otherwise."""
    try:
        return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return 0
