"""A factory's checkouts for tests: effects with the usual values, and blobs in memory."""

import hashlib
from pathlib import Path

import msgspec

import gitkit
from andon.schema.effects import ImportWork, MergeCandidate, MirrorTarget, MoveTarget, PrepareCheckout, RemoveCheckout
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, TaskId
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
                setup: tuple[str, ...] = (), port: int = 0) -> PrepareCheckout:
        """The effect that makes a checkout."""
        return PrepareCheckout(
            attempt=AttemptId(attempt), task=TaskId(attempt.split(".")[0]), repo=REPO, git_dir=str(self.git_dir),
            path=str(self.person), base=Oid(base) or self.base, start=Oid(start), previous=Oid(previous),
            checkout=Checkout(isolation=isolation, setup=setup), port=port)

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

    def merge(self, commit: str, *, onto: str = "", landing: str = "L1", title: str = "Do it", at: int = 1_700_000_000_123,
              trailers: tuple[str, ...] = ()) -> MergeCandidate:
        """The effect that merges a change."""
        return MergeCandidate(
            landing=LandingId(landing), repo=REPO, git_dir=str(self.git_dir), target="main", onto=Oid(onto) or self.base,
            commit=Oid(commit), task=TaskId("T1"), title=title, at=at, trailers=trailers)

    def move(self, new: str, tree: str, commit: str, *, old: str = "", landing: str = "L1") -> MoveTarget:
        """The effect that moves trunk."""
        return MoveTarget(
            landing=LandingId(landing), repo=REPO, git_dir=str(self.git_dir), target="main", old=Oid(old) or self.base,
            new=Oid(new), tree=Oid(tree), commit=Oid(commit))

    def mirror(self, oid: str) -> MirrorTarget:
        """The effect that lets main follow."""
        return MirrorTarget(repo=REPO, git_dir=str(self.git_dir), path=str(self.person), target="main", oid=Oid(oid))


def floor(root: Path, files: dict[str, str] | None = None, commits: int = 1) -> Floor:
    """A repository at `root/person` and a factory at `root/factory`."""
    person = gitkit.make_repo(root / "person", files, commits)
    home = root / "factory"
    return Floor(person, Layout(home=home, runtime=home / "run", config=root / "config"))
