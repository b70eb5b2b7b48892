"""Known vulnerabilities of releases, kept offline: OSV's own archives read into one file, and asked by name. It asks no network.

The age of what is kept is that of the data, the last `modified` of any advisory of an ecosystem, and never that of a file.
"""

import datetime
import json
import os
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import semver
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from andon.scans.locks import NPM, PYPI, Release
from andon.schema.errors import Mistake

FILE = "advisories.db"
ENTRY_BYTES, ENTRIES = 8 * 2**20, 2_000_000
"""Bounds of one archive."""
DAY_MS = 86_400_000
_SHAPE = """
create table if not exists advisory (ecosystem text, name text, id text, body text);
create table if not exists kept (ecosystem text primary key, modified integer, advisories integer, source text);
create index if not exists by_name on advisory (ecosystem, name);
"""


class Age(msgspec.Struct, frozen=True, kw_only=True):
    """How old what is kept of one ecosystem is."""

    ecosystem: str
    modified: int
    """Unix milliseconds of the newest change of any advisory."""
    advisories: int
    source: str
    """Name of the archive that it came from."""

    def days(self, now: int) -> int:
        """Whole days between the newest change and `now`."""
        return max(0, now - self.modified) // DAY_MS


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """An advisory that a release falls under."""

    release: Release
    advisory: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    severity: str = ""
    fixed: tuple[str, ...] = ()


def ages(folder: Path) -> dict[str, Age]:
    """What is kept, by ecosystem; nothing when there is no file, or it cannot be read."""
    try:
        with closing(_open(folder)) as base:
            rows = base.execute("select ecosystem, modified, advisories, source from kept").fetchall()
    except sqlite3.Error:
        return {}
    return {row[0]: Age(ecosystem=row[0], modified=row[1], advisories=row[2], source=row[3]) for row in rows}


def hits(folder: Path, releases: tuple[Release, ...]) -> Iterator[Hit]:
    """Every advisory that one of these releases falls under. Raises sqlite3.Error when the file cannot be read."""
    with closing(_open(folder)) as base:
        for release in releases:
            rows = base.execute("select body from advisory where ecosystem = ? and name = ?", (release.ecosystem, release.name))
            for (body,) in rows.fetchall():
                entry = json.loads(body)
                if any(falls_under(release.version, one, release.ecosystem) for one in entry["affected"]):
                    yield Hit(release=release, advisory=entry["id"], aliases=tuple(entry["aliases"]), summary=entry["summary"],
                              severity=entry["severity"], fixed=tuple(fixes(entry["affected"])))


def fixes(affected: list[dict[str, Any]]) -> list[str]:
    """The releases in which it is mended, as far as the advisory says."""
    events = [event for one in affected for some in one.get("ranges") or () for event in some.get("events") or ()]
    return list(dict.fromkeys(str(event["fixed"]) for event in events if "fixed" in event))


def falls_under(version: str, affected: dict[str, Any], ecosystem: str) -> bool:
    """Whether a release is one of those that an advisory names, by list or by range, as OSV's schema defines it. A version that
    cannot be compared falls under every range."""
    if version in (affected.get("versions") or ()):
        return True
    for some in affected.get("ranges") or ():
        if some.get("type") in ("ECOSYSTEM", "SEMVER") and _within(version, some.get("events") or (), ecosystem):
            return True
    return False


def _within(version: str, events: Any, ecosystem: str) -> bool:
    try:
        here = _order(version, ecosystem)
        said = sorted(((_order(str(value), ecosystem), kind) for event in events for kind, value in event.items()),
                      key=lambda pair: (pair[0], pair[1] != "introduced"))
    except (InvalidVersion, ValueError):
        return True
    inside = False
    for place, kind in said:
        if kind == "introduced" and place <= here:
            inside = True
        elif (kind == "fixed" and place <= here) or (kind == "last_affected" and place < here):
            inside = False
    return inside


def _order(version: str, ecosystem: str) -> Any:
    """What versions of an ecosystem are compared by; OSV's `0` stands before all."""
    if ecosystem == PYPI:
        return Version("0.dev0" if version == "0" else version)
    return semver.Version.parse("0.0.0-0" if version == "0" else version.removeprefix("v"), optional_minor_and_patch=True)


def update(folder: Path, archive: Path) -> list[Age]:
    """Keep what an archive of OSV holds in place of what was kept of its ecosystems. Raises Mistake when it is none.

    The file is replaced whole: who reads it meanwhile reads the old one.
    """
    mend = "Fetch it from https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip, or npm/all.zip, on any machine."
    try:
        packed = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        what = f"This is no archive of advisories as OSV publishes them: {error}"[:300]
        raise Mistake(what, where=str(archive), mend=mend) from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=".db", dir=folder)
    os.close(handle)
    made = Path(name)
    try:
        with packed, closing(sqlite3.connect(made)) as new, new:
            new.executescript(_SHAPE)
            newest, counted = _filled(new, packed)
            if not counted:
                raise Mistake(f"There is no advisory of {PYPI} or {NPM} in it.", where=str(archive), mend=mend)
            _carry_over(folder, new, set(counted))
            new.executemany("insert into kept values (?, ?, ?, ?)", [
                (ecosystem, newest.get(ecosystem, 0), counted[ecosystem], archive.name[:200]) for ecosystem in counted])
        made.replace(folder / FILE)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"This is no archive of advisories as OSV publishes them: {error}"[:300]
        raise Mistake(what, where=str(archive), mend=mend) from error
    finally:
        made.unlink(missing_ok=True)
    return [age for ecosystem, age in sorted(ages(folder).items()) if ecosystem in counted]


def _carry_over(folder: Path, new: sqlite3.Connection, without: set[str]) -> None:
    """What is kept of other ecosystems."""
    if not (folder / FILE).is_file():
        return
    with closing(_open(folder)) as old:
        for table in ("advisory", "kept"):
            rows = (row for row in old.execute(f"select * from {table}") if row[0] not in without)
            new.executemany(f"insert into {table} values (?, ?, ?, ?)", rows)


def _filled(new: sqlite3.Connection, packed: zipfile.ZipFile) -> tuple[dict[str, int], dict[str, int]]:
    """Every entry as rows, one after the other; by ecosystem the newest change that is not in the future, and how many."""
    now = int(time.time() * 1000)
    newest: dict[str, int] = {}
    counted: dict[str, int] = {}
    infos = packed.infolist()
    if len(infos) > ENTRIES or any(info.file_size > ENTRY_BYTES for info in infos):
        raise ValueError("it is larger than is read")
    for info in infos:
        if not info.filename.endswith(".json"):
            continue
        entry = json.loads(packed.read(info))
        when = int(datetime.datetime.fromisoformat(entry["modified"]).timestamp() * 1000)
        named: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for one in entry.get("affected") or ():
            package = one.get("package") or {}
            ecosystem = str(package.get("ecosystem", "")).partition(":")[0]
            if ecosystem in (PYPI, NPM):
                name = canonicalize_name(package["name"]) if ecosystem == PYPI else str(package["name"])
                kept = {"versions": one.get("versions") or [], "ranges": one.get("ranges") or []}
                named.setdefault((ecosystem, name), []).append(kept)
        for ecosystem in {ecosystem for ecosystem, _ in named}:
            newest[ecosystem] = max(newest.get(ecosystem, 0), when if when <= now + DAY_MS else 0)
            counted[ecosystem] = counted.get(ecosystem, 0) + 1
        if not entry.get("withdrawn"):
            rows = [(ecosystem, name, str(entry["id"]), _body(entry, some)) for (ecosystem, name), some in named.items()]
            new.executemany("insert into advisory values (?, ?, ?, ?)", rows)
    return newest, counted


def _body(entry: dict[str, Any], affected: list[dict[str, Any]]) -> str:
    severity = str((entry.get("database_specific") or {}).get("severity") or "").upper()
    return json.dumps({
        "id": str(entry["id"]), "aliases": [str(one) for one in entry.get("aliases") or ()][:10], "severity": severity,
        "summary": str(entry.get("summary") or "")[:300], "affected": affected,
    })


def _open(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(folder / FILE).absolute().as_uri()}?mode=ro&immutable=1", uri=True)
