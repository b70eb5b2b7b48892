"""A change of class stop lands with a person's own signature under exactly what was shown, and with nothing less."""

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from andon.client import Declined
from andon.schema import events as e, inputs as i, wire
from andon.schema.approval import NAMESPACE, moment, pae, statement
from andon.schema.ids import Digest, RepoId, TaskId
from andon.schema.views import GateView
from factory import UNHELD, Factory, factory, small_repo
from signkit import agent, allow, fingerprint, key, settings, sign_for, signed, unlock
from wholekit import assert_clear, cli

STOP = '[policy]\nship = ["**"]\nstop = ["notes/**"]\n'


class People:
    """Ana and Ben sign here; Eve has a key that nobody knows."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.ana, self.ben, self.eve = (key(folder, name) for name in ("ana", "ben", "eve"))
        self.config = config
        allow(config, ana=self.ana, ben=self.ben)


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    config = tmp_path / "own"
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(config))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return People(tmp_path / "keys", config)


@pytest.fixture
def plant(tmp_path: Path, people: People) -> Iterator[Factory]:
    own = settings("ana", people.ana, {"ana": ("owner", "security"), "ben": ("owner",)}, UNHELD)
    with factory(tmp_path / "f", settings=own) as made:
        yield made


def stopped(plant: Factory, path: Path, extra: str = STOP) -> GateView:
    """The gate of a change that stops."""
    return next_gate(plant, plant.register(small_repo(path, extra=extra)))


def next_gate(plant: Factory, repo: RepoId) -> GateView:
    task = plant.add(repo)
    plant.until(lambda: plant.gate(task), what="the gate")
    gate = plant.gate(task)
    assert gate is not None and gate.risk == "stop", gate
    return gate


def answered(plant: Factory, gate: GateView, signature: i.Signature | None, option: str = "approve") -> wire.AnyReply:
    return sent(plant, i.AnswerGate(gate=gate.gate, option=option, because="no", bound=gate.bound, signature=signature))


def sent(plant: Factory, command: i.AnswerGate) -> wire.AnyReply:
    """What the daemon says to it, a refusal too."""
    try:
        return plant.do(command)
    except Declined as no:
        return wire.Failed(problem=no.problem)


def envelope(plant: Factory, digest: Digest) -> tuple[dict[str, object], dict[str, object]]:
    """An envelope and the statement in it."""
    told = json.loads(plant.blob(digest))
    return told, json.loads(base64.b64decode(told["payload"]))


def test_a_signed_approval_lands_and_its_envelope_verifies_with_openssh_alone(
    plant: Factory, people: People, tmp_path: Path,
) -> None:
    gate = stopped(plant, tmp_path / "repo")
    ran = cli(plant, "approve", gate.task)
    assert ran.code == 0 and "ana approved G1" in ran.out, ran
    plant.until_state(gate.task, "done")
    answer = next(row.event for row in plant.events() if isinstance(row.event, e.GateAnswered))
    who = answer.approver
    assert who is not None and (who.name, who.role, who.key) == ("ana", "owner", fingerprint(people.ana))
    assert answer.approvals == (who.envelope,)
    told, said = envelope(plant, who.envelope)
    assert told["payloadType"] == "application/vnd.in-toto+json"
    assert said["subject"] == [{"name": f"git+{gate.repo}", "digest": {"gitCommit": gate.commit, "gitTree": gate.tree}}]
    predicate = said["predicate"]
    assert isinstance(predicate, dict)
    assert predicate.pop("time")
    assert predicate == {
        "decision": "approve", "gate": "G1", "nonce": gate.nonce, "approver": "ana", "role": "owner",
        "shown": {"diffSha256": gate.diff, "summarySha256": gate.bound},
    }
    signature = told["signatures"]
    assert isinstance(signature, list) and signature[0]["keyid"] == who.key
    sig = tmp_path / "sig"
    sig.write_bytes(base64.b64decode(signature[0]["sig"]))
    payload = base64.b64decode(str(told["payload"]))
    done = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", people.config / "allowed_signers", "-I", "ana", "-n", NAMESPACE, "-s", sig],
        input=pae(payload), capture_output=True, check=False, timeout=30,
    )
    assert done.returncode == 0, done


def test_a_key_with_a_passphrase_signs_through_an_agent_and_not_without_one(
    people: People, tmp_path: Path,
) -> None:
    locked = key(tmp_path / "keys", "locked", "open sesame")
    allow(people.config, ana=locked)
    own = settings("ana", locked, {"ana": ("owner",)}, UNHELD)
    with factory(tmp_path / "f", settings=own) as plant, agent(tmp_path / "agent") as env:
        gate = stopped(plant, tmp_path / "repo")
        refused = cli(plant, "approve", gate.gate, env={**env, "SSH_ASKPASS_REQUIRE": "never"})
        assert_clear(refused, 2, "nothing was signed, so nothing was answered")
        assert plant.gate(gate.task) is not None, "what was not signed was not answered"
        unlock(env, locked, "open sesame")
        ran = cli(plant, "gate", "answer", gate.gate, "approve", env=env)
        assert ran.code == 0, ran
        plant.until_state(gate.task, "done")


def test_without_a_signature_a_change_that_stops_is_never_approved_but_can_be_rejected(plant: Factory, tmp_path: Path) -> None:
    gate = stopped(plant, tmp_path / "repo")
    reply = answered(plant, gate, None)
    assert isinstance(reply, wire.Failed) and "only with a person's signature" in reply.problem.what and reply.problem.mend
    rejected = cli(plant, "reject", gate.task, "--because", "not like this")
    assert rejected.code == 0, rejected
    answer = next(row.event for row in plant.events() if isinstance(row.event, e.GateAnswered))
    assert answer.option == "reject" and answer.approver is not None and answer.approver.key, "a no is signed too"


def test_where_nobody_has_a_key_a_change_that_stops_waits_and_another_lands_with_an_unsigned_record(tmp_path: Path) -> None:
    with factory(tmp_path / "f") as plant:
        gate = stopped(plant, tmp_path / "repo")
        refused = cli(plant, "approve", gate.task)
        assert_clear(refused, 4, "nobody has a key here", "[operator]")
        assert "nobody has a key here" in (plant.gate(gate.task) or gate).blocked
        other = plant.add(plant.register(small_repo(tmp_path / "two", extra="[policy]\nship = []\n")))
        plant.until(lambda: plant.gate(other), what="the gate")
        assert cli(plant, "approve", other).code == 0
        plant.until_state(other, "done")
        answer = [row.event for row in plant.events() if isinstance(row.event, e.GateAnswered)][-1]
        assert answer.approver is not None and not answer.approver.key and answer.approvals == (answer.approver.envelope,)
        _, said = envelope(plant, answer.approver.envelope)
        assert isinstance(said["predicate"], dict) and said["predicate"]["signed"] is False


def test_a_signature_that_is_not_theirs_or_for_something_else_is_refused(plant: Factory, people: People, tmp_path: Path) -> None:
    gate = stopped(plant, tmp_path / "repo")
    other = next_gate(plant, gate.repo)
    good = signed("ana", people.ana, gate)
    hostile = {
        "another key": signed("ana", people.eve, gate), "another person": signed("ben", people.ana, gate),
        "somebody unknown": signed("eve", people.eve, gate), "another nonce": signed("ana", people.ana, gate, nonce="0" * 32),
        "another diff": signed("ana", people.ana, gate, diff="d" * 64),
        "another summary": signed("ana", people.ana, gate, summary="s"),
        "another commit": signed("ana", people.ana, gate, commit="c" * 40),
        "another option": signed("ana", people.ana, gate, "cancel"),
        "another gate": signed("ana", people.ana, other), "a role added later": _changed(good, role="security"),
        "another moment": _changed(good, time="2026-01-01T00:00:00Z"),
        "an old one": signed("ana", people.ana, gate, time="2020-01-01T00:00:00Z"),
        "no signature": _changed(good, sshsig="-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"),
        "a name of options": _changed(good, approver="-Overify-time=20300101"),
        "another purpose": _changed(good, sshsig=_for_git(people.ana, gate)),
    }
    for case, signature in hostile.items():
        reply = answered(plant, gate, signature)
        assert isinstance(reply, wire.Failed), case
        assert reply.problem.mend, case
    known = e.Approver(name="ana", key=fingerprint(people.ana))
    forged = i.AnswerGate(gate=gate.gate, option="approve", bound=gate.bound, approver=known)
    assert isinstance(sent(plant, forged), wire.Failed), "who answered is for the daemon to say"
    assert plant.gate(gate.task) is not None and "gate.answered" not in plant.kinds()
    assert isinstance(answered(plant, gate, good), wire.Done), "the control: the true one counts"


def _changed(good: i.Signature, **fields: str) -> i.Signature:
    return msgspec.structs.replace(good, **fields)


def _for_git(public: Path, gate: GateView) -> str:
    """The right statement, signed by the right key for another program."""
    payload = statement(repo=gate.repo, task=gate.task, commit=gate.commit, tree=gate.tree, gate=gate.gate, nonce=gate.nonce,
                        decision="approve", approver="ana", role="owner", diff=gate.diff, summary=gate.bound,
                        time=moment(int(time.time() * 1000)))
    return sign_for("git", public, payload)


def test_two_keys_and_a_role_land_together_and_never_one_key_twice(plant: Factory, people: People, tmp_path: Path) -> None:
    gate = stopped(plant, tmp_path / "repo", f'{STOP}stop_roles = ["security"]\nstop_keys = 2\n')
    assert gate.missing == ("role security", "another person's key")
    assert isinstance(answered(plant, gate, signed("ana", people.ana, gate, role="security")), wire.Done)
    seen = plant.gate(gate.task)
    assert seen is not None and [one.name for one in seen.approvals] == ["ana"] and seen.missing == ("another person's key",)
    for again in (signed("ana", people.ana, gate, role="owner"), signed("ana", people.ana, gate, role="security")):
        reply = answered(plant, gate, again)
        assert isinstance(reply, wire.Failed) and "has approved G1 already" in reply.problem.what
    assert plant.task(gate.task).state == "waiting"
    plant.kill()
    plant.start()
    after = plant.gate(gate.task)
    assert after is not None and [one.name for one in after.approvals] == ["ana"], "a killed daemon knows who has signed"
    assert isinstance(answered(plant, gate, signed("ben", people.ben, gate, role="owner")), wire.Done)
    plant.until_state(gate.task, "done")
    answer = next(row.event for row in plant.events() if isinstance(row.event, e.GateAnswered))
    assert len(set(answer.approvals)) == 2


def test_two_answers_race_and_the_second_is_told_who_was_first(plant: Factory, people: People, tmp_path: Path) -> None:
    gate = stopped(plant, tmp_path / "repo")
    both = [signed("ana", people.ana, gate), signed("ben", people.ben, gate, role="owner")]
    replies: list[wire.AnyReply] = []
    barrier = threading.Barrier(2)

    def race(signature: i.Signature) -> None:
        barrier.wait(10)
        replies.append(answered(plant, gate, signature))

    threads = [threading.Thread(target=race, args=(signature,)) for signature in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    answers = [row.event for row in plant.events() if isinstance(row.event, e.GateAnswered)]
    assert len(answers) == 1
    assert answers[0].approver is not None
    refused = next(reply for reply in replies if isinstance(reply, wire.Failed))
    assert f"was answered with approve by {answers[0].approver.name}" in refused.problem.what, refused
    plant.kill()
    plant.start()
    late = answered(plant, gate, both[0])
    assert isinstance(late, wire.Failed) and f"by {answers[0].approver.name}" in late.problem.what, "also after a restart"


def test_a_batch_is_signed_one_by_one_and_goes_on_where_one_is_refused(plant: Factory, people: People, tmp_path: Path) -> None:
    first = stopped(plant, tmp_path / "repo")
    second, third = next_gate(plant, first.repo), next_gate(plant, first.repo)
    wrong = stopped(plant, tmp_path / "two", f'{STOP}stop_roles = ["auditor"]\n')
    ran = cli(plant, "approve", first.task, wrong.task, second.gate, third.task)
    assert ran.code == 4, ran
    assert f"{wrong.gate} was declined" in ran.err and "nobody with a key has the role auditor" in ran.err
    assert all(f"approved {gate.gate}" in ran.out for gate in (first, second, third)), ran
    shown = [ran.out.index(f"{gate.gate}  {gate.task}") for gate in (first, wrong, second, third)]
    assert max(shown) < ran.out.index("ana approved"), "all are shown before any is answered"
    assert isinstance(plant.task(TaskId(wrong.task)).gate, str) and plant.gate(wrong.task) is not None
    for gate in (first, second, third):
        plant.until_state(gate.task, "done", deadline=60)
    log = json.loads(cli(plant, "gate", "log", "--json", "--by", "ana").out)
    assert {one["gate"] for one in log} == {first.gate, second.gate, third.gate}
    assert all(one["approvers"][0]["key"] == fingerprint(people.ana) and one["shown"] and one["answer"] == "approve" for one in log)


def test_what_a_face_says_of_who_answers_an_agents_question_is_thrown_away(plant: Factory, tmp_path: Path) -> None:
    task = plant.add(plant.register(small_repo(tmp_path / "repo")), "ask")
    plant.until(lambda: plant.gate(task), what="the question")
    gate = plant.gate(task)
    assert gate is not None and gate.kind == "question"
    forged = e.Approver(name="ana", key="SHA256:" + "a" * 43, envelope=Digest("e" * 64))
    assert isinstance(sent(plant, i.AnswerGate(gate=gate.gate, option="answer", because="left", approver=forged)), wire.Done)
    answer = next(row.event for row in plant.events() if isinstance(row.event, e.GateAnswered))
    assert answer.approver is None and answer.approvals == ()
