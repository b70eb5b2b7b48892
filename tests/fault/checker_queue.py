"""Judges a merge queue at rest, by git and the ledger file alone: what landed, what did not, and in which order."""

import itertools
import math
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from fault.world import Row, Scene, git, is_ancestor, of

Judge = Callable[[Scene, list[Row]], Iterator[str]]
QUEUE_JUDGES: dict[str, Judge] = {}
ONCE = (
    ("landing.planned", "landing"), ("landing.judged", "landing"), ("landing.chosen", "landing"), ("target.moved", "landing"),
    ("landing.conflicted", "landing"), ("landing.abandoned", "landing"), ("task.landed", "task"), ("entry.sent-back", "commit"),
    ("revert.prepared", "commit"),
)
ENDS = ("target.moved", "landing.conflicted", "landing.abandoned")
PER_HALVING, BESIDE = 1, 3
"""Proofs that may be spent on a culprit: so many for each halving and slot, and so many beside for each slot."""
LEAVING = ("task.landed", "entry.sent-back", "task.retry-scheduled", "task.cancelled", "task.done", "task.failed")


def promise(name: str) -> Callable[[Judge], Judge]:
    """Enter a judge into the table."""

    def enter(judge: Judge) -> Judge:
        QUEUE_JUDGES[name] = judge
        return judge

    return enter


# --- what landed -----------------------------------------------------------------------------------------------------


class Clone:
    """A fresh clone with everything that the factory pinned, in which trees are checked and merges tried anew."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.room = scene, Path(tempfile.mkdtemp(prefix="andon-clone-"))
        self.place = self.room / "fresh"
        git(self.room, "clone", "-q", "--no-checkout", str(scene.repo), "fresh")
        git(self.place, "fetch", "-q", "origin", "+refs/andon/*:refs/andon/*")
        self.seen: dict[str, bool] = {}

    def green(self, commit: str) -> bool:
        """Whether the check passes on the tree of a commit."""
        tree = git(self.place, "rev-parse", f"{commit}^{{tree}}")
        if tree not in self.seen:
            git(self.place, "read-tree", "--reset", "-u", tree)
            git(self.place, "clean", "-fdxq")
            argv = [word.replace("{report}", str(self.room / "report")) for word in self.scene.check]
            done = subprocess.run(argv, cwd=self.place, capture_output=True, check=False, timeout=120)
            self.seen[tree] = done.returncode == 0
        return self.seen[tree]

    def merged(self, onto: str, commit: str) -> str:
        """The commit of a merge, made by a git of our own; empty when it conflicts."""
        argv = ("git", "-C", str(self.place), "-c", "merge.directoryRenames=conflict", "merge-tree", "--write-tree", onto, commit)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode not in (0, 1):
            raise AssertionError(done.stderr)
        if done.returncode == 1:
            return ""
        return git(self.place, "commit-tree", done.stdout.split()[0], "-p", onto, "-p", commit, "-m", "anew")

    def close(self) -> None:
        """Take it away."""
        shutil.rmtree(self.room, ignore_errors=True)


def moved_commits(scene: Scene, told: list[Row]) -> Iterator[str]:
    """Every commit that trunk was moved to; with a green history all first parents between too."""
    green = history(told) == "green"
    for row in of(told, "target.moved"):
        if green:
            yield from git(scene.repo, "rev-list", "--first-parent", f"{row['old']}..{row['new']}").split()
        yield row["new"]


@promise("landed-green")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """Each commit that the target was moved to passes the check in a fresh clone."""
    if not scene.check or not of(told, "target.moved"):
        return
    clone = Clone(scene)
    try:
        for commit in dict.fromkeys(moved_commits(scene, told)):
            if not clone.green(commit):
                yield f"the check fails on {commit[:12]}, which landed"
    finally:
        clone.close()


@promise("sent-back-rightly")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """Who was sent back fails, or conflicts, by itself on the target as it then was; and failed there, or where it was
    proved apart, more than once."""
    if not scene.check or not of(told, "entry.sent-back"):
        return
    runs = {row["run"]: row for row in of(told, "run.planned")}
    results = {row["run"]: row["result"] for row in of(told, "run.finished")}
    clone = Clone(scene)
    try:
        for row, trunk in trunks(told, "entry.sent-back"):
            if row["reason"] == "dropped":
                continue
            merged = clone.merged(trunk, row["commit"])
            if row["reason"] == "conflict" and merged:
                yield f"{row['task']} was sent back for a conflict with {trunk[:12]} and merges"
            if row["reason"] == "failed" and (not merged or clone.green(merged)):
                yield f"{row['task']} was sent back and is no failure by itself on {trunk[:12]}"
            if row["reason"] == "failed" and merged:
                tree = git(clone.place, "rev-parse", f"{merged}^{{tree}}")
                shown = [run for run in row["runs"] if results.get(run) == "fail"
                         and (runs[run]["tree"] == tree or alone(clone, told, runs[run], row))]
                if len(set(shown)) < 1 + confirmations(told):
                    yield f"{row['task']} was sent back after {len(set(shown))} failures on its tree"
                if any(results.get(run) != "fail" for run in row["runs"]):
                    yield f"{row['task']} was sent back for a run that did not say no"
    finally:
        clone.close()


def alone(clone: Clone, told: list[Row], run: Row, back: Row) -> bool:
    """Whether a run proved the change apart: its tree is the target of its time, with members that landed since, and with it."""
    landed = {row["task"] for row in of(told, "task.landed") if row.seq < back.seq}
    for plan in of(told, "landing.planned"):
        members = [(member["task"], member["commit"]) for member in plan["members"]]
        others = [task for task, commit in members if commit != back["commit"]]
        if plan["why"] != "apart" or len(others) == len(members) or any(task not in landed for task in others):
            continue
        at: str = plan["onto"]
        for _, commit in members:
            at = clone.merged(at, commit) if at else ""
        if at and git(clone.place, "rev-parse", f"{at}^{{tree}}") == run["tree"]:
            return True
    return False


def trunks(told: list[Row], kind: str) -> Iterator[tuple[Row, str]]:
    """The rows of a kind, and where the target was then."""
    at = ""
    for row in told:
        if row.kind in ("target.moved", "target.observed"):
            at = row["new"] or row["oid"]
        elif row.kind == kind:
            yield row, at


@promise("rejected-set")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """What never landed is the poison, and what was cancelled or is held; nothing else."""
    if scene.poison is None:
        return
    landed = {row["task"] for row in of(told, "task.landed")}
    excused = {row["task"] for row in of(told, "task.cancelled")} | held_at_end(told)
    for row in of(told, "task.added"):
        if row["task"] in scene.poison and row["task"] in landed:
            yield f"{row['task']} is poison and landed"
        if row["task"] not in scene.poison | landed | excused:
            yield f"{row['task']} is good and did not land"


@promise("no-hunk-lost")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """A landing adds and removes exactly the lines that its change adds and removes, and nobody else's."""
    heads = {(row["landing"], member["task"]): member["commit"] for row in of(told, "landing.planned") for member in row["members"]}
    for row in of(told, "task.landed"):
        head = heads.get((row["landing"], row["task"]), "")
        bases = git(scene.repo, "merge-base", "--all", row["before"], head, check=False).split() if head and row["before"] else []
        if len(bases) != 1:
            continue
        own, done = net(scene.repo, bases[0], head), net(scene.repo, row["before"], row["commit"])
        theirs = net(scene.repo, bases[0], row["before"])
        for line in own.keys() | done.keys():
            wanted, got, before = own[line], done[line], theirs[line]
            both = wanted * before > 0 and min(wanted, wanted - before, 0) <= got <= max(wanted, wanted - before, 0)
            if got != wanted and not both:
                yield f"landing {row['task']} changed {line!r} by {got}, its change by {wanted}"[:300]


@cache
def net(repo: Path, old: str, new: str) -> Counter[str]:
    """How often each line is there more often (or less) in one commit than in the other. Moving a file changes nothing."""
    lines: Counter[str] = Counter()
    told = git(repo, "diff-tree", "-r", "-p", "-U0", "--no-renames", "--no-color", "--no-ext-diff", "-a", old, new)
    for line in told.split("\n"):
        if line.startswith("+") and not line.startswith("+++ "):
            lines[line[1:]] += 1
        elif line.startswith("-") and not line.startswith("--- "):
            lines[line[1:]] -= 1
    return Counter({line: count for line, count in lines.items() if count})


@promise("head-is-head")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """The head that was accepted is the one that was proved and that landed."""
    accepted: dict[str, str] = {}
    task_of = {row["attempt"]: row["task"] for row in of(told, "attempt.claimed")}
    members: dict[tuple[str, str], str] = {}
    squashes = queue_of(told).get("land", "merge") != "merge"
    for row in told:
        if row.kind == "attempt.accepted":
            accepted[task_of[row["attempt"]]] = row["commit"]
        elif row.kind == "revert.prepared":
            accepted[row["task"]] = row["commit"]
        elif row.kind == "landing.planned":
            for member in row["members"]:
                members[row["landing"], member["task"]] = member["commit"]
                if accepted.get(member["task"]) != member["commit"]:
                    yield f"{row['landing']} has {member['task']} at {member['commit'][:12]}, which was not accepted"
        elif row.kind == "task.landed":
            head = members.get((row["landing"], row["task"]), "")
            body = git(scene.repo, "log", "-1", "--format=%B", row["commit"], check=False)
            inside = head in body if squashes else is_ancestor(scene.repo, head, row["commit"])
            if not head or not inside:
                yield f"{row['task']} landed as {row['commit'][:12]} without its head {head[:12]}"


# --- the order of things ---------------------------------------------------------------------------------------------


@promise("queue-once")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """What may happen once in the life of a landing or a change happened once, and each landing has one end."""
    for kind, name in ONCE:
        for subject, count in Counter(row[name] for row in of(told, kind)).items():
            if count > 1:
                yield f"{kind} {count} times for {subject}"
    ended = Counter(row["landing"] for row in of(told, *ENDS))
    verdict = {row["landing"]: row for row in of(told, "landing.judged")}
    apart = {row["landing"] for row in of(told, "landing.planned") if row["why"] == "apart"}
    ended.update(row["landing"] for row in verdict.values() if row["result"] != "pass" or row["landing"] in apart)
    moves = [row.seq for row in of(told, "target.moved")]
    for row in of(told, "landing.planned"):
        known = verdict.get(row["landing"])
        outrun = history(told) == "green" and known and any(row.seq < seq < known.seq for seq in moves)  # its tip is made anew
        if ended[row["landing"]] != 1 and not (outrun and not ended[row["landing"]]):
            yield f"{row['landing']} has {ended[row['landing']]} ends"
    chosen = {row["landing"]: row for row in of(told, "landing.chosen")}
    for row in chosen.values():
        before = verdict.get(row["landing"])
        if before is None or before.seq > row.seq or before["result"] != "pass" or row["landing"] in apart:
            yield f"{row['landing']} was chosen without being proven"
    for row in of(told, "target.moved"):
        known = verdict.get(row["landing"])
        if known is None or known["result"] != "pass" or known.seq > row.seq:
            yield f"{row['landing']} moved the target without being proven"


@promise("held-stays")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """What a person cancelled or holds does not land, and nothing is chosen while the queue is stopped."""
    held: set[str] = set()
    stopped = False
    for row in told:
        if row.kind == "entry.held":
            held.add(row["task"])
        elif row.kind == "entry.released":
            held.discard(row["task"])
        elif row.kind in ("queue.held", "queue.resumed"):
            stopped = row.kind == "queue.held"
        elif row.kind == "landing.chosen" and stopped:
            yield f"{row['landing']} was chosen while the queue was stopped"
        elif row.kind == "task.landed" and row["task"] in held:
            yield f"{row['task']} landed while it was held"
    cancelled = {row["task"]: row.seq for row in of(told, "task.cancelled")}
    for row in of(told, "task.landed"):
        if row["task"] in cancelled:
            yield f"{row['task']} was cancelled and landed"


def held_at_end(told: list[Row]) -> set[str]:
    """Tasks that a person still holds."""
    last = {row["task"]: row.kind for row in of(told, "entry.held", "entry.released")}
    return {task for task, kind in last.items() if kind == "entry.held"}


@promise("fair")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """Who waits is overtaken by so many moves of the target at most; then no move goes past it."""
    limit = int(str(queue_of(told).get("overtake", 5)))
    stations = {row["task"]: row["station"] for row in told if row.kind == "task.entered"}
    land = {station for station in stations.values() if "land" in station}
    special = {row["task"] for row in of(told, "task.added") if row["reverts"] or row["priority"]}
    arrived: dict[str, int] = {}
    passed: Counter[str] = Counter()
    kept: set[str] = set()
    gates: dict[str, str] = {}
    ordered: set[str] = set()
    for n, row in enumerate(told):
        if row.kind == "task.entered" and row["station"] in land:
            arrived[row["task"]], passed[row["task"]] = row.seq, 0
        elif row.kind in ("entry.held", "entry.released"):
            (kept.add if row.kind == "entry.held" else kept.discard)(row["task"])
        elif row.kind == "gate.opened":
            gates[row["gate"]] = row["task"]
        elif row.kind in ("gate.answered", "gate.voided"):
            gates.pop(row["gate"], None)
        elif row.kind == "queue.ordered":
            ordered |= set(row["order"])
        elif row.kind == "target.moved":
            gone = {other["task"] for other in told[n:] if other.kind == "task.landed" and other["landing"] == row["landing"]}
            latest = max((arrived[task] for task in gone - special - ordered if task in arrived), default=0)
            for task, since in arrived.items():
                if since < latest and task not in gone | kept | set(gates.values()):
                    passed[task] += 1
                    if passed[task] > limit + 1:
                        yield f"{task} was overtaken {passed[task]} times, {row['landing']} the last"
        elif row.kind in LEAVING:
            arrived.pop(row["task"], None)


@promise("few-proofs")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """A culprit is found with some proofs for each halving of the smallest proof that it first failed in."""
    slots = int(str(settings_of(told).get("proving", 0)))
    if not slots:
        return
    confirm = confirmations(told)
    members = {row["landing"]: [member["task"] for member in row["members"]] for row in of(told, "landing.planned")}
    since = 0
    for row in told:
        if row.kind == "entry.sent-back" and row["reason"] == "failed":
            window = [one for one in told if since < one.seq < row.seq and one.kind == "landing.judged"]
            failed = [one for one in window if one["result"] == "fail" and row["task"] in members.get(one["landing"], [])]
            if failed:
                size = max(len(members[one["landing"]]) for one in failed)
                flakes = len([one for one in of(told, "flake.seen") if since < one.seq < row.seq])
                spent = len([one for one in window if one.seq >= failed[0].seq])
                bound = slots * (PER_HALVING * math.ceil(math.log2(size + 1)) + BESIDE + confirm * (1 + 2 * flakes))
                if spent > bound:
                    yield f"{row['task']} was found among {size} with {spent} proofs, more than {bound}"
            since = row.seq
        elif row.kind == "factory.started" or (row.kind == "target.observed" and row["by"] == "person"):
            since = row.seq


@promise("tree-once")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """A tree with a pass is not proved again, unless it failed before; nor is it ever proved very often."""
    planned = {row["run"]: row for row in of(told, "run.planned") if row["purpose"] == "landing"}
    most = 2 * (1 + confirmations(told)) + 1
    said: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in told:
        if row.kind == "run.planned" and row["run"] in planned:
            known = said[row["check"], row["definition"], row["tree"]]
            if known and set(known) == {"pass"}:
                yield f"{row['run']} proves {row['tree'][:12]} again, which passed"
        elif row.kind == "run.finished" and row["run"] in planned and row["result"] in ("pass", "fail"):
            run = planned[row["run"]]
            known = said[run["check"], run["definition"], run["tree"]]
            known.append(row["result"])
            if len(known) > most:
                yield f"{run['tree'][:12]} was proved {len(known)} times"


@promise("published-forward")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """What was handed on landed before, each once, and in order."""
    done = [row for row in of(told, "target.published") if row["done"]]
    stood = {row["new"] or row["oid"]: row.seq for row in reversed(of(told, "target.moved", "target.observed"))}
    for row in done:
        if stood.get(row["oid"], row.seq) >= row.seq:
            yield f"{row['oid'][:12]} was handed on and was not the target"
    for older, newer in itertools.pairwise(done):
        if older["oid"] == newer["oid"] or not is_ancestor(scene.repo, older["oid"], newer["oid"]):
            yield f"{newer['oid'][:12]} was handed on after {older['oid'][:12]}"


# --- settings in force -----------------------------------------------------------------------------------------------


def settings_of(told: list[Row]) -> dict[str, object]:
    """The repository's settings, as they were last."""
    return next((dict(row["settings"]) for row in reversed(told) if row.kind == "settings.activated"), {})


def queue_of(told: list[Row]) -> dict[str, object]:
    """Those of its queue."""
    found = settings_of(told).get("queue", {})
    return dict(found) if isinstance(found, dict) else {}


def history(told: list[Row]) -> str:
    """What is promised of commits between two moves."""
    return str(queue_of(told).get("history", "tips"))


def confirmations(told: list[Row]) -> int:
    """Failures beyond the first that a rejection needs, at least."""
    return max(int(str(queue_of(told).get("confirm", 0))), 1)
