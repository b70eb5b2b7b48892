"""What a person's answer to a gate says as a statement, and how it is enveloped. Pure, standard library only; it never knows a key.

The statement is in-toto v1 in canonical JSON (sorted keys, no spaces, texts only). A face builds it from what it showed, the daemon
builds it again from what the gate is, and a signature made over one holds for the other only when they are the same bytes. It is
signed as DSSE asks (`pae`), with `ssh-keygen -Y sign` under a namespace of its own, so that a signature made for git, for another
program or for another gate is none.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

NAMESPACE = "andon-approval@v1"
"""What the signature is for, as ssh-keygen wants to know it."""
PREDICATE = "https://andon.dev/attestation/human-approval/v1"
STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(?:@[A-Za-z0-9._-]{1,190})?")
"""A person's name, as settings and allowed_signers have it."""
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
SIGNATURE_LIMIT = 64 * 1024
"""Characters of an armored signature."""


def statement(
    *, repo: str, task: str, commit: str, tree: str, gate: str, nonce: str, decision: str, approver: str, role: str, diff: str,
    summary: str, time: str, signed: bool = True,
) -> bytes:
    """The canonical bytes of one answer. `decision` is the option's key, `diff` and `summary` are sha256 in hex (the summary's is
    what the gate is bound to), `time` is as `moment` writes it. A change is named by commit and tree; work that has none yet by
    the digest of what was shown."""
    subject = {"name": f"git+{repo}", "digest": {"gitCommit": commit, "gitTree": tree}}
    if not commit:
        subject = {"name": f"task+{repo}/{task}", "digest": {"sha256": summary}}
    predicate = {
        "decision": decision, "gate": gate, "nonce": nonce, "approver": approver, "role": role,
        "shown": {"diffSha256": diff, "summarySha256": summary}, "time": time, **({} if signed else {"signed": False}),
    }
    return canonical({"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": predicate})


def terms(kind: str, repo: str, said: Mapping[str, str], *, approver: str, role: str, time: str) -> bytes:
    """The canonical bytes of what a person lets the policy of a repository do: `kind` is `waiver` or `lights`, `said` all of its
    terms. It names no change: what it covers is said by the terms."""
    whole = hashlib.sha256(canonical(dict(said))).hexdigest()
    predicate: dict[str, str] = {**said, "approver": approver, "role": role, "time": time}
    return canonical({
        "_type": STATEMENT, "subject": [{"name": f"policy+{repo}", "digest": {"sha256": whole}}],
        "predicateType": f"https://andon.dev/attestation/{kind}/v1", "predicate": predicate,
    })


def canonical(value: object) -> bytes:
    """Sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def pae(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def envelope(payload: bytes, signatures: list[tuple[str, bytes]]) -> bytes:
    """The DSSE envelope as one line without its newline; of each signature the key's id and the raw bytes."""
    return canonical({
        "payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(sig).decode()} for keyid, sig in signatures],
    })


def nonce(seed: str, gate: str) -> str:
    """The nonce of a gate, from a seed that nobody could guess; empty without one.

    Gates of one ledger have names that never come again; the seed makes theirs differ from those of any other ledger, and keeps
    a signature for a gate from being made before the gate is there.
    """
    return hashlib.sha256(f"andon gate nonce\n{seed}\n{gate}".encode()).hexdigest()[:32] if seed else ""


def moment(at: int) -> str:
    """A moment (unix milliseconds) as statements write it: `2026-01-31T14:05:06Z`."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(time: str) -> int | None:
    """The moment that a statement writes; None when it writes it otherwise."""
    try:
        return int(datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None
