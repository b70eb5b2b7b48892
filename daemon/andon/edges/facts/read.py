"""Gathers the facts of a change between two commits from git objects, bounded; what could not be read is a fact too."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from andon.edges import withheld
from andon.edges.facts import code, dependencies, gates, owners
from andon.edges.facts.manifests import reader_of
from andon.edges.facts.patch import NOTHING, File, filled, of_text, records
from andon.edges.facts.places import BUILDS, IMAGES, MIGRATIONS, SCHEMAS, is_code, is_prose, is_test, kind_of_gate
from andon.edges.git import look
from andon.schema.facts import Fact, Facts, Watch, gathered
from andon.schema.globs import matches
from andon.schema.ids import Oid

DIFF_LIMIT, NAMES_LIMIT = 6 * 2**20, 4 * 2**20
"""Bytes of a diff, and of the list of changed paths, that are read; what goes beyond is told and stops."""
FILES_LIMIT = 3_000
BLOB_LIMIT, BLOBS_LIMIT = 4 * 2**20, 32 * 2**20
"""Bytes of one file, and of all files, that are read whole."""
OWNERS_LIMIT, TOO_LARGE = 2**20, "*" * 40 + " @too-large"
"""GitHub takes none that is larger than 3 MiB. What stands for it raises, because it cannot be matched."""
ODD = re.compile("[\\x00-\\x1f\\x7f\ufffd\u202a-\u202e\u2066-\u2069]")
_DIFF = (
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--full-index",
    "--no-renames",
    "--submodule=short",
    "--ignore-submodules=none",
)
Texts = Mapping[tuple[str, bool], str]
"""(path, whether after) -> the whole text of that side."""


async def gather(common: Path, base: Oid, head: Oid, watch: Watch, compare: gates.Compare) -> Facts:
    """What is seen in the change from `base` to `head`. Reads objects alone: no file, hook or filter of the repository."""
    named = await look(common, *_DIFF, "--raw", "-z", base, head, "--", limit=NAMES_LIMIT)
    if named.truncated:
        return gathered([Fact(rule="unread", what="more paths changed than are read")], watch)
    files = records(named.out)
    if len(files) > FILES_LIMIT:
        return gathered([Fact(rule="unread", what=f"{len(files)} paths changed, more than are read one by one")], watch)
    said = await _patch(common, base, head)
    unread: list[Fact] = []
    if said is None:
        unread.append(Fact(rule="unread", what=f"the diff is larger than {DIFF_LIMIT // 2**20} MiB"))
    else:
        files = await asyncio.to_thread(filled, files, said)
    texts, missing, owned = await _texts(common, base, files)
    unread += [Fact(rule="unread", path=path, what="it is larger than what is read whole") for path in missing]
    found = await asyncio.to_thread(lambda: list(facts_of(files, texts, owned, watch, compare)))
    return gathered([*unread, *found], watch)


def of_patch(patch: bytes, watch: Watch, compare: gates.Compare, owned: str = "") -> Facts:
    """What is seen in a diff alone, without the files that it is about: less is known, and what is not known says so."""
    if len(patch) > DIFF_LIMIT:
        return gathered([Fact(rule="unread", what=f"the diff is larger than {DIFF_LIMIT // 2**20} MiB")], watch)
    return gathered(list(facts_of(of_text(patch), None, owned, watch, compare)), watch)


def facts_of(files: list[File], texts: Texts | None, owned: str, watch: Watch, compare: gates.Compare) -> Iterator[Fact]:
    """The facts of these files, the weighty kinds first. Without `texts` only changed lines are known."""
    for file in files:
        before = after = ""
        if texts is not None:
            before, after = texts.get((file.path, False), ""), texts.get((file.path, True), "")
        yield from _shape(file)
        if texts is None:
            yield from _fragments(file, compare)
        else:
            yield from gates.seen(file, before, after, compare)
            yield from dependencies.seen(file, before, after)
        yield from _place(file)
        yield from code.seen(file, before, after, watch.symbols)
        yield from _data(file, watch)
        if file.cut and is_code(file.path) and not is_prose(file.path) and not (texts is not None and reader_of(file.path)):
            yield Fact(rule="unread", path=file.path, what="it has changed lines too long to be looked at")
    yield from owners.seen(files, owned)


def _shape(file: File) -> Iterator[Fact]:
    """What its name and its modes say."""
    if ODD.search(file.path):
        yield Fact(
            rule="unread", path=file.path, what="its name has characters that cannot be shown, so no rule for paths can be trusted"
        )
    kinds = {"160000": "submodule", "120000": "mode"}
    kind = kinds.get(file.new_mode) or (kinds.get(file.old_mode) if not file.added else None)
    if kind == "submodule":
        yield Fact(rule="submodule", path=file.path, what="another repository is bound in here, or at another commit")
    elif kind == "mode":
        yield Fact(rule="mode", path=file.path, what="it is gone as a symbolic link" if file.gone else "it is a symbolic link")
    elif file.new_mode == "100755" and file.old_mode != "100755":
        yield Fact(rule="executable", path=file.path, what="it is new and executable" if file.added else "it became executable")
    if file.binary and not file.gone:
        image = bool(IMAGES.search(file.path))
        yield Fact(rule="image" if image else "binary", path=file.path, what="its bytes cannot be read as a diff")


def _place(file: File) -> Iterator[Fact]:
    """What its path says beyond gates and code."""
    if matches(file.path, MIGRATIONS) and is_code(file.path) and not is_prose(file.path) and not is_test(file.path):
        gone = re.search(
            r"\b(DROP|TRUNCATE|DELETE|remove_column|drop_table|RemoveField|DeleteModel|drop_column)\b", file.text(True), re.I
        )
        yield Fact(
            rule="migration", path=file.path, what=f"it changes stored data{f', and takes some away ({gone[0]})' if gone else ''}"
        )
    if matches(file.path, SCHEMAS):
        yield Fact(rule="schema", path=file.path, what="it is a contract with others")
    if matches(file.path, BUILDS) and not kind_of_gate(file.path):
        yield Fact(rule="build", path=file.path, what="it builds the product")


def _data(file: File, watch: Watch) -> Iterator[Fact]:
    """Classes of data that `[policy.data]` names."""
    for name, patterns in watch.data.items():
        if matches(file.path, [pattern for pattern in patterns if not pattern.startswith("line:")]):
            yield Fact(rule="data", path=file.path, name=name, what=f"{name}: {file.path} is under [policy.data]")
            continue
        for pattern in patterns:
            word = pattern.removeprefix("line:").lower()
            hit = next((line for line in file.lines if word in line.text.lower()), None) if pattern.startswith("line:") else None
            if hit is not None:
                yield Fact(rule="data", path=file.path, line=hit.number, name=name, what=f"{name}: a changed line has `{word}`")
                break


def _fragments(file: File, compare: gates.Compare) -> Iterator[Fact]:
    """What judges, and what a manifest brings, as far as the changed lines alone tell."""
    before, after = file.text(False), file.text(True)
    if kind_of_gate(file.path) == "ours" and not file.gone:
        yield Fact(rule="unclear", path=file.path, what="it defines what judges, and a diff alone does not say what it does")
    else:
        yield from gates.of_lines(file, compare)
    yield from dependencies.of_lines(file, before, after)


async def _patch(common: Path, base: Oid, head: Oid) -> bytes | None:
    """The diff without context; None when it is too large."""
    shown = await look(common, *_DIFF, "-U0", base, head, "--", limit=DIFF_LIMIT)
    return None if shown.truncated else shown.out


async def _texts(common: Path, base: Oid, files: list[File]) -> tuple[dict[tuple[str, bool], str], list[str], str]:
    """Both sides of the files that are read whole, those that are too large for it, and the CODEOWNERS that counts."""
    wanted: dict[tuple[str, bool], str] = {}
    for file in files:
        if file.binary or not (
            reader_of(file.path)
            or kind_of_gate(file.path)
            or file.path.endswith((".py", ".pyi"))
            or file.path.rsplit("/", 1)[-1] in gates.TREES
        ):
            continue
        for mode, oid, after in ((file.old_mode, file.old, False), (file.new_mode, file.new, True)):
            if mode not in (NOTHING, "160000") and oid:
                wanted[file.path, after] = oid
    places = [f"{base}:{path}" for path in owners.PLACES]
    sizes = await _sizes(common, [*sorted(set(wanted.values())), *places])
    owned = next((place for place in places if place in sizes), "")
    total, taken, missing = 0, set[str](), set[str]()
    for (path, _), oid in wanted.items():
        size = sizes.get(oid, BLOB_LIMIT + 1)
        total += size if oid not in taken else 0
        if size > BLOB_LIMIT or total > BLOBS_LIMIT:
            missing |= {path} if not path.endswith((".py", ".pyi")) or kind_of_gate(path) else set()
        else:
            taken.add(oid)
    large = bool(owned) and sizes[owned] > OWNERS_LIMIT
    blobs = await _blobs(common, [*sorted(taken), *([owned] if owned and not large else [])], sizes)
    told = TOO_LARGE if large else blobs.get(owned, "")
    return {key: blobs[oid] for key, oid in wanted.items() if oid in blobs}, sorted(missing), told


async def _sizes(common: Path, names: list[str]) -> dict[str, int]:
    """Sizes of the objects that are there, by the name that was asked for: answers come in the same order."""
    asked = await look(common, "cat-file", "--batch-check=%(objecttype) %(objectsize)", stdin="\n".join(names).encode() + b"\n")
    rows = zip(names, (line.split(" ") for line in asked.text.splitlines()), strict=True)
    return {name: int(row[1]) for name, row in rows if len(row) == 2 and row[0] == "blob"}


async def _blobs(common: Path, oids: list[str], sizes: Mapping[str, int]) -> dict[str, str]:
    """Objects by name. They come one after the other, each with its size, so nothing in them can be taken for another."""
    if not oids:
        return {}
    out = (await look(common, "cat-file", "--batch", stdin="\n".join(oids).encode() + b"\n")).out
    found, at = {}, 0
    for oid in oids:
        at = out.index(b"\n", at) + 1
        found[oid] = out[at : at + sizes[oid]].decode(errors="replace")
        at += sizes[oid] + 1
    return found


async def read(common: Path, base: Oid, head: Oid, watch: Watch, compare: gates.Compare) -> Facts:
    """The facts, their words without secrets; when the diff is of a kind that cannot be taken apart, that is the fact."""
    try:
        found = await gather(common, base, head, watch, compare)
    except ValueError as error:
        return gathered([Fact(rule="unread", what=f"the diff could not be taken apart: {error}")], watch)
    seen = tuple(msgspec.structs.replace(fact, what=withheld.text(fact.what)) for fact in found.seen)
    return msgspec.structs.replace(found, seen=seen)
