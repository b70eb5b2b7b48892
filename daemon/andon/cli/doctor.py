"""`andon doctor`: whether everything that is needed is here. Looks only; changes nothing, starts nothing."""

import argparse
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import Literal

import msgspec

from andon.cli import codes, out, reach
from andon.client import VERSION, DaemonDown, connect
from andon.schema import wire
from andon.schema.errors import Mistake, Problem
from andon.schema.layout import SOCKET_PATH_LIMIT, Layout
from andon.schema.sandbox import Reached, rank
from andon.schema.views import RepositoryView

EXAMPLES = """\
examples:
  andon doctor
  andon doctor --json      exit code 1 when something that is needed is missing
"""
GIT, TMUX, PYTHON = (2, 38), (3, 2), (3, 11)
"""Least versions: merge-tree --write-tree; control mode with flow control; the language."""
WAL_FIXED = (3, 51, 3)
"""SQLite before this can corrupt a WAL database when two connections write and checkpoint at once."""


COMMIT = "commit"
"""What must work from within."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    part: str
    state: Literal["ok", "note", "missing"]
    told: str
    mend: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How to print."""
    parser.add_argument("--json", action="store_true", help="a JSON array of {part, state, told, mend}")
    parser.add_argument("--attacks", action="store_true", help="also attack a stage from within walls, and say what got through")
    parser.add_argument("--quick", action="store_true", help="without proving the ledger's chain, which reads all of it")


def run(args: argparse.Namespace) -> int:
    """Look at everything."""
    layout = reach.place()
    findings = [_python(), _tool("git", GIT, "merge-tree --write-tree"), _tool("tmux", TMUX, "control mode"), _sqlite(),
                *_directories(layout), _socket(layout), *_walls(layout), *(_attacks(layout) if args.attacks else []),
                _lock(layout), *([] if args.quick else [_chain(layout)])]
    if args.json:
        out.dump(findings)
    else:
        marks = {"ok": "✓ ok", "note": "! note", "missing": "✗ missing"}
        out.table([(marks[one.state], one.part, one.told + (f" — {one.mend}" if one.mend else "")) for one in findings],
                  ("", "PART", "FINDING"))
    return codes.NOT_SO if any(one.state == "missing" for one in findings) else codes.OK


def _python() -> Finding:
    told = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < PYTHON:
        return Finding(part="python", state="missing", told=told, mend="install Python 3.11 or newer")
    return Finding(part="python", state="ok", told=told)


def _tool(name: str, least: tuple[int, int], what_for: str) -> Finding:
    path, wanted = shutil.which(name), ".".join(map(str, least))
    if path is None:
        return Finding(part=name, state="missing", told="not on PATH", mend=f"install {name} {wanted} or newer")
    flag = "-V" if name == "tmux" else "--version"
    said = subprocess.run([path, flag], capture_output=True, text=True, check=False).stdout.strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None:
        return Finding(part=name, state="note", told=f"{path} says: {out.clean(said) or 'nothing'}",
                       mend=f"{wanted} or newer is needed")
    if (int(found[1]), int(found[2])) < least:
        return Finding(part=name, state="missing", told=f"{said} at {path}", mend=f"{wanted} or newer is needed ({what_for})")
    return Finding(part=name, state="ok", told=f"{said} at {path}")


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info >= WAL_FIXED:
        return Finding(part="sqlite", state="ok", told=sqlite3.sqlite_version)
    return Finding(part="sqlite", state="note", told=f"{sqlite3.sqlite_version} has the WAL-reset bug (fixed in 3.51.3)",
                   mend="harmless here: the ledger has one writer, held by a lock; write into ledger.db with no other program")


def _directories(layout: Layout) -> list[Finding]:
    found = []
    for part, path in (("home", layout.home), ("runtime", layout.runtime)):
        if not path.exists():
            found.append(Finding(part=part, state="ok", told=f"{path} is not there yet: the daemon makes it"))
            continue
        facts = path.lstat()
        mode = stat.S_IMODE(facts.st_mode)
        if facts.st_uid != os.getuid() or not os.access(path, os.W_OK):
            found.append(Finding(part=part, state="missing", told=f"{path} is not writable for you",
                                 mend="set ANDON_HOME to a directory of yours"))
        elif mode & 0o077:
            found.append(Finding(part=part, state="note", told=f"{path} is open to others (mode {mode:o})",
                                 mend=f"chmod 700 {path}"))
        else:
            free = shutil.disk_usage(path).free // 2**20
            found.append(Finding(part=part, state="ok" if free > 500 else "note", told=f"{path}, {free} MiB free",
                                 mend="" if free > 500 else "make room: checkouts and evidence need it"))
    return found


def _socket(layout: Layout) -> Finding:
    size = len(os.fsencode(layout.socket))
    if size > SOCKET_PATH_LIMIT:
        return Finding(part="socket", state="missing", told=f"the path is {size} bytes long: {layout.socket}",
                       mend="set ANDON_HOME to a shorter one")
    try:
        with connect(layout, face="doctor") as client:
            told = client.welcome
    except DaemonDown as down:
        if not layout.socket.exists():
            return Finding(part="daemon", state="ok", told="not running", mend="`andon up` starts it")
        return Finding(part="daemon", state="note", told=down.problem.what + "; its socket is stale", mend="`andon up` replaces it")
    except Mistake as mistake:
        return Finding(part="daemon", state="missing", told=mistake.problem.what, mend=mistake.problem.mend)
    if told.version != VERSION:
        return Finding(part="daemon", state="note", told=f"version {told.version} answers, this is {VERSION}",
                       mend="`andon down`, then `andon up`; agents go on")
    return Finding(part="daemon", state="ok", told=f"version {told.version}, pid {told.pid}")


def _walls(layout: Layout) -> list[Finding]:
    """What this machine gives to agents and checks, as the daemon finds it now, and what each repository asks for and gets."""
    try:
        with connect(layout, face="doctor") as client:
            seen = client.ask(wire.TryWalls(attack=False))
            views = client.views()
    except DaemonDown:
        mend = "`andon up` starts the daemon, which tries it out"
        return [Finding(part="walls", state="note", told="not known: the daemon is not running", mend=mend)]
    except Mistake as mistake:
        return [Finding(part="walls", state="note", told=f"not known: {mistake.problem.what}", mend=mistake.problem.mend)]
    if not isinstance(seen, wire.WallsAre):
        return []
    best = seen.reached
    told = f"{best.level}{f' by {best.tool}' if best.tool else ''}" + (f"; {best.because}" if best.because else "")
    state: Literal["ok", "note"] = "ok" if best.level == "strict" else "note"
    found = [Finding(part="walls", state=state, told=f"this machine gives {told}", mend=best.mend)]
    return found + [_asked(view, best) for view in views if isinstance(view, RepositoryView)]


def _asked(view: RepositoryView, best: Reached) -> Finding:
    """What one repository asks for, what its agents and checks get, and what follows for landing."""
    part, asked = f"walls of {view.repo}", f"asks for {'the best' if view.walls == 'best' else view.walls}"
    if not view.walls_now:
        return Finding(part=part, state="missing", told=f"{asked}: nothing starts, the machine gives {best.level}", mend=best.mend)
    told = f"{asked}, agents and checks run at level {view.walls_now}"
    enough = rank(view.walls_now) >= rank(view.walls_least)
    if not enough:
        told += f": below {view.walls_least}, so a person is asked before a change lands"
    elif view.walls_least != "strict":
        told += f"; changes built within walls of level {view.walls_least} land without a person ([policy] walls)"
    strict = view.walls_now == "strict" and view.walls_least == "strict"
    if view.isolation == "worktree":
        mend = 'write isolation = "clone" under [checkout] in andon.toml'
        shared = "agents run without walls, for a linked worktree shares the repository's git directory"
        told = shared if enough else f"{shared}: a person is asked before a change lands"
        return Finding(part=part, state="note", told=told, mend=mend)
    lowered = 'write level = "best" under [sandbox] in andon.toml' if view.walls in ("none", "partial") else ""
    mend = lowered or ("" if enough else best.mend)
    return Finding(part=part, state="ok" if strict else "note", told=told, mend=mend)


def _attacks(layout: Layout) -> list[Finding]:
    """What an agent within this machine's best walls can harm, tried out on a stage."""
    with connect(layout, face="doctor") as client:
        reply = client.ask(wire.TryWalls())
    if not isinstance(reply, wire.WallsAre):
        return []
    through = [attack for attack in reply.attacks if attack.succeeded and not attack.own and attack.name != COMMIT]
    tried = f"{len(reply.attacks)} attacks at level {reply.reached.level}: {len(through)} got through"
    found = [Finding(part="attacks", state="note" if through else "ok", told=tried, mend=reply.reached.mend if through else "")]
    return [*found, *(Finding(part=attack.name, state="note", told=f"{attack.about}: it worked", mend="") for attack in through)]


class _Owner(msgspec.Struct):
    pid: int = 0


def _lock(layout: Layout) -> Finding:
    try:
        owner = msgspec.json.decode(layout.lock.read_bytes(), type=_Owner).pid
    except (OSError, msgspec.DecodeError):
        return Finding(part="lock", state="ok", told="free")
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return Finding(part="lock", state="ok", told=f"free (last held by pid {owner})")
    except PermissionError:
        pass
    return Finding(part="lock", state="ok", told=f"its file names pid {owner}, which is alive")


def _chain(layout: Layout) -> Finding:
    from andon.ledger_reader import verify_log

    if not layout.ledger.exists():
        return Finding(part="ledger", state="ok", told="none yet")
    from andon.refold import check_snapshots

    try:
        problem = verify_log(layout) or _foreign(layout) or check_snapshots(layout)
    except Mistake as mistake:
        problem = mistake.problem
    if problem is None:
        return Finding(part="ledger", state="ok", told=f"the chain of {layout.ledger} holds, snapshots follow from it")
    return Finding(part="ledger", state="missing", told=problem.what, mend=problem.mend)


def _foreign(layout: Layout) -> Problem | None:
    """The first event that this release cannot read; None when it reads them all."""
    from andon.ledger_reader import connect as reader, release_hint
    from andon.schema.upcast import known

    with closing(reader(layout.ledger)) as db:
        for kind, version, seq in db.execute("SELECT kind, version, min(seq) FROM event GROUP BY kind, version ORDER BY 3"):
            if why := known(kind, version):
                return Problem(what=f"Event {seq} cannot be read: {why}.",
                               mend=f"Use the release that wrote it{release_hint(db, seq)}. Nothing was changed.")
    return None
