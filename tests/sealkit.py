"""A factory whose changes can be sealed: keys, a ledger, a repository, check runs that passed. Run as a program it seals once."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

import gitkit
import ledgerkit
from andon.edges import evidence, sealing
from andon.edges.blobs import Blobs
from andon.edges.checkpoints import Checkpoints
from andon.edges.dsse import Envelope, canonical, decode
from andon.edges.keys import Keys
from andon.edges.statements import made, subject_of
from andon.schema.effects import RunCheck
from andon.schema.evidence import APPROVAL, ChangeParts, ClaimPart, LandedMember, LandingParts, Sealed
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.inputs import CheckRan
from andon.schema.jobs import Exit
from andon.schema.settings import Check, Checkout

REPO = RepoId("demo")


class Shop:
    """One factory with one repository."""

    def __init__(self, home: Path, repo: Path) -> None:
        self.layout = ledgerkit.factory(home)
        self.repo, self.git_dir = repo, str(repo / ".git")
        self.keys, self.blobs = Keys.load(self.layout.keys), Blobs(self.layout)
        self.checkpoints = Checkpoints(self.layout, self.keys.origin)
        self.commit, self.tree = Oid(gitkit.run(repo, "rev-parse", "HEAD")), Oid(gitkit.tree(repo))

    def effect(self, run: str = "R1", name: str = "tests") -> RunCheck:
        """A check of the head."""
        return RunCheck(run=RunId(run), repo=REPO, git_dir=self.git_dir, commit=self.commit, tree=self.tree,
                        check=Check(name=name, run="pytest -q"), definition=Digest("d" * 64), checkout=Checkout())

    def ran(self, name: str = "tests", *, log: bytes = b"2 passed\n", run: str = "R1", because: str = "2 passed") -> Digest:
        """The verifier's envelope about a check that passed, in the store."""
        told = CheckRan(run=RunId(run), result="pass", because=because, passed=2, log=self.blobs.put(log), seconds=1.25,
                        names=self.blobs.put(b'["a","b"]'))
        line = self.keys.verifier.sign(evidence.statement(self.effect(run, name), told, Exit(code=0), ("PATH",)))
        return self.blobs.put(line)

    def approval(self) -> Digest:
        """An approval that no person's key signed, and that says so."""
        said = made(subject_of(REPO, self.commit, self.tree), APPROVAL, {
            "decision": "approve", "gate": "G1", "nonce": "n", "approver": "me", "role": "", "signed": False,
            "time": "2026-01-01T00:00:00Z",
            "shown": {"diffSha256": "0" * 64, "summarySha256": "1" * 64}})
        return self.blobs.put(self.keys.daemon.sign(said))

    def parts(self, number: int = 1, *, evidence: Digest | None = None, approvals: tuple[Digest, ...] = ()) -> ChangeParts:
        """A change with one proven claim."""
        claim = ClaimPart(claim="tests", status="proven", run=RunId("R1"), evidence=evidence or self.ran(), walls="strict")
        return ChangeParts(
            task=TaskId(f"T{number}"), attempt=AttemptId(f"T{number}.1"), repo=REPO, git_dir=self.git_dir, commit=self.commit,
            tree=self.tree, base=self.commit, title="Make it", spec="Make it better.", risk="review", because="two paths",
            required=("tests",),
            claims=(claim,), policy='{"target":"main"}', shown="T1 changes a.txt", approvals=approvals, agent="claude", model="m-1",
            walls="strict", asked_by="me", started_at=1_700_000_000_000, ended_at=1_700_000_060_500, transcript=Digest("e" * 64))

    def landing(self, sealed: Sealed, *runs: Digest) -> LandingParts:
        """The landing of that change."""
        member = LandedMember(task=TaskId("T1"), change=self.commit, commit=self.commit, bundle=sealed.bundle)
        return LandingParts(landing=LandingId("L1"), repo=REPO, git_dir=self.git_dir, target="main", onto=self.commit, how="merge",
                            commit=self.commit, tree=self.tree, members=(member,), runs=runs)

    async def seal(self, parts: ChangeParts) -> Sealed:
        """Seal it, as the daemon does."""
        return await sealing.seal_change(parts, self.blobs, self.keys, self.checkpoints)

    async def record(self, parts: LandingParts) -> None:
        """Record it, as the daemon does."""
        await sealing.record_landing(parts, self.blobs, self.keys, self.checkpoints)

    def files(self) -> list[str]:
        """Paths of all evidence in the repository."""
        return gitkit.run(self.repo, "ls-tree", "-r", "--name-only", "refs/andon/evidence", check=False).splitlines()

    def bytes_of(self, path: str) -> bytes:
        """A file of the evidence."""
        return (gitkit.run(self.repo, "cat-file", "blob", f"refs/andon/evidence:{path}") + "\n").encode()

    def bundle(self, sealed: Sealed) -> list[Envelope]:
        """The envelopes of a bundle."""
        data = self.bytes_of(f"bundles/{sealed.bundle[:2]}/{sealed.bundle}.jsonl")
        return [decode(line) for line in data.splitlines()]


def shop(path: Path, rows: int = 5, object_format: str = "") -> Shop:
    """A factory below `path` with so many events."""
    repo = path / "repo"
    if object_format:
        repo.mkdir(parents=True)
        gitkit.run(repo, "init", "-q", "-b", "main", "--template=", f"--object-format={object_format}")
        gitkit.commit(repo, {"README.md": "# Project\n"}, "First")
    else:
        gitkit.make_repo(repo)
    ledgerkit.fill(ledgerkit.factory(path / "home"), ledgerkit.rows_of(ledgerkit.added(n) for n in range(1, rows + 1)))
    return Shop(path / "home", repo)


async def main(home: Path, repo: Path, parts: bytes) -> None:
    """What a daemon does in its short life: keys, seal, landing record; the seal goes to the output."""
    here = Shop(home, repo)
    change = msgspec.json.decode(parts, type=ChangeParts)
    sealed = await here.seal(change)
    await here.record(here.landing(sealed, change.claims[0].evidence))
    sys.stdout.buffer.write(canonical(json.loads(msgspec.json.encode(sealed))))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.stdin.buffer.read()))
