"""Keeps what would be lost, and then removes it: the one module that may destroy; must never remove what it did not make or keep.

Theory of operation. A snapshot is one commit under `refs/andon/salvage/<attempt>/<n>` in the person's repository. Its tree is the
checkout's files as they are, byte by byte (untracked ones too, ignored ones not); its first parent is the checkout's HEAD; further
parents are the staged content where it differs, and every commit that only the checkout has (other branches, detached, stash,
amended). It is built in a scratch git directory and fetched whole, so the ref is there exactly when everything is. With equal
content the commit is equal, and a second snapshot adds nothing. Where there is nothing but HEAD, the ref points at HEAD itself.
"""

import asyncio
import contextlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from andon.edges import beneath, marker
from andon.edges.git import FETCH, common_lock, drop_ref, git, look, make_git_dir, read_ref
from andon.edges.scratch import FILES_LIMIT, Scratch, head_of, kinds, linked, mentioned, own_objects, read_plain, scratch
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Oid
from andon.schema.layout import Layout

INDEX_BYTES = 512 * 2**20
"""An index of an agent's that is larger is not read."""
GIANT_BYTES = 8 * 2**30
"""A file larger than this is not kept by a snapshot, and nothing is removed then."""
TIPS_LIMIT = 2_000
"""Commits beside HEAD that one snapshot may have to name; more is refused, and nothing is removed."""


class Salvaged(msgspec.Struct, frozen=True, kw_only=True):
    """Where the snapshot of a checkout can be found."""

    ref: str
    oid: Oid
    dirty: bool
    """There was something that no commit held."""


class _Staged(msgspec.Struct, frozen=True):
    tree: Oid | None
    paths: frozenset[str]


async def snapshot(git_dir: Path | str, checkout: Path, attempt: AttemptId, base: Oid, layout: Layout) -> Salvaged:
    """Make everything in a checkout that git does not ignore reachable in the person's repository; a Mistake when that fails."""
    common = Path(git_dir)
    async with scratch(common, checkout, layout, exact=True) as room:
        if room.agent is not None and linked(room) and (checkout / ".git").is_dir():
            raise _nested(checkout, (".git",))
        head = await _existing_head(room, common, base)
        head_tree, when = await _commit_facts(room, head)
        staged = await _staged(room)
        files = await _files(room, head, staged.paths)
        tips = await _tips(room, common, head)
        beside = staged.tree if staged.tree not in (None, files, head_tree) else None
        dirty = files != head_tree or beside is not None
        oid = head if not dirty and not tips else await _compose(room, attempt, head, files, beside, tips, when)
        return Salvaged(ref=await _keep(room, common, attempt, oid), oid=oid, dirty=dirty)


async def latest(git_dir: Path | str, attempt: AttemptId) -> tuple[str, Oid] | None:
    """The newest snapshot of an attempt: its ref and commit."""
    prefix = f"refs/andon/salvage/{attempt}/"
    asked = await git("for-each-ref", "--format=%(refname) %(objectname)", prefix, git_dir=git_dir)
    found = [tuple(line.split(" ", 1)) for line in asked.text.splitlines()]
    numbered = sorted((int(ref.removeprefix(prefix)), ref, oid) for ref, oid in found if ref.removeprefix(prefix).isdecimal())
    return (numbered[-1][1], Oid(numbered[-1][2])) if numbered else None


async def restore(git_dir: Path | str, attempt: AttemptId, into: Path, layout: Layout, *, ref: str = "") -> Path:
    """Lay a snapshot (the newest, or `ref`) out as a new checkout: files, staged content, and branches `salvaged/<n>`.

    `into` must not exist. It shares the repository's objects, which the salvage ref keeps.
    """
    common = Path(git_dir)
    found = (ref, await read_ref(common, ref)) if ref else await latest(common, attempt)
    if found is None or found[1] is None:
        raise Mistake(f"There is no snapshot of {attempt}.", where=f"refs/andon/salvage/{attempt}",
                      mend="See `git for-each-ref refs/andon/salvage`.")
    aside = _beside(into)
    try:
        await _lay_out(common, Oid(found[1]), aside)
        point("salvage.laid-out")
        aside.rename(into)
    except BaseException:
        await _discard(aside)  # made by this very call a moment ago
        raise
    return into


async def destroy(path: Path, layout: Layout) -> None:
    """Remove a directory that the daemon made and that its record names; a Mistake for anything else. Harmless when it is gone.

    The caller has taken the snapshot. The directory is renamed into the trash first, so it is there or gone, never half.
    """
    gone = _into_trash(path, layout)
    point("salvage.trashed")
    if gone is not None:
        await _discard(gone)


async def drop_worktree(git_dir: Path, checkout: Path, layout: Layout, *, branch: str = "", kept: str = "") -> None:
    """Forget a linked worktree of ours whose files are gone: its entry, and its branch if the commit `kept` holds it.

    The caller holds the repository's lock.
    """
    for entry in _our_entries(git_dir, checkout, layout):
        await _discard(entry)
    tip = await read_ref(git_dir, f"refs/heads/{branch}") if branch.startswith("andon/") and kept else None
    if tip is not None and (await look(git_dir, "merge-base", "--is-ancestor", tip, kept, check=False)).code == 0:
        await drop_ref(git_dir, f"refs/heads/{branch}")


async def scrub(slot: Path, git_dir: Path, commit: Oid, keep: tuple[str, ...], layout: Layout, hold: int) -> None:
    """Make the files of a proving slot those of `commit` and nothing else but `keep`; a Mistake when the slot is not ours."""
    if marker.ours(slot, layout) is None:
        raise Mistake(f"{slot} was not made by Andon, or was replaced since: it is not cleaned.", where=str(slot),
                      mend="Move it away.")
    await _discard(slot / ".git")
    await _discard(git_dir / "index.lock")  # the caller holds the slot's lock: nobody lives who could hold this one
    at: dict[str, Any] = {"git_dir": git_dir, "work_tree": slot, "hold": hold, "config": (("core.fsync", "none"),), "seconds": 600}
    await git("checkout", "-q", "--force", "--detach", "--no-recurse-submodules", commit, **at)
    _, listed = await asyncio.gather(
        git("clean", "-ffdxq", *(word for path in keep for word in ("-e", path)), **at),
        git("ls-files", "-s", "-z", git_dir=git_dir))
    for link in [item.partition("\t")[2] for item in listed.items if item.startswith("160000 ")]:
        await _discard(slot / link)  # git cleans nothing where it sees a submodule
        await asyncio.to_thread((slot / link).mkdir)


async def sweep(layout: Layout) -> None:
    """Remove what a killed daemon left half-made or half-removed. To be called at start, before anything else is made."""
    for path in await asyncio.to_thread(_leftovers, layout):
        await destroy(path, layout)


async def _existing_head(room: Scratch, common: Path, base: Oid) -> Oid:
    named = await head_of(room, common)
    return named if named is not None and (await kinds(room, (named,))).get(named) == "commit" else base


async def _commit_facts(room: Scratch, commit: Oid) -> tuple[Oid, str]:
    text = (await room.git("cat-file", "commit", commit)).text
    tree, when = re.search(r"^tree ([0-9a-f]+)$", text, re.M), re.search(r"^committer .*> (\d+ [-+]\d+)$", text, re.M)
    if tree is None:
        raise Mistake(f"{commit} cannot be read as a commit.", where=str(room.checkout), mend="See `git fsck` in the repository.")
    return Oid(tree[1]), when[1] if when else "0 +0000"


async def _staged(room: Scratch) -> _Staged:
    """The checkout's own index as a tree, unmerged stages under `.andon-stage-<n>/`.

    An index that git cannot read is kept as it is, with every blob of the checkout's own store beside it.
    """
    copy = room.place / "agent-index"
    if room.agent is None or not await asyncio.to_thread(_copy_index, room.agent, copy):
        return _Staged(None, frozenset())
    listed = await room.git("ls-files", "-s", "-z", index=copy, check=False)
    if listed.code != 0:
        return _Staged(await _whole_store(room, copy), frozenset())
    entries = [(item.partition("\t")[0].split(), item.partition("\t")[2]) for item in listed.items]
    there = await kinds(room, sorted({head[1] for head, _ in entries})) if entries else {}
    lines = []
    for (mode, oid, stage), path in entries:
        place = path if stage == "0" else f".andon-stage-{stage}/{path}"
        if mode == "160000" or there.get(oid) == "blob":
            lines.append(f"{mode} {oid}\t{place}")
    tree = await _tree_of_entries(room, lines, "staged")
    return _Staged(tree, frozenset(path for (mode, _, _), path in entries if mode != "160000"))


async def _tree_of_entries(room: Scratch, lines: list[str], name: str) -> Oid:
    index = room.place / f"{name}-index"
    await room.git("update-index", "-z", "--index-info", index=index, stdin=b"".join(os.fsencode(line) + b"\0" for line in lines))
    return (await room.git("write-tree", "--missing-ok", index=index)).oid


async def _whole_store(room: Scratch, index: Path) -> Oid:
    there = await kinds(room, sorted(await own_objects(room)))
    kept = (await room.git("hash-object", "-w", "--no-filters", "--", str(index))).oid
    lines = [f"100644 {kept}\t.andon-unreadable-index"]
    lines += [f"100644 {oid}\t.andon-objects/{oid}" for oid, kind in sorted(there.items()) if kind == "blob"]
    return await _tree_of_entries(room, lines, "store")


async def _files(room: Scratch, head: Oid, staged: frozenset[str]) -> Oid:
    """The checkout's files as a tree: all that is not ignored, and all that its HEAD or index tracks."""
    if not await asyncio.to_thread(room.index.exists):
        await room.git("read-tree", head)
    links = {item.partition("\t")[2]: item for item in (await room.git("ls-files", "-s", "-z")).items if item.startswith("160000 ")}
    if links:  # git would run inside them: take them out while it looks
        await room.change_index("update-index", "--force-remove", "-z", "--stdin", stdin=_joined(sorted(links)))
    await _uncover(room)
    await _refuse_giants(room)
    added = await room.git("add", "-A", "--", ".", files=True, check=False)
    if added.code != 0:
        empty = re.findall(r"error: '(.*?)/?' does not have a commit checked out", added.err)
        raise _nested(room.checkout, tuple(empty)) if empty else _unsaved(room.checkout, added.err)
    held = {item.partition("\t")[2]: item for item in (await room.git("ls-files", "-s", "-z")).items}
    in_head = (await room.git("ls-tree", "-r", "-z", "--name-only", head)).items
    more = sorted(path for path in staged.union(in_head) - held.keys() if _is_file(room.checkout, path))
    if more:
        await room.git("update-index", "--add", "-z", "--stdin", files=True, stdin=_joined(more))
    nested = [path for path in {*links, *(path for path, item in held.items() if item.startswith("160000 "))}
              if _has_content(room.checkout / path)]
    if nested:
        raise _nested(room.checkout, tuple(sorted(nested)))
    if links:
        back = [item.replace(" 0\t", "\t", 1) for path, item in links.items() if path not in held]
        await room.git("update-index", "-z", "--index-info", stdin=_joined(back))
    return (await room.git("write-tree")).oid


async def _uncover(room: Scratch) -> None:
    """Files that the checkout was made without, and that stand there all the same, are looked at like any other."""
    listed = (await room.git("ls-files", "-t", "-z")).items
    skipped = [item[2:] for item in listed if item.startswith("S ")]
    there = await asyncio.to_thread(lambda: [path for path in skipped if os.path.lexists(room.checkout / path)])
    if there:
        await room.change_index("update-index", "--no-skip-worktree", "-z", "--stdin", stdin=_joined(there))


async def _refuse_giants(room: Scratch) -> None:
    """A Mistake when a file that would be kept is larger than anything that can be: a sparse one takes its writer no room."""
    named = (await room.git("ls-files", "-z", "-m", "-o", "--exclude-standard", files=True)).items

    def giants() -> list[str]:
        return [path for path in named if (seen := beneath.facts(room.checkout, path)) is not None and seen.st_size > GIANT_BYTES]
    if found := await asyncio.to_thread(giants):
        raise Mistake(f"A file is too large to be kept, so nothing is removed: {found[0]!r}"[:300], where=str(room.checkout),
                      mend=f"Move files of more than {GIANT_BYTES >> 30} GiB out of it, or have git ignore them, then try again.")


async def _tips(room: Scratch, common: Path, head: Oid) -> list[Oid]:
    """The commits that only the checkout has and that HEAD does not contain, without those that another of them contains."""
    if room.agent is None:
        return []
    names = await asyncio.to_thread(mentioned, room.agent) | await own_objects(room)
    there = await kinds(room, sorted(names))
    commits = [oid for oid, kind in there.items() if kind == "commit"]
    commits += [Oid(peeled) for peeled in await _peeled(room, [oid for oid, kind in there.items() if kind == "tag"])]
    if not commits:
        return []
    theirs = await git("for-each-ref", "--format=^%(objectname)", "refs/heads", "refs/tags", "refs/remotes", git_dir=common)
    known = [line for line in theirs.text.splitlines() if not linked(room)]
    asked = "\n".join([*sorted(set(commits)), f"^{head}", *known]).encode() + b"\n"
    listed = await room.git("rev-list", "--parents", "--ignore-missing", "--stdin", stdin=asked)
    rows = [line.split() for line in listed.text.splitlines()]
    parents = {parent for row in rows for parent in row[1:]}
    tips = sorted(Oid(row[0]) for row in rows if row[0] not in parents)
    if len(tips) > TIPS_LIMIT:
        raise Mistake(f"{room.checkout} holds {len(tips)} separate lines of commits: more than a snapshot names.",
                      where=str(room.checkout), mend="Merge branches there, then try again.")
    return tips


async def _peeled(room: Scratch, tags: list[str]) -> list[str]:
    asked = await room.git("cat-file", "--batch-check=%(objectname) %(objecttype)",
                           stdin="".join(f"{tag}^{{commit}}\n" for tag in tags).encode()) if tags else None
    return [line.split()[0] for line in asked.text.splitlines() if line.endswith(" commit")] if asked else []


async def _compose(
    room: Scratch, attempt: AttemptId, head: Oid, files: Oid, beside: Oid | None, tips: list[Oid], when: str,
) -> Oid:
    env = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    parents, told = [head], [f"Andon-Head: {head}"]
    if beside is not None:
        staged = (await room.git("commit-tree", beside, "-p", head, "-m", f"Staged content of {attempt}", env=env)).oid
        parents.append(staged)
        told.append(f"Andon-Staged: {staged}")
    words = [word for parent in [*parents, *tips] for word in ("-p", parent)]
    told += [f"Andon-Tip: {tip}" for tip in tips]
    message = f"Snapshot of {attempt}\n\n" + "\n".join(told)
    return (await room.git("commit-tree", files, *words, "-m", message, env=env)).oid


async def _keep(room: Scratch, common: Path, attempt: AttemptId, oid: Oid) -> str:
    async with common_lock(common) as hold:
        last = await latest(common, attempt)
        if last is not None and last[1] == oid:
            return last[0]
        ref = f"refs/andon/salvage/{attempt}/{int(last[0].rpartition('/')[2]) + 1 if last else 1:04d}"
        await asyncio.to_thread((room.place / "refs" / "snapshot").write_text, f"{oid}\n")
        point("salvage.built")
        lax = (("fetch.fsckObjects", "false"), ("transfer.fsckObjects", "false"))  # odd objects of an agent are kept as they are
        await git(*FETCH, "--", str(room.place), f"refs/snapshot:{ref}", git_dir=common, hold=hold, config=lax, seconds=600)
        point("salvage.kept")
        if await read_ref(common, ref) != oid:
            raise _unsaved(room.checkout, f"{ref} was not written")
        return ref


async def _lay_out(common: Path, oid: Oid, place: Path) -> None:
    message = (await look(common, "cat-file", "commit", oid)).text
    named = {word: re.findall(rf"^Andon-{word}: ([0-9a-f]+)$", message, re.M) for word in ("Head", "Staged", "Tip")}
    head = named["Head"][0] if named["Head"] else oid
    make_git_dir(place / ".git", objects=(common / "objects",), like=common, head=head, bare=False)
    at: dict[str, Any] = {"git_dir": place / ".git", "work_tree": place, "seconds": 600}
    await git("read-tree", "--reset", "-u", oid, **at)
    await git("read-tree", named["Staged"][0] if named["Staged"] else head, **at)
    await git("update-ref", "refs/heads/salvaged/head", head, **at)
    for n, tip in enumerate(named["Tip"], 1):
        await git("update-ref", f"refs/heads/salvaged/{n}", tip, **at)


def _beside(into: Path) -> Path:
    if into.exists() or into.is_symlink():
        raise Mistake(f"{into} exists already; a snapshot is only laid out in a new directory.", where=str(into),
                      mend="Name another directory.")
    aside = into.with_name(f".tmp-{into.name}-{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    return aside


def _into_trash(path: Path, layout: Layout) -> Path | None:
    if not path.exists() and not path.is_symlink():
        return None
    passing = path.name.startswith(".tmp-") or path.parent == layout.trash
    if not marker.inside(path, layout) or path.is_symlink() or (not passing and marker.ours(path, layout) is None):
        raise Mistake(f"{path} was not made by Andon, or was replaced since: it is not removed.", where=str(path),
                      mend="Look at it; if it is not needed, move it away yourself.")
    layout.trash.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path.rename(layout.trash / f"{path.name.removeprefix('.tmp-')}-{uuid.uuid4().hex[:8]}")


def _our_entries(git_dir: Path, checkout: Path, layout: Layout) -> list[Path]:
    """Entries of a checkout of ours that is gone, and half-made ones of its name: they break `git worktree` for everybody."""
    if checkout.exists() or not marker.inside(checkout, layout):
        return []
    aside = f"tmp-{checkout.name}-"
    found = []
    for entry in sorted((git_dir / "worktrees").glob("*")):
        place = Path(read_plain(entry / "gitdir").decode(errors="replace").strip()).parent
        ours = place == checkout or (place.parent == checkout.parent and place.name.startswith(f".{aside}") and not place.exists())
        if ours or (not (entry / "gitdir").is_file() and aside in entry.name):
            found.append(entry)
    return found


def _leftovers(layout: Layout) -> list[Path]:
    rooms = (layout.trash, *(layout.home / "checkouts").glob("*"), *(layout.home / "proving").glob("*"), layout.home / "scratch")
    found = [path for room in rooms if room.is_dir() for path in sorted(room.iterdir())
             if room == layout.trash or path.name.startswith(".tmp-")]
    return [*found, *sorted(layout.jobs.glob(".tmp-T*"))]  # a check's (.tmp-R*) goes only after its processes were ended


def _copy_index(agent: Path, copy: Path) -> bool:
    for name in ("index", *(name for name in beneath.names(agent, ".", FILES_LIMIT) if name.startswith("sharedindex."))):
        with contextlib.suppress(OSError):
            data = beneath.read(agent, name, INDEX_BYTES)
            (copy if name == "index" else copy.parent / name).write_bytes(data)
    return copy.exists()


def _is_file(checkout: Path, path: str) -> bool:
    place = checkout / path
    if place.parent.resolve() != checkout.resolve() / Path(path).parent:
        return False  # by way of a link: not a file of the checkout
    try:
        seen = place.lstat()
    except OSError:
        return False
    return stat.S_ISREG(seen.st_mode) or stat.S_ISLNK(seen.st_mode)


def _has_content(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and any(path.iterdir())


def _joined(items: list[str]) -> bytes:
    return b"".join(os.fsencode(item) + b"\0" for item in items)


def _nested(checkout: Path, paths: tuple[str, ...]) -> Mistake:
    return Mistake(f"Another git repository lies inside the checkout ({', '.join(paths[:5])}): its content cannot be kept, "
                   "so nothing is removed.", where=str(checkout), mend="Move that repository out of the checkout, then try again.")


def _unsaved(checkout: Path, err: str) -> Mistake:
    said = next((line for line in err.splitlines() if line.startswith(("error:", "fatal:"))), err.strip())
    return Mistake(f"The files could not be kept, so nothing is removed: {said}"[:400], where=str(checkout),
                   mend="See to what git names there (rights, free space), then try again.")


async def _discard(path: Path) -> None:
    """Remove a file, link or directory without following links; the one place where the product removes a tree."""
    await asyncio.to_thread(_remove, path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=_insist)
    else:
        path.unlink(missing_ok=True)


def _insist(function: Callable[..., Any], path: str, _error: object) -> None:
    """A tool left a directory read-only: make it ours again and go on."""
    with contextlib.suppress(OSError):
        Path(path).parent.chmod(0o700)
        if Path(path).is_dir() and not Path(path).is_symlink():
            Path(path).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            function(path)
