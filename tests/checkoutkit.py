"""A factory's checkouts for tests: effects with the usual values, and blobs in memory."""

import hashlib
from pathlib import Path

import msgspec

import gitkit
from andon.schema.effects import ImportWork, MergeCandidate, MergeMember, MirrorTarget, MoveTarget, PrepareCheckout, RemoveCheckout
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, TaskId
from andon.schema.inputs import CandidateMerged
from andon.schema.layout import Layout
from andon.schema.settings import Checkout

REPO = RepoId("project")


class Blobs:
    """Bytes by digest."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> Digest:
        """Keep these bytes."""
        digest = Digest(hashlib.sha256(data).hexdigest())
        self.kept[digest] = data
        return digest


class Floor(msgspec.Struct, frozen=True):
    """A person's repository and a factory beside it."""

    person: Path
    layout: Layout

    @property
    def git_dir(self) -> Path:
        """The common git directory."""
        return self.person / ".git"

    @property
    def base(self) -> Oid:
        """Where main stands."""
        return Oid(gitkit.ref(self.person, "refs/heads/main"))

    def path(self, attempt: str = "T1.1") -> Path:
        """Where the checkout of an attempt stands."""
        return self.layout.checkout(REPO, AttemptId(attempt))

    def prepare(self, attempt: str = "T1.1", *, base: str = "", start: str = "", previous: str = "", isolation: str = "clone",
                setup: tuple[str, ...] = (), port: int = 0, rebase: bool = False) -> PrepareCheckout:
        """The effect that makes a checkout."""
        return PrepareCheckout(
            attempt=AttemptId(attempt), task=TaskId(attempt.split(".")[0]), repo=REPO, git_dir=str(self.git_dir),
            path=str(self.person), base=Oid(base) or self.base, start=Oid(start), previous=Oid(previous),
            checkout=Checkout(isolation=isolation, setup=setup), port=port, rebase=rebase)

    def bring(self, attempt: str = "T1.1", *, base: str = "", others: tuple[str, ...] = ()) -> ImportWork:
        """The effect that imports its work."""
        return ImportWork(
            attempt=AttemptId(attempt), task=TaskId(attempt.split(".")[0]), repo=REPO, git_dir=str(self.git_dir),
            path=str(self.path(attempt)), base=Oid(base) or self.base, fence=1, others=tuple(Oid(oid) for oid in others))

    def remove(self, attempt: str = "T1.1", *, base: str = "", teardown: tuple[str, ...] = ()) -> RemoveCheckout:
        """The effect that removes it."""
        return RemoveCheckout(
            attempt=AttemptId(attempt), repo=REPO, git_dir=str(self.git_dir), path=str(self.path(attempt)),
            base=Oid(base) or self.base, checkout=Checkout(teardown=teardown))

    def member(self, commit: str, task: str = "T1", *, title: str = "Do it", at: int = 1_700_000_000_123,
               trailers: tuple[str, ...] = ()) -> MergeMember:
        """A change to be merged."""
        return MergeMember(task=TaskId(task), commit=Oid(commit), at=at, title=title, trailers=trailers)

    def merge(self, *commits: str | MergeMember, onto: str = "", landing: str = "L1", how: str = "merge", green: bool = False,
              drivers: tuple[str, ...] = (), at: int = 1_700_000_500_000) -> MergeCandidate:
        """The effect that merges changes: T1, T2, and so on, where only commits are given."""
        members = tuple(one if isinstance(one, MergeMember) else self.member(one, f"T{n}") for n, one in enumerate(commits, 1))
        return MergeCandidate(
            landing=LandingId(landing), repo=REPO, git_dir=str(self.git_dir), target="main", onto=Oid(onto) or self.base,
            members=members, how=how, green=green, drivers=drivers, at=at)

    def move(self, merge: MergeCandidate, done: CandidateMerged) -> MoveTarget:
        """The effect that moves trunk to a candidate that was merged."""
        return MoveTarget(
            landing=merge.landing, repo=REPO, git_dir=str(self.git_dir), target="main", old=merge.onto, new=done.candidate,
            tree=done.tree, members=merge.members, steps=done.steps, how=merge.how, green=merge.green, drivers=merge.drivers,
            at=merge.at)

    def mirror(self, oid: str, asked: int = 0) -> MirrorTarget:
        """The effect that lets main follow."""
        return MirrorTarget(repo=REPO, git_dir=str(self.git_dir), path=str(self.person), target="main", oid=Oid(oid),
                            asked=asked)


def floor(root: Path, files: dict[str, str] | None = None, commits: int = 1) -> Floor:
    """A repository at `root/person` and a factory at `root/factory`."""
    person = gitkit.make_repo(root / "person", files, commits)
    home = root / "factory"
    return Floor(person, Layout(home=home, runtime=home / "run", config=root / "config"))
