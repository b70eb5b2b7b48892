"""Re-computes what stands behind a landing, point by point; it never takes a word for it, nor what was not looked at for a pass."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .change import Member, check_of
from .signed import CHECKPOINT, HEX, LANDING, OID, TEST, Envelope, Refused, Unevaluated, clean, open_envelope, sha256, take, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .objects import Commit, Repository
    from .signed import Trust

HOLDS, REFUSED, UNEVALUATED, HUMAN = "holds", "refused", "unevaluated", "human"
REF = "refs/andon/evidence"
ENVELOPES, MEMBERS, COMMITS, REPLAYED = 512, 200, 100_000, 1_000
"""The most of each that is looked at: envelopes of a file, changes of a landing, commits of a history and of a change."""


class Point(NamedTuple):
    """One thing that was re-computed."""

    name: str
    result: str
    because: str


class Report(NamedTuple):
    """What became of one landing, or of one commit that is none."""

    commit: str
    verdict: str
    points: list[Point]
    landing: str = ""
    onto: str = ""
    at: int = 0
    members: tuple[dict[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**self._asdict(), "points": [point._asdict() for point in self.points]}


class Evidence:
    """What a repository and a trust file say about its commits."""

    def __init__(self, repository: Repository, trust: Trust, stores: tuple[Path, ...] = (), tip: str = "HEAD") -> None:
        self.repository, self.trust, self.stores = repository, trust, stores
        self.tip, ref = repository.resolve(tip, REF)
        self.tree = repository.commit(ref).tree if ref else ""
        self.roots: dict[int, str] = {}
        """Of the checkpoints that were seen, by size."""
        self.nonces: dict[str, str] = {}
        """Of the approvals that were seen: about which change."""
        self.named: set[str] = set()
        """Files that were looked for."""
        self.targets: set[str] = set()
        """Of the landings that were seen."""
        self._brought: dict[str, str] | None = None

    def file(self, folder: str, name: str, ending: str = "") -> bytes | None:
        """A file of the evidence's tree."""
        return self.repository.file(self.tree, f"{folder}/{name[:2]}/{name}{ending}") if self.tree else None

    def blob(self, digest: str) -> bytes | None:
        """A file that a statement names, with its hash; None when it is nowhere. Raises Refused when it was altered."""
        self.named.add(digest)
        found = self.file("blobs", digest)
        for place in self.stores if found is None else ():
            path = place / digest[:2] / digest[2:]
            if path.is_file() and path.stat().st_size <= 2**30:
                found = path.read_bytes()
        if found is not None and sha256(found) != digest:
            raise Refused(f"the file {digest[:12]} was altered: it is {sha256(found)[:12]} now")
        return found

    def landing_of(self, oid: str) -> str:
        """The commit whose landing record speaks of this one: itself, or the landing that brought it. Empty: none."""
        if self.file("landings", oid, ".jsonl") is not None:
            return oid
        if self._brought is None:
            self._brought = {}
            for name in self.recorded():
                first = re.match(rb'\{"payload":"([A-Za-z0-9+/]+)', self.file("landings", name, ".jsonl") or b"")
                said = base64.b64decode(first[1][:len(first[1]) // 4 * 4]) if first else b""
                for member in re.findall(rb'"(?:commit|change)":"([0-9a-f]{40,64})"', said):
                    self._brought.setdefault(member.decode(), name)
        return self._brought.get(oid) or self._brought.get(self.repository.commit(oid).trailers.get("Change", [""])[-1], "")

    def recorded(self) -> list[str]:
        """The commits that have a landing record, wherever they are."""
        top = self.repository.entries(self.tree).get("landings", "") if self.tree else ""
        trees = self.repository.entries(top).values() if top else ()
        return sorted(name[:-6] for tree in trees for name in self.repository.entries(tree) if OID.fullmatch(name[:-6]))

    def verify(self, oid: str) -> Report:
        """All points of the landing that brought this commit."""
        commit = self.repository.commit(oid)
        if not {"Task", "Bundle", "Change"} & commit.trailers.keys() and not self.landing_of(oid):
            told = "a plain commit: nothing of a factory speaks for it"
            return Report(oid, HUMAN, [Point("landing", REFUSED, told)], at=commit.at)
        return Case(self, commit).report()

    def lost(self) -> list[str]:
        """Landings on the targets that were seen which the branch does not hold: it is behind, or it was moved back."""
        held, found = self._held(self.tip), list[str]()
        for name in self.recorded():
            lines = (self.file("landings", name, ".jsonl") or b"").split(b"\n") if name not in held else []
            for line in lines:
                try:
                    one = open_envelope(line, self.trust)
                except (Refused, Unevaluated):
                    continue
                if one.kind == LANDING and one.commit == name and one.body.get("target") in self.targets:
                    found.append(name)
        return found

    def _held(self, tip: str) -> set[str]:
        """Everything that a commit holds."""
        return set(self.repository.run("rev-list", tip, limit=2**30)[1].decode().split())

    def guarded(self, oid: str) -> Report:
        """`verify`, where a hole in the repository is a result and no error: the point `commit`."""
        try:
            return self.verify(oid)
        except Refused as error:
            return Report(oid, REFUSED, [Point("commit", REFUSED, clean(error))])
        except Unevaluated as error:
            return Report(oid, UNEVALUATED, [Point("commit", UNEVALUATED, clean(error))])

    def landings(self, since: str = "") -> Iterator[Report]:
        """Along the first parents, newest first: landings and plain commits, down to `since` or the first landing with evidence."""
        oid, waiting, stop = self.tip, list[Report](), self.repository.resolve(since)[0] if since else ""
        if since and not stop:
            raise Unevaluated(f"{clean(since)} is no commit of this repository")
        older = self._held(stop) if stop else set[str]()
        for _ in range(COMMITS):
            if not oid or oid in older:
                break
            found = self.guarded(oid)
            waiting.append(found)
            if found.points[0].name == "commit":
                yield from waiting
                break
            commit = self.repository.commit(oid)
            if stop or found.landing or commit.trailers.get("Bundle"):  # what is older than all evidence is not listed
                yield from waiting
                waiting = []
            parents = commit.parents[:1]
            whole = found.onto and found.verdict != REFUSED
            oid = found.onto if whole else (parents or [""])[0]


class Case:
    """One landing under examination."""

    def __init__(self, evidence: Evidence, commit: Commit) -> None:
        self.evidence, self.repository, self.trust, self.asked = evidence, evidence.repository, evidence.trust, commit
        self.points: list[Point] = []
        self.record: dict[str, Any] = {}
        self.candidate, self.runs, self.members = commit, dict[str, Envelope](), list[Member]()
        self.checkpoint: Envelope | None = None

    def report(self) -> Report:
        """Look at everything; the verdict is the worst of it."""
        whole = self.point("landing", self._landing)
        fine = [member.look(len(self.members) > 1) for member in self.members] if whole else []
        self.point("proof", self._proof, whole and all(fine))
        self.point("merge", self._merge, whole)
        self.point("ledger", self._ledger, whole and all(fine))
        results = {point.result for point in self.points}
        verdict = REFUSED if REFUSED in results else UNEVALUATED if UNEVALUATED in results else HOLDS
        said = tuple(member.told() for member in self.members)
        landing, onto = str(self.record.get("landing", "")), str(self.record.get("onto", ""))
        return Report(self.asked.oid, verdict, self.points, landing, onto, self.candidate.at, said)

    def point(self, name: str, look: Callable[[], str], rests: bool = True) -> bool:
        """Note one point; whether it holds."""
        try:
            if not rests:
                raise Unevaluated("it rests on a point that does not hold")
            found = Point(name, HOLDS, clean(look()))
        except Refused as error:
            found = Point(name, REFUSED, clean(error))
        except Unevaluated as error:
            found = Point(name, UNEVALUATED, clean(error))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError, AttributeError) as error:
            found = Point(name, REFUSED, f"what is written there makes no sense ({type(error).__name__})")
        self.points.append(found)
        return found.result == HOLDS

    def stood(self, member: Member) -> set[str]:
        """Where the target stood before this member."""
        before = self.members[:self.members.index(member)]
        return {str(self.record.get("onto")), *(one.commit.oid for one in before)}

    def envelopes(self, data: bytes, what: str) -> list[Envelope]:
        """Those of a file: whole lines, none twice, each signed by who may state it."""
        lines = data.split(b"\n")
        if lines.pop() != b"" or not 0 < len(lines) <= ENVELOPES:
            raise Refused(f"the {what} is not made of whole lines, 1 to {ENVELOPES}")
        if len(set(lines)) != len(lines):
            raise Refused(f"the {what} has an envelope twice")
        return [open_envelope(line, self.trust) for line in lines]

    def _landing(self) -> str:
        if not self.evidence.tree:
            raise Unevaluated(f"{REF} is not here; bring it with: git fetch origin {REF}:{REF}")
        name = self.evidence.landing_of(self.asked.oid)
        data = self.evidence.file("landings", name, ".jsonl") if name else None
        if data is None:
            raise Refused("no landing record speaks of this commit")
        found = self.envelopes(data, "landing record")
        records = [one for one in found if one.kind == LANDING]
        if len(records) != 1 or {one.kind for one in found} - {LANDING, TEST, CHECKPOINT}:
            raise Refused("the file of the landing is not one landing record, its runs and a checkpoint")
        record, self.candidate = records[0], self.repository.commit(name)
        if (record.commit, record.tree) != (name, self.candidate.tree) or take(record.body, str, "tree") != record.tree:
            raise Refused(f"the landing record is about another commit ({record.commit[:12]})")
        self.runs = {one.digest: one for one in found if one.kind == TEST}
        self.checkpoint = next((one for one in found if one.kind == CHECKPOINT), None)
        members = take(record.body, list, "members")
        if not 0 < len(members) <= MEMBERS or not OID.fullmatch(take(record.body, str, "onto")):
            raise Refused("the landing record names no members, or not where they were put")
        self.members = [Member(self, one) for one in members]
        self.record = record.body
        self.evidence.targets.add(take(record.body, str, "target"))
        itself = next((member for member in self.members if member.change == self.asked.oid), None)
        if itself is not None:
            raise Refused(f"this is the change of {itself.task} itself; it landed as {itself.commit.oid[:12]}")
        if self.asked.oid not in {name, *(member.commit.oid for member in self.members)} and not self._replayed():
            raise Refused("the landing record does not name this commit")
        return f"{self.record['landing']} on {take(record.body, str, 'target')}, {len(members)} change(s), by {self.record['how']}"

    def _replayed(self) -> bool:
        """Whether the commit that was asked about is one of those of which a replayed change consists."""
        for member in self.members if self.record["how"] == "rebase" else ():
            at = member.commit
            for _ in range(REPLAYED):
                if at.oid == self.asked.oid:
                    return True
                if at.oid in self.stood(member) or len(at.parents) != 1:
                    break
                at = self.repository.commit(at.parents[0])
        return False

    def _proof(self) -> str:
        """The tree that landed is one on which everything that any member demands was seen to pass."""
        wanted = {name for member in self.members for name in member.required}
        known = {**{digest: one for member in self.members for digest, one in member.tests.items()}, **self.runs}
        passed = set()
        for digest in texts(self.record, "runs"):
            run = known.get(digest)
            if run is None:
                raise Refused(f"the run {digest[:12]} that proved the merged tree is missing")
            if run.tree != self.candidate.tree:
                raise Refused(f"the run of {check_of(run)} is about tree {run.tree[:12]}, and {self.candidate.tree[:12]} landed")
            if run.body.get("result") != "PASSED":
                raise Refused(f"{check_of(run)} did not pass on the merged tree: {run.body.get('result')}")
            passed.add(check_of(run))
        if wanted - passed:
            raise Refused(f"nothing proves the merged tree for: {', '.join(sorted(wanted - passed))}")
        return f"tree {self.candidate.tree[:12]}: {', '.join(sorted(passed)) or 'no check is demanded'}"

    def _merge(self) -> str:
        """The landed commits are the merges of trunk with the changes, and nothing else came with them."""
        how, onto = take(self.record, str, "how"), take(self.record, str, "onto")
        if how not in ("merge", "squash", "rebase"):
            raise Refused(f"changes cannot land by {how}")
        before = onto
        for member in self.members:
            landed = member.commit
            if landed.oid != before:
                self._parents(how, member, before)
            self._same(how, before, member)
            before = landed.oid
        if self.candidate.oid != before:
            last = self.members[-1].commit
            if self.candidate.parents != [onto, last.oid] or self.candidate.tree != last.tree:
                raise Refused("the landed commit is not on top of its members alone")
        return f"{self.candidate.tree[:12]} is what git makes of the parents"

    def _parents(self, how: str, member: Member, before: str) -> None:
        """Between where the target stood and the member's commit is what its way of landing puts there, and nothing else."""
        landed = member.commit
        if how == "merge" and landed.parents != [before, member.change]:
            raise Refused(f"{landed.oid[:12]} is not the merge of {before[:12]} with the change {member.change[:12]}")
        for n in range(0 if how == "merge" else REPLAYED if how == "rebase" else 1):
            if len(landed.parents) != 1 or landed.trailers.get("Change") != [member.change]:
                raise Refused(f"{landed.oid[:12]} is not one of the commits of the change {member.change[:12]}")
            if landed.parents == [before]:
                return
            if how == "rebase" and n < REPLAYED - 1:
                landed = self.repository.commit(landed.parents[0])
        if how != "merge":
            raise Refused(f"{member.commit.oid[:12]} does not stand on {before[:12]}: something else came between")

    def _same(self, how: str, before: str, member: Member) -> None:
        """Merged anew, the tree is the same."""
        code, said = self.repository.run("merge-tree", "--write-tree", "--no-messages", before, member.change)
        made = said[:64].split(b"\n")[0].decode(errors="replace")
        if code not in (0, 1) or not OID.fullmatch(made):
            raise Unevaluated(f"git cannot merge {before[:12]} and {member.change[:12]} here: is it older than 2.38?")
        if code == 0 and made == member.commit.tree:
            return
        if self._attributed(made, member.commit.tree):
            raise Unevaluated("merge attributes decide about what differs, and drivers are not run here")
        if how != "merge" and self._stacked(before, member.change):
            raise Unevaluated("the change was built on another that landed as other commits: its merge cannot be made again")
        why = "git finds a conflict, which somebody settled" if code else f"merged anew, it comes to tree {made[:12]}"
        raise Refused(f"{member.commit.oid[:12]} is no honest merge: {why}")

    def _attributed(self, one: str, other: str) -> bool:
        """Whether `.gitattributes` of the landed tree say how a path is merged that differs."""
        names = self.repository.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other)[1].split(b"\0")
        folders = {parent for name in names if name for parent in Path(name.decode(errors="surrogateescape")).parents}
        files = [self.repository.file(other, str(folder / ".gitattributes")) for folder in folders]
        return any(data is not None and re.search(rb"(?m)^[^#\n]*\smerge", data) for data in files) or any(
            data is not None and b"-merge" in data for data in files)

    def _stacked(self, before: str, change: str) -> bool:
        own = set(self.repository.run("rev-list", "--max-count=1000", change, f"^{before}")[1].decode().split())
        log = self.repository.run("log", "--first-parent", "--max-count=500", "--format=%B", before, f"^{change}")[1]
        return bool(own & set(re.findall(r"(?m)^Andon-Change: ([0-9a-f]+)$", log.decode(errors="replace"))))

    def _ledger(self) -> str:
        """Each trailer is a checkpoint that the daemon signed, and no two of one size differ."""
        points = [(member.checkpoint, member.ledger) for member in self.members] + [(self.checkpoint, "")]
        sizes = []
        for found, trailer in points:
            if found is None:
                raise Refused("a checkpoint of the ledger is missing")
            size, root = take(found.body, int, "size"), take(found.body, str, "root")
            if found.body.get("origin") != self.trust.origin:
                raise Refused(f"a checkpoint is of another ledger: {found.body.get('origin')}")
            if base64.b64decode(root).hex() != found.commit or not HEX.fullmatch(found.commit):
                raise Refused("a checkpoint contradicts itself: its subject is not its root")
            if trailer and trailer != f"{size} {root}":
                raise Refused(f"the commit says Andon-Ledger: {trailer}, and the signed checkpoint {size} {root}")
            if self.evidence.roots.setdefault(size, root) != root:
                raise Refused(f"two checkpoints of {size} events differ: the ledger was rewritten")
            sizes.append(size)
        if max(sizes) != sizes[-1]:
            raise Refused("the checkpoint of the landing is older than that of a change in it")
        return f"{sizes[-1]} events of {self.trust.origin}"
