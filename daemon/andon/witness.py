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
        at = approval.milliseconds(signature.time)
        if at is None or abs(at - self._loop.clock.now()) > SKEW_S * 1000:
            raise Mistake(f"the signature is of {signature.time[:40]}, which is not now", where=gate.gate,
                          mend="sign it again; compare the clocks when it was made on another machine")
        payload = self._payload(gate, answer, signature.approver, signature.role, at)
        key = await operators.verify(self._layout.allowed_signers, signature.approver, payload, signature.sshsig)
        return Approver(name=signature.approver, role=signature.role, key=key), payload

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
