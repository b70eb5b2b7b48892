"""Answering gates, bound to what was seen and signed where a key is set: what `gate answer`, `approve` and `reject` share."""

import argparse
import time
from collections.abc import Sequence
from typing import TypeVar

from andon.cli import codes, out, reach
from andon.client import Client, DaemonDown, Declined
from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.inputs import AnswerGate, ApproveLights, WaiveRule
from andon.schema.sentences import plural
from andon.schema.settings import Operator
from andon.schema.views import AnyView, FactoryView, GateView

Policed = TypeVar("Policed", WaiveRule, ApproveLights)
BOUND_SHOWN = 16
"""Digits of a digest that people see; that many or more name it."""
BATCH_LIMIT = 100
"""Gates that are answered in one go."""


def signed_arguments(parser: argparse.ArgumentParser) -> None:
    """What every verb that answers takes."""
    parser.add_argument("--role", default="", help="sign in this role of yours; without it, in the first that is still needed")


def answer(
    client: Client, named: Sequence[str], option: str, *, because: str = "", bound: str = "", role: str = "",
) -> int:
    """Show what the answers are bound to, sign and send one after the other, and say what was recorded.

    All gates are shown before any is answered. A refusal of one is told and the others go on; alone, it is raised.
    """
    if len(named) > BATCH_LIMIT:
        raise Mistake(f"{len(named)} gates are more than a person answers in one go", mend=f"at most {BATCH_LIMIT}")
    if bound and len(named) > 1:
        raise Mistake("one digest cannot be that of several gates", where="--bound", mend="answer that gate alone")
    views = client.views()
    gates = {gate.gate: gate for gate in (reach.the_gate(views, name) for name in named)}.values()
    chosen_ = [(gate, *chosen(gate, option, because)) for gate in gates]
    for gate in gates:
        print("\n".join(summary(gate)))
    refused = 0
    for gate, choice, words in chosen_:
        try:
            _one(client, views, gate, AnswerGate(gate=gate.gate, option=choice, because=words, bound=bound_to(gate, bound)), role)
        except DaemonDown:
            raise
        except Mistake as mistake:
            if len(chosen_) == 1:
                raise
            refused += 1
            declined = "was declined" if isinstance(mistake, Declined) else "was not answered"
            mend = f" ({out.clean(mistake.problem.mend)})" if mistake.problem.mend else ""
            out.say(f"andon: {gate.gate} {declined}: {out.clean(mistake.problem.what)}{mend}")
    if refused:
        out.say(f"andon: {refused} of {plural(len(chosen_), 'gate')} stayed as they were")
    return codes.DECLINED if refused else codes.OK


def _one(client: Client, views: Sequence[AnyView], gate: GateView, command: AnswerGate, role: str) -> None:
    """Sign one answer where a key is set, send it, and say what was recorded."""
    from andon import signing

    factory = next(iter(reach.of(FactoryView, views)), None)
    operator = factory.operator if factory else Operator()
    if factory is not None and signing.signs(operator, gate) and command.bound == gate.bound:
        import msgspec

        signature = signing.sign(operator, factory.operators, gate, command.option, role)
        command = msgspec.structs.replace(command, signature=signature)
    elif role:
        raise Mistake(f"an answer to {gate.gate} is not signed here, so it is in no role", where="--role",
                      mend="[operator] in your own andon.toml names the key that signs; questions of agents are never signed")
    done = client.do(command)
    print(out.clean(done.text) or f"{gate.gate} answered: {command.option}")


def with_signature(views: Sequence[AnyView], command: Policed, role: str) -> Policed:
    """A command about the policy, signed where a key is set."""
    import msgspec

    from andon import signing

    factory = next(iter(reach.of(FactoryView, views)), None)
    if factory is None:
        return command
    kind = "waiver" if isinstance(command, WaiveRule) else "lights"
    signed = signing.sign_terms(factory.operator, factory.operators, kind, command.repo, command.terms, role)
    return msgspec.structs.replace(command, signed=signed)


def chosen(gate: GateView, option: str, because: str) -> tuple[str, str]:
    """The option to send and the words with it. To an agent's question, other words than an option are an answer of one's own."""
    keys = [one.key for one in gate.options]
    if option in keys or (not keys and option):
        return option, because
    words = option or because
    if gate.kind == "question" and words:
        return "answer", words
    told = ", ".join(keys) or "your own words"
    if not option:
        raise Mistake(f"{gate.gate} needs an option", where=gate.question, mend=f"its options are: {told}")
    raise Mistake(f"{gate.gate} has no option `{option}`", where=gate.question, mend=f"its options are: {told}")


def bound_to(gate: GateView, seen: str) -> Digest:
    """What the answer is bound to: what was just shown, or what a person saw earlier (whole, or its first digits)."""
    if not seen:
        return gate.bound
    if len(seen) < BOUND_SHOWN:
        raise Mistake(f"`{seen}` is too short to name what you saw", where="--bound",
                      mend=f"give at least {BOUND_SHOWN} digits, as `andon gate show {gate.gate}` prints them")
    return gate.bound if gate.bound.startswith(seen) else Digest(seen)


def summary(gate: GateView) -> list[str]:
    """What an answer binds to, in a few lines."""
    lines = [f"{gate.gate}  {gate.task}  {out.clean(gate.title)}"]
    if gate.commit or gate.files:
        lines.append(f"  change  {plural(gate.files, 'file')}, +{gate.insertions} -{gate.deletions}, commit {gate.commit[:10]}")
    if gate.walls:
        lines.append(f"  walls   {gate.walls}: the weakest that it was built or proven within")
    for claim in gate.claims:
        rests = f" [evidence {claim.evidence[:12]}]" if claim.evidence else ""
        lines.append(f"  {out.paint(f'{out.state_word(claim.status):<13}', claim.status)} {out.clean(claim.claim)}"
                     + (f": {out.clean(claim.because)}" if claim.because else "") + rests)
    for one in gate.approvals:
        lines.append(f"  yes     {out.clean(one.name)}{f' as {out.clean(one.role)}' if one.role else ''}, key {one.key}")
    if gate.missing:
        lines.append(f"  needs   {out.clean(', '.join(gate.missing))}")
    if gate.bound:
        lines.append(f"  bound   {gate.bound[:BOUND_SHOWN]}")
    return lines


def cost(gate: GateView) -> str:
    """What its task spent so far, in words."""
    if not gate.tokens and not gate.usd:
        return "nothing metered" if gate.metered else "not known"
    return f"{'' if gate.metered else 'at least '}${gate.usd:.2f}, {gate.tokens:,} tokens"


def marks(gate: GateView, now: float | None = None) -> list[str]:
    """What else is to be known of a gate in a list: a nap, who it is for, that it rose, whose keys are there."""
    told = []
    if gate.snoozed_until / 1000 > (time.time() if now is None else now):
        told.append(f"snoozed until {out.moment(gate.snoozed_until)[5:16]}")
    told += [f"for {gate.to}"] if gate.to else []
    told += [f"told again {gate.raised}x"] if gate.raised else []
    told += [f"{len(gate.approvals)} of {plural(gate.keys, 'key')}"] if gate.keys else []
    return [*told, *(["cannot be approved"] if gate.blocked else [])]


def facts(gate: GateView) -> list[str]:
    """All that a person has to know, without the diff."""
    lines = [out.paint(f"{gate.gate}  {out.clean(gate.question)}", "bold"),
             f"  about      {gate.task} {out.clean(gate.title)} ({gate.repo}), {plural(gate.attempts, 'attempt')}",
             f"  kind       {gate.kind}, risk {gate.risk}, open for {out.age(gate.opened_at) or 'a moment'}",
             f"  cost       {cost(gate)}"]
    if gate.because:
        lines.append(f"  because    {out.clean(gate.because)}")
    lines += [f"  note       {out.clean(mark)}" for mark in marks(gate)]
    if gate.to_because:
        lines.append(f"  left to    {out.clean(gate.to)}: {out.clean(gate.to_because)}")
    for one in gate.options:
        mark = " (recommended)" if one.key == gate.recommendation else ""
        effect = f" — {out.clean(one.consequence)}" if one.consequence else ""
        lines.append(f"  option     {one.key}{mark}: {out.clean(one.label)}{effect}")
    if gate.blocked:
        lines += [f"  blocked    {out.clean(gate.blocked)}", f"             {out.clean(gate.blocked_mend)}"]
    if gate.kind == "question":
        lines.append(f"  answer     andon gate answer {gate.gate} \"your words\"")
    return [*lines, *summary(gate)[1:]]
