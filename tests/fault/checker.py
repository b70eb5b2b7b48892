"""Judges a factory at rest, by git, files, /proc and the ledger file alone. It shares no code with what it judges."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault.checker_queue import QUEUE_JUDGES, held_at_end
from fault.checker_sittings import JUDGES
from fault.world import GENESIS, Row, Scene, git, is_ancestor, lines, link, of, panes, person, processes, reachable, refs, rows

OVER = ("task.done", "task.failed", "task.cancelled")
ENDED = ("attempt.exited", "attempt.lost", "attempt.failed", "attempt.accepted")
EVIDENCE = ("diff", "log", "report", "evidence", "screen", "names")
TEMPORARY = ("*.tmp", ".tmp-*", "*.new", "tmp_*", "incoming-*", "*.partial", "*.paste")
Judge = Callable[["View"], Iterator[str]]
INVARIANTS: dict[str, Judge] = {}


@dataclass(frozen=True)
class View:
    """A scene and what was read of it once, for all judges."""

    scene: Scene
    rows: list[Row]
    live: frozenset[str]
    """Attempts that the ledger calls started and not ended."""
    standing: frozenset[str]
    """Attempts whose checkout the ledger does not call removed."""


@dataclass(frozen=True)
class Violation:
    """One broken promise."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def invariant(name: str) -> Callable[[Judge], Judge]:
    """Enter a judge into the table."""

    def enter(judge: Judge) -> Judge:
        INVARIANTS[name] = judge
        return judge

    return enter


def check(scene: Scene) -> list[Violation]:
    """Every broken promise of a factory that was driven to rest and whose daemon has left."""
    told = rows(scene.home)
    claimed, ended = subjects(told, "attempt.claimed"), subjects(told, *ENDED)
    view = View(scene, told, frozenset(claimed - ended), frozenset(claimed - subjects(told, "checkout.removed")))
    return [Violation(name, text) for name, judge in INVARIANTS.items() for text in judge(view)]


def subjects(told: list[Row], *kinds: str) -> set[str]:
    """The attempts that rows of these kinds are about."""
    return {row["attempt"] for row in of(told, *kinds)}


# --- the ledger ------------------------------------------------------------------------------------------------------


@invariant("ledger-whole")
def _(view: View) -> Iterator[str]:
    prev = GENESIS
    for number, row in enumerate(view.rows, 1):
        if row.seq != number:
            yield f"row {number} has seq {row.seq}"
        if row.prev != prev or link(row) != row.hash:
            yield f"row {row.seq} does not follow row {row.seq - 1}"
        prev = row.hash


@invariant("at-rest")
def _(view: View) -> Iterator[str]:
    """Every task is over, held by a person, or waits for one; nothing that was begun is left open."""
    over = ({row["task"] for row in of(view.rows, *OVER)} - reopened(view.rows)) | held_at_end(view.rows)
    gates = {row["gate"]: row["task"] for row in of(view.rows, "gate.opened")}
    for row in of(view.rows, "gate.answered", "gate.voided"):
        gates.pop(row["gate"], None)
    for row in of(view.rows, "task.added"):
        if row["task"] not in over and row["task"] not in gates.values():
            yield f"{row['task']} is neither over nor waits for a person"
    for task in set(gates.values()) & over:
        yield f"{task} is over and still asks"
    finished = {row["run"] for row in of(view.rows, "run.finished")}
    for row in of(view.rows, "run.planned"):
        if row["run"] not in finished:
            yield f"run {row['run']} has no result"


def reopened(told: list[Row]) -> set[str]:
    """Tasks that a person retried after they were over."""
    last = {row["task"]: row.kind for row in of(told, *OVER, "task.retried")}
    return {task for task, kind in last.items() if kind == "task.retried"}


@invariant("acknowledged")
def _(view: View) -> Iterator[str]:
    """Whatever a person was told is done lies in the ledger."""
    there = {(row.kind, row[name]) for row in view.rows for name in ("task", "gate") if row[name]}
    for kind, subject in lines(view.scene.outside / "acknowledged"):
        if (kind, subject) not in there:
            yield f"{kind} of {subject} was acknowledged and is not in the ledger"


@invariant("no-open-problem")
def _(view: View) -> Iterator[str]:
    problems: dict[str, Row] = {}
    for row in of(view.rows, "problem.noticed", "problem.cleared"):
        if row.kind == "problem.noticed":
            problems[row["key"]] = row
        else:
            problems.pop(row["key"], None)
    for key, row in problems.items():
        yield f"{key}: {row['what']} ({row['where']})"


@invariant("once-each")
def _(view: View) -> Iterator[str]:
    """What may happen once in the life of its subject happened once."""
    for kind, name in (("attempt.claimed", "attempt"), ("attempt.accepted", "attempt"), ("message.delivered", "message"),
                       ("message.queued", "message"), ("message.given", "message"), ("session.finish-told", "attempt"),
                       ("run.finished", "run"), ("task.landed", "task"), ("target.moved", "landing"), ("gate.answered", "gate"),
                       ("checkout.removed", "attempt"), ("answer.delivered", "attempt"), ("landing.merged", "landing")):
        for subject, count in Counter(row[name] for row in of(view.rows, kind)).items():
            if count > 1:
                yield f"{kind} {count} times for {subject}"


@invariant("evidence-kept")
def _(view: View) -> Iterator[str]:
    for row in view.rows:
        for name in EVIDENCE:
            wanted = row[name] if isinstance(row[name], str) else ""
            blob = view.scene.home / "blobs" / wanted[:2] / wanted[2:]
            if wanted and (not blob.is_file() or hashlib.sha256(blob.read_bytes()).hexdigest() != wanted):
                yield f"row {row.seq} {row.kind} names a {name} that is not there"


# --- attempts --------------------------------------------------------------------------------------------------------


@invariant("started-once")
def _(view: View) -> Iterator[str]:
    """By the agents' own notes, the tokens and the ledger: no attempt of an agent that ends by itself ran twice."""
    for attempt, count in Counter(words[0] for words in lines(view.scene.outside / "starts")).items():
        if count > 1:
            yield f"{attempt} was started {count} times"
    noted = {words[0] for words in lines(view.scene.outside / "starts")}
    begun = {row["attempt"]: row for row in of(view.rows, "attempt.started")}
    if len(begun) + len(of(view.rows, "session.resumed")) < len(of(view.rows, "attempt.started")):
        yield "an attempt was started twice"
    for attempt in noted - begun.keys() - asked_to_stop(view.rows):
        yield f"{attempt} ran and the ledger does not know it"
    for attempt, row in begun.items():
        token = read_json(view.scene.home / "jobs" / attempt / "start")
        if (token.get("pid"), token.get("ticks")) != (row["pid"], row["ticks"]):
            yield f"{attempt}: the token says {token}, the ledger pid {row['pid']}"


def asked_to_stop(told: list[Row]) -> set[str]:
    """Attempts that were cancelled: one may have run before its start was recorded."""
    return {row["attempt"] for row in of(told, "attempt.stop-asked")}


@invariant("adopted-untouched")
def _(view: View) -> Iterator[str]:
    """Agents outlive the daemon: none was lost or ended unless a person or a limit asked, or the test itself did harm."""
    if view.scene.harmed:
        return
    asked = asked_to_stop(view.rows) | subjects(view.rows, "session.finish-asked")
    for row in of(view.rows, "attempt.exited", "attempt.lost"):
        if row.kind == "attempt.lost" or (row["because"] != "exit" and row["attempt"] not in asked):
            yield f"{row['attempt']} was {row.kind.partition('.')[2]}: {row['because']} {row['error']}"


@invariant("one-lease")
def _(view: View) -> Iterator[str]:
    """Fences grow, and a task's next attempt begins when the one before has ended."""
    fence, holder = 0, dict[str, str]()
    task_of = {row["attempt"]: row["task"] for row in of(view.rows, "attempt.claimed")}
    for row in view.rows:
        if row.kind == "attempt.claimed":
            if row["fence"] <= fence:
                yield f"{row['attempt']} has fence {row['fence']} after {fence}"
            if row["task"] in holder:
                yield f"{row['attempt']} was claimed while {holder[row['task']]} had not ended"
            fence, holder[row["task"]] = row["fence"], row["attempt"]
        elif row.kind == "session.resumed" and row["attempt"] in task_of:
            holder[task_of[row["attempt"]]] = row["attempt"]
        elif row.kind in ENDED and holder.get(task := task_of.get(row["attempt"], "")) == row["attempt"]:
            del holder[task]


@invariant("no-orphan")
def _(view: View) -> Iterator[str]:
    """No process of an attempt or run that is over; nobody at work in the factory's folders but tmux and its hub."""
    home = view.scene.home
    for pid, argv, attempt, run in processes(home):
        if attempt in view.live or f"{home}/jobs/{attempt}" in argv or any(f"{home}/jobs/{one}" in argv for one in view.live):
            continue
        if argv.startswith("tmux ") and str(view.scene.runtime / "tmux.sock") in argv:
            continue
        if not attempt and not run and argv == "cat":
            continue
        yield f"pid {pid} of {attempt or run or 'nobody'}: {argv[:160]}"


@invariant("no-dead-session")
def _(view: View) -> Iterator[str]:
    for name, dead in panes(view.scene.runtime):
        if name != "hub" and name.replace("_", ".") not in view.live:
            yield f"session {name} {'is dead and ' if dead else ''}stays"


@invariant("no-stuck-clone")
def _(view: View) -> Iterator[str]:
    """After rest only an attempt that goes on has a checkout, its keep-refs and its record of a live one."""
    home = view.scene.home
    there = {path.name for room in (home / "checkouts").glob("*") for path in room.iterdir() if not path.name.startswith(".")}
    for attempt in there - view.live:
        yield f"the checkout of {attempt} stands"
    for attempt in view.standing - view.live:
        yield f"the ledger does not call the checkout of {attempt} removed"
    for name in refs(view.scene.repo, "refs/andon/keep"):
        attempt = name.removeprefix("refs/andon/keep/").removesuffix(".start").removesuffix(".previous")
        if attempt not in view.live:
            yield f"{name} stays"
    for left in [*(home / "trash").glob("*"), *(home / "scratch").glob("*")]:
        yield f"{left} stays"


@invariant("no-leftover")
def _(view: View) -> Iterator[str]:
    """No lock and no half-written file, in the factory's home and in the person's git directory. A slot is made good when it is
    used again (`test_a_broken_index_a_stale_lock_and_a_lost_slot_are_made_good`). A loose object or a pack that a killed git was
    writing is git's own: no command reads it, and its next gc takes it away."""
    slots = view.scene.home / "proving"
    for root in (view.scene.home, view.scene.git_dir):
        for path in root.rglob("*"):
            loose, pack = path.name.startswith("tmp_obj_"), path.name.startswith(("tmp_pack_", "tmp_idx_"))
            if slots in path.parents or (loose and len(path.parent.name) == 2) or (pack and path.parent.name == "pack"):
                continue
            locked = path.suffix == ".lock" and not path.name.startswith(".") and path.name != "daemon.lock"
            if locked or any(path.match(pattern) for pattern in TEMPORARY):
                yield str(path)
    yield from (f"{path} of a check run stays" for path in (view.scene.home / "jobs").glob("R*"))


# --- work ------------------------------------------------------------------------------------------------------------


@invariant("no-commit-lost")
def _(view: View) -> Iterator[str]:
    """Every commit that an agent noted, and every content, is held by a ref or by a checkout that stands."""
    held = reachable(view.scene.repo)
    for _, oid in lines(view.scene.outside / "persons"):
        if not is_ancestor(view.scene.repo, oid, view.scene.trunk):
            yield f"the person's own commit {oid[:12]} is not in trunk"
    for attempt, oid in lines(view.scene.outside / "commits"):
        if oid not in held and not stands(view, attempt, oid):
            yield f"commit {oid[:12]} of {attempt}"
    for attempt, name in lines(view.scene.outside / "contents"):
        data = (view.scene.outside / "kept" / name).read_bytes()
        if git_name(data) not in held and not lies(view, attempt, data):
            yield f"content {name} of {attempt}"


def stands(view: View, attempt: str, oid: str) -> bool:
    """Whether the checkout of an attempt still has the commit."""
    return any(git(path, "cat-file", "-t", oid, check=False) for path in (view.scene.home / "checkouts").glob(f"*/{attempt}"))


def git_name(data: bytes) -> str:
    """The name that git gives these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def lies(view: View, attempt: str, data: bytes) -> bool:
    """Whether a file with these bytes lies in the checkout of an attempt that stands."""
    for path in (view.scene.home / "checkouts").glob(f"*/{attempt}"):
        if any(file.is_file() and ".git" not in file.parts and file.read_bytes() == data for file in path.rglob("*")):
            return True
        if git(path, "cat-file", "-t", git_name(data), check=False):
            return True
    return False


@invariant("work-pinned")
def _(view: View) -> Iterator[str]:
    """What the ledger says was imported or salvaged lies where it says."""
    there = refs(view.scene.repo, "refs/andon")
    for row in of(view.rows, "work.imported"):
        if there.get(f"refs/andon/work/{row['attempt']}") != row["commit"]:
            yield f"the work of {row['attempt']} is not pinned at {row['commit'][:12]}"
    for row in of(view.rows, "work.salvaged"):
        if row["ref"] and there.get(row["ref"]) != row["oid"]:
            yield f"{row['ref']} is not {row['oid'][:12]}"


# --- the target ------------------------------------------------------------------------------------------------------


@invariant("landed-proven")
def _(view: View) -> Iterator[str]:
    """Each move of the target went to a commit on whose very tree every check in force had passed before."""
    wanted: set[str] = set()
    planned: dict[str, Row] = {}
    passed: set[tuple[str, str]] = set()
    for row in view.rows:
        if row.kind == "settings.activated":
            wanted = set(row["settings"]["checks"])
        elif row.kind == "run.planned":
            planned[row["run"]] = row
        elif row.kind == "run.finished" and row["result"] == "pass":
            passed.add((planned[row["run"]]["check"], planned[row["run"]]["tree"]))
        elif row.kind == "target.moved":
            tree = git(view.scene.repo, "rev-parse", f"{row['new']}^{{tree}}")
            for name in wanted:
                if (name, tree) not in passed:
                    yield f"{row['new'][:12]} landed without a pass of {name} on its tree"
    if view.rows and not wanted:
        yield "there was no check at all"


@invariant("main-forward")
def _(view: View) -> Iterator[str]:
    """The target only ever went to descendants, by the ledger and by what was seen from outside; nothing else moved it."""
    repo, scene = view.scene.repo, view.scene
    start = scene.before.get("refs", {}).get(f"refs/heads/{scene.target}", "")
    seen = [start] if start else []
    for row in of(view.rows, "target.moved", "target.observed"):
        if row.kind == "target.moved" and seen and row["old"] != seen[-1]:
            yield f"the ledger moves the target from {row['old'][:12]}, it was at {seen[-1][:12]}"
        seen.append(row["new"] or row["oid"])
    trunk = git(repo, "rev-parse", "--verify", "-q", scene.trunk, check=False)
    trunk = trunk or git(repo, "rev-parse", f"refs/heads/{scene.target}")
    if len(seen) > 1 and trunk != seen[-1]:
        yield f"trunk is at {trunk[:12]}, the ledger says {seen[-1][:12]}"
    target, ours = ([words[0] for words in lines(scene.outside / name)] for name in ("target", "trunk"))
    for way in (seen, [*seen[:1], *target, trunk], [*seen[:1], *ours, trunk]):
        for older, newer in itertools.pairwise(way):
            if not is_ancestor(repo, older, newer):
                yield f"the target went from {older[:12]} to {newer[:12]}, which does not contain it"


@invariant("landed-once")
def _(view: View) -> Iterator[str]:
    """The target's history has one merge a landed task, and none of a task that did not land."""
    repo, scene = view.scene.repo, view.scene
    trunk = git(repo, "rev-parse", "--verify", "-q", scene.trunk, check=False)
    form = "--format=%H %(trailers:key=Andon-Task,valueonly,separator=%x2C) %(trailers:key=Andon-Change,valueonly,separator=%x2C)"
    told = git(repo, "log", form, trunk) if trunk else ""
    named = {words[0]: words[1].split(",") for words in map(str.split, told.splitlines()) if len(words) > 1}
    merges = [(words[0], words[1]) for words in map(str.split, told.splitlines()) if len(words) == 3]  # what lands names its change
    landed = {row["task"]: row["commit"] for row in of(view.rows, "task.landed")}
    for task, count in Counter(task for _, task in merges).items():
        if count > 1:
            yield f"{task} is in {scene.target} {count} times"
        if task not in landed:
            yield f"{task} is in {scene.target} and the ledger does not say so"
    for task, commit in landed.items():
        if task not in named.get(commit, []):
            yield f"{task} is not in {scene.target} as {commit[:12]}"


@invariant("noted-once")
def _(view: View) -> Iterator[str]:
    """What the ledger says to be noted is, once. What is still owed when the daemon leaves is told no time."""
    planned = {(row["task"], row["record"]["commit"]): row["record"]["change"] for row in of(view.rows, "notes.planned")}
    told = Counter((row["task"], row["commit"]) for row in of(view.rows, "notes.written"))
    for (task, commit), times in sorted(told.items()):
        note = git(view.scene.repo, "notes", "--ref=andon", "show", commit, check=False)
        found = [line for line in note.splitlines() if json.loads(line)["change"] == planned.get((task, commit))]
        if len(found) != 1 or times != 1:
            yield f"the note of {task} on {commit[:12]} was told {times} times and holds {len(found)} records"


@invariant("main-green")
def _(view: View) -> Iterator[str]:
    """The check passes on a fresh clone of the target."""
    if not view.scene.check:
        return
    named = {ref: git(view.scene.repo, "rev-parse", "--verify", "-q", ref, check=False)
             for ref in (view.scene.trunk, f"refs/heads/{view.scene.target}")}
    for oid, ref in {oid: ref for ref, oid in named.items() if oid}.items():
        room = Path(tempfile.mkdtemp(prefix="andon-clone-"))
        try:
            git(room, "clone", "-q", "--no-checkout", str(view.scene.repo), "fresh")
            git(room / "fresh", "fetch", "-q", "origin", ref)
            git(room / "fresh", "checkout", "-q", "--detach", oid)
            argv = [word.replace("{report}", str(room / "report")) for word in view.scene.check]
            done = subprocess.run(argv, cwd=room / "fresh", capture_output=True, check=False, timeout=120)
            if done.returncode != 0:
                yield f"the check fails on {ref} at {oid[:12]}"
        finally:
            shutil.rmtree(room, ignore_errors=True)


@invariant("person-untouched")
def _(view: View) -> Iterator[str]:
    """Nothing of the person's changed but the target branch, and that only where their checkout could follow it."""
    scene, before = view.scene, dict(view.scene.before)
    if not before:
        return
    after: dict[str, Any] = person(scene.repo)
    branch = f"refs/heads/{scene.target}"
    trunk = git(scene.repo, "rev-parse", "--verify", "-q", scene.trunk, check=False)
    moved = after["refs"].pop(branch, "")
    was = before["refs"].get(branch, "")
    for name in ("head", "config", "hooks", "loose", "tracked", "dirty", "staged"):
        if after[name] != before[name]:
            yield f"{name} was {before[name]!r} and is {after[name]!r}"[:600]
    if of(view.rows, "target.published"):  # a push moves what is known of the remote
        after["refs"] = {name: oid for name, oid in after["refs"].items() if not name.startswith("refs/remotes/")}
    if after["refs"] != {name: oid for name, oid in before["refs"].items() if name != branch}:
        yield "branches, tags or the stash changed"
    asked = of(view.rows, "target.forward-asked")
    if before["tracked"] and moved != was and not asked:
        yield f"{branch} moved under uncommitted changes"
    if (asked or not before["tracked"]) and trunk and moved != trunk:
        said = [row["because"] for row in of(view.rows, "target.mirrored")][-1:]
        yield f"{branch} is at {moved[:12]} and does not follow trunk at {trunk[:12]}: {said}"
    if (scene.outside / "hooked").exists():
        yield "a hook of the person's ran"


def whole(judge: Callable[[Scene, list[Row]], Iterator[str]]) -> Judge:
    """A judge of sessions or of the queue as one of these."""
    return lambda view: judge(view.scene, view.rows)


INVARIANTS |= {name: whole(judge) for name, judge in (JUDGES | QUEUE_JUDGES).items()}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


if __name__ == "__main__":
    home, repo = Path(sys.argv[1]), Path(sys.argv[2])
    found = check(Scene(home=home, runtime=home / "run", repo=repo, outside=Path(os.devnull).parent))
    print("\n".join(map(str, found)) or "every promise is kept")
    sys.exit(bool(found))
