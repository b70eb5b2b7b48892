"""Who asked for a change, planned, built, judged, approved and landed it, and what came after; holes are listed as holes.

Theory of operation. Everything is read from the ledger's views and from git; nothing is inferred. What the record should have and
does not becomes a *hole*, in words. The answer is a small graph of entities, activities and agents as PROV has them, and each
relation bears PROV's name, so that `prov` of it is a PROV-JSON document.
"""

import asyncio
import hashlib
import re
from typing import Any, Literal

import msgspec

from andon.record.board import Board
from andon.record.commits import Commit, find
from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.layout import Layout
from andon.schema.settings import Settings

PREFIX = {"andon": "https://andon.dev/ns#", "xsd": "http://www.w3.org/2001/XMLSchema#"}
TASK = re.compile(r"[Tt]?([1-9]\d{0,8})")
LEAST_HASH = 7
"""Digits from which a bare number may also be the beginning of a commit's name."""
CHECKED = """
SELECT c.seq, c.at, c.data ->> '$.check' AS claim, c.data ->> '$.result' AS status, c.data ->> '$.because' AS because,
       c.data ->> '$.run' AS run, coalesce(nullif(c.data ->> '$.evidence', ''), r.evidence, '') AS evidence,
       coalesce(c.data ->> '$.walls', '') AS walls
FROM event c LEFT JOIN runs r ON r.run = c.data ->> '$.run'
WHERE c.kind = 'landing.checked' AND c.data ->> '$.landing' = :landing ORDER BY c.seq
"""
WATCHED = """
SELECT seq, at, kind, data ->> '$.check' AS "check", coalesce(data ->> '$.because', '') AS because
FROM event WHERE kind IN ('target.red', 'target.green') AND data ->> '$.commit' = :oid ORDER BY seq
"""
Row = dict[str, Any]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A thing, a doing, or somebody."""

    id: str
    kind: Literal["entity", "activity", "agent"]
    part: Literal["asked", "planned", "built", "judged", "approved", "landed", "after"]
    told: str
    under: str = ""
    """The node that it is shown below."""
    at: int = 0
    facts: dict[str, str] = {}


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A relation, by PROV's name: `of` stands to `to` in it."""

    relation: Literal["wasGeneratedBy", "used", "wasAssociatedWith", "wasAttributedTo", "wasDerivedFrom", "wasInvalidatedBy"]
    of: str
    to: str


class Lineage(msgspec.Struct, kw_only=True):
    """All that is known of where a change came from and what became of it."""

    asked: str
    origin: Literal["factory", "human"] = "factory"
    commit: str = ""
    repo: str = ""
    task: str = ""
    found_by: str = "ledger"
    """`ledger`, `trailer`, `landing`, `patch-id` or `none`."""
    author: str = ""
    subject: str = ""
    at: int = 0
    nodes: list[Node] = []
    edges: list[Edge] = []
    holes: list[str] = []


def lineage(layout: Layout, name: str, repo: str = "") -> Lineage:
    """The lineage of a task, or of a commit of any registered repository. Mistake when it is neither."""
    with Board(layout, "tasks attempts runs claims gates members landings landed spending decisions sessions") as board:
        told = _Told(layout, board, name.strip())
        task = TASK.fullmatch(name.strip())
        if task and told.rows("SELECT task FROM tasks WHERE task = :task", task=f"T{task[1]}"):
            told.found.task = f"T{task[1]}"
        elif task and not (name.strip().isdigit() and len(name.strip()) >= LEAST_HASH):
            raise Mistake(f"There is no task T{task[1]}.", where=str(layout.ledger),
                          mend="`andon list --all` shows those that are.")
        else:
            told.commit(repo)
        if told.found.task:
            told.task()
        return told.found


def prov(found: Lineage) -> dict[str, Any]:
    """The same as a PROV-JSON document."""
    made: dict[str, Any] = {"prefix": PREFIX, "entity": {}, "activity": {}, "agent": {}}
    for node in found.nodes:
        when = {"andon:at": {"$": str(node.at), "type": "xsd:long"}} if node.at else {}
        facts = {f"andon:{key}": value for key, value in node.facts.items()}
        made[node.kind][f"andon:{node.id}"] = {"prov:label": node.told, "andon:part": node.part, **when, **facts}
    ends = {"wasGeneratedBy": ("entity", "activity"), "used": ("activity", "entity"), "wasAssociatedWith": ("activity", "agent"),
            "wasAttributedTo": ("entity", "agent"), "wasDerivedFrom": ("generatedEntity", "usedEntity"),
            "wasInvalidatedBy": ("entity", "activity")}
    for n, edge in enumerate(found.edges, 1):
        one, other = ends[edge.relation]
        made.setdefault(edge.relation, {})[f"_:r{n}"] = {f"prov:{one}": f"andon:{edge.of}", f"prov:{other}": f"andon:{edge.to}"}
    return made


class _Told:
    """Puts a lineage together."""

    def __init__(self, layout: Layout, board: Board, name: str) -> None:
        self.layout, self.board = layout, board
        self.found = Lineage(asked=name, nodes=[], edges=[], holes=[])

    # --- asking ------------------------------------------------------------------------------------------------------

    def rows(self, sql: str, **values: str | int) -> list[Row]:
        """Rows as dictionaries."""
        found = self.board.ask(sql, values)
        return [dict(zip(found.columns, row, strict=True)) for row in found.rows]

    def node(
        self, id: str, kind: Literal["entity", "activity", "agent"], part: Any, told: str, *, under: str = "", at: int | None = 0,
        **facts: object,
    ) -> str:
        """Add a node once; its id."""
        if not any(node.id == id for node in self.found.nodes):
            plain = {key: str(value) for key, value in facts.items() if value not in ("", None)}
            self.found.nodes.append(Node(id=id, kind=kind, part=part, told=told, under=under, at=at or 0, facts=plain))
        return id

    def edge(self, relation: Any, of: str, to: str) -> None:
        """Add a relation once."""
        edge = Edge(relation=relation, of=of, to=to)
        if edge not in self.found.edges:
            self.found.edges.append(edge)

    def hole(self, told: str) -> None:
        """What is missing."""
        self.found.holes.append(told)

    def person(self, name: str, part: str) -> str:
        """Somebody by name."""
        return self.node(f"person:{name}", "agent", part, name)

    # --- a commit ----------------------------------------------------------------------------------------------------

    def commit(self, repo: str) -> None:
        """Which commit is meant, and of which task it is."""
        seen: tuple[str, Commit] | None = None
        for known in self.repositories(repo):
            found = asyncio.run(find(known["git_dir"], self.found.asked, known["target"]))
            if found is not None:
                seen = (known["repo"], found)
                if found.task or found.by != "none":
                    break
        if seen is None:
            raise Mistake(f"There is no task and no commit {self.found.asked[:80]}.", where=repo or "all registered repositories",
                          mend="Give more of its hash, a branch, or a task like T3; --repo names another repository.")
        self.found.repo, at = seen
        self.found.commit, self.found.author, self.found.subject, self.found.at = at.oid, at.author, at.subject, at.at
        self.belongs(at)

    def repositories(self, repo: str) -> list[Row]:
        """Where to look."""
        rows = self.rows("SELECT data ->> '$.repo' AS repo, data ->> '$.git_dir' AS git_dir, max(seq) FROM event "
                         "WHERE kind = 'repository.registered' GROUP BY 1")
        named = [row for row in rows if repo in ("", row["repo"])]
        if not named:
            known = ", ".join(row["repo"] for row in rows) or "none"
            raise Mistake(f"There is no repository {repo}." if repo else "No repository is registered.", mend=f"Known: {known}.")
        for row in named:
            target = self.rows("SELECT data ->> '$.settings.target' AS target FROM event WHERE kind = 'settings.activated' "
                               "AND data ->> '$.repo' = :repo ORDER BY seq DESC LIMIT 1", repo=row["repo"])
            row["target"] = target[0]["target"] if target and target[0]["target"] else "main"
        return named

    def belongs(self, at: Commit) -> None:
        """The task of a commit: the ledger proves it, a trailer only says it."""
        proven = self.rows('SELECT task FROM landed WHERE repo = :repo AND "commit" IN (:oid, :ours) ORDER BY "commit" = :oid DESC',
                           repo=self.found.repo, oid=at.oid, ours=at.ours or at.oid)
        heads = self.rows('SELECT task FROM landed WHERE repo = :repo AND change = :oid', repo=self.found.repo, oid=at.oid)
        if proven or heads:
            self.found.task = (proven or heads)[0]["task"]
            self.found.found_by = at.by if at.by in ("landing", "patch-id") else "ledger"
        elif at.task:
            self.found.found_by = at.by
            self.hole(f"the commit's trailers name {at.task}, and the ledger has no landing of it as this commit: "
                      "anybody can write a trailer")
            if self.rows("SELECT task FROM tasks WHERE task = :task", task=at.task):
                self.found.task = at.task
            else:
                self.hole(f"the ledger knows no task {at.task}")
        else:
            self.found.origin, self.found.found_by = "human", "none"
            person = self.node(f"author:{at.author}", "agent", "landed", at.author)
            self.node(f"commit:{at.oid}", "entity", "landed", f"commit {at.oid[:12]} “{at.subject}”", at=at.at)
            self.edge("wasAttributedTo", f"commit:{at.oid}", person)
            if at.note:
                self.hole(at.note)
        if self.found.origin == "factory" and at.by != "none" and at.ours == at.oid and "Andon-Bundle" not in at.trailers:
            self.hole("its message names no evidence bundle (no Andon-Bundle trailer)")

    # --- a task ------------------------------------------------------------------------------------------------------

    def task(self) -> None:
        """Every part, in the order in which it came about."""
        name = self.found.task
        task = self.rows("SELECT t.*, e.data ->> '$.spec' AS spec FROM tasks t JOIN event e ON e.seq = t.seq WHERE task = :task",
                         task=name)[0]
        landed = self.rows("SELECT * FROM landed WHERE task = :task ORDER BY seq DESC LIMIT 1", task=name)
        self.found.repo = task["repo"]
        self.asked(task)
        self.built(task)
        change = landed[0]["change"] if landed else self.last_change(name)
        self.judged(name, change)
        self.approved(name, change)
        if landed:
            self.landed(landed[0])
            self.after(landed[0])
        else:
            self.hole(f"it has not landed: the task is {task['outcome']}")

    def asked(self, task: Row) -> None:
        """Who asked, for what."""
        digest = hashlib.sha256((task["spec"] or "").encode(errors="surrogatepass")).hexdigest()
        self.node(f"task:{task['task']}", "entity", "asked", f"{task['task']} “{task['title']}”", at=task["asked_at"],
                  spec_sha256=digest, repository=task["repo"], line=task["line"], reverts=task["reverts"])
        if task["asked_by"]:
            self.edge("wasAttributedTo", f"task:{task['task']}", self.person(task["asked_by"], "asked"))
        else:
            self.hole("who asked for it is not recorded")
        for row in self.rows("SELECT * FROM decisions WHERE task = :task AND kind NOT IN ('task.added', 'gate.answered', "
                             "'undo.begun') ORDER BY seq LIMIT 50", task=task["task"]):
            done = self.node(f"decision:{row['seq']}", "activity", "planned", f"{row['by']}: {row['kind']} {row['what']}".strip(),
                             at=row["at"], because=row["because"])
            self.edge("wasAssociatedWith", done, self.person(row["by"], "planned"))
            self.edge("used", done, f"task:{task['task']}")

    def built(self, task: Row) -> None:
        """Attempts: agent, model, walls, cost."""
        rows = self.rows("SELECT a.*, s.usd, s.metered, s.input, s.output FROM attempts a LEFT JOIN spending s USING (attempt) "
                         "WHERE a.task = :task ORDER BY a.number", task=task["task"])
        for row in rows:
            self.attempt(task, row)
        if not rows and task["reverts"]:
            self.node(f"made:{task['task']}", "activity", "built", "made by the daemon: the inverse of what had landed")
            self.edge("used", f"made:{task['task']}", f"task:{task['task']}")
        elif not rows:
            self.hole("no attempt is recorded: who built it is not known")

    def attempt(self, task: Row, row: Row) -> None:
        """One attempt."""
        model, use = self.model(task["repo"], row["agent"], row["seq"])
        cost = "not known" if row["usd"] is None or row["metered"] in ("", "unmetered") else f"{row['usd']:.4f} USD"
        outcome = "accepted" if row["accepted"] else row["failure"] or row["ended"] or "under way"
        name = self.node(
            f"attempt:{row['attempt']}", "activity", "built", f"{row['attempt']} by {row['agent']}: {outcome}",
            at=row["claimed_at"], agent=row["agent"], adapter=use, model=model, walls=row["walls"] or "not known", cost=cost,
            base=row["base"], commit=row["commit"], diff_sha256=row["diff"])
        agent = self.node(f"agent:{row['agent']}", "agent", "built", row["agent"], adapter=use, model=model)
        self.edge("wasAssociatedWith", name, agent)
        self.edge("used", name, f"task:{task['task']}")
        if row["commit"]:
            head = self.node(f"change:{row['commit']}", "entity", "built", f"change {row['commit'][:12]}", under=name)
            self.edge("wasGeneratedBy", head, name)
        if row["accepted"]:
            self.hole_of_attempt(row, model, cost)

    def hole_of_attempt(self, row: Row, model: str, cost: str) -> None:
        """What the record lacks of the attempt whose work counts."""
        if not model:
            self.hole(f"{row['attempt']}: which model it used is not recorded; the settings leave it to the agent")
        if cost == "not known":
            self.hole(f"{row['attempt']}: what it cost is not known")
        if not row["walls"]:
            self.hole(f"{row['attempt']}: within which walls it ran is not known")

    def model(self, repo: str, agent: str, seq: int) -> tuple[str, str]:
        """Model and adapter of an agent by the settings in force at an event."""
        rows = self.rows("SELECT data -> '$.settings' AS settings FROM event WHERE kind = 'settings.activated' AND seq < :seq "
                         "AND data ->> '$.repo' = :repo ORDER BY seq DESC LIMIT 1", seq=seq, repo=repo)
        try:
            known = msgspec.json.decode(rows[0]["settings"], type=Settings).agents.get(agent) if rows else None
        except msgspec.MsgspecError:
            known = None
        return (known.model, known.use) if known else ("", "")

    def last_change(self, task: str) -> str:
        """The newest commit that was judged."""
        rows = self.rows('SELECT "commit" FROM claims WHERE task = :task ORDER BY seq DESC LIMIT 1', task=task)
        return rows[0]["commit"] if rows else ""

    def judged(self, task: str, change: str) -> None:
        """Claims about the change, the last word of each, with run and evidence."""
        rows = self.rows('SELECT *, max(seq) FROM claims WHERE task = :task AND "commit" = :change GROUP BY claim ORDER BY seq',
                         task=task, change=change) if change else []
        if change:
            self.node(f"change:{change}", "entity", "built", f"change {change[:12]}")
        for row in rows:
            self.claim(row, f"change:{change}", f"{row['claim']}: {row['status']}, {row['because']}")
        if not rows:
            self.hole("no claim about the change is recorded: nothing judged it")

    def claim(self, row: Row, about: str, told: str) -> None:
        """One claim."""
        name = self.node(f"claim:{row['seq']}", "entity", "judged", told, at=row["at"], run=row["run"],
                         evidence_sha256=row["evidence"], walls=row["walls"] or ("not known" if row["run"] else ""))
        self.edge("wasDerivedFrom", name, about)
        if not row["run"]:
            return
        run = self.node(f"run:{row['run']}", "activity", "judged", f"run {row['run']}", under=name)
        self.edge("wasGeneratedBy", name, run)
        self.edge("used", run, about)
        self.evidence(f"{row['claim']} ({row['run']})", row["evidence"])

    def evidence(self, of: str, digest: str) -> None:
        """Whether what a claim rests on is named, and there."""
        if not digest:
            self.hole(f"{of}: no evidence is named")
        elif not self.layout.blob(Digest(digest)).is_file():
            self.hole(f"{of}: its evidence {digest[:12]} is named, and the store has it no more")

    def approved(self, task: str, change: str) -> None:
        """Persons at gates."""
        rows = self.rows("SELECT * FROM gates WHERE task = :task AND state = 'answered' ORDER BY seq", task=task)
        for row in rows:
            exact = row["commit"] == change
            which = "" if exact or not row["commit"] else " to an earlier change"
            name = self.node(f"gate:{row['gate']}", "activity", "approved",
                             f"{row['gate']} {row['kind']}: {row['answered_by']} said {row['option']}{which}", at=row["closed_at"],
                             signed=row["signed"], bound_sha256=row["answer_bound"], because=row["words"])
            self.edge("wasAssociatedWith", name, self.person(row["answered_by"] or "somebody", "approved"))
            if row["commit"]:
                self.edge("used", name, f"change:{row['commit']}")
            if not row["answered_by"]:
                self.hole(f"{row['gate']}: who answered is not recorded")
        if not any(row["kind"] == "review" and row["option"] == "approve" and row["commit"] == change for row in rows):
            self.node("nobody", "entity", "approved", "no person approved exactly this change")

    def landed(self, row: Row) -> None:
        """The landing, its mates, and what proved the merged tree."""
        commit = self.node(f"commit:{row['commit']}", "entity", "landed", f"commit {row['commit'][:12]} on the target",
                           at=row["landed_at"], walls=row["walls"] or "not known", before=row["before"])
        self.found.commit = self.found.commit or row["commit"]
        if row["change"]:
            self.edge("wasDerivedFrom", commit, f"change:{row['change']}")
        if not row["landing"]:
            self.hole("by which landing it came is not recorded")
            return
        members = self.rows("SELECT task FROM members WHERE landing = :landing ORDER BY place", landing=row["landing"])
        mates = [mate["task"] for mate in members if mate["task"] != row["task"]]
        known = self.rows("SELECT * FROM landings WHERE landing = :landing", landing=row["landing"])[0]
        company = f"together with {', '.join(mates)}" if mates else "alone"
        name = self.node(f"landing:{row['landing']}", "activity", "landed", f"{row['landing']}: {company}", at=known["moved_at"],
                         onto=known["onto"], tree=known["tree"], because=known["because"])
        self.edge("wasGeneratedBy", commit, name)
        self.edge("used", name, f"change:{row['change']}")
        checks = self.rows(CHECKED, landing=row["landing"])
        for check in checks:
            self.claim(check, commit, f"merged tree, {check['claim']}: {check['status']}, {check['because']}")
        if not checks:
            self.hole(f"{row['landing']}: nothing is recorded that proved the merged tree")

    def after(self, row: Row) -> None:
        """What was seen of it on the target, and whether it was taken back."""
        for seen in self.rows(WATCHED, oid=row["commit"]):
            told = f"{seen['check']} on the target: {seen['kind'][7:]} {seen['because']}".strip()
            self.node(f"watch:{seen['seq']}", "activity", "after", told, at=seen["at"])
            self.edge("used", f"watch:{seen['seq']}", f"commit:{row['commit']}")
        for back in self.rows("SELECT task, asked_by, outcome, landed, asked_at FROM tasks WHERE reverts = :task ORDER BY seq",
                              task=row["task"]):
            done = f"landed as {back['landed'][:12]}" if back["landed"] else back["outcome"]
            name = self.node(f"revert:{back['task']}", "activity", "after", f"{back['task']} takes it back: {done}",
                             at=back["asked_at"])
            self.edge("wasAssociatedWith", name, self.person(back["asked_by"] or "somebody", "after"))
            if back["landed"]:
                self.edge("wasInvalidatedBy", f"commit:{row['commit']}", name)
