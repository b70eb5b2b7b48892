"""A factory that exists only as views: a fake source for the face, with real wire types, that records what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec

from andon.schema.errors import Mistake, Problem
from andon.schema.events import Option
from andon.schema.evidence_views import Evidence, EvidenceFile
from andon.schema.ids import AttemptId, Digest, GateId, Oid, RepoId, RunId, TaskId
from andon.schema.inputs import AnyCommand
from andon.schema.views import (
    AnyView,
    AttemptDetail,
    ClaimCell,
    FactoryView,
    GateView,
    LineView,
    Moment,
    ProblemView,
    RepositoryView,
    SessionView,
    StationView,
    TaskDetail,
    TaskView,
)
from andon.schema.wire import (
    AccessIs,
    AnyReply,
    AnyRequest,
    BlobIs,
    Do,
    Done,
    EvidenceIs,
    GetAccess,
    GetBlob,
    GetEvidence,
    GetTask,
    PaneIs,
    TaskIs,
)

NOW = 1_763_600_000_000
REPO = RepoId("humanize")
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
BOUND = Digest("b0d1" * 16)
DIFF = Digest("d1ff" * 16)
LOG = Digest("106a" * 16)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    pane: PaneIs | None = None


class Paper:
    """A Source. `put` and `lose` are what the daemon would do; `asked` is what the face did."""

    def __init__(self, views: Iterable[AnyView] = (), *, connected: bool = True) -> None:
        self.views_: dict[str, AnyView] = {view.key: view for view in views}
        self.asked: list[AnyRequest] = []
        self.blobs: dict[str, str] = {DIFF: A_DIFF, LOG: A_LOG}
        self.details: dict[str, TaskDetail] = {}
        self._connected = connected
        away = Problem(what="the daemon is not running", mend="start it with `andon up`")
        self._problem: Problem | None = None if connected else away
        self._news: asyncio.Queue[Told] = asyncio.Queue()
        self.refuses: Problem | None = None
        self.evidence: dict[str, Evidence] = {}
        self.tried = AccessIs(attempt=AttemptId("T4.1"), rows=())

    @property
    def views(self) -> Mapping[str, AnyView]:
        return self.views_

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def problem(self) -> Problem | None:
        return self._problem

    def put(self, *views: AnyView, gone: Iterable[str] = ()) -> None:
        for key in gone:
            self.views_.pop(key, None)
        self.views_.update((view.key, view) for view in views)
        self._news.put_nowait(Told())

    def pane(self, pane: PaneIs) -> None:
        self._news.put_nowait(Told(pane=pane))

    def lose(self) -> None:
        self._connected, self._problem = False, Problem(what="the daemon closed the connection", mend="start it with `andon up`")
        self._news.put_nowait(Told())

    def find(self) -> None:
        self._connected, self._problem = True, None
        self._news.put_nowait(Told())

    @property
    def read(self) -> bool:
        """Whether the face has taken in everything that was put."""
        return self._news.empty()

    async def ask(self, request: AnyRequest) -> AnyReply:
        self.asked.append(request)
        if not self._connected:
            raise Mistake("the daemon is not connected", mend="start it with `andon up`")
        if self.refuses:
            raise Mistake(self.refuses.what, where=self.refuses.where, mend=self.refuses.mend)
        match request:
            case GetBlob():
                return BlobIs(text=self.blobs.get(request.digest, ""))
            case GetTask():
                return TaskIs(detail=self.details.get(request.task) or detail_of(self.views_[f"task:{request.task}"]))
            case GetAccess():
                return self.tried
            case GetEvidence():
                return EvidenceIs(evidence=self.evidence.get(request.claim) or evidence_of(request.task, request.claim or "tests"))
        return Done()

    @property
    def commands(self) -> list[AnyCommand]:
        return [request.command for request in self.asked if isinstance(request, Do)]

    async def __aiter__(self) -> AsyncIterator[Told]:
        while True:
            yield await self._news.get()


def claims(**statuses: str) -> tuple[ClaimCell, ...]:
    because = {"proven": "214 tests passed", "refuted": "2 of 214 tests failed", "unevaluated": "exit 127: ruff: not found"}
    return tuple(
        ClaimCell(claim=name, status=status, because=because.get(status, ""))  # type: ignore[arg-type]
        for name, status in statuses.items()
    )


def task(number: int, title: str, state: str, station: str, **more: object) -> TaskView:
    since = more.pop("since", NOW - number * MINUTE)
    base: dict[str, object] = {
        "task": TaskId(f"T{number}"), "repo": REPO, "title": title, "line": "build", "state": state, "station": station,
        "since": since, "added": NOW - 2 * HOUR,
    }
    return TaskView(**(base | more))  # type: ignore[arg-type]


def gate(number: int, of: str, **more: object) -> GateView:
    base: dict[str, object] = {
        "gate": GateId(f"G{number}"), "task": TaskId(of), "repo": REPO, "title": "Speak Slovenian dual in naturaltime",
        "kind": "review", "question": "Land this change of 3 files on main?",
        "options": (
            Option(key="approve", label="Approve",
                   consequence="it goes into the merge queue and is proven again on the merged tree"),
            Option(key="reject", label="Reject", consequence="goes back to the agent with your reason"),
            Option(key="retry", label="Another attempt", consequence="from the same base, nothing is told to it"),
        ),
        "recommendation": "approve",
        "because": "src/humanize/time.py is of class review",
        "risk": "review", "opened_at": NOW - 12 * MINUTE, "commit": Oid("9f3c2ab1d0e4" + "0" * 28), "bound": BOUND, "diff": DIFF,
        "claims": claims(work="proven", tests="proven", **{"tests-kept": "proven"}, lint="unevaluated"),
        "files": 3, "insertions": 48, "deletions": 6, "attempts": 2, "attempt": AttemptId(f"{of}.2"),
    }
    return GateView(**(base | more))  # type: ignore[arg-type]


def line(**more: object) -> LineView:
    base: dict[str, object] = {
        "repo": REPO, "line": "build",
        "stations": (
            StationView(name="build", kind="agent", tasks=3, wip=4), StationView(name="check", kind="check", tasks=2),
            StationView(name="review", kind="gate", tasks=2), StationView(name="land", kind="land", tasks=1),
        ),
    }
    return LineView(**(base | more))  # type: ignore[arg-type]


def repository(**more: object) -> RepositoryView:
    base: dict[str, object] = {
        "repo": REPO, "path": "/home/ada/src/humanize", "target": "main", "trunk": Oid("4be21c90" + "0" * 32), "trusted": True,
        "commands": Digest("c0" * 32), "isolation": "clone",
    }
    return RepositoryView(**(base | more))  # type: ignore[arg-type]


def factory(**more: object) -> FactoryView:
    base: dict[str, object] = {"version": "0.1.0", "pid": 4711, "started_at": NOW - HOUR, "seq": 312, "wip": 3, "wip_limit": 6}
    return FactoryView(**(base | more))  # type: ignore[arg-type]


def session(attempt: str, **more: object) -> SessionView:
    base: dict[str, object] = {
        "attempt": AttemptId(attempt), "task": TaskId(attempt.split(".")[0]), "repo": REPO, "agent": "claude",
        "session": attempt.replace(".", "_"), "health": "working", "because": "its pane changed 2 s ago", "source": "pane",
        "since": NOW - 2 * MINUTE, "says": "running the tests",
        "path": "/home/ada/.local/state/andon/checkouts/humanize/" + attempt,
        "port": 21040,
    }
    return SessionView(**(base | more))  # type: ignore[arg-type]


def busy() -> list[AnyView]:
    """A line at work: something at every station, two waiting, one problem."""
    return [
        factory(), repository(), line(),
        task(1, "Round naturalsize half to even", "done", "land", since=NOW - 55 * MINUTE, agent="claude", attempts=1,
             claims=claims(work="proven", tests="proven", lint="proven"), landed=Oid("4be21c90" + "0" * 32), commit=Oid("aa" * 20)),
        task(2, "Document the precision argument of metric()", "done", "land", since=NOW - 31 * MINUTE, agent="codex", attempts=1,
             claims=claims(work="proven", tests="proven", lint="proven"), commit=Oid("ab" * 20)),
        task(3, "Teach intcomma about Indian digit grouping", "failed", "build", since=NOW - 18 * MINUTE, agent="claude",
             attempts=3,
             claims=claims(work="proven", tests="refuted")),
        task(4, "Give naturaldelta a months=False that never says 30 days when it means a month", "building", "build",
             agent="claude",
             attempts=1, attempt=AttemptId("T4.1"), health="working", says="reading tests/test_time.py", since=NOW - 2 * MINUTE,
             claims=claims(work="planned", tests="planned", lint="planned"), overlaps=(TaskId("T7"),),
             paths=("src/humanize/time.py",)),
        task(5, "Speak Slovenian dual in naturaltime", "waiting", "review", agent="claude", attempts=2, attempt=AttemptId("T5.2"),
             attention="review this change", gate=GateId("G1"), since=NOW - 12 * MINUTE, commit=Oid("9f3c2ab1d0e4" + "0" * 28),
             claims=claims(work="proven", tests="proven", lint="unevaluated"), files=3, insertions=48, deletions=6, risk="review"),
        task(6, "Drop Python 3.8 from the classifiers", "checking", "check", agent="codex", attempts=1, commit=Oid("ac" * 20),
             since=NOW - 41 * SECOND, claims=claims(work="proven", tests="running", lint="proven"), files=2, insertions=2,
             deletions=9),
        task(7, "Cache the compiled translations", "building", "build", agent="opencode", attempts=2, attempt=AttemptId("T7.2"),
             health="thinking", says="the failing test expects a fresh catalogue each time", since=NOW - 6 * MINUTE,
             claims=claims(work="planned", tests="refuted"), overlaps=(TaskId("T4"),)),
        task(8, "Ask before the locale directory changes", "waiting", "build", agent="claude", attempts=1,
             attempt=AttemptId("T8.1"),
             attention="it asks: keep the old path as a fallback?", gate=GateId("G2"), health="waiting-answer",
             since=NOW - 3 * MINUTE),
        task(9, "Add a type stub for i18n.activate", "landing", "land", agent="claude", attempts=1, commit=Oid("ad" * 20),
             since=NOW - 9 * SECOND, claims=claims(work="proven", tests="proven", lint="proven"), files=1, insertions=4,
             deletions=0),
        task(10, "Say “a moment ago” in Esperanto", "queued", "build", why=("after T7, which is not landed",),
             after=(TaskId("T7"),)),
        task(11, "Sort locales by name in the docs", "queued", "build", why=("4 of 4 agents of station build are at work",)),
        task(12, "Fuzz naturalsize with hypothesis", "checking", "check", agent="gemini", attempts=1, commit=Oid("ae" * 20),
             since=NOW - 4 * MINUTE, claims=claims(work="proven", tests="proven", lint="running"), files=1, insertions=61),
        gate(1, "T5"),
        gate(2, "T8", kind="question", title="Ask before the locale directory changes", question="Keep the old path as a fallback?",
             options=(Option(key="yes", label="yes, for one release"), Option(key="no", label="no, move it"),
                      Option(key="answer", label="Answer in words", consequence="The agent gets your text.")), recommendation="",
             because="the agent asked", bound=Digest(""), diff=Digest(""), claims=(), files=0, opened_at=NOW - 3 * MINUTE,
             attempts=1),
        session("T4.1"), session("T7.2", agent="opencode", health="thinking"), session("T8.1", health="waiting-answer"),
        ProblemView(problem="check:lint", what="check lint is unevaluated: ruff is not installed in the checkout",
                    where="andon.toml: [checks.lint]", mend="add it to [checkout] setup, for example: pip install ruff",
                    since=NOW - 14 * MINUTE, repo=REPO, task=TaskId("T5")),
    ]


def refused(what: str = "~/.ssh", kind: str = "read", times: int = 1, since: int = NOW - 4 * MINUTE) -> ProblemView:
    """What T4.1 was refused by its walls."""
    doing = {"read": "tried to read", "host": "tried to reach", "socket": "called", "write": "tried to write"}[kind]
    return ProblemView(
        problem=f"access:T4.1/{kind}/{what}", what=f"T4.1 {doing} {what}", since=since, repo=REPO, task=TaskId("T4"),
        where="not listed" if kind == "host" else "bait: empty, nothing of yours",
        mend="nothing of yours was reached; `andon show T4.1 --access` lists all that it tried", attempt=AttemptId("T4.1"),
        times=times,
    )


def detail_of(view: AnyView) -> TaskDetail:
    assert isinstance(view, TaskView)
    at = NOW - 30 * MINUTE
    return TaskDetail(
        task=view,
        spec="# Slovenian dual\n\nSlovenian has a dual. `naturaltime` says *2 dni* and should say *2 dneva*.\n\n- tests first\n",
        attempts=(
            AttemptDetail(attempt=AttemptId(f"{view.task}.1"), number=1, agent="claude", state="failed", base=Oid("aa" * 20),
                          started=at,
                          ended=at + 200_000, outcome="2 of 214 tests failed", isolation="clone",
                          salvage=f"refs/andon/salvage/{view.task}.1"),
            AttemptDetail(attempt=AttemptId(f"{view.task}.2"), number=2, agent="claude", state="accepted", base=Oid("aa" * 20),
                          started=at + 240_000, path="/home/ada/.local/state/andon/checkouts/humanize/T5.2", isolation="clone"),
        ),
        timeline=(
            Moment(seq=3, at=at, kind="task.added", text="ada added T5: Speak Slovenian dual in naturaltime"),
            Moment(seq=4, at=at + 1000, kind="attempt.claimed", text="claude took T5 as attempt T5.1"),
            Moment(seq=9, at=at + 201_000, kind="run.finished", text="tests failed: 2 of 214 tests failed", blobs=(("log", LOG),)),
            Moment(seq=12, at=at + 240_000, kind="attempt.claimed", text="claude took T5 as attempt T5.2"),
            Moment(seq=17, at=at + 900_000, kind="work.imported", text="3 files +48 -6 were read from T5.2",
                   blobs=(("diff", DIFF),)),
            Moment(seq=21, at=at + 1_000_000, kind="run.finished", text="tests passed: 214 tests passed",
                   blobs=(("log", LOG), ("report", LOG), ("evidence", LOG))),
            Moment(seq=24, at=at + 1_080_000, kind="gate.opened", text="G1 asks: Land this change of 3 files on main?"),
        ), diff=DIFF, packet="tests failed: test_dual_two_days, test_dual_two_years",
    )


def evidence_of(task: str, claim: str, **more: object) -> Evidence:
    """What a green claim rests on."""
    base: dict[str, object] = {
        "task": TaskId(task), "repo": REPO, "claim": claim, "status": "proven", "because": "214 tests passed", "run": RunId("R31"),
        "at": NOW - 12 * MINUTE, "kind": "https://in-toto.io/attestation/test-result/v0.1", "result": "PASSED",
        "commit": Oid("9f3c2ab1d0e4" + "0" * 28), "tree": Oid("77" * 20), "command": "pytest -q --junitxml={report}", "exit": 0,
        "files": (EvidenceFile(name="statement", digest=Digest("5e" * 32), size=1380),
                  EvidenceFile(name="report", digest=Digest("4e" * 32), size=40_211),
                  EvidenceFile(name="log", digest=LOG, size=7_090), EvidenceFile(name="diff", digest=DIFF, size=612)),
        "definition": Digest("de" * 32), "milliseconds": 3210, "passed": 214, "failed": 0, "skipped": 2, "checkout": "clone",
        "isolation": "strict", "asked": "best", "environment": (("python", "3.13.1"), ("system", "Linux-6.8")),
        "again": "d=$(mktemp -d) && git clone -q --shared --no-checkout /home/ada/src/humanize \"$d/again\" && cd \"$d/again\"",
        "notes": ("the statement is not signed: it is as good as the store that holds it",),
    }
    return Evidence(**(base | more))  # type: ignore[arg-type]


HOSTILE = (
    "[@click=app.quit]press[/] \x1b]52;c;cHduZWQ=\x07\x1b[2J\x1b]8;;http://evil\x07link\x1b]8;;\x07 "
    "\u202egnp.exe \x9b31m [bold red]x[/]\x00 \u200b\U000e0041 $(rm) \x1bPq\x1b\\ end"
)
"""What an agent could write to reach the terminal, the app or the reader's eye."""


A_LOG = "\n".join(f"tests/test_time.py::test_case_{n} PASSED" for n in range(200)) + "\n214 passed in 3.21s\n"
A_DIFF = """diff --git a/src/humanize/time.py b/src/humanize/time.py
index 11aa..22bb 100644
--- a/src/humanize/time.py
+++ b/src/humanize/time.py
@@ -88,7 +88,9 @@ def naturaldelta(value, months=True, minimum_unit="seconds"):
     use_months = months

     years = days // 365
-    days = days % 365
+    days = days % 365
+    if locale.has_dual(days):
+        return _dual(days)
     num_months = int(days // 30.5)
diff --git a/tests/test_time.py b/tests/test_time.py
new file mode 100644
--- /dev/null
+++ b/tests/test_time.py
@@ -0,0 +1,3 @@
+def test_dual_two_days():
+    assert humanize.naturaltime(timedelta(days=2)) == "2 dneva"
+--- not a header
"""
RUN = RunId("R1")
