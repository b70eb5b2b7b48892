"""Each way in which evidence can be tampered with is refused, with its reason; honest landings of every kind hold."""

import subprocess
import time
import types
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.thirdparty import command
from andon.thirdparty.landing import HOLDS, HUMAN, REFUSED, UNEVALUATED, Evidence, Report
from andon.thirdparty.objects import Repository
from andon.thirdparty.signed import Refused, Trust
from andon.thirdparty.single import script
from evidencekit import Lab, sha
from tamperkit import GUARDS, WAYS, predicate, work


def report_of(lab: Lab, commit: str = "HEAD", verifier: Any = None) -> Report:
    """What the verifier, or another than the product's, says of one commit."""
    own = verifier or PRODUCT
    repository = own.Repository(lab.repo)
    try:
        evidence = own.Evidence(repository, own.Trust.read(lab.trust_file))
        found: Report = evidence.guarded(repository.resolve(commit)[0])
        return found
    finally:
        repository.close()


def without(old: str, new: str) -> Any:
    """The verifier as it is given away, with a guard taken out of it."""
    assert SCRIPT.count(old) == 1, f"the guard stands there {SCRIPT.count(old)} times: {old}"
    made = types.ModuleType("mutated")
    exec(compile(SCRIPT.replace(old, new), "mutated", "exec"), made.__dict__)  # the product's own text
    return made


SCRIPT = script()
PRODUCT = types.SimpleNamespace(Repository=Repository, Evidence=Evidence, Trust=Trust)


def verdicts(lab: Lab) -> list[str]:
    """Of everything, the newest first."""
    repository = Repository(lab.repo)
    try:
        return [report.verdict for report in Evidence(repository, Trust.read(lab.trust_file)).landings()]
    finally:
        repository.close()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("lab") / "lab")
    lab.work("T1", {"a.txt": "one\ntwo\nthree\nfour\n"})
    return lab


@pytest.fixture
def lab(first: Lab, tmp_path: Path) -> Lab:
    return first.copy(tmp_path / "lab")


@pytest.mark.parametrize("name", list(WAYS))
def test_each_way_to_tamper_is_refused_with_its_reason(name: str, lab: Lab) -> None:
    told = WAYS[name]
    told.act(lab)
    report = report_of(lab, gitkit.ref(lab.repo, "main"))
    assert report.verdict == told.verdict, report
    found = [point for point in report.points if told.because in point.because]
    assert [point.name.split(" ")[-1] for point in found] == [told.point], report
    assert found[0].result == (REFUSED if told.verdict == HUMAN else told.verdict)
    assert command.code_of([report], False) == (command.NOT_EVALUATED if told.verdict == UNEVALUATED else command.NOT_SO)
    for guard in GUARDS[name]:
        missed = report_of(lab, gitkit.ref(lab.repo, "main"), without(guard.old, guard.new))
        assert not any(told.because in point.because for point in missed.points), "it is refused without its guard"
        assert (missed.verdict == HOLDS) is not guard.doubled, missed


def test_each_way_has_the_guard_without_which_it_is_missed() -> None:
    assert GUARDS.keys() == WAYS.keys()


def test_there_are_more_ways_than_were_asked_for() -> None:
    assert len(WAYS) >= 50


# --- honest ones ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_an_honest_landing_holds(how: str, lab: Lab) -> None:
    lab.land(work(lab), how=how)
    report = report_of(lab)
    assert {point.result for point in report.points} == {HOLDS}, report
    assert report.verdict == HOLDS and len(report.points) == 13


def test_honest_landings_of_several_changes_hold_whichever_commit_is_asked_about(lab: Lab) -> None:
    changes = (work(lab), lab.work("T2", {"c.txt": "c\n"}), lab.work("T3", {"b.txt": "bb\n"}))
    lab.land(*changes)
    assert [report_of(lab, name).verdict for name in ("HEAD", "HEAD^", "HEAD^^")] == [HOLDS] * 3
    assert [member["task"] for member in report_of(lab, "HEAD^").members] == ["T1", "T2", "T3"]


def test_a_longer_ledger_and_a_plain_commit_between_harm_no_honest_landing(lab: Lab) -> None:
    lab.land(work(lab))
    gitkit.commit(lab.repo, {"x.txt": "x\n"}, "By hand")
    lab.rows += [sha(b"later")] * 3
    lab.land(lab.work("T2", {"c.txt": "c\n"}))
    assert verdicts(lab) == [HOLDS, HUMAN, HOLDS]


def test_what_landed_before_there_was_evidence_is_not_listed_but_between_landings_it_is_refused(lab: Lab) -> None:
    old = "Land T7: old\n\nAndon-Task: T7\nAndon-Change: " + "0" * 40
    gitkit.commit(lab.repo, {"old.txt": "x\n"}, old)
    lab.land(lab.work("T2", {"c.txt": "c\n"}))
    assert verdicts(lab) == [HOLDS]
    gitkit.commit(lab.repo, {"old.txt": "y\n"}, old)
    lab.land(lab.work("T3", {"d.txt": "d\n"}))
    assert verdicts(lab) == [HOLDS, REFUSED, HOLDS]


def test_a_landing_whose_evidence_was_removed_stays_in_the_list_as_refused(lab: Lab) -> None:
    lab.land(work(lab))
    lab.put({path: None for path in lab.paths()})
    lab.put({"blobs/x": b"x"})
    assert verdicts(lab) == [REFUSED]


def test_a_change_of_class_stop_holds_with_the_persons_and_roles_that_the_policy_names(lab: Lab) -> None:
    lab.risk, lab.approvers = "stop", ("ana", "ben")
    lab.policy["policy"] |= {"stop_keys": 2, "stop_roles": ["maintainer"]}
    lab.land(work(lab))
    assert report_of(lab).verdict == HOLDS


def test_an_approval_without_a_key_is_shown_as_recorded_and_not_signed(lab: Lab) -> None:
    lab.keys["approval-ana"] = lab.daemon
    lab.edits["approval-ana"] = predicate(signed=False)
    lab.land(work(lab))
    report = report_of(lab)
    assert report.verdict == HOLDS
    assert any("ana as maintainer (recorded, not signed)" in point.because for point in report.points)
    assert not report.members[0]["approvals"][0]["signed"]


def test_a_key_that_expires_later_does_not_undo_what_it_approved(lab: Lab) -> None:
    day = time.strftime("%Y%m%d", time.gmtime(time.time() + 86_400))
    lab.write_trust(operators=f'ana valid-before="{day}" {lab.people["ana"].public}\n')
    lab.land(work(lab))
    assert report_of(lab).verdict == HOLDS


def test_a_change_that_ships_by_itself_needs_nobody(lab: Lab) -> None:
    lab.risk, lab.approvers = "ship", ()
    lab.land(work(lab))
    assert report_of(lab).verdict == HOLDS


def test_a_squashed_change_that_is_not_here_is_unevaluated(lab: Lab, tmp_path: Path) -> None:
    lab.land(work(lab), how="squash")
    gitkit.run(lab.repo, "branch", "-D", "andon/T1")
    gitkit.run(tmp_path, "clone", "-q", "--no-local", str(lab.repo), "clone")
    gitkit.run(tmp_path / "clone", "fetch", "-q", "origin", "refs/andon/evidence:refs/andon/evidence")
    lab.repo = tmp_path / "clone"
    report = report_of(lab)
    assert report.verdict == UNEVALUATED and "is not here" in report.points[0].because


def test_a_clone_without_evidence_says_how_to_bring_it(lab: Lab, tmp_path: Path) -> None:
    lab.land(work(lab))
    gitkit.run(tmp_path, "clone", "-q", "--no-local", str(lab.repo), "clone")
    lab.repo = tmp_path / "clone"
    report = report_of(lab)
    assert report.verdict == UNEVALUATED and "git fetch origin refs/andon/evidence" in report.points[0].because


# --- whom the verifier does not believe -----------------------------------------------------------------------------------------


def test_what_the_repository_configures_neither_runs_nor_changes_the_answer(lab: Lab, tmp_path: Path) -> None:
    lab.land(work(lab))
    mark = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    git = lab.repo / ".git"
    for key in ("core.fsmonitor", "diff.external", "diff.x.textconv", "diff.x.command", "core.pager", "merge.x.driver",
                "gpg.program", "filter.x.smudge", "core.alternateRefsCommand", "core.sshCommand", "uploadpack.packObjectsHook"):
        gitkit.run(lab.repo, "config", key, str(program))
    (git / "info").mkdir(exist_ok=True)
    (git / "info" / "attributes").write_text("* diff=x merge=x filter=x\n")
    (git / "hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "fsmonitor-watchman"):
        (git / "hooks" / hook).write_text(program.read_text())
        (git / "hooks" / hook).chmod(0o755)
    assert report_of(lab).verdict == HOLDS
    assert not mark.exists()


def test_replacements_and_grafts_of_the_repository_do_not_count(lab: Lab) -> None:
    tip = lab.land(work(lab))
    other = gitkit.run(lab.repo, "commit-tree", gitkit.tree(lab.repo, "main^"), "-m", "Land T1: other")
    gitkit.run(lab.repo, "replace", tip, other)
    (lab.repo / ".git" / "info").mkdir(exist_ok=True)
    (lab.repo / ".git" / "info" / "grafts").write_text(f"{tip}\n")
    assert report_of(lab, tip).verdict == HOLDS


@pytest.mark.parametrize(("changed", "because"), [
    ({"verifier": None}, "gives one key two roles"),
    ({"version": 2}, "not of version 1"),
    ({"daemon": ["ssh-rsa AAAA"]}, "not ssh-ed25519"),
    ({"policies": [3]}, "no list of texts"),
    ({"roles": []}, "roles is missing"),
])
def test_a_trust_file_that_is_none_is_refused(changed: dict[str, Any], because: str, lab: Lab) -> None:
    if changed.get("verifier", 0) is None:
        changed = {"verifier": [lab.daemon.line]}
    lab.write_trust(**changed)
    with pytest.raises(Refused, match=because):
        Trust.read(lab.trust_file)


def test_merge_attributes_make_a_merge_unevaluated_and_never_a_pass(lab: Lab) -> None:
    change = lab.work("T2", {".gitattributes": "a.txt merge=ours\n", "a.txt": "x\n"})
    evil = lab.work("T9", {".gitattributes": "a.txt merge=ours\n", "a.txt": "y\n"})
    lab.land(change, tree=evil.tree)
    report = report_of(lab)
    assert report.verdict == UNEVALUATED and any("merge attributes" in point.because for point in report.points)


def test_without_ssh_keygen_an_approval_is_unevaluated(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.land(work(lab))
    git = subprocess.run(["/bin/sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    report = report_of(lab)
    assert report.verdict == UNEVALUATED and any("ssh-keygen is not on PATH" in point.because for point in report.points)
