"""Writes what a landed commit is into git notes, without secrets; must never take another writer's note away.

A redactor that fails, or a note that is no longer what it was meant to be without its secrets, means that nothing is written.
"""

import re
from collections.abc import Sequence

import msgspec

from andon.edges import notes_formats as formats, withheld
from andon.edges.git import common_lock, look
from andon.edges.notes_ref import Wanted, put_notes, read_notes
from andon.schema.clean import clean
from andon.schema.effects import WriteNotes
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import Oid
from andon.schema.inputs import NotesWritten
from andon.schema.notes import REFS, NoteRecord

COMMITS = 50
"""Commits of one change that get line ranges of their own."""
DIFF_BYTES = 16 * 2**20
"""A larger diff has no patch-id and no ranges: not known."""
PATCH = ("-p", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_TRAILERS = ("Andon-Bundle", "Andon-Policy")


class Unclean(Mistake):
    """What was to be written could not be looked through for secrets; trying again would say the same."""


async def write_notes(effect: WriteNotes) -> NotesWritten:
    """Each ref that is wanted says what the commit is, when this returns. Done again it changes nothing."""
    record = plain(await gathered(effect.git_dir, effect.record))
    point("write-notes.redacted")
    written, kept = list[str](), list[str]()
    async with common_lock(effect.git_dir) as hold:
        for kind in effect.refs:
            stands, other = await attach(effect.git_dir, kind, effect.target, record, record.commit, hold)
            written += [REFS[kind]] if stands else []
            kept += [REFS[kind]] if other else []
            point("write-notes.ref")
    return NotesWritten(task=record.task, commit=effect.record.commit, written=tuple(written), kept=tuple(kept),
                        withheld=record.withheld)


async def attach(git_dir: str, kind: str, target: str, record: NoteRecord, commit: Oid, hold: int) -> tuple[bool, bool]:
    """Put the record on a commit under one ref: whether it stands there now, and whether another writer's note was left there."""
    foreign = False

    def once(note: bytes) -> Wanted:
        def ask(existing: bytes | None) -> bytes | None:
            nonlocal foreign
            foreign = foreign or (existing is not None and existing.strip() != note.strip())
            return note if existing is None else None
        return ask

    wanted: dict[Oid, Wanted]
    if kind == "andon":
        wanted = {commit: lambda existing: formats.joined(existing, record)}
    elif kind == "shiftlog":
        wanted = {commit: once(formats.shiftlog(record, target))}
    else:
        parts = await parts_of(git_dir, record, commit)
        wanted = {part: once(formats.authorship(record, part, *(await added(git_dir, part)))) for part in parts}
    await put_notes(git_dir, REFS[kind], wanted, hold, why=f"andon: notes of {record.task}")
    return not foreign, foreign


def plain(record: NoteRecord) -> NoteRecord:
    """The record as it may be read by anybody. Raises Unclean when it cannot be looked through."""
    try:
        tidy = msgspec.structs.replace(record, title=clean(record.title)[:200], summary=clean(record.summary))
        told = withheld.struct(tidy)
        line = formats.line_of(told)
        if withheld.data(line) != line:
            raise ValueError("a secret reaches over the parts of the record")
        found = formats.records_of(line)
    except (ValueError, TypeError, LookupError, RecursionError, re.error) as error:
        raise Unclean(f"the notes of {record.task} could not be looked through for secrets: {type(error).__name__}: {error}"[:300],
                      where=record.repo, mend="nothing was written; the transcript stays in the store") from error
    if len(found) != 1 or not formats.same(found[0], record):
        raise Unclean(f"the notes of {record.task} hold a secret where a name should stand", where=record.repo,
                      mend="nothing was written; see which of task, change and commit looks like a secret")
    count = record.withheld + formats.withheld_in(told.title, told.summary)
    return msgspec.structs.replace(told, withheld=count)


async def gathered(git_dir: str, record: NoteRecord) -> NoteRecord:
    """The record with what only git knows: trees, patch-ids, and the digests that the commit's own trailers say."""
    fields = "%x00".join(f"%(trailers:key={name},valueonly,separator=%x20)" for name in _TRAILERS)
    told = await look(git_dir, "show", "-s", f"--format=%T%x00{fields}", record.commit)
    tree, bundle, policy = (*told.text.strip("\n").split("\0"), "", "")[:3]
    before = (await look(git_dir, "show", "-s", "--format=%T", record.before)).text.strip() if record.before else ""
    whole = await patch_ids(git_dir, "diff-tree", "-r", *PATCH, record.before, record.commit) if record.before else []
    parts = await parts_of(git_dir, record, record.commit)
    each = await patches_of(git_dir, parts) if len(parts) > 1 else {}
    return msgspec.structs.replace(
        record, tree=Oid(tree), before_tree=Oid(before), patch=next(iter(whole), ""),
        patches=tuple(dict.fromkeys(each[part] for part in parts if part in each)), bundle=bundle.strip(), policy=policy.strip(),
    )


async def parts_of(git_dir: str, record: NoteRecord, commit: Oid) -> list[Oid]:
    """The commits that a landed change consists of, merges left out, oldest first, within the bound; of another commit itself."""
    if commit != record.commit or not record.before:
        return [commit]
    shown = await look(git_dir, "rev-list", "--no-merges", "--reverse", "--topo-order", f"--max-count={COMMITS + 1}",
                       f"{record.before}..{commit}", check=False)
    found = [Oid(line) for line in shown.text.splitlines()]
    return found[:COMMITS] if found else [commit]


async def patches_of(git_dir: str, commits: Sequence[Oid]) -> dict[Oid, str]:
    """The patch-id of each commit against its first parent; of one without a diff, or with too large a one, none."""
    if not commits:
        return {}
    told = await look(git_dir, "log", "--no-walk=unsorted", "--stdin", "-m", "--first-parent", "--format=commit %H", *PATCH,
                      stdin="".join(f"{oid}\n" for oid in commits).encode(), limit=DIFF_BYTES)
    if told.truncated:
        half = len(commits) // 2
        return (await patches_of(git_dir, commits[:half])) | (await patches_of(git_dir, commits[half:])) if half else {}
    ids = (await look(git_dir, "patch-id", "--stable", stdin=told.out)).text.splitlines() if told.out else []
    return {Oid(oid): patch for patch, _, oid in (line.partition(" ") for line in ids)}


async def patch_ids(git_dir: str, *words: str) -> list[str]:
    """The patch-id of what a git prints as a diff; nothing when it is empty or too large."""
    told = await look(git_dir, *words, limit=DIFF_BYTES, check=False)
    if told.truncated or not told.out:
        return []
    return [line.split(" ")[0] for line in (await look(git_dir, "patch-id", "--stable", stdin=told.out)).text.splitlines()]


async def added(git_dir: str, commit: Oid) -> tuple[dict[str, list[tuple[int, int]]], int]:
    """The lines that a commit added to each file, and how many it took away. A file whose name git must quote is left out."""
    told = await look(git_dir, "log", "--no-walk", "-m", "--first-parent", "--format=", "--unified=0", *PATCH, commit,
                      limit=DIFF_BYTES)
    found, path, gone, left = dict[str, list[tuple[int, int]]](), "", 0, [0, 0]
    for line in [] if told.truncated else told.out.decode(errors="replace").split("\n"):
        if left[0] or left[1]:  # within a hunk: whatever it looks like, it is a line of the file
            left[line[:1] == "+"] -= line[:1] in ("+", "-")
        elif line.startswith("+++ "):
            path = line[6:].removesuffix("\t") if line.startswith("+++ b/") else ""
        elif hunk := _HUNK.match(line):
            minus, first, plus = int(hunk[1] or 1), int(hunk[2]), int(hunk[3] or 1)
            left = [minus, plus]
            gone += minus
            if path and plus:
                found.setdefault(path, []).append((first, first + plus - 1))
    return found, gone


async def known_records(git_dir: str) -> dict[Oid, list[NoteRecord]]:
    """All records under our own ref, by the commit that each stands on."""
    notes = await read_notes(git_dir, REFS["andon"])
    return {about: found for about, note in notes.items() if (found := formats.records_of(note))}

