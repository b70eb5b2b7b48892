"""Answers what a person asks of git notes: shows, writes what lacks, repairs, exports. What it changed is told to the ledger."""

import asyncio
import os
import re

import msgspec

from andon.core.state import Repository
from andon.edges import notes, notes_formats, notes_repair
from andon.edges.git import common_lock, drop_ref, git, look, read_ref
from andon.edges.notes_ref import join_notes, read_notes
from andon.edges.repository import trunk_ref
from andon.loop import Loop
from andon.notes_store import stored_records
from andon.schema import wire
from andon.schema.effects import WriteNotes
from andon.schema.errors import Mistake
from andon.schema.ids import Oid
from andon.schema.layout import Layout
from andon.schema.notes import REFS, Attached, NoteRecord
from andon.schema.sentences import plural

MOST = 5000
"""Commits that one request may look at; also records that one `sync` writes."""
EXPORT_BYTES = 4 * 2**20
TRACKED = "refs/andon/notes-of-remote"
REMOTE_S = 300.0
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@^~{}-]{0,200}")
_REMOTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,100}")
_NETWORK = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}


async def answer(loop: Loop, layout: Layout, version: str, request: wire.AskNotes) -> wire.NotesAre:
    """The answer. Mistake for a repository or commit that is not there."""
    repo = loop.state.repos.get(request.repo)
    if repo is None:
        raise Mistake(f"repository {request.repo} is not registered", mend="andon status shows those that are")
    stored = await asyncio.to_thread(stored_records, layout, repo.repo)
    if request.do == "show":
        return await show(repo, stored, request.commit or repo.trunk)
    if request.do == "export":
        return await export(repo, stored, request, version)
    if request.do == "sync":
        return await sync(repo, stored, request.remote)
    commits, beyond = await wanted(repo, request)
    found, index = await notes_repair.repair(repo.git_dir, repo.settings.target, repo.settings.provenance.notes, commits, stored)
    told = notes_repair.told_of(repo.repo, found, index, beyond)
    if told.records or any(one.restored or one.state == "ambiguous" for one in found):
        await loop.ask(told)
    return wire.NotesAre(found=tuple(found), looked=len(found), beyond=beyond, notes=off(repo))


def off(repo: Repository) -> tuple[str, ...]:
    """What a person should know who reads of notes that nobody writes."""
    if repo.settings.provenance.notes:
        return ()
    return ("[provenance] notes is empty: landed changes get no note, and nothing was attached",)


async def named(repo: Repository, name: str) -> Oid:
    """The commit of a name."""
    if not _NAMED.fullmatch(name):
        raise Mistake(f"{name[:80]!r} does not name a commit", mend="give its hash, or a branch or tag")
    asked = await git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", git_dir=repo.git_dir,
                      check=False)
    if asked.code != 0:
        raise Mistake(f"there is no commit {name}", where=repo.path, mend="give more of its hash")
    return asked.oid


async def wanted(repo: Repository, request: wire.AskNotes) -> tuple[list[Oid], int]:
    """The commits that are meant: one, a range, or the newest of the target as the person has it and as it landed."""
    most = max(1, min(request.limit, MOST))
    before, dots, tip = request.commit.rpartition("..")
    if request.commit and not dots:
        return [await named(repo, request.commit)], 0
    if dots:
        return await notes_repair.range_of(repo.git_dir, await named(repo, tip or "HEAD"), await named(repo, before), most)
    found = dict[Oid, None]()
    beyond = 0
    for ref in (f"refs/heads/{repo.settings.target}", trunk_ref(repo.settings.target)):
        if oid := await read_ref(repo.git_dir, ref):
            some, more = await notes_repair.range_of(repo.git_dir, oid, "", most)
            found, beyond = found | dict.fromkeys(some), beyond + more
    return list(found), beyond


async def show(repo: Repository, stored: list[NoteRecord], name: str) -> wire.NotesAre:
    """What is known of a commit, and by what; nothing is written."""
    commit = await named(repo, name)
    index = await notes_repair.index_of(repo.git_dir, stored)
    [(seen, found)] = await notes_repair.whose(repo.git_dir, index, [commit])
    tasks = tuple(dict.fromkeys(record.task for record in found.records))
    lacks = notes_repair.lacking(seen, found, index) if found.records and not found.vague else ()
    state = "ambiguous" if found.vague else "missing" if not found.records or "note" in lacks else "present"
    told = msgspec.convert({"commit": commit, "state": state, "tasks": tasks, "by": found.by, "lacks": lacks,
                            "subject": seen.subject}, Attached)
    refs = [ref for ref in REFS.values() if commit in await read_notes(repo.git_dir, ref)]
    return wire.NotesAre(found=(told,), records=found.records, refs=tuple(refs), looked=1)


async def sync(repo: Repository, stored: list[NoteRecord], remote: str) -> wire.NotesAre:
    """Every landed change that the store knows gets its notes; with a remote, ours and its own are joined, and handed on."""
    told, lost = list[Attached](), 0
    kinds = repo.settings.provenance.notes
    there = {kind: set(await read_notes(repo.git_dir, REFS[kind])) for kind in kinds}
    for record in stored[-MOST:]:
        if record.repo != repo.repo or all({record.commit, record.change} & there[kind] for kind in kinds):
            continue
        if (await look(repo.git_dir, "cat-file", "-e", f"{record.commit}^{{commit}}", check=False)).code != 0:
            lost += 1
            continue
        effect = WriteNotes(repo=repo.repo, git_dir=repo.git_dir, target=repo.settings.target, refs=kinds, record=record)
        done = await notes.write_notes(effect)
        told.append(Attached(
            commit=record.commit, state="attached" if done.written else "missing", tasks=(record.task,), by="store",
            restored=("note from store",) if done.written else (), subject=record.title,
        ))
    said = [f"{plural(lost, 'landed commit')} of the store is not in this repository any more"] if lost else []
    if remote:
        said.append(await exchange(repo, remote))
    return wire.NotesAre(found=tuple(told), looked=len(stored), notes=(*said, *off(repo)))


async def exchange(repo: Repository, remote: str) -> str:
    """Fetch a remote's copy of our own ref, join the two, hand the result on; never by force. What was done, in one sentence."""
    if not _REMOTE.fullmatch(remote):
        raise Mistake(f"{remote[:80]!r} names no remote", where=repo.path, mend="`git remote` lists them")
    ref = REFS["andon"]
    env = _NETWORK | {key: os.environ[key] for key in ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT") if key in os.environ}
    told = await git("ls-remote", "--", remote, ref, cwd=repo.path, trusted=True, check=False, seconds=REMOTE_S, env=env)
    if told.code != 0:
        raise Mistake(f"{remote} cannot be read: {(told.err.strip().splitlines() or ['no answer'])[-1][:200]}", where=repo.path,
                      mend="`git remote -v` shows its address")
    if told.text:
        await git("fetch", "-q", "--no-tags", "--no-write-fetch-head", "--", remote, f"+{ref}:{TRACKED}", cwd=repo.path,
                  trusted=True, seconds=REMOTE_S, env=env)
        async with common_lock(repo.git_dir) as hold:
            theirs = await read_ref(repo.git_dir, TRACKED)
            if theirs:
                await join_notes(repo.git_dir, ref, theirs, hold)
            await drop_ref(repo.git_dir, TRACKED)
    if await read_ref(repo.git_dir, ref) is None:
        return f"neither {remote} nor this repository has notes of ours"
    done = await git("push", "-q", "--", remote, f"{ref}:{ref}", cwd=repo.path, trusted=True, check=False,
                     seconds=REMOTE_S, env=env)
    if done.code != 0:
        raise Mistake(f"{remote} did not take {ref}: {(done.err.strip().splitlines() or ['no answer'])[-1][:200]}", where=repo.path,
                      mend="run it again: somebody else may have written there meanwhile")
    return f"{remote} and this repository hold the same notes of ours"


async def export(repo: Repository, stored: list[NoteRecord], request: wire.AskNotes, version: str) -> wire.NotesAre:
    """One Agent Trace record for each commit of each landed change."""
    commits, beyond = await wanted(repo, request)
    index = await notes_repair.index_of(repo.git_dir, stored)
    lines, done, size = list[str](), set[Oid](), 0
    for _, found in await notes_repair.whose(repo.git_dir, index, commits):
        for record in () if found.vague else found.records:
            for part in await notes.parts_of(repo.git_dir, record, record.commit):
                if part not in done and size <= EXPORT_BYTES:
                    done.add(part)
                    added, _ = await notes.added(repo.git_dir, part)
                    trace = notes_formats.agent_trace(notes.plain(record), part, added, version)
                    lines.append(msgspec.json.encode(trace).decode())
                    size += len(lines[-1])
    cut = ("more than fits into one answer: name a shorter range",) if size > EXPORT_BYTES else ()
    return wire.NotesAre(lines=tuple(lines), looked=len(commits), beyond=beyond, notes=cut)
