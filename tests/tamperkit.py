"""The ways to tamper with evidence: what is done, which point sees it, in which words, and the guard without which it is missed."""

import base64
import json
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import gitkit
from andon.thirdparty.landing import HUMAN, REFUSED, UNEVALUATED
from evidencekit import Body, Change, Lab, canonical, envelope, moment, sha

EVIL = {"a.txt": "one\ntwo\nthree\nfour\nand what nobody saw\n"}


def work(lab: Lab) -> Change:
    """The change that is there."""
    commit = gitkit.ref(lab.repo, "andon/T1")
    return Change("T1", commit, gitkit.tree(lab.repo, commit), gitkit.ref(lab.repo, "main"))


class Way(NamedTuple):
    """One way to tamper, and what is said to it."""

    act: Callable[[Lab], object]
    point: str
    because: str
    verdict: str = REFUSED


WAYS: dict[str, Way] = {}


def way(point: str, because: str, verdict: str = REFUSED) -> Callable[[Callable[[Lab], object]], Callable[[Lab], object]]:
    """Adds a way to the table. It returns what to look at, HEAD when nothing."""
    def added(act: Callable[[Lab], object]) -> Callable[[Lab], object]:
        WAYS[act.__name__] = Way(act, point, because, verdict)
        return act
    return added


def predicate(**changed: Any) -> Callable[[Body], Body]:
    return lambda body: {**body, "predicate": {**body["predicate"], **changed}}


def andon(**changed: Any) -> Callable[[Body], Body]:
    return lambda body: predicate(andon={**body["predicate"]["andon"], **changed})(body)


def resigned(lab: Lab, line: bytes, edit: Callable[[bytes], bytes], key: Any = None) -> bytes:
    """The line with another payload; with the old signature unless a key signs it anew."""
    body = json.loads(line)
    payload = edit(base64.b64decode(body["payload"]))
    return envelope(key, payload) if key else canonical({**body, "payload": base64.b64encode(payload).decode()})


@way("bundle", "the bundle was altered")
def bundle_edited(lab: Lab) -> None:
    lab.land(work(lab))
    path = lab.paths("bundles/")[0]
    lab.put({path: lab.read(path).replace(b'"payload":"e', b'"payload":"f', 1)})


@way("bundle", "is missing")
def bundle_removed(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({lab.paths("bundles/")[0]: None})


@way("signatures", "the signature of a check run does not hold")
def payload_edited_and_commit_rewritten(lab: Lab) -> None:
    lab.forge = lambda lines: [resigned(lab, lines[0], lambda text: text.replace(b'"passed":3', b'"passed":9')), *lines[1:]]
    lab.land(work(lab))


@way("signatures", "signed with a key that the trust file does not name")
def signed_anew_with_another_key(lab: Lab) -> None:
    lab.keys["test"] = lab.stranger
    lab.land(work(lab))


@way("signatures", "a check run is signed with the daemon's key; only the verifier may state it")
def result_signed_by_the_daemon(lab: Lab) -> None:
    lab.keys["test"] = lab.daemon
    lab.land(work(lab))


@way("signatures", "a verification summary is signed with the verifier's key; only the daemon may state it")
def summary_signed_by_the_verifier(lab: Lab) -> None:
    lab.keys["summary"] = lab.verifier
    lab.land(work(lab))


@way("signatures", "is not one that the trust file allows them")
def approval_by_another_ssh_key(lab: Lab) -> None:
    lab.keys["approval-ana"] = lab.people["eve"]
    lab.land(work(lab))


@way("signatures", "names another key than the one that signed it")
def approval_under_the_name_of_another_key(lab: Lab) -> None:
    honest, real = lab.people["ana"].id, lab.people["eve"]

    class Liar(type(real)):  # type: ignore[misc]  # a person who writes another key's name
        def __init__(self) -> None:
            super().__init__(real.file.parent, "eve")
            self.id = honest

    lab.keys["approval-ana"] = Liar()
    lab.land(work(lab))


@way("approval", "a change of class review needs an approval, and there is none")
def approval_dropped(lab: Lab) -> None:
    lab.approvers = ()
    lab.land(work(lab))


@way("summary", "1 missing, 0 not listed")
def approval_dropped_after_the_summary(lab: Lab) -> None:
    lab.forge = lambda lines: [line for line in lines if b"andon-approval" not in line and "human-approval" not in said(line)]
    lab.land(work(lab))


def said(line: bytes) -> str:
    return base64.b64decode(json.loads(line)["payload"]).decode()


@way("checks", "the run of the check lint is missing")
def result_dropped(lab: Lab) -> None:
    lab.checks = ("tests",)
    lab.land(work(lab))


@way("signatures", "an envelope twice")
def statement_there_twice(lab: Lab) -> None:
    lab.forge = lambda lines: [lines[0], *lines]
    lab.land(work(lab))


@way("summary", "0 missing, 1 not listed")
def statement_slipped_in(lab: Lab) -> None:
    def more(lines: list[bytes]) -> list[bytes]:
        change = work(lab)
        made = lab.test("extra", change.commit, change.tree, {})
        assert made
        return [made, *lines]

    lab.forge = more
    lab.land(work(lab))


@way("signatures", "and not about the change")
def bundle_replayed_for_a_later_commit(lab: Lab) -> None:
    lab.land(work(lab))
    old = lab.paths("bundles/")[0]
    lines = lab.read(old).rstrip(b"\n").split(b"\n")
    lab.forge = lambda _: lines
    lab.land(lab.work("T2", {"c.txt": "c\n"}))


@way("merge", "is no honest merge: merged anew, it comes to tree")
def evil_merge(lab: Lab) -> None:
    change = work(lab)
    evil = lab.work("T9", EVIL)
    lab.land(change, tree=evil.tree)


@way("merge", "is not the merge of")
def parents_in_another_order(lab: Lab) -> None:
    change = work(lab)
    lab.land(change, parents=[change.commit, change.base])


@way("merge", "is no honest merge")
def evil_squash(lab: Lab) -> None:
    change = work(lab)
    evil = lab.work("T9", EVIL)
    lab.land(change, tree=evil.tree, how="squash")


@way("merge", "does not stand on")
def commit_slipped_in_before_a_squashed_one(lab: Lab) -> None:
    change, evil = work(lab), lab.work("T9", {"d.txt": "d\n"})
    tree = gitkit.run(lab.repo, "merge-tree", "--write-tree", evil.commit, change.commit).split("\n")[0]
    lab.land(change, how="squash", parents=[evil.commit], tree=tree)


@way("merge", "is not one of the commits of the change")
def commit_slipped_in_before_a_replayed_one(lab: Lab) -> None:
    change, evil = work(lab), lab.work("T9", {"d.txt": "d\n"})
    tree = gitkit.run(lab.repo, "merge-tree", "--write-tree", evil.commit, change.commit).split("\n")[0]
    lab.land(change, how="rebase", parents=[evil.commit], tree=tree)


@way("landing", "a plain commit", HUMAN)
def plain_commit_on_the_target(lab: Lab) -> None:
    lab.land(work(lab))
    gitkit.commit(lab.repo, {"x.txt": "x\n"}, "By hand")


@way("landing", "the landing record is about another commit")
def landing_record_of_another_commit(lab: Lab) -> None:
    tip = lab.land(work(lab))
    by_hand = gitkit.commit(lab.repo, {"x.txt": "x\n"}, "By hand")
    lab.put({f"landings/{by_hand[:2]}/{by_hand}.jsonl": lab.read(f"landings/{tip[:2]}/{tip}.jsonl")})


@way("landing", "no landing record speaks of this commit")
def landing_record_removed(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({lab.paths("landings/")[0]: None})


@way("landing", "a landing record is signed with the verifier's key")
def landing_record_by_the_wrong_role(lab: Lab) -> None:
    lab.keys["landing"] = lab.verifier
    lab.land(work(lab))


@way("trailers", "names another bundle than the landing record")
def commit_names_another_bundle(lab: Lab) -> None:
    lab.trailers = lambda lines: [f"Andon-Bundle: sha256:{'0' * 64}" if "Bundle" in line else line for line in lines]
    lab.land(work(lab))


@way("trailers", "not exactly one Andon-Bundle")
def two_bundles_named(lab: Lab) -> None:
    lab.trailers = lambda lines: [*lines, f"Andon-Bundle: sha256:{'0' * 64}"]
    lab.land(work(lab))


def log_of(lab: Lab) -> str:
    return next(path for path in lab.paths("blobs/") if b"tests on" in lab.read(path))


@way("files", "was altered")
def log_altered(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({log_of(lab): b"all is well\n"})


@way("files", "are missing here: log", UNEVALUATED)
def log_removed(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({path: None for path in lab.paths("blobs/") if b"tests on" in lab.read(path)})


def policy_of(lab: Lab) -> str:
    return next(path for path in lab.paths("blobs/") if lab.read(path).startswith(b'{"checks"'))


@way("policy", "was altered")
def policy_weakened(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({policy_of(lab): lab.read(policy_of(lab)).replace(b"secret/**", b"nothing")})


@way("policy", "is not here", UNEVALUATED)
def policy_removed(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({policy_of(lab): None})


@way("policy", "is none that the trust file allows")
def another_policy_than_the_pinned_one(lab: Lab) -> None:
    lab.write_trust(policies=["ab" * 32])
    lab.land(work(lab))


@way("policy", "under another policy than the commit names")
def summary_under_another_policy(lab: Lab) -> None:
    lab.edits["summary"] = predicate(policy={"digest": {"sha256": sha(b"{}")}})
    lab.land(work(lab))


@way("checks", "the policy demands lint, and the summary does not")
def summary_demands_less_than_the_policy(lab: Lab) -> None:
    lab.required = ("tests",)
    lab.land(work(lab))


@way("checks", "the check tests did not pass: FAILED")
def failed_result_called_passed(lab: Lab) -> None:
    lab.edits["test"] = lambda body: predicate(result="FAILED")(body) if "check tests" in str(body) else body
    lab.land(work(lab))


@way("shown", "the check runs are not those that were shown")
def result_changed_after_the_gate(lab: Lab) -> None:
    change = work(lab)

    def changed(lines: list[bytes]) -> list[bytes]:
        lines[0] = resigned(lab, lines[0], lambda text: text.replace(b'"passed":3', b'"passed":9'), lab.verifier)
        listed = canonical([{"digest": {"sha256": sha(line)}} for line in lines[:-1]])
        summary = json.loads(said(lines[-1]))
        summary["predicate"]["inputAttestations"] = json.loads(listed)
        return [*lines[:-1], envelope(lab.daemon, canonical(summary))]

    lab.forge = changed
    lab.land(change)


@way("shown", "was altered")
def shown_summary_altered(lab: Lab) -> None:
    lab.land(work(lab))
    path = next(path for path in lab.paths("blobs/") if b"diffSha256" in lab.read(path))
    lab.put({path: lab.read(path).replace(b"T1", b"T2")})


@way("shown", "the target never had the base")
def diff_from_a_base_that_hides_a_part(lab: Lab) -> None:
    change = work(lab)
    gitkit.run(lab.repo, "checkout", "-q", "andon/T1")
    head = gitkit.commit(lab.repo, {"late.txt": "late\n"}, "And more")
    gitkit.run(lab.repo, "checkout", "-q", "main")
    lab.land(Change("T1", head, gitkit.tree(lab.repo, head), change.commit))


@way("signatures", "had expired by then")
def expired_key_of_an_operator(lab: Lab) -> None:
    lab.write_trust(operators=f'ana valid-before="20200101" {lab.people["ana"].public}\n')
    lab.land(work(lab))


@way("signatures", "was made for git, and not for andon-approval@v1")
def signature_for_another_namespace(lab: Lab) -> None:
    lab.keys["approval-ana"] = lab.people["ana"].to("git")
    lab.land(work(lab))


@way("signatures", "is not one that the trust file allows them")
def key_allowed_for_another_namespace_alone(lab: Lab) -> None:
    lab.write_trust(operators=f'ana namespaces="git" {lab.people["ana"].public}\n')
    lab.land(work(lab))


@way("approval", "does not give ana the role maintainer")
def role_that_nobody_gave(lab: Lab) -> None:
    lab.write_trust(roles={"ana": ["reader"]})
    lab.land(work(lab))


@way("approval", "did not approve, but said reject")
def rejection_counted_as_approval(lab: Lab) -> None:
    lab.edits["approval-ana"] = predicate(decision="reject")
    lab.land(work(lab))


@way("approval", "approved another diff")
def approval_of_another_diff(lab: Lab) -> None:
    lab.edits["approval-ana"] = lambda body: predicate(shown={**body["predicate"]["shown"], "diffSha256": "0" * 64})(body)
    lab.land(work(lab))


@way("approval", "approved another summary")
def approval_of_another_summary(lab: Lab) -> None:
    lab.edits["approval-ana"] = lambda body: predicate(shown={**body["predicate"]["shown"], "summarySha256": "0" * 64})(body)
    lab.land(work(lab))


@way("approval", "was given for another change already")
def approval_with_the_nonce_of_another_gate(lab: Lab) -> None:
    lab.nonce = "1234567890abcdef" * 2
    lab.land(work(lab), lab.work("T2", {"c.txt": "c\n"}))


@way("approval", "is older than the work that it approves")
def approval_from_before_the_work(lab: Lab) -> None:
    lab.edits["approval-ana"] = predicate(time=moment(time.time() - 86_400))
    lab.land(work(lab))


@way("approval", "has no gate or no nonce")
def approval_without_a_nonce(lab: Lab) -> None:
    lab.edits["approval-ana"] = predicate(nonce="1")
    lab.land(work(lab))


@way("approval", "needs a person's own signature")
def stop_with_a_recorded_approval(lab: Lab) -> None:
    lab.risk = "stop"
    lab.keys["approval-ana"] = lab.daemon
    lab.edits["approval-ana"] = predicate(signed=False)
    lab.land(work(lab))


@way("approval", "needs a signature in the role security")
def stop_approved_by_another_role(lab: Lab) -> None:
    lab.risk = "stop"
    lab.policy["policy"] |= {"stop_roles": ["security"]}
    lab.land(work(lab))


@way("approval", "needs 2 different persons' keys, and has 1")
def stop_approved_twice_by_one_person(lab: Lab) -> None:
    lab.risk, lab.approvers = "stop", ("ana", "ben")
    lab.policy["policy"] |= {"stop_keys": 2}
    lab.keys["approval-ben"] = lab.people["ana"]
    lab.edits["approval-ben"] = predicate(approver="ana", time=moment(time.time() - 4))
    lab.land(work(lab))


@way("signatures", "an approval is signed with a key that the trust file does not name")
def recorded_approval_by_nobody(lab: Lab) -> None:
    lab.keys["approval-ana"] = lab.people["eve"]
    lab.edits["approval-ana"] = predicate(signed=False)
    lab.land(work(lab))


@way("summary", "the summary says FAILED")
def failed_verdict_landed(lab: Lab) -> None:
    lab.edits["summary"] = predicate(verificationResult="FAILED")
    lab.land(work(lab))


@way("summary", "the summary is about T7")
def summary_of_another_task(lab: Lab) -> None:
    lab.edits["summary"] = andon(task="T7")
    lab.land(work(lab))


@way("approval", "there is no class harmless")
def unknown_class(lab: Lab) -> None:
    lab.edits["summary"] = andon(risk="harmless")
    lab.land(work(lab))


@way("ledger", "and the signed checkpoint")
def checkpoint_replaced(lab: Lab) -> None:
    other = f"Andon-Ledger: 5 {base64.b64encode(b'x' * 32).decode()}"
    lab.trailers = lambda lines: [other if "Ledger" in line else line for line in lines]
    lab.land(work(lab))


@way("ledger", "a checkpoint is of another ledger")
def checkpoint_of_another_ledger(lab: Lab) -> None:
    lab.edits["checkpoint"] = predicate(origin="andon/other")
    lab.land(work(lab))


@way("ledger", "its subject is not its root")
def checkpoint_that_contradicts_itself(lab: Lab) -> None:
    lab.edits["checkpoint"] = lambda body: {**body, "subject": [{"name": "ledger", "digest": {"sha256": "0" * 64}}]}
    lab.land(work(lab))


@way("ledger", "the ledger was rewritten")
def two_histories_of_one_length(lab: Lab) -> None:
    change = work(lab)

    def rewritten(lines: list[bytes]) -> list[bytes]:
        lab.rows = [sha(b"other"), *lab.rows[2:]]  # the record's checkpoint is taken from these: as long as the first, and another
        return lines

    lab.forge = rewritten
    lab.land(change)


@way("proof", "is about tree")
def proof_of_another_tree(lab: Lab) -> None:
    change = work(lab)
    lab.land(change, proven=gitkit.tree(lab.repo, "main"))


@way("proof", "that proved the merged tree is missing")
def proof_of_the_merged_tree_removed(lab: Lab) -> None:
    def less(files: dict[str, bytes]) -> dict[str, bytes]:
        return {path: b"".join(line + b"\n" for line in data.split(b"\n") if line and "test-result" not in said(line))
                if path.startswith("landings/") else data for path, data in files.items()}

    lab.forge_files = less
    lab.land(work(lab))


@way("proof", "nothing proves the merged tree for: lint, tests")
def landing_without_runs(lab: Lab) -> None:
    lab.edits["landing"] = predicate(runs=[])
    lab.land(work(lab))


@way("proof", "did not pass on the merged tree")
def landing_on_a_failed_run(lab: Lab) -> None:
    lab.edits["merged"] = predicate(result="WARNED")
    lab.land(work(lab))


@way("signatures", "only the verifier may state it")
def roles_swapped_in_the_trust_file(lab: Lab) -> None:
    lab.write_trust(daemon=[lab.verifier.line, lab.stranger.line], verifier=[lab.daemon.line])
    lab.keys["landing"], lab.keys["checkpoint"], lab.keys["merged"] = lab.stranger, lab.stranger, lab.daemon
    lab.land(work(lab))


@way("signatures", "a field is there twice")
def json_with_a_field_twice(lab: Lab) -> None:
    lab.forge = lambda lines: [resigned(lab, lines[0], lambda text: b'{"predicateType":"x",' + text[1:], lab.verifier), *lines[1:]]
    lab.land(work(lab))


@way("signatures", "is no integer")
def json_with_a_fraction(lab: Lab) -> None:
    lab.forge = lambda lines: [resigned(lab, lines[0], lambda text: text.replace(b'"passed":3', b'"passed":3.5'), lab.verifier),
                               *lines[1:]]
    lab.land(work(lab))


@way("signatures", "is not spelled canonically")
def envelope_spelled_in_another_way(lab: Lab) -> None:
    lab.forge = lambda lines: [lines[0].replace(b'","payloadType', b'", "payloadType'), *lines[1:]]
    lab.land(work(lab))


@way("signatures", "the signature of a check run does not hold")
def signature_with_another_s(lab: Lab) -> None:
    order = 2**252 + 27742317777372353535851937790883648493

    def twisted(lines: list[bytes]) -> list[bytes]:
        body = json.loads(lines[0])
        sig = base64.b64decode(body["signatures"][0]["sig"])
        more = int.from_bytes(sig[32:], "little") + order
        body["signatures"][0]["sig"] = base64.b64encode(sig[:32] + more.to_bytes(32, "little")).decode()
        return [canonical(body), *lines[1:]]

    lab.forge = twisted
    lab.land(work(lab))


@way("bundle", "the store was altered")
def object_in_the_store_replaced(lab: Lab) -> None:
    lab.land(work(lab))
    path = lab.paths("bundles/")[0]
    oid, data = gitkit.ref(lab.repo, f"refs/andon/evidence:{path}"), lab.read(path)[:-2] + b"?\n"
    place = lab.repo / ".git" / "objects" / oid[:2] / oid[2:]
    if place.exists():
        place.unlink()
    for pack in (lab.repo / ".git" / "objects" / "pack").iterdir():
        pack.unlink()
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(b"blob %d\0" % len(data) + data))


# --- and their guards -----------------------------------------------------------------------------------------------------------


class Guard(NamedTuple):
    """A text of the verifier, and what takes its guard away."""

    old: str
    new: str
    doubled: bool = False
    """Without it another point still refuses the same tampering, for another reason."""


def off(condition: str, *, doubled: bool = False) -> Guard:
    """A condition that is never met."""
    return Guard(f"if {condition}:", "if False:", doubled)


NO_KEY = Guard("if not ed25519(public, pae(payload), sig):", "if False:")
ANY_KEY = Guard("public = trust.keys[role].get(keyid)", "public = next(iter(trust.keys[role].values()))", True)
NO_SSH = Guard("    if done.returncode != 0:\n        why", "    if False:\n        why")
GUARDS: dict[str, tuple[Guard, ...]] = {
    "bundle_edited": (off("sha256(data) != self.bundle", doubled=True),),
    "bundle_removed": (Guard('raise Refused(f"the bundle {self.bundle[:12]} is missing")', "data = b''", True),),
    "payload_edited_and_commit_rewritten": (NO_KEY._replace(doubled=True),),
    "signed_anew_with_another_key": (ANY_KEY,),
    "result_signed_by_the_daemon": (Guard('ROLE = {TEST: "verifier"', 'ROLE = {TEST: "daemon"', True),),
    "summary_signed_by_the_verifier": (Guard('SUMMARY: "daemon"', 'SUMMARY: "verifier"'),),
    "approval_by_another_ssh_key": (NO_SSH,),
    "approval_under_the_name_of_another_key": (off("keyid != fingerprint", doubled=True),),
    "approval_dropped": (off("not given and asks(self.policy, risk)"),),
    "approval_dropped_after_the_summary": (off("len(set(listed)) != len(listed) or set(listed) != others", doubled=True),),
    "result_dropped": (off("not runs", doubled=True),),
    "statement_there_twice": (off("len(set(lines)) != len(lines)"),),
    "statement_slipped_in": (off("len(set(listed)) != len(listed) or set(listed) != others", doubled=True),),
    "bundle_replayed_for_a_later_commit": (
        off("one.kind != CHECKPOINT and (one.tree != self.head.tree or (one.kind != TEST and one.commit != self.change))",
            doubled=True),),
    "evil_merge": (Guard("self._same(how, before, member)", "pass"),),
    "parents_in_another_order": (off('how == "merge" and landed.parents != [before, member.change]'),),
    "evil_squash": (Guard("self._same(how, before, member)", "pass"),),
    "commit_slipped_in_before_a_squashed_one": (Guard("self._parents(how, member, before)", "pass", True),),
    "commit_slipped_in_before_a_replayed_one": (Guard("self._parents(how, member, before)", "pass", True),),
    "plain_commit_on_the_target": (
        Guard('told = "a plain commit: nothing of a factory speaks for it"', 'return Report(oid, HOLDS, [], at=commit.at)'),),
    "landing_record_of_another_commit": (
        off('(record.commit, record.tree) != (name, self.candidate.tree) or take(record.body, str, "tree") != record.tree',
            doubled=True),),
    "landing_record_removed": (Guard('raise Refused("no landing record speaks of this commit")', "data = b''", True),),
    "landing_record_by_the_wrong_role": (Guard('LANDING: "daemon"}', 'LANDING: "verifier"}'),),
    "commit_names_another_bundle": (off('said["Bundle"] != [f"sha256:{self.bundle}"]'),),
    "two_bundles_named": (off("wrong", doubled=True),),
    "log_altered": (off("found is not None and sha256(found) != digest"),),
    "log_removed": (off("missing"),),
    "policy_weakened": (off("found is not None and sha256(found) != digest"),),
    "policy_removed": (Guard('raise Unevaluated(f"the policy {self.policy_digest[:12]} is not here")', 'data = b"{}"'),),
    "another_policy_than_the_pinned_one": (off("allowed and self.policy_digest not in allowed"),),
    "summary_under_another_policy": (off("self.policy_named and self.policy_named != self.policy_digest", doubled=True),),
    "summary_demands_less_than_the_policy": (Guard('raise Refused(f"the policy demands', 'str(f"'),),
    "failed_result_called_passed": (off("bad"),),
    "result_changed_after_the_gate": (off("named != set(self.tests) and named != {one.payload for one in self.tests.values()}"),),
    "shown_summary_altered": (off("found is not None and sha256(found) != digest", doubled=True),),
    "diff_from_a_base_that_hides_a_part": (off("code != 0"),),
    "expired_key_of_an_operator": (NO_SSH, Guard('re.sub(r"\\D", "", when)', '"20190101000000"')),
    "signature_for_another_namespace": (off("namespace != NAMESPACE", doubled=True),),
    "key_allowed_for_another_namespace_alone": (NO_SSH,),
    "role_that_nobody_gave": (off('one.by != "daemon" and role and role not in self.case.trust.roles.get(who, [])'),),
    "rejection_counted_as_approval": (off('take(body, str, "decision").lower() not in ("approve", "approved")'),),
    "approval_of_another_diff": (off('take(body, str, "shown", "diffSha256") != self.diff'),),
    "approval_of_another_summary": (off('take(body, str, "shown", "summarySha256") != self.verdict["shown"]'),),
    "approval_with_the_nonce_of_another_gate": (off("self.evidence.nonces.setdefault(nonce, self.change) != self.change"),),
    "approval_from_before_the_work": (off("not at or at + CLOCKS_S < moment(str(end))"),),
    "approval_without_a_nonce": (off('not take(body, str, "gate") or not re.fullmatch(r"[0-9A-Za-z_-]{16,128}", nonce)'),),
    "stop_with_a_recorded_approval": (off("not signed", doubled=True),),
    "stop_approved_by_another_role": (
        Guard('raise Refused(f"a change of class stop needs a signature in the role', 'str(f"'),),
    "stop_approved_twice_by_one_person": (off("count < keys"),),
    "recorded_approval_by_nobody": (ANY_KEY,),
    "failed_verdict_landed": (off('take(summary.body, str, "verificationResult") != "PASSED"'),),
    "summary_of_another_task": (off("about[:2] != [self.task, self.change] or (self.attempt and about[2] != self.attempt)"),),
    "unknown_class": (off('risk not in ("ship", "review", "stop")'),),
    "checkpoint_replaced": (off('trailer and trailer != f"{size} {root}"'),),
    "checkpoint_of_another_ledger": (off('found.body.get("origin") != self.trust.origin'),),
    "checkpoint_that_contradicts_itself": (off("base64.b64decode(root).hex() != found.commit or not HEX.fullmatch(found.commit)"),),
    "two_histories_of_one_length": (off("self.evidence.roots.setdefault(size, root) != root"),),
    "proof_of_another_tree": (off("run.tree != self.candidate.tree"),),
    "proof_of_the_merged_tree_removed": (
        Guard("run is None:\n                raise", "run is None:\n                continue\n                raise", True),),
    "landing_without_runs": (off("wanted - passed"),),
    "landing_on_a_failed_run": (off('run.body.get("result") != "PASSED"'),),
    "roles_swapped_in_the_trust_file": (ANY_KEY,),
    "json_with_a_field_twice": (off("len({key for key, _ in pairs}) != len(pairs)", doubled=True),),
    "json_with_a_fraction": (Guard("parse_float=float if floats else _no_float", "parse_float=float", True),),
    "envelope_spelled_in_another_way": (
        off('json.dumps(outer, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") != line',
            doubled=True),),
    "signature_with_another_s": (Guard(" or s >= L", "", True),),
    "object_in_the_store_replaced": (Guard("hexdigest() != oid:", "hexdigest() == '':", True),),
}
"""What each way is seen by. The mutated text must stand in the verifier exactly once, so that the table cannot grow stale."""
