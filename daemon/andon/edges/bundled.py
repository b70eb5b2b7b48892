"""Prepares the checks that come with the program: what they are asked is read from git here, so nothing of the change runs.

The scans themselves are programs of their own (`andon.scans`), run as jobs like any check: they read words that an agent wrote.
"""

import asyncio
import json
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import msgspec

import andon
from andon.edges import touched
from andon.edges.grounds import dead_rules
from andon.edges.reports.verdict import Grounds, Verdict, unevaluated
from andon.scans import advisories, locks
from andon.schema.effects import RunCheck
from andon.schema.sentences import plural
from andon.schema.settings import Walls

ASKED = "asked.json"
PROGRAMS = {"secrets": "andon.scans.secrets", "dependencies": "andon.scans.dependencies"}
NAMED = 3


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundled check is about to do, or what is already known of it."""

    verdict: Verdict | None = None
    """Known without any run."""
    asked: bytes = b""
    read: tuple[str, ...] = ()
    """Paths that the scan reads besides."""
    told: str = ""
    """What belongs to its result: how old its data is, what it did not read."""


async def prepare(effect: RunCheck, home: Path) -> Prepared:
    """What the scan of this effect is asked. Raises Mistake when git cannot tell."""
    if effect.check.use == "secrets":
        return await _secrets(effect)
    if effect.check.use == "dependencies":
        return await _dependencies(effect, folder_of(home))
    if not effect.rules:
        return Prepared(verdict=unevaluated("no-data", "the settings have no pattern that could name nothing"))
    because = f"{plural(len(effect.rules), 'rule')} of the settings, each names a file"
    return Prepared(verdict=Verdict(result="pass", because=because))


async def dead(effect: RunCheck) -> str:
    """Which patterns name nothing; empty when each does."""
    if not effect.rules:
        return ""
    return dead_rules(effect, Grounds(files=await touched.files_of(effect.git_dir, effect.tree)))


def folder_of(home: Path) -> Path:
    """Where advisories are kept."""
    return home / "advisories"


def argv(use: str, folder: Path, report: Path) -> tuple[str, ...]:
    """The program of a scan; isolated, so that nothing of the checkout or of the environment is imported."""
    return (sys.executable, "-I", "-m", PROGRAMS[use], str(folder / ASKED), str(report))


def walls_of(walls: Walls, also: tuple[str, ...]) -> Walls:
    """The walls of a scan: no network, and what it is made of can be read."""
    places = sysconfig.get_paths()
    paths = {str(Path(andon.__file__).parent.parent), sys.prefix, places["purelib"], places["platlib"]}
    read = (*walls.read, *sorted(paths), *also)
    return msgspec.structs.replace(walls, check_network="none", read=tuple(dict.fromkeys(read)))


async def _secrets(effect: RunCheck) -> Prepared:
    """The lines that a change added, and the allow-list as its base has it."""
    if not effect.base:
        return Prepared(verdict=Verdict(result="pass", because="no change to look at: it looks at what a change adds"))
    base = effect.base_tree or effect.base
    added = await touched.added_between(effect.git_dir, base, effect.tree)
    files = await touched.files_of(effect.git_dir, base)
    allowed = (await touched.texts_of(effect.git_dir, files, (effect.check.allow,))).get(effect.check.allow, b"")
    lines = {_word(path): {str(number): line.decode(errors="replace") for number, line in some.items()}
             for path, some in added.items()}
    count = sum(map(len, lines.values()))
    asked = {"lines": lines, "allow": allowed.decode(errors="replace"), "list": effect.check.allow}
    return Prepared(asked=_asked(asked), told=f"{plural(count, 'added line')} looked at")


async def _dependencies(effect: RunCheck, folder: Path) -> Prepared:
    """Every lock and requirements file of the tree, when there are advisories of its ecosystem that are young enough."""
    files = await touched.files_of(effect.git_dir, effect.tree)
    named = {path: ecosystem for path in files if (ecosystem := locks.ecosystem_of(path))}
    unread = sorted(path for path in files if Path(path).name in locks.UNREAD)
    also = f"; not read: {', '.join(unread[:NAMED])}" if unread else ""
    if not named:
        return Prepared(verdict=unevaluated("no-data", f"no file names exact releases of {locks.PYPI} or {locks.NPM}{also}"))
    known = await asyncio.to_thread(advisories.ages, folder)
    missing = sorted(set(named.values()) - known.keys())
    if missing:
        what = f"no advisories of {' or '.join(missing)} are kept here: `andon advisories update FILE` reads OSV's archive"
        return Prepared(verdict=unevaluated("no-data", what))
    now = int(time.time() * 1000)
    ages = {ecosystem: known[ecosystem].days(now) for ecosystem in sorted(set(named.values()))}
    told = ", ".join(f"advisories of {ecosystem} are {plural(days, 'day')} old" for ecosystem, days in ages.items())
    if max(ages.values()) > effect.check.max_age_days:
        return Prepared(verdict=unevaluated("old-data", f"{told}, {plural(effect.check.max_age_days, 'day')} are allowed"))
    texts = await touched.texts_of(effect.git_dir, files, named)
    if len(texts) < len(named):
        return Prepared(verdict=unevaluated("no-data", "its lock files are larger than are read"))
    asked = {"files": {_word(path): text.decode(errors="replace") for path, text in texts.items()}, "advisories": str(folder)}
    return Prepared(asked=_asked(asked), read=(str(folder),), told=f"{told}{also}")


def _asked(what: dict[str, Any]) -> bytes:
    return json.dumps(what).encode()


def _word(path: str) -> str:
    """A path as JSON can carry it."""
    return path.encode(errors="surrogateescape").decode(errors="replace")
