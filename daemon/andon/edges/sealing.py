"""Seals the evidence of a change, and records that of a landing, under `refs/andon/evidence`; must never decide what is enough.

Theory of operation. All that belongs to one seal goes in with *one* `git fast-import`: the bundle, what its statements point to,
and `seals/<key>`, which names the bundle by the digest of the parts that it was made from. The ref moves at the end of it, from
the commit that was read before, so that there is all of a seal or nothing; who was slower looks again. A repeated seal finds its
key and answers what the bundle itself says, once that has proven to be ours: whoever can write to the ref can name any bundle.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from andon.edges import dsse, statements, withheld
from andon.edges.checkpoints import Checkpoints
from andon.edges.evidence_ref import WRITES, Import, reading, writing
from andon.edges.keys import Keys
from andon.schema.errors import Mistake
from andon.schema.evidence import (
    APPROVAL,
    CHECKPOINT,
    EVIDENCE_REF,
    TEST_RESULT,
    VERDICT,
    ChangeParts,
    ClaimPart,
    LandingParts,
    Sealed,
)
from andon.schema.faults import point
from andon.schema.ids import Digest

BLOB_BYTES = 256 * 1024
"""What is larger stays in the local store; the statements name it all the same."""
BLOBS = 400
"""Blobs of one seal that go into the repository."""
_FILES = ("log", "report", "passed-tests", "findings", "coverage", "kept")
"""Names in a check's `configuration` that are blobs of ours."""


class Store(Protocol):
    """Where blobs are kept."""

    def put(self, data: bytes) -> Digest:
        """Keep these bytes."""
        ...

    def get(self, digest: Digest) -> bytes:
        """The bytes again."""
        ...

    def size(self, digest: Digest) -> int:
        """How many; -1 when they are not there."""
        ...


async def seal_change(parts: ChangeParts, blobs: Store, keys: Keys, checkpoints: Checkpoints) -> Sealed:
    """Sign what is known of a change, keep it in its repository, and name it. The same parts are sealed once, whoever asks again.

    The bundle and the settings that judged are blobs of the store too. Raises Mistake when evidence is missing, unsigned, or of
    another tree, and when the repository cannot be written.
    """
    key = key_of(parts)
    for _ in range(WRITES):
        async with writing(parts.git_dir) as ref:
            found = await _sealed_before(parts, key, keys, ref.read)
            if found is not None:
                return found
            at = statements.checkpoint(await checkpoints.at())
            sealed, files = await asyncio.to_thread(_bundle, parts, blobs, keys, at)
            files[f"seals/{_fanned(key)}"] = sealed.bundle.encode()
            point("seal.made")
            if await ref.write(Import(message=f"Seal {parts.task}", files=files)):
                point("seal.written")
                return sealed
    raise busy(parts.git_dir)


async def record_landing(parts: LandingParts, blobs: Store, keys: Keys, checkpoints: Checkpoints) -> None:
    """Sign what landed, and keep it with what was proven about the merged tree. Recorded once, whoever asks again.

    Changes that landed as other commits are no part of the target's history: the record keeps their own, for who makes the merge
    again in a clone.

    A run whose envelope is not there or is unsigned is named, and missing: who verifies sees that. Raises Mistake when the
    repository cannot be written.
    """
    path = f"landings/{parts.commit[:2]}/{parts.commit}.jsonl"
    statement = statements.landing(parts)
    for _ in range(WRITES):
        async with writing(parts.git_dir) as ref:
            if _landed_before(await ref.read(path), statement, keys):
                return
            runs = await asyncio.to_thread(_runs, parts, blobs, keys)
            at = keys.daemon.sign(statements.checkpoint(await checkpoints.at()))
            files = await asyncio.to_thread(_files_of, runs, blobs)
            point("landing-record.made")
            files[path] = file_of([keys.daemon.sign(statement), *runs, at])
            own = () if parts.how == "merge" else tuple(dict.fromkeys(member.change for member in parts.members))
            if await ref.write(Import(message=f"Record landing {parts.landing}", files=files, holds=own)):
                point("landing-record.written")
                return
    raise busy(parts.git_dir)


async def read_evidence(git_dir: str, path: str) -> bytes | None:
    """A file of the evidence of a repository as it is now; None when there is none. Says nothing about who wrote it."""
    return await (await reading(git_dir)).read(path)


def key_of(parts: ChangeParts) -> Digest:
    """The name of a seal: sha256 of its parts in canonical JSON, wherever their repository lies."""
    return dsse.digest_of(dsse.canonical(msgspec.to_builtins(msgspec.structs.replace(parts, git_dir=""))))


def file_of(lines: Sequence[bytes]) -> bytes:
    """Envelopes as a file has them: one a line, each line ended."""
    return b"".join(line + b"\n" for line in lines)


def busy(git_dir: str) -> Mistake:
    """The error of a ref that others move all the time."""
    return Mistake("The evidence could not be written: something else kept moving its ref.", where=f"{git_dir}: {EVIDENCE_REF}",
                   mend="See what writes to it; then the seal is made again.")


def _fanned(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


def _in_git(digest: str) -> str:
    return f"blobs/{_fanned(digest)}"


# --- what goes in ----------------------------------------------------------------------------------------------------


def _bundle(parts: ChangeParts, blobs: Store, keys: Keys, checkpoint: bytes) -> tuple[Sealed, dict[str, bytes]]:
    """What is to be kept of a change, by its path, with the name of it. The verdict is the bundle's last line."""
    tests = [_envelope(parts, blobs, one.evidence, f"the claim {one.claim}") for one in _ran(parts.claims)]
    approvals = [_envelope(parts, blobs, one, "an approval") for one in dict.fromkeys(parts.approvals)]
    for line in tests:
        _refuse_foreign(line, parts, TEST_RESULT, keys.verifier.signed, tree_alone=True)
    for line in approvals:
        _refuse_foreign(line, parts, APPROVAL, lambda _: True)
    files = _files_of(tests, blobs)
    policy, spec, _ = (_text_blob(text, blobs, files) for text in (parts.policy, parts.spec, parts.shown))
    before = (*tests, keys.daemon.sign(statements.agent_run(parts, spec)), *approvals, keys.daemon.sign(checkpoint))
    lines = (*before, keys.daemon.sign(statements.verdict(parts, policy, [dsse.digest_of(line) for line in before])))
    sealed, data = told_by(lines), file_of(lines)
    assert sealed is not None and sealed.policy == policy
    if blobs.put(data) != sealed.bundle:
        raise Mistake("A signed statement looks as if it held a secret, so it was not kept.", where=f"{parts.task}: its bundle",
                      mend="See `andon forget`; then the seal is made again.")
    return sealed, files | {f"bundles/{_fanned(sealed.bundle)}.jsonl": data}


def _ran(claims: Sequence[ClaimPart]) -> list[ClaimPart]:
    """Claims with evidence, each evidence once."""
    return list({one.evidence: one for one in claims if one.evidence}.values())


def _text_blob(text: str, blobs: Store, files: dict[str, bytes]) -> Digest:
    """Keep a text without secrets; small ones in the repository too."""
    data = withheld.data(text.encode("utf-8", "replace"))
    digest = blobs.put(data)
    if len(data) <= BLOB_BYTES:
        files[_in_git(digest)] = data
    return digest


def _files_of(lines: Sequence[bytes], blobs: Store) -> dict[str, bytes]:
    """The blobs that check runs point to, as far as they are small and there; a large one is not even read."""
    files: dict[str, bytes] = {}
    for line in lines:
        for one in _configuration(dsse.decode(line).statement):
            if len(files) < BLOBS and 0 <= blobs.size(one) <= BLOB_BYTES:
                files[_in_git(one)] = blobs.get(one)
    return files


def _configuration(statement: Mapping[str, Any]) -> list[Digest]:
    listed = statement.get("predicate", {}).get("configuration", [])
    return [Digest(one["digest"]["sha256"]) for one in listed if one["name"] in _FILES]


def _envelope(parts: ChangeParts, blobs: Store, digest: Digest, what: str) -> bytes:
    line = blobs.get(digest)
    try:
        dsse.decode(line)
    except Mistake as error:
        raise Mistake(f"What {what} rests on was never signed, or is damaged: it cannot be sealed.", where=f"blob {digest[:12]}",
                      mend=f"Let it be proven or decided again: `andon retry {parts.task}`.") from error
    return line


def _refuse_foreign(line: bytes, parts: ChangeParts, wanted: str, signed: Callable[[dsse.Envelope], bool],
                    *, tree_alone: bool = False) -> None:
    """A Mistake for an envelope that is of another kind, signer or change. A run on another commit of the same tree is as good."""
    envelope = dsse.decode(line)
    kind, about = envelope.statement.get("predicateType"), _about(envelope)
    fits = about.get("gitTree") == parts.tree and (tree_alone or about.get("gitCommit") == parts.commit)
    why = "" if kind == wanted else f"it is a {kind}"
    why = why or ("" if fits else f"it is about {str(about.get('gitCommit'))[:12]} and not about {parts.commit[:12]}")
    why = why or ("" if signed(envelope) else "its signature is not of a key of this factory")
    if why:
        raise Mistake(f"This evidence does not belong to {parts.task}: {why}.", where=f"blob {dsse.digest_of(line)[:12]}",
                      mend=f"Let it be proven or decided again: `andon retry {parts.task}`.")


def _about(envelope: dsse.Envelope) -> dict[str, Any]:
    """The digests of the one subject; empty when there is another number of them."""
    subject = envelope.statement.get("subject")
    only = subject[0] if isinstance(subject, list) and len(subject) == 1 else {}
    digests = only.get("digest") if isinstance(only, dict) else {}
    return digests if isinstance(digests, dict) else {}


def told_by(lines: Sequence[bytes]) -> Sealed | None:
    """What a bundle says of its policy and checkpoint; None when it has not exactly one of each. Checks no signature."""
    found = [dsse.decode(line).statement for line in lines]
    verdicts = [one["predicate"] for one in found if one.get("predicateType") == VERDICT]
    points = [one["predicate"] for one in found if one.get("predicateType") == CHECKPOINT]
    if len(verdicts) != 1 or len(points) != 1:
        return None
    return Sealed(bundle=dsse.digest_of(file_of(lines)), policy=Digest(verdicts[0]["policy"]["digest"]["sha256"]),
                  ledger=f"{points[0]['size']} {points[0]['root']}")


# --- what was there --------------------------------------------------------------------------------------------------


async def _sealed_before(parts: ChangeParts, key: Digest, keys: Keys,
                         read: Callable[[str], Awaitable[bytes | None]]) -> Sealed | None:
    named = await read(f"seals/{_fanned(key)}")
    if named is None or len(named) != 64 or not named.isalnum():
        return None
    digest = named.decode(errors="replace")
    data = await read(f"bundles/{_fanned(digest)}.jsonl")
    if data is None or dsse.digest_of(data) != digest:
        return None
    return await asyncio.to_thread(_ours, parts, data, keys)


def _ours(parts: ChangeParts, data: bytes, keys: Keys) -> Sealed | None:
    """What a bundle of this change says, when its verdict and checkpoint are ours and cover it whole; else None."""
    try:
        lines = data.removesuffix(b"\n").split(b"\n")
        envelopes = [dsse.decode(line) for line in lines]
        said = envelopes[-1].statement
        inputs = [one["digest"]["sha256"] for one in said["predicate"]["inputAttestations"]]
        wanted = {*(one.evidence for one in _ran(parts.claims)), *parts.approvals}
        covered = inputs == [dsse.digest_of(line) for line in lines[:-1]] and wanted <= {*inputs}
        whole = covered and keys.daemon.signed(envelopes[-1])
        expected = statements.verdict(parts, said["predicate"]["policy"]["digest"]["sha256"], inputs)
        return told_by(lines) if whole and _sameness(expected) == _sameness(envelopes[-1].payload) else None
    except (Mistake, LookupError, TypeError):  # written by somebody else: it is made again
        return None


def _sameness(payload: bytes) -> object:
    """A verdict but for the release that made it."""
    body = msgspec.json.decode(payload)
    return {**body, "predicate": {key: one for key, one in body["predicate"].items() if key != "verifier"}}


def _landed_before(data: bytes | None, statement: bytes, keys: Keys) -> bool:
    if data is None:
        return False
    try:
        first = dsse.decode(data.partition(b"\n")[0])
    except Mistake:
        return False
    return first.payload == statement and keys.daemon.signed(first)


def _runs(parts: LandingParts, blobs: Store, keys: Keys) -> list[bytes]:
    """The envelopes of the runs, as far as they are there, signed, and about this tree."""
    found = []
    for digest in dict.fromkeys(parts.runs):
        if blobs.size(digest) > 0:
            line = blobs.get(digest)
            if _is_run(line, parts.tree, keys):
                found.append(line)
    return found


def _is_run(line: bytes, tree: str, keys: Keys) -> bool:
    try:
        envelope = dsse.decode(line)
    except Mistake:
        return False
    return _about(envelope).get("gitTree") == tree and keys.verifier.signed(envelope)
