"""Evidence is signed before a change stands in the merge queue, and what proved a landing is kept after it."""

import json

import msgspec

from andon.core.pending import pending
from andon.core.policy import bound_of, shown_of
from andon.core.queue.standing import at_queue, is_sealed
from andon.core.sealing import TEXTS, policy_of
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.evidence import Sealed
from andon.schema.ids import Digest, RepoId, TaskId
from andon.schema.settings import Check, Policy
from core.playbook import Given, like, nothing
from core.sim import Sim, oid, settings

R, T1 = RepoId("r0"), TaskId("T1")
EXIT = {"tests": Check(name="tests", run="make test")}
NAMES = Sealed(bundle=Digest("1" * 64), policy=Digest("2" * 64), ledger="7 cm9vdA==")
EVIDENCE = Digest("e" * 64)


def before_the_queue() -> tuple[Sim, f.SealChange]:
    """A change that was proven and is to be sealed."""
    sim = Sim(checks=EXIT)
    sim.check = lambda run: i.CheckRan(run=run.run, result="pass", because="ok", evidence=EVIDENCE)
    sim.add()
    return sim, sim.until(f.SealChange)


def made(effect: f.SealChange, **changes: object) -> i.SealMade:
    told = i.SealMade(task=effect.task, commit=effect.parts.commit, approved=effect.approved, sealed=NAMES)
    return msgspec.structs.replace(told, **changes)


def test_a_change_is_sealed_before_it_stands_in_the_queue_and_lands_under_that_seal() -> None:
    sim, effect = before_the_queue()
    assert not at_queue(sim.state, sim.state.repos[R]) and not sim.state.landings
    assert (
        Given.after(sim)
        >> made(effect) << e.ChangeSealed(task=T1, commit=effect.parts.commit, sealed=NAMES)
        << like(e.LandingPlanned, members=lambda members: members[0].seal == NAMES) << like(f.MergeCandidate)
        >> made(effect) << nothing
    )


def test_the_parts_of_a_seal_are_the_change_its_claims_and_what_judged_it() -> None:
    sim, effect = before_the_queue()
    parts, task = effect.parts, sim.task()
    assert task.work is not None
    assert (parts.commit, parts.tree, parts.base) == (task.work.commit, task.work.tree, task.work.base)
    assert parts.required == ("tests",) and parts.risk == "ship" and parts.attempt == "T1.1" and parts.agent == "scripted"
    assert {("tests", "proven"), ("work", "proven")} <= {(claim.claim, claim.status) for claim in parts.claims}
    assert next(claim.evidence for claim in parts.claims if claim.claim == "tests") == EVIDENCE
    assert json.loads(parts.policy)["checks"]["tests"]["run"] == "make test" and parts.shown == shown_of(task)


def test_what_a_person_is_shown_names_the_evidence_of_each_claim_and_no_claim_about_the_merged_tree() -> None:
    sim, _ = before_the_queue()
    task = sim.task()
    shown = json.loads(shown_of(task))
    assert {claim["claim"]: claim["evidence"] for claim in shown["claims"]}["tests"] == EVIDENCE
    assert task.work is not None and shown["diffSha256"] == task.work.diff
    merged = msgspec.structs.replace(task.claims[0], claim="tests@merge", status="proven")
    assert bound_of(task) == bound_of(msgspec.structs.replace(task, claims=(*task.claims, merged)))
    other = msgspec.structs.replace(task.claims[-1], evidence=Digest("f" * 64))
    assert bound_of(task) != bound_of(msgspec.structs.replace(task, claims=(*task.claims[:-1], other)))


def test_a_seal_of_another_change_or_of_what_nobody_approved_counts_for_nothing() -> None:
    sim, effect = before_the_queue()
    assert (
        Given.after(sim)
        >> made(effect, commit=oid("another")) << nothing >> made(effect, approved=Digest("a" * 64)) << nothing
        >> made(effect, task=TaskId("T9")) << nothing
    )


def test_an_approval_after_the_seal_asks_for_another_one() -> None:
    sim, effect = before_the_queue()
    sim.give(made(effect))
    assert is_sealed(sim.task())
    assert not is_sealed(msgspec.structs.replace(sim.task(), approved=Digest("a" * 64)))


def test_nothing_is_sealed_while_a_person_is_asked_about_it() -> None:
    sim = Sim(checks=EXIT, policy=Policy(ship=("**",), walls="strict"))
    sim.add()
    while not sim.task().gate:
        assert sim.step()
    assert not [effect for effect in sim.owed() if isinstance(effect, f.SealChange)]
    gate = sim.gate()
    sim.give(i.AnswerGate(gate=gate.gate, option="approve", bound=gate.bound, by="me"))
    effect = sim.until(f.SealChange)
    assert effect.approved == gate.bound == bound_of(sim.task())


def test_a_landing_that_names_an_older_seal_is_planned_again_with_the_new_one() -> None:
    sim, effect = before_the_queue()
    sim.give(made(effect))
    task = sim.task()
    assert task.seal is not None
    anew = msgspec.structs.replace(task.seal, names=msgspec.structs.replace(NAMES, bundle=Digest("9" * 64)))
    sim.state = msgspec.structs.replace(
        sim.state, tasks=sim.state.tasks.set(T1, msgspec.structs.replace(task, seal=anew)))
    sim.give(i.Ticked())
    assert "was sealed anew" in sim.events(e.LandingAbandoned)[0].because
    assert sim.events(e.LandingPlanned)[-1].members[0].seal == anew.names


def test_a_seal_that_cannot_be_made_is_tried_again_for_ever_and_told() -> None:
    sim, effect = before_the_queue()
    for _ in range(8):
        sim.give(i.EffectFailed(key=effect.key, kind="seal-change", subject="T1",
                                problem=Problem(what="the disk is full", where="/r0", mend="make room")))
        assert sim.why() and "tries again" in sim.why()[-1]
        sim.now += 400_000
        assert sim.owed()[-1:] and any(isinstance(owed, f.SealChange) for owed in sim.owed())
    assert "effect:T1" in sim.state.problems
    sim.give(made(effect))
    assert "effect:T1" not in sim.state.problems and is_sealed(sim.task())


def test_what_proved_a_landing_is_recorded_once_after_it_and_owed_until_it_is() -> None:
    sim, effect = before_the_queue()
    sim.give(made(effect))
    owed = sim.until(f.RecordLanding)
    assert sim.task().landed == owed.parts.commit and owed.parts.runs == (EVIDENCE,)
    assert [(member.task, member.bundle) for member in owed.parts.members] == [("T1", NAMES.bundle)]
    assert owed in pending(sim.state, sim.now), "asked again, it is still owed"
    told = i.LandingNoted(repo=R, landing=owed.parts.landing)
    assert Given.after(sim) >> told << e.LandingRecorded(repo=R, landing=owed.parts.landing) >> told << nothing
    sim.give(told)
    assert not [known for known in pending(sim.state, sim.now) if isinstance(known, f.RecordLanding)]


def test_the_text_of_a_policy_is_made_once_for_each_settings_and_line() -> None:
    sim, _ = before_the_queue()
    repo = sim.state.repos[R]
    assert policy_of(repo, "build") is policy_of(repo, "build")
    other = msgspec.structs.replace(repo, digest=Digest("another"), settings=settings(target="next"))
    assert policy_of(other, "build") != policy_of(repo, "build")
    for n in range(2 * TEXTS):
        policy_of(msgspec.structs.replace(repo, digest=Digest(str(n))), "build")
    assert policy_of(repo, "build") == policy_of(repo, "build")
