"""Establishes who answers a gate before the core hears of it, and keeps what they said as evidence. It decides nothing.

Theory of operation. A face sends an answer with, at most, a signature, its signer's name, role and time. The statement is built
here anew from what the gate is (nonce, bound digest, commit, tree, diff), so a signature for anything else does not verify. Only
then does the answer go on, with `approver` filled in by us; whatever a face wrote there is thrown away. An answer without a
signature is kept as a statement of the daemon's, which says `"signed": false`.
"""

from collections.abc import Callable

import msgspec

from andon.core import refuse
from andon.core.state import Gate
from andon.edges import operators
from andon.edges.blobs import Blobs
from andon.loop import Loop
from andon.schema import approval, inputs as i
from andon.schema.errors import Mistake, Problem
from andon.schema.gate_events import Approver
from andon.schema.ids import Digest
from andon.schema.layout import Layout

SKEW_S = 600
"""How far a signature's own time may be from ours."""
Sign = Callable[[bytes], tuple[str, bytes]]
"""The daemon's own signature over what it is given: key id and raw bytes."""


class Witness:
    """Looks at the answers of one factory. `sign`, when set, puts the daemon's signature under what nobody signed."""

    def __init__(self, layout: Layout, loop: Loop, blobs: Blobs, sign: Sign | None = None) -> None:
        self._layout, self._loop, self._blobs = layout, loop, blobs
        self.sign = sign

    async def looked(self, answer: i.AnswerGate) -> i.AnswerGate:
        """The answer with who gave it. Mistake when it cannot count whoever gave it, or when its signature is none."""
        bare = msgspec.structs.replace(answer, signature=None, approver=None)
        gate = self._loop.state.gates.get(answer.gate)
        _raise(refuse.ready(self._loop.state, bare))
        if gate is None or gate.kind != "review":
            return bare
        if answer.signature is None:
            who, payload = Approver(name=answer.by), self._payload(gate, answer, answer.by, "", self._loop.clock.now())
            signatures = [self.sign(approval.pae(payload))] if self.sign else []
        else:
            who, payload = await self._signed(gate, answer, answer.signature)
            signatures = [(who.key, answer.signature.sshsig.encode())]
        told = msgspec.structs.replace(bare, approver=who)
        _raise(refuse.refuse(self._loop.state, told))
        line = approval.envelope(payload, signatures)
        return msgspec.structs.replace(told, approver=msgspec.structs.replace(who, envelope=self._keep(line)))

    async def _signed(self, gate: Gate, answer: i.AnswerGate, signature: i.Signature) -> tuple[Approver, bytes]:
        """Who signed, and what."""
        if not gate.nonce:
            raise Mistake(f"{gate.gate} was asked without a nonce, so nobody can sign for it", where=gate.question,
                          mend="an earlier release asked it: `andon down`, then `andon up`, and it is asked again")
        at = self._moment(signature, gate.gate)
        payload = self._payload(gate, answer, signature.approver, signature.role, at)
        key = await operators.verify(self._layout.allowed_signers, signature.approver, payload, signature.sshsig)
        return Approver(name=signature.approver, role=signature.role, key=key), payload

    async def signed(self, command: i.WaiveRule | i.ApproveLights) -> i.WaiveRule | i.ApproveLights:
        """The command with its signature looked at and kept; without one as it is. Mistake when it is no signature of these words.

        It stands in the place of whoever would have signed at the gate, so it has to be one who could: where the policy asks
        for several keys or roles at a gate, one signature sets nothing aside.
        """
        given, bare = command.signed, msgspec.structs.replace(command, signed=None, signature=Digest(""))
        repo = self._loop.state.repos.get(command.repo)
        if given is None or repo is None:
            return bare
        policy = repo.settings.policy
        if max(policy.stop_keys, len(policy.stop_roles)) > 1 or not set(policy.stop_roles) <= {given.role}:
            raise Mistake("[policy] asks for more at a gate than this one signature", where=command.repo,
                          mend="approve the change at its gate, where all can sign")
        at = self._moment(given, command.repo)
        kind = "waiver" if isinstance(command, i.WaiveRule) else "lights"
        payload = approval.terms(
            kind, command.repo, command.terms, approver=given.approver, role=given.role, time=approval.moment(at))
        key = await operators.verify(self._layout.allowed_signers, given.approver, payload, given.sshsig)
        held = self._loop.state.factory.operators.get(given.approver, ())
        if given.role and given.role not in held:
            raise Mistake(f"{given.approver} has no role {given.role} here", where=command.repo,
                          mend="[operators] in your own andon.toml")
        kept = self._keep(approval.envelope(payload, [(key, given.sshsig.encode())]))
        return msgspec.structs.replace(bare, signature=kept)

    def _moment(self, signature: i.Signature, where: str) -> int:
        """When it was signed, as it says itself: about now."""
        at = approval.milliseconds(signature.time)
        if at is None or abs(at - self._loop.clock.now()) > SKEW_S * 1000:
            raise Mistake(f"the signature is of {signature.time[:40]}, which is not now", where=where,
                          mend="sign it again; compare the clocks when it was made on another machine")
        return at

    def _payload(self, gate: Gate, answer: i.AnswerGate, who: str, role: str, at: int) -> bytes:
        """The statement of this answer, from what the gate is."""
        task = self._loop.state.tasks[gate.task]
        work = task.work
        return approval.statement(
            repo=task.repo, task=task.task, commit=gate.commit, tree=work.tree if work and gate.commit else "", gate=gate.gate,
            nonce=gate.nonce, decision=answer.option, approver=who, role=role, diff=work.diff if work else "", summary=gate.bound,
            time=approval.moment(at), signed=bool(answer.signature),
        )

    def _keep(self, line: bytes) -> Digest:
        """The envelope as a blob, whole: one in which something would be withheld proves nothing."""
        digest = self._blobs.put(line)
        if self._blobs.get(digest) != line:
            raise Mistake("the statement of this answer holds what looks like a secret, and cannot be kept whole",
                          mend="answer it in other words")
        return digest


def _raise(problem: Problem | None) -> None:
    """A problem as the mistake that it is."""
    if problem is not None:
        raise Mistake(problem.what, where=problem.where, mend=problem.mend)
