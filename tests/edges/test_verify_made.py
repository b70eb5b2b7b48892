"""What the product seals and lands is verified by the command and by an auditor's bundle; the ledger is compared with it."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

import gitkit
import ledgerkit
from andon.cli import codes
from andon.edges.changes import read_changes
from andon.edges.landing import merge_candidate
from andon.edges.trust import write_trust
from andon.schema.effects import MergeCandidate, MergeMember
from andon.schema.evidence import ClaimPart, LandedMember, LandingParts, Sealed
from andon.schema.ids import AttemptId, LandingId, Oid, RunId, TaskId
from andon.schema.inputs import CandidateMerged
from clikit import Caps, andon
from evidencekit import canonical
from sealkit import REPO, Shop, shop

POLICY = '{"checks":{"tests":{}},"line":{"stations":[{"kind":"check"},{"kind":"gate","when":"policy"}]},"target":"main"}'


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = shop(tmp_path)
    write_trust(made.layout, made.keys)
    monkeypatch.setenv("ANDON_HOME", str(made.layout.home))
    monkeypatch.chdir(made.repo)
    return made


async def landed(at_work: Shop, *numbers: int, how: str = "merge", green: bool = False, log: bytes = b"2 passed\n") -> str:
    """Changes sealed, merged, proven, recorded and landed by the product's own edges; the commit."""
    onto = Oid(gitkit.ref(at_work.repo, "main"))
    sealed = [await worked(at_work, number, onto, log) for number in numbers]
    members = tuple(MergeMember(task=TaskId(f"T{n}"), commit=head, at=1_700_000_100_000 + n, title=f"Task {n}", trailers=(
        f"Andon-Task: T{n}", f"Andon-Attempt: T{n}.1", f"Andon-Bundle: sha256:{seal.bundle}", f"Andon-Policy: sha256:{seal.policy}",
        f"Andon-Ledger: {seal.ledger}")) for n, (head, seal) in zip(numbers, sealed, strict=True))
    done = await merge_candidate(MergeCandidate(
        landing=LandingId("L1"), repo=REPO, git_dir=at_work.git_dir, target="main", onto=onto, members=members, how=how,
        green=green, at=1_700_000_200_000))
    assert isinstance(done, CandidateMerged), done
    at_work.commit, at_work.tree = done.candidate, done.tree
    run = at_work.ran(run="R9", log=log)
    grow(at_work, 2)
    await at_work.record(LandingParts(
        landing=LandingId("L1"), repo=REPO, git_dir=at_work.git_dir, target="main", onto=onto, how=how, commit=done.candidate,
        tree=done.tree, runs=(run,), members=tuple(
            LandedMember(task=step.task, change=head, commit=step.commit, bundle=seal.bundle)
            for step, (head, seal) in zip(done.steps, sealed, strict=True))))
    gitkit.run(at_work.repo, "reset", "-q", "--hard", done.candidate)
    return done.candidate


async def worked(at_work: Shop, number: int, onto: Oid, log: bytes) -> tuple[Oid, Sealed]:
    """A change of two commits, sealed; its head."""
    gitkit.run(at_work.repo, "checkout", "-q", "-B", f"andon/T{number}", onto)
    gitkit.commit(at_work.repo, {f"f{number}.txt": "a\n"}, "Begin")
    head = Oid(gitkit.commit(at_work.repo, {f"f{number}.txt": "a\nb\n"}, "End"))
    gitkit.run(at_work.repo, "checkout", "-q", "main")
    at_work.commit, at_work.tree = head, Oid(gitkit.tree(at_work.repo, head))
    changes = await read_changes(Path(at_work.git_dir), onto, head, at_work.blobs)
    evidence = at_work.ran(run=f"R{number}", log=log)
    shown = canonical({"task": f"T{number}", "commit": head, "tree": at_work.tree, "diffSha256": changes.diff, "claims": [
        {"claim": "tests", "status": "proven", "walls": "strict", "evidence": evidence}]}).decode()
    parts = msgspec.structs.replace(
        at_work.parts(number), attempt=AttemptId(f"T{number}.1"), base=onto, risk="ship", policy=POLICY, shown=shown,
        claims=(ClaimPart(claim="tests", status="proven", run=RunId(f"R{number}"), evidence=evidence, walls="strict"),))
    return head, await at_work.seal(parts)


def grow(at_work: Shop, by: int) -> None:
    """The ledger goes on."""
    size = len(ledgerkit.sql(at_work.layout, "SELECT seq FROM event"))
    rows = ledgerkit.rows_of(ledgerkit.added(n) for n in range(1, size + by + 1))
    ledgerkit.fill(at_work.layout, rows[size:])


def verdicts(told: str) -> list[str]:
    return [report["verdict"] for report in json.loads(told)["reports"]]


@pytest.mark.parametrize(("how", "green"), [
    ("merge", False), ("merge", True), ("squash", False), ("squash", True), ("rebase", False), ("rebase", True)])
async def test_what_the_product_seals_and_lands_holds(how: str, green: bool, at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1, 2, how=how, green=green)
    await landed(at_work, 3, how=how, green=green)
    ran = andon(capsys, "verify", "--all", "--json", "--against-ledger")
    assert ran.code == codes.OK, ran
    assert verdicts(ran.out) == ["holds", "holds"]
    assert [point["result"] for point in json.loads(ran.out)["more"]] == ["holds", "holds"]
    each = gitkit.run(at_work.repo, "log", "--format=%H", "-E", "--grep=^Andon-Change:", "main").split()
    assert {andon(capsys, "verify", oid).code for oid in each} == {codes.OK}
    one = andon(capsys, "verify", "T1")
    assert one.code == codes.OK and "T1" in one.out and "refused" not in one.out and "walls strict" in one.out, one


async def test_it_works_with_no_daemon_no_settings_and_no_checkout_in_a_fresh_clone(
    at_work: Shop, capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    tip = await landed(at_work, 1)
    assert andon(capsys, "verify", "--write-trust", str(tmp_path / "trust.json")).code == codes.OK
    gitkit.run(tmp_path, "clone", "-q", "--mirror", str(at_work.repo), "clone.git")
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "nobody"))
    monkeypatch.chdir(tmp_path)
    ran = andon(capsys, "verify", tip, "--repository", "clone.git", "--trust", "trust.json")
    assert ran.code == codes.OK and ran.err == "", ran
    assert not (tmp_path / "nobody").exists()


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
async def test_a_fresh_clone_with_the_evidence_has_all_that_is_needed(
    how: str, at_work: Shop, capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    await landed(at_work, 1, 2, how=how)
    andon(capsys, "verify", "--write-trust", str(tmp_path / "trust.json"))
    gitkit.run(tmp_path, "clone", "-q", "--no-local", "--single-branch", str(at_work.repo), "clone")
    gitkit.run(tmp_path / "clone", "fetch", "-q", "origin", "refs/andon/evidence:refs/andon/evidence")
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "nobody"))
    ran = andon(capsys, "verify", "--all", "--repository", str(tmp_path / "clone"), "--trust", str(tmp_path / "trust.json"))
    assert ran.code == codes.OK and "1 holds" in ran.out, ran


async def test_a_trust_file_is_never_written_over_another_file_and_must_be_there(
    at_work: Shop, capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = andon(capsys, "verify", "--write-trust", str(tmp_path / "mine"))
    assert ran.code == codes.MISTAKE and (tmp_path / "mine").read_text() == "mine"
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "nobody"))
    told = andon(capsys, "verify", "HEAD")
    assert told.code == codes.MISTAKE and "without one, nobody's word counts" in told.err


# --- the ledger -----------------------------------------------------------------------------------------------------------------


async def compared(at_work: Shop, capsys: Caps) -> tuple[int, str, str]:
    ran = andon(capsys, "verify", "HEAD", "--json", "--against-ledger")
    point = json.loads(ran.out)["more"][0]
    return ran.code, point["result"], point["because"]


async def test_a_longer_ledger_begins_with_what_was_signed(at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1)
    grow(at_work, 30)
    assert (await compared(at_work, capsys))[:2] == (codes.OK, "holds")


async def test_a_ledger_whose_end_was_cut_off_is_refused(at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1)
    ledgerkit.tamper(at_work.layout, "DELETE FROM event WHERE seq > 6")
    code, result, because = await compared(at_work, capsys)
    assert (code, result) == (codes.NOT_SO, "refused") and "its end was cut off" in because


async def test_an_old_event_rewritten_with_all_hashes_made_anew_is_refused(at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1)
    size = len(ledgerkit.sql(at_work.layout, "SELECT seq FROM event"))
    at_work.layout.ledger.unlink()
    rows = ledgerkit.rows_of(ledgerkit.added(n, "Do something else.") if n == 2 else ledgerkit.added(n) for n in range(1, size + 9))
    ledgerkit.fill(at_work.layout, rows)
    code, result, because = await compared(at_work, capsys)
    assert (code, result) == (codes.NOT_SO, "refused") and "was rewritten" in because


async def test_an_event_edited_in_place_is_refused(at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1)
    ledgerkit.tamper(at_work.layout, "UPDATE event SET data = replace(data, 'Task 2', 'Task 9') WHERE seq = 2")
    code, result, because = await compared(at_work, capsys)
    assert (code, result) == (codes.NOT_SO, "refused") and "changed after it was written" in because


async def test_a_ledger_that_is_not_here_is_unevaluated(at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1)
    at_work.layout.ledger.unlink()
    assert (await compared(at_work, capsys))[:2] == (codes.NOT_EVALUATED, "unevaluated")


# --- for auditors ---------------------------------------------------------------------------------------------------------------


def unpacked(file: Path, into: Path) -> Path:
    with tarfile.open(file) as tar:
        tar.extractall(into, filter="data")
    return into / "andon-audit"


def alone(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The script, as somebody runs it who has neither Andon nor our settings."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    argv = (sys.executable, "-I", "-S", "verify.py", *words)
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


async def test_a_bundle_for_auditors_says_the_same_as_the_command_and_is_the_same_each_time(
    at_work: Shop, capsys: Caps, tmp_path: Path,
) -> None:
    await landed(at_work, 1, 2)
    gitkit.commit(at_work.repo, {"hand.txt": "x\n"}, "By hand")
    await landed(at_work, 3, how="squash")
    await landed(at_work, 4, how="rebase", log=b"x" * 300_000)
    own = andon(capsys, "verify", "--all", "--json")
    files = [tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"]
    assert [andon(capsys, "audit", "--out", str(file)).code for file in files] == [codes.NOT_EVALUATED] * 2
    assert files[0].read_bytes() == files[1].read_bytes()
    folder = unpacked(files[0], tmp_path)
    done = alone(folder, "--json")
    assert done.stderr == "" and done.returncode == own.code == codes.NOT_EVALUATED
    assert verdicts(done.stdout) == verdicts(own.out) == ["holds", "holds", "human", "holds"]
    assert json.loads(done.stdout) == json.loads(own.out)
    assert any(path.is_file() for path in (folder / "files").rglob("*")), "the large log is in it, out of the store"
    report = (folder / "REPORT.md").read_text()
    assert report.index("## Gaps") < report.index("## Landings") and "1 plain commit stand between" in report
    assert "| T1 | Make it | me | ship |" in report


async def test_a_bundle_names_what_is_lacking_on_its_first_page(at_work: Shop, capsys: Caps, tmp_path: Path) -> None:
    first = await landed(at_work, 1)
    tip = await landed(at_work, 2)
    gitkit.run(at_work.repo, "reset", "-q", "--hard", first)
    ran = andon(capsys, "audit", "--out", str(tmp_path / "a.tar.gz"))
    assert ran.code == codes.NOT_EVALUATED and "1 recorded landing" in ran.err
    own = andon(capsys, "verify", "--all")
    assert own.code == codes.NOT_EVALUATED and "it is behind, or was moved back" in own.out
    gaps = (unpacked(tmp_path / "a.tar.gz", tmp_path) / "REPORT.md").read_text().split("## Landings")[0]
    assert f"`{tip[:12]}` is recorded as landed here, and this target lacks it" in gaps


async def test_a_bundle_since_a_commit_or_a_day_holds_what_landed_after_it(at_work: Shop, capsys: Caps, tmp_path: Path) -> None:
    first = await landed(at_work, 1)
    await landed(at_work, 2)
    for n, (since, count) in enumerate(((first, 1), ("2023-01-01", 2), ("2999-01-01", 0))):
        file = tmp_path / f"{n}.tar.gz"
        andon(capsys, "audit", "--since", since, "--out", str(file))
        folder = unpacked(file, tmp_path / str(n))
        assert len(verdicts(alone(folder, "--json").stdout)) == count
    assert andon(capsys, "audit", "--since", "2023-99-99", "--out", str(tmp_path / "x")).code == codes.MISTAKE


async def test_a_bundle_is_never_written_over_a_file_and_a_damaged_one_is_refused(
    at_work: Shop, capsys: Caps, tmp_path: Path,
) -> None:
    await landed(at_work, 1)
    (tmp_path / "mine").write_text("mine")
    ran = andon(capsys, "audit", "--out", str(tmp_path / "mine"))
    assert ran.code == codes.MISTAKE and (tmp_path / "mine").read_text() == "mine"
    andon(capsys, "audit", "--out", str(tmp_path / "a.tar.gz"))
    folder = unpacked(tmp_path / "a.tar.gz", tmp_path)
    assert alone(folder).returncode == codes.OK
    for name in ("evidence.bundle", "trust.json", "REPORT.md"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-9] + b"?" + whole[-8:])
        done = alone(folder)
        assert done.returncode == codes.NOT_SO and f"{name} is missing, or is not what SHA256SUMS says" in done.stderr
        (folder / name).write_bytes(whole)


async def test_names_that_mean_nothing_are_told_apart_from_evidence_that_does_not_hold(at_work: Shop, capsys: Caps) -> None:
    await landed(at_work, 1)
    for name, told in (("T99", "no commit here says that it landed T99"), ("nothing", "is no commit"),
                       ("a;b", "does not name a commit")):
        ran = andon(capsys, "verify", name)
        assert ran.code == codes.NOT_EVALUATED and told in ran.err, ran
