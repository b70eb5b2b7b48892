"""Answering a gate, bound to what was seen: what `gate answer`, `approve` and `reject` share."""

from andon.cli import codes, out, reach
from andon.client import Client
from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.inputs import AnswerGate
from andon.schema.sentences import plural
from andon.schema.views import GateView

BOUND_SHOWN = 16
"""Digits of a digest that people see; that many or more name it."""


def answer(client: Client, named: str, option: str, *, because: str = "", bound: str = "") -> int:
    """Show what the answer is bound to, send it, and say what was recorded. Declined when the gate changed meanwhile."""
    gate = reach.the_gate(client.views(), named)
    choice, words = chosen(gate, option, because)
    print("\n".join(summary(gate)))
    done = client.do(AnswerGate(gate=gate.gate, option=choice, because=words, bound=bound_to(gate, bound)))
    print(out.clean(done.text) or f"{gate.gate} answered: {choice}")
    return codes.OK


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
    lines += [f"  {out.paint(f'{out.state_word(claim.status):<13}', claim.status)} {out.clean(claim.claim)}"
              + (f": {out.clean(claim.because)}" if claim.because else "") for claim in gate.claims]
    if gate.bound:
        lines.append(f"  bound   {gate.bound[:BOUND_SHOWN]}")
    return lines


def facts(gate: GateView) -> list[str]:
    """All that a person has to know, without the diff."""
    lines = [out.paint(f"{gate.gate}  {out.clean(gate.question)}", "bold"),
             f"  about      {gate.task} {out.clean(gate.title)} ({gate.repo}), {plural(gate.attempts, 'attempt')}",
             f"  kind       {gate.kind}, risk {gate.risk}, open for {out.age(gate.opened_at) or 'a moment'}"]
    if gate.because:
        lines.append(f"  because    {out.clean(gate.because)}")
    for one in gate.options:
        mark = " (recommended)" if one.key == gate.recommendation else ""
        effect = f" — {out.clean(one.consequence)}" if one.consequence else ""
        lines.append(f"  option     {one.key}{mark}: {out.clean(one.label)}{effect}")
    if gate.kind == "question":
        lines.append(f"  answer     andon gate answer {gate.gate} \"your words\"")
    return [*lines, *summary(gate)[1:]]
