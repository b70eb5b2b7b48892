"""Watches the files that matter and tells the loop: settings, targets, agents' messages. Asks nothing while nothing changes."""

import contextlib
from pathlib import Path

from andon.core.state import Repository
from andon.edges.git import read_ref
from andon.edges.repository import trunk_ref
from andon.edges.watch import Watch
from andon.loop import Loop
from andon.office import SETTINGS, Office
from andon.perform import Performer
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, RepoId
from andon.schema.jobs import OUTBOX
from andon.schema.layout import Layout

GIT_FILES = ("HEAD", "packed-refs", "index", "MERGE_HEAD", "ORIG_HEAD")
"""Files of a git directory whose change may move the target or clear the way for it."""


def branch_file(repo: Repository) -> Path:
    """Where git keeps the branch that is the repository's target, unless it is packed."""
    return Path(repo.git_dir) / "refs" / "heads" / repo.settings.target


def trunk_file(repo: Repository) -> Path:
    """Where git keeps the ref along which changes land, unless it is packed."""
    return Path(repo.git_dir) / trunk_ref(repo.settings.target)


class Eyes:
    """What the daemon looks at again, and when."""

    def __init__(self, layout: Layout, loop: Loop, office: Office, performer: Performer, watch: Watch) -> None:
        self._layout, self._loop, self._office, self._performer, self._watch = layout, loop, office, performer, watch
        self._blind = False

    async def run(self) -> None:
        """Until cancelled: each group of changed files, once."""
        with contextlib.suppress(OSError):  # without the directory nobody could tell us of a file that is put there
            self._layout.config.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._watch.add(self._layout.config)
        for repo in self._loop.state.repos:
            self.follow(repo)
        async for paths in self._watch.paths():
            self._tell_blindness()
            if not paths:
                self._hear_all()
            else:
                await self._changed(paths)

    def _tell_blindness(self) -> None:
        """That files are looked for instead of being told of: it costs a little, always."""
        if self._watch.blind and not self._blind:
            self._blind = True
            mend = "raise the system's limits (fs.inotify.max_user_instances, max_user_watches), then restart the daemon"
            what = f"the system does not tell of changed files, so they are looked for twice a second: {self._watch.blind}"
            self._loop.give(i.TroubleSeen(key="watching", problem=Problem(what=what[:600], where="this machine", mend=mend)))

    def follow(self, repo: RepoId) -> None:
        """Watch a repository's settings file and its git directory."""
        known = self._loop.state.repos[repo]
        git_dir = Path(known.git_dir)
        self._watch.add(Path(known.path), git_dir, git_dir / "refs" / "heads", branch_file(known).parent)
        if trunk_file(known).parent.is_dir():
            self._watch.add(trunk_file(known).parent)

    def recorded(self, events: list[e.Event]) -> None:
        """A new repository is watched from now on, and so are the branch of a new target and the ref along which it lands."""
        for event in events:
            if isinstance(event, e.RepositoryRegistered | e.SettingsActivated | e.TargetObserved):
                self.follow(event.repo)

    def _hear_all(self) -> None:
        """The watched set changed: what was said meanwhile is read once."""
        for attempt in self._loop.state.attempts.values():
            if attempt.phase == "running":
                self._performer.hear(attempt.attempt, attempt.said)

    async def _changed(self, paths: set[Path]) -> None:
        """Sort changed files to what they mean."""
        for folder in {path.parent for path in paths if path.parent.name == OUTBOX and path.suffix == ".json"}:
            attempt = self._loop.state.attempts.get(AttemptId(folder.parent.name))
            if attempt is not None:
                self._performer.hear(attempt.attempt, attempt.said)
        if paths & {self._layout.person_settings, self._layout.person_rules, self._layout.allowed_signers}:
            await self._office.read_person()
            await self._reload_all()
        for repo in list(self._loop.state.repos.values()):
            git_dir = Path(repo.git_dir)
            if paths & {git_dir, Path(repo.path), branch_file(repo), trunk_file(repo), *(git_dir / name for name in GIT_FILES)}:
                await self._office.read_target(repo.repo)
                await self.mirror_again(repo.repo)
            if Path(repo.path) / SETTINGS in paths:
                await self.reload(repo.repo)

    async def reload(self, repo: RepoId) -> None:
        """Read settings again, and a target that could not be read; a bad file is already a problem on the board."""
        if f"diverged:{repo}" in self._loop.state.problems:
            await self._office.read_target(repo)
        try:
            await self._office.reload(repo)
        except Mistake:
            return

    async def _reload_all(self) -> None:
        """The person's own file reaches every repository."""
        for repo in list(self._loop.state.repos):
            await self.reload(repo)

    async def mirror_again(self, repo: RepoId) -> None:
        """The person's checkout changed: perhaps its branch can follow now."""
        known = self._loop.state.repos[repo]
        if not known.trunk or (known.mirrored and await self._has_branch(known)):
            return
        effect = f.MirrorTarget(
            repo=repo, git_dir=known.git_dir, path=known.path, target=known.settings.target, oid=known.trunk,
        )
        self._loop.give(await self._performer.perform(effect))

    async def _has_branch(self, repo: Repository) -> bool:
        """Whether the person's target branch is there, as far as can be told: what cannot be read is told elsewhere."""
        try:
            return await read_ref(repo.git_dir, f"refs/heads/{repo.settings.target}") is not None
        except Mistake:
            return True
