"""Makes, reads and removes the isolated checkout of an attempt; must never run git with the agent's own git directory.

Theory of operation. A checkout is a clone that borrows the person's objects (alternates: git reads them there and writes only to
the clone; against an agent of the same user that goes round git, only the sandbox helps). It is made aside and renamed, with the
daemon's record written before the rename, so it is there whole or not at all. Its work comes back by `git fetch` alone, with
objects checked. The refs `refs/andon/keep/<attempt>*` hold what the clone borrows until it is gone.
"""

import asyncio
import os
import re
import shutil
import uuid
from pathlib import Path

import msgspec

from andon.edges import marker, salvage, structured, veil, walled
from andon.edges.changes import PATHS_LIMIT, Blobs, read_changes
from andon.edges.facts import read as facts
from andon.edges.facts.gates import Compare, nobody
from andon.edges.git import EMAIL, FETCH, NAME, NONE, GitFailed, Output, common_lock, drop_ref, git, held, look, read_ref, set_ref
from andon.edges.marker import Marker
from andon.edges.replay_commits import NotReplayed, replay
from andon.edges.repository import is_ancestor, tree_of
from andon.edges.scratch import excludes, head_of, read_plain, scratch
from andon.edges.surroundings import attempt_env, include
from andon.edges.three_way import merge_one
from andon.schema.effects import ImportWork, PrepareCheckout, RemoveCheckout
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Oid, TaskId
from andon.schema.inputs import CheckoutGone, CheckoutReady, WorkRead
from andon.schema.layout import Layout

CLEAN = "clean"
"""What is said of earlier work that was replayed without a conflict."""
_CLONE_CONFIG = (
    "gc.auto=0", "maintenance.auto=false", "gc.pruneExpire=never", "gc.reflogExpire=never", "gc.reflogExpireUnreachable=never",
    "core.fsmonitor=false", "commit.gpgSign=false", "tag.gpgSign=false", "remote.origin.pushurl=/dev/null/andon-takes-your-commits",
)


async def prepare(effect: PrepareCheckout, layout: Layout, ways: walled.Ways = walled.nowhere) -> CheckoutReady:
    """Make the checkout, or return the one that stands; a Mistake when it cannot be made, with nothing half-made left in place.

    `ways` gives what leads out of the walls around its setup commands.
    """
    path = layout.checkout(effect.repo, effect.attempt)
    async with held(path.parent / f".{effect.attempt}.lock") as hold:
        known = marker.ours(path, layout)
        if known is None or not known.ready:
            known = await _make(effect, layout, path, known, hold, ways)
        return CheckoutReady(attempt=effect.attempt, path=str(path), isolation=known.isolation, setup_s=known.setup_s,
                             start=Oid(known.start if known.rebased == CLEAN else ""), rebased=known.rebased)


async def import_work(effect: ImportWork, layout: Layout, blobs: Blobs, compare: Compare = nobody) -> WorkRead:
    """Fetch what HEAD of the checkout holds, pin it at `refs/andon/work/<attempt>`, and read it. Work that git refuses says so.

    `compare` says what a change of andon.toml loosens.
    """
    path, common = Path(effect.path), Path(effect.git_dir)
    known = marker.ours(path, layout)
    if known is None:
        raise Mistake(f"The checkout of {effect.attempt} is not there, or is not the one that Andon made.", where=str(path),
                      mend=f"Bring its last snapshot back with `andon undo {effect.attempt}`.")
    base_tree = await tree_of(common, effect.base)
    head, refused = await _take(effect, common, path, known, layout)
    point("import-work.pinned")
    if head is None:
        return WorkRead(attempt=effect.attempt, fence=effect.fence, commit=effect.base, tree=base_tree, base=effect.base,
                        base_tree=base_tree, descends=True, refused=refused, dirty=await _dirty(common, path, effect.base, layout))
    changes = await read_changes(common, effect.base, head, blobs)
    return WorkRead(
        attempt=effect.attempt, fence=effect.fence, commit=head, tree=await tree_of(common, head), base=effect.base,
        base_tree=base_tree, descends=await is_ancestor(common, effect.base, head), foreign=await _foreign(effect, common, head),
        paths=changes.paths[:PATHS_LIMIT], paths_total=len(changes.paths), insertions=changes.insertions,
        deletions=changes.deletions, diff=changes.diff, dirty=await _dirty(common, path, head, layout), refused=refused,
        facts=await facts.read(common, effect.base, head, effect.watch, compare))


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkout held at one moment. Nothing was fetched and nothing changed."""

    head: Oid | None
    dirty: bool
    """Files differ from that head, or from the base when there is none."""
    there: tuple[str, ...] = ()
    """Of the paths that were asked for, those that exist inside it."""


async def look_at(git_dir: Path, path: Path, base: Oid, layout: Layout, wanted: tuple[str, ...] = ()) -> Looked:
    """HEAD and dirtiness of a checkout at work, read with the daemon's own git directory; and which wanted paths are there."""
    async with scratch(git_dir, path, layout, exact=False) as room:
        head = await head_of(room, git_dir)
        known = head is not None and (await room.git("cat-file", "-e", f"{head}^{{commit}}", check=False)).code == 0
    seen = head if known and head else base
    there = await asyncio.to_thread(lambda: tuple(name for name in wanted if _inside(path, name)))
    return Looked(head=head if known else None, dirty=await _dirty(git_dir, path, seen, layout), there=there)


def _inside(path: Path, name: str) -> bool:
    """Whether a relative or absolute name is something that exists in the checkout."""
    place = path / name
    return os.path.lexists(place) and place.resolve().is_relative_to(path.resolve())


async def remove(effect: RemoveCheckout, layout: Layout, ways: walled.Ways = walled.nowhere) -> CheckoutGone:
    """Snapshot, tear down, remove, and let go of what was borrowed; a Mistake, and nothing removed, when the snapshot fails."""
    path, common = Path(effect.path), Path(effect.git_dir)
    async with held(path.parent / f".{effect.attempt}.lock"):
        if not await asyncio.to_thread(os.path.lexists, path):
            return await _forget(effect, layout, path, common)
        known = marker.ours(path, layout)
        if known is None:
            raise Mistake(f"{path} is not a checkout that Andon made, or is gone: nothing is removed.", where=str(path),
                          mend="Look whether it was moved or replaced.")
        kept = await salvage.snapshot(common, path, effect.attempt, effect.base, layout)
        if effect.checkout.teardown:
            await _tear_down(effect, layout, path, known, ways)
            again = await salvage.snapshot(common, path, effect.attempt, effect.base, layout)
            kept = msgspec.structs.replace(again, dirty=kept.dirty or again.dirty)
        point("remove-checkout.snapshot")
        marker.write(path, msgspec.structs.replace(known, gone=True, ref=kept.ref, oid=kept.oid, dirty=kept.dirty))
        point("remove-checkout.recorded")
        await salvage.destroy(path, layout)
        return await _forget(effect, layout, path, common)


# --- making ----------------------------------------------------------------------------------------------------------


async def _make(effect: PrepareCheckout, layout: Layout, path: Path, known: Marker | None, hold: int,
                ways: walled.Ways) -> Marker:
    common = Path(effect.git_dir)
    start, rebased = await _start(effect, common)
    if known is not None:
        await salvage.destroy(path, layout)  # its setup did not come to an end: no agent has worked in it
    await _clear_way(path, layout, effect.attempt)
    begun = start if start != effect.base else effect.start
    for name, oid in (("", effect.base), (".start", begun), (".previous", effect.previous)):
        if oid:
            await set_ref(common, f"refs/andon/keep/{effect.attempt}{name}", oid)
    point("prepare-checkout.kept")
    branch = f"andon/{effect.task}" if effect.checkout.isolation == "clone" else f"andon/{effect.attempt}"
    if effect.hide:
        aside = await _veiled(effect, common, path, start)
    elif effect.checkout.isolation == "clone":
        aside = await _clone(effect, common, path, hold)
    else:
        aside = await _link(effect, common, path, branch, start, layout)
    point("prepare-checkout.cloned")
    if effect.structured and start == effect.base and not effect.hide:
        rebased = await _proposed(effect, common, aside, rebased, layout)
    device, inode = marker.identity(aside)
    made = Marker(
        kind="checkout", device=device, inode=inode, attempt=effect.attempt, task=effect.task, repo=effect.repo,
        git_dir=effect.git_dir, base=effect.base, start=start, isolation=effect.checkout.isolation, branch=branch, hide=effect.hide,
        port=effect.port, ports=effect.checkout.ports if effect.port else 0, rebased=rebased)
    marker.write(path, made, durable=True)
    point("prepare-checkout.recorded")
    await _fill(effect, common, aside, branch, start, hold)
    await include(Path(effect.path), aside, effect.hide)
    await asyncio.to_thread(_publish, made, aside, path)
    point("prepare-checkout.published")
    env = attempt_env(layout, attempt=effect.attempt, task=effect.task, path=path, port=made.port, ports=made.ports)
    seconds = await walled.run(
        effect.checkout.setup, path, env, layout=layout, name=effect.attempt, git_dir=effect.git_dir, walls=effect.walls, ways=ways)
    point("prepare-checkout.set-up")
    made = msgspec.structs.replace(made, ready=True, setup_s=round(seconds, 3))
    marker.write(path, made)
    return made


async def _start(effect: PrepareCheckout, common: Path) -> tuple[Oid, str]:
    """Where the branch starts, and what became of replaying the attempt before onto the base. Done again, it is the same commit."""
    start = effect.start or effect.base
    if not effect.rebase or not effect.previous:
        return start, ""
    done = await replay(common, effect.previous, onto=effect.base, without=(effect.base,), keep_dates=True)
    if isinstance(done, NotReplayed):
        return start, f"conflict in {', '.join(done.paths[:5])}" if done.paths else done.what
    if done.merges:  # they are left out, and with them what was settled in them
        merged = await merge_one(common, effect.base, effect.previous)
        if not merged.clean or merged.tree != done.tree:
            return start, "it has merges of its own, without which its commits do not come to the same files"
    return done.tip, CLEAN


async def _proposed(effect: PrepareCheckout, common: Path, aside: Path, rebased: str, layout: Layout) -> str:
    """What became of earlier work, and where a tool's proposal is, when the two conflict."""
    if not effect.previous:
        return rebased
    clone = aside / ".git" if effect.checkout.isolation == "clone" else None
    seen = await structured.propose(common, clone, base=effect.base, previous=effect.previous, layout=layout)
    if seen is None:
        return rebased
    return f"{rebased or 'conflict in ' + ', '.join(seen.paths[:5])}; {seen.told}"


async def _clear_way(path: Path, layout: Layout, attempt: AttemptId) -> None:
    for left in await asyncio.to_thread(lambda: sorted(path.parent.glob(f".tmp-{attempt}-*"))):
        await salvage.destroy(left, layout)
    if await asyncio.to_thread(os.path.lexists, path):
        raise Mistake(f"{path} is in the way of a new checkout, and Andon did not make it.", where=str(path), mend="Move it away.")


async def _clone(effect: PrepareCheckout, common: Path, path: Path, hold: int) -> Path:
    aside = path.with_name(f".tmp-{effect.attempt}-{uuid.uuid4().hex[:8]}")
    name, email = await _person(common)
    config = [word for line in (*_CLONE_CONFIG, f"user.name={name}", f"user.email={email}") for word in ("--config", line)]
    await git("clone", "-q", "--shared", "--no-checkout", "--template=", *config, "--", str(common), str(aside),
              cwd=path.parent, hold=hold)
    return aside


async def _veiled(effect: PrepareCheckout, common: Path, path: Path, start: Oid) -> Path:
    """A clone that borrows nothing, because something is hidden in it."""
    if effect.checkout.isolation != "clone":
        raise Mistake("Paths are to be hidden in a linked worktree, which shows all objects of the repository.", where=str(path),
                      mend='Say `isolation = "clone"` in [checkout].')
    aside = path.with_name(f".tmp-{effect.attempt}-{uuid.uuid4().hex[:8]}")
    name, email = await _person(common)
    config = (*(line for line in _CLONE_CONFIG if not line.startswith("remote.")), f"user.name={name}", f"user.email={email}")
    others = tuple(dict.fromkeys(oid for oid in (start, effect.previous) if oid and oid != effect.base))
    await veil.clone(common, aside, effect.hide, effect.base, others, config)
    return aside


async def _fill(effect: PrepareCheckout, common: Path, aside: Path, branch: str, start: Oid, hold: int) -> None:
    at, quick = await asyncio.to_thread(_own_git_dir, aside), (("core.fsync", "none"),)
    if effect.checkout.isolation != "clone":
        await git("reset", "-q", "--hard", git_dir=at, work_tree=aside, hold=hold, config=quick)
        await asyncio.to_thread(_note_in, at, effect, "")
        return
    if effect.previous:
        await git("update-ref", "refs/heads/andon/previous", effect.previous, git_dir=at, hold=hold)
    await git("checkout", "-q", "--no-track", "-B", branch, start, git_dir=at, work_tree=aside, hold=hold, config=quick)
    await asyncio.to_thread(_note_in, at, effect, await excludes(common))
    if effect.hide:
        hidden = await veil.tops(common, effect.base, effect.hide, ())
        await asyncio.to_thread(veil.empty_folders, aside, hidden.folders)


async def _link(effect: PrepareCheckout, common: Path, path: Path, branch: str, start: Oid, layout: Layout) -> Path:
    aside = path.with_name(f".tmp-{effect.attempt}-{uuid.uuid4().hex[:8]}")
    async with common_lock(common) as shared:
        await _clear_way(path, layout, effect.attempt)  # again: a git that a killed daemon left may have gone on until now
        await salvage.drop_worktree(common, path, layout)
        ref = f"refs/heads/{branch}"
        if not await set_ref(common, ref, start, NONE) and await read_ref(common, ref) != start:
            raise Mistake(f"There is a branch {branch} already, elsewhere.", where=str(common), mend=f"See git log {branch}")
        await git("worktree", "add", "-q", "--no-checkout", str(aside), branch, git_dir=common, hold=shared)
    return aside


def _own_git_dir(path: Path) -> Path:
    """The git directory of a checkout that no agent has been in yet."""
    return path / ".git" if (path / ".git").is_dir() else _entry_of(path)


def _entry_of(path: Path) -> Path:
    return Path(read_plain(path / ".git").decode().removeprefix("gitdir: ").strip())


def _note_in(at: Path, effect: PrepareCheckout, ignored: str) -> None:
    (at / "andon-checkout").write_bytes(msgspec.json.encode({"attempt": effect.attempt, "task": effect.task, "base": effect.base}))
    if ignored.strip():
        (at / "info").mkdir(exist_ok=True)
        (at / "info" / "exclude").write_text(ignored)


def _publish(made: Marker, aside: Path, path: Path) -> None:
    """The record is there before: alone it is harmless, while a directory without its record would be nobody's."""
    own = _own_git_dir(aside)
    shutil.copy2(own / "index", marker.index(path))
    aside.rename(path)
    if made.isolation == "worktree":  # what `git worktree move` writes
        (own / "gitdir.new").write_text(f"{path / '.git'}\n")
        (own / "gitdir.new").rename(own / "gitdir")


async def _person(common: Path) -> tuple[str, str]:
    asked = await git("config", "--null", "--get-regexp", r"^user\.(name|email)$", git_dir=common, trusted=True, check=False)
    found = dict(item.split("\n", 1) for item in asked.items if "\n" in item)
    return found.get("user.name") or NAME, found.get("user.email") or EMAIL


# --- reading ---------------------------------------------------------------------------------------------------------


async def _take(effect: ImportWork, common: Path, path: Path, known: Marker, layout: Layout) -> tuple[Oid | None, str]:
    """The commit that was fetched and pinned, or None with the reason why there is none."""
    pin = f"refs/andon/work/{effect.attempt}"
    async with common_lock(common) as hold:
        if known.isolation == "worktree":
            name = f"worktrees/{_entry_of(path).name}/HEAD^{{commit}}"
            found = await git("rev-parse", "--verify", "-q", name, git_dir=common, check=False)
            if found.code != 0:
                return None, "HEAD of the checkout is no commit"
            await set_ref(common, pin, found.oid, hold=hold)
            return found.oid, ""
        refused = await asyncio.to_thread(_unsound, path / ".git", known.hide)
        if refused:
            return None, refused
        args, done = await (_fetched_aside if known.hide else _fetched)(common, path, pin, hold, layout)
        if done.code != 0 and "No space left" in done.err:
            raise GitFailed(args, done, str(common))
        if done.code != 0:
            missing = "couldn't find remote ref HEAD" in done.err
            return None, "HEAD of the checkout has no commit" if missing else f"git refused the objects: {done.err.strip()[-800:]}"
    head = await git("rev-parse", "--verify", "-q", f"{pin}^{{commit}}", git_dir=common, check=False)
    if head.code != 0:
        return None, "HEAD of the checkout is no commit"
    if known.hide and (carried := await veil.carried(common, effect.base, head.oid, known.hide)):
        return None, carried
    return head.oid, await _elsewhere(effect, path, known, head.oid)


async def _fetched(common: Path, path: Path, pin: str, hold: int, layout: Layout) -> tuple[tuple[str, ...], Output]:
    """HEAD of a checkout at `pin`, as far as its git directory gives it."""
    args = (*FETCH, "--", str(path / ".git"), f"+HEAD:{pin}")
    return args, await git(*args, git_dir=common, hold=hold, check=False, seconds=600)


async def _fetched_aside(common: Path, path: Path, pin: str, hold: int, layout: Layout) -> tuple[tuple[str, ...], Output]:
    """The same where that directory lacks what is hidden: by a git directory of ours, which has it from the repository."""
    async with scratch(common, path, layout, exact=False) as room:
        head = await head_of(room, common)
        args = (*FETCH, "--", str(room.place), f"+refs/work:{pin}")
        if head is not None:
            await asyncio.to_thread((room.place / "refs" / "work").write_text, f"{head}\n")
        else:
            args = (*FETCH, "--", str(room.place), f"+HEAD:{pin}")
        return args, await git(*args, git_dir=common, hold=hold, check=False, seconds=600)


async def _elsewhere(effect: ImportWork, path: Path, known: Marker, head: Oid) -> str:
    """HEAD is what counts; but when it holds nothing new and the attempt's branch does, the agent should hear of it."""
    tip = await asyncio.to_thread(_loose_branch, path / ".git", known.branch)
    if head in (effect.base, known.start) and tip and tip not in (head, effect.base, known.start):
        return f"HEAD is at {head[:12]} and holds no work, but branch {known.branch} is at {tip[:12]}: check that branch out"
    return ""


def _loose_branch(agent: Path, branch: str) -> str:
    said = read_plain(agent / "refs" / "heads" / branch, root=agent).decode(errors="replace").strip()
    return said if re.fullmatch(r"[0-9a-f]{40,64}", said) else ""


def _unsound(agent: Path, hide: tuple[str, ...]) -> str:
    """Why a checkout's git directory is not even fetched from; empty when it is."""
    if agent.is_symlink() or not agent.is_dir():
        return "the checkout's .git is not the directory that was made"
    if not hide and re.search(rb"(?i)partialclone|promisor", read_plain(agent / "config")):
        return "the checkout was turned into a partial clone"
    return ""


async def _foreign(effect: ImportWork, common: Path, head: Oid) -> tuple[Oid, ...]:
    if not effect.others:
        return ()
    new = frozenset((await look(common, "rev-list", head, f"^{effect.base}")).text.splitlines())
    return tuple(oid for oid in effect.others if oid in new)


async def _dirty(common: Path, path: Path, head: Oid, layout: Layout) -> bool:
    """Whether the files differ from `head`: the daemon's own index is asked, never the agent's."""
    async with scratch(common, path, layout, exact=False) as room:
        await room.git("update-ref", "--no-deref", "HEAD", head)
        await room.change_index("read-tree", "-m", head)
        seen = await room.git("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all",
                              files=True, limit=4096)
        return bool(seen.out)


# --- removing --------------------------------------------------------------------------------------------------------


async def _tear_down(effect: RemoveCheckout, layout: Layout, path: Path, known: Marker, ways: walled.Ways) -> None:
    env = attempt_env(layout, attempt=effect.attempt, task=TaskId(known.task), path=path, port=known.port, ports=known.ports)
    for command in effect.checkout.teardown:
        try:
            await walled.run((command,), path, env, layout=layout, name=effect.attempt, git_dir=effect.git_dir, walls=effect.walls,
                             ways=ways, what="teardown")
        except Mistake as error:  # what could not be torn down must not keep the checkout for ever; the log of the job tells
            (layout.job(effect.attempt) / "teardown.log").write_text(f"{error}\n")


async def _forget(effect: RemoveCheckout, layout: Layout, path: Path, common: Path) -> CheckoutGone:
    """The files are gone: drop what pointed at them, and say where the snapshot is (nowhere, when there never was a checkout)."""
    point("remove-checkout.destroyed")
    known = marker.read(path)
    marker.index(path).unlink(missing_ok=True)
    if known is not None and known.isolation == "worktree":
        async with common_lock(common):
            await salvage.drop_worktree(common, path, layout, branch=known.branch, kept=known.oid)
    for name in (".start", ".previous", ""):
        await drop_ref(common, f"refs/andon/keep/{effect.attempt}{name}")
    point("remove-checkout.forgotten")
    if known is not None and known.gone:
        return CheckoutGone(attempt=effect.attempt, ref=known.ref, oid=Oid(known.oid), dirty=known.dirty)
    ref, oid = await salvage.latest(common, effect.attempt) or ("", effect.base)
    return CheckoutGone(attempt=effect.attempt, ref=ref, oid=oid, dirty=False)
