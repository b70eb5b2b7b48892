"""Whose yes counts: keys and roles that a change of class stop asks for, who has given theirs, who is still needed. Pure; it
believes the daemon about signatures and nobody about names."""

from collections.abc import Iterable

from andon.core import waivers
from andon.core.state import Gate, State, Task
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.gate_events import Approver
from andon.schema.ids import Digest
from andon.schema.settings import FactorySettings
from andon.schema.words import names, plural

SETTINGS = "your own andon.toml"


def needs(state: State, task: Task) -> tuple[tuple[str, ...], int]:
    """Roles and the number of distinct keys that must sign for a task's change; nothing and 0 when it is not of class stop."""
    policy, known = state.repos[task.repo].settings.policy, waivers.judged(state, task)
    if known is None or known.risk != "stop":
        return (), 0
    return policy.stop_roles, max(1, policy.stop_keys, len(policy.stop_roles))


def enough(roles: Iterable[str], keys: int, given: tuple[Approver, ...]) -> bool:
    """Whether these approvals are all that is asked for: every role, and so many distinct keys."""
    return set(roles) <= {one.role for one in given} and len({one.key for one in given if one.key}) >= keys


def stands(state: State, task: Task) -> bool:
    """Whether what a person approved has the signatures that the policy asks for now."""
    roles, keys = needs(state, task)
    return not keys or enough(roles, keys, task.consent.approvers if task.consent else ())


def missing(gate: Gate) -> tuple[str, ...]:
    """Who is still needed, in words: roles first, then further keys."""
    open_ = [role for role in gate.roles if role not in {one.role for one in gate.approvals}]
    further = gate.keys - len({one.key for one in gate.approvals}) - len(open_)
    another = "another person's key" if gate.approvals or open_ else "a person's key"
    return (*(f"role {role}" for role in open_), *([another if further == 1 else f"{further} keys of further persons"]
                                                  if further > 0 else []))


def members(factory: FactorySettings, role: str) -> list[str]:
    """Who has the role and a key in allowed_signers."""
    return [name for name, roles in sorted(factory.operators.items()) if role in roles and name in factory.signers]


def blocked(state: State, gate: Gate) -> Problem | None:
    """Why nobody can say yes to a gate, whoever comes; None when it can be done."""
    if not gate.keys:
        return None
    factory = state.factory
    left = [role for role in gate.roles if role not in {one.role for one in gate.approvals}]
    empty = [role for role in left if not members(factory, role)]
    if empty:
        what = f"{gate.gate} cannot be approved: nobody with a key has the role {names(tuple(empty))}"
        mend = f"give it to somebody under [operators] of {SETTINGS}, and put their key into allowed_signers beside it"
        return Problem(what=what, where=gate.question, mend=mend)
    fit = {name for role in gate.roles for name in members(factory, role)} if gate.roles else set(factory.signers)
    fit |= set(factory.signers) if gate.keys > len(gate.roles) else set()
    if factory.signers and len(fit) < gate.keys:
        what = f"{gate.gate} cannot be approved: it asks for {plural(gate.keys, 'key')} of different persons, {len(fit)} could sign"
        return Problem(what=what, where=gate.question, mend=f"put further persons into allowed_signers beside {SETTINGS}")
    if not factory.signers:
        what = f"{gate.gate} is of class stop: a yes counts only with a person's signature, and nobody has a key here"
        mend = (f'name your SSH key in {SETTINGS}: `[operator]` with name = "you" and key = "~/.ssh/id_ed25519.pub", and put '
                "`you ssh-ed25519 AAAA…` into allowed_signers beside it; rejecting it and giving it up stay possible")
        return Problem(what=what, where=gate.question, mend=mend)
    return None


def refuse(state: State, gate: Gate, command: i.AnswerGate) -> Problem | None:
    """Why this yes does not count; None when it does, or when the answer is no yes to a change."""
    if gate.kind != "review" or command.option != "approve":
        return None
    who, factory = command.approver, state.factory
    if who is None or not who.key:
        return unsigned(state, gate)
    if (nobody := blocked(state, gate)) is not None:
        return nobody
    if who.role and who.role not in factory.operators.get(who.name, ()):
        told = names(factory.operators.get(who.name, ())) or "none"
        return Problem(what=f"{who.name} has not the role {who.role}", where=gate.question, mend=f"their roles are: {told}")
    return counted(gate, who) if gate.keys else None


def counted(gate: Gate, who: Approver) -> Problem | None:
    """Why this signed yes adds nothing to those that a gate has: the same key or person again, or nobody that it waits for."""
    given = gate.approvals
    if any(one.name == who.name or one.key == who.key for one in given):
        what = f"{who.name} has approved {gate.gate} already" if any(one.name == who.name for one in given) \
            else f"this key has approved {gate.gate} already, for {next(one.name for one in given if one.key == who.key)}"
        return Problem(what=what, where=gate.question, mend=f"still needed: {names(missing(gate))}")
    after = len({one.key for one in given}) + 1
    covered = {one.role for one in given} | {who.role}
    open_ = [role for role in gate.roles if role not in covered]
    if len(open_) > gate.keys - after:
        mend = f"still needed: {names(missing(gate))}; say in which role with --role"
        return Problem(what=f"{who.name} as {who.role or 'nobody in particular'} is not who {gate.gate} waits for",
                       where=gate.question, mend=mend)
    return None


def unsigned(state: State, gate: Gate) -> Problem | None:
    """Whether a yes without a signature does not do."""
    operator = state.factory.operator
    if gate.keys:
        return blocked(state, gate) or Problem(
            what=f"{gate.gate} is of class stop: a yes counts only with a person's signature", where=gate.question,
            mend=f"[operator] in {SETTINGS} names the key that signs; rejecting it and giving it up stay possible",
        )
    if operator.key:
        what = f"{operator.name or 'the person here'} signs approvals, and this one is not signed"
        return Problem(what=what, where=gate.question,
                       mend=f"answer from the screen or by `andon approve`, which sign it; or take [operator] out of {SETTINGS}")
    return None


def approved(gate: Gate, command: i.AnswerGate) -> list[e.Event]:
    """What a yes that counts brings about: its record, and the answer once nobody is missing."""
    who = command.approver
    if who is None or not who.key:
        envelopes = (who.envelope,) if who and who.envelope else ()
        return [answer(gate, command, envelopes)]
    given = (*gate.approvals, who)
    told: e.Event = e.GateApproved(gate=gate.gate, approver=who, because=command.because, bound=gate.bound, by=command.by)
    done = enough(gate.roles, gate.keys, given)
    return [told, *([answer(gate, command, tuple(one.envelope for one in given))] if done else [])]


def answer(gate: Gate, command: i.AnswerGate, envelopes: tuple[Digest, ...] = ()) -> e.GateAnswered:
    """The answer as it is recorded."""
    return e.GateAnswered(
        gate=gate.gate, option=command.option, because=command.because, bound=gate.bound, by=command.by, approver=command.approver,
        approvals=envelopes,
    )


def told(state: State) -> list[e.Event]:
    """Say of each gate that nobody could approve why, and take it back; only where the policy asks for roles or more keys."""
    events: list[e.Event] = []
    wanted = set()
    for gate in state.gates.values():
        problem = blocked(state, gate) if gate.roles or gate.keys > 1 else None
        if problem is None:
            continue
        key = f"approvers:{gate.gate}"
        wanted.add(key)
        known = state.problems.get(key)
        if known is None or (known.what, known.mend) != (problem.what, problem.mend):
            events.append(e.ProblemNoticed(
                key=key, repo=state.tasks[gate.task].repo, task=gate.task, what=problem.what, where=problem.where,
                mend=problem.mend,
            ))
    gone = [key for key in state.problems if key.startswith("approvers:") and key not in wanted]
    return [*events, *(e.ProblemCleared(key=key) for key in sorted(gone))]
