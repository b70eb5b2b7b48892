"""A merge queue that exists only as views: entries, proofs, a bracket, clashes; for tests of faces."""

from andon.schema.ids import LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.landing_events import Hunk
from andon.schema.views import AnyView, ClashView, EntryView, FlowView, ProofView, QueueView, RedView

NOW = 1_763_600_000_000
"""The same moment as that of the paper factory."""
SECOND, MINUTE = 1_000, 60_000
TRUNK = Oid("4be21c90" + "0" * 32)


def tasks(text: str) -> tuple[TaskId, ...]:
    """`tasks("4 5")` are T4 and T5."""
    return tuple(TaskId(f"T{number}") for number in text.split())


def proof(number: int, members: str, **more: object) -> ProofView:
    """Something that is proved now."""
    base: dict[str, object] = {
        "landing": LandingId(f"L{number}"), "why": "prefix", "members": tasks(members), "since": NOW - 24 * SECOND,
        "expected_s": 40.0, "candidate": Oid("ca" * 20), "tree": Oid("7ee" + "1" * 37),
        "runs": (("tests", RunId("R1"), "running"), ("lint", RunId("R2"), "pass")),
    }
    return ProofView(**(base | more))  # type: ignore[arg-type]  # fields come from tests


def queue(repo: str = "humanize", **more: object) -> QueueView:
    """A queue."""
    base: dict[str, object] = {
        "repo": RepoId(repo), "target": "main", "trunk": TRUNK, "land": "merge", "history": "tips", "slots": 2,
        "slots_because": "4 cores, a proof keeps 2 busy",
        "flow": FlowView(landed=12, landed_hour=4, sent_back=2, proofs=15, wasted=1, per_landed=1.25, failing=0.04, flaking=0.01,
                         proof_s=42.0, waits=(("for a proof", 2), ("held", 1))),
    }
    return QueueView(**(base | more))  # type: ignore[arg-type]  # fields come from tests


def entry(number: int, position: int, state: str = "waiting", **more: object) -> EntryView:
    """A change in the queue."""
    base: dict[str, object] = {
        "task": TaskId(f"T{number}"), "repo": RepoId("humanize"), "title": f"change number {number}", "position": position,
        "state": state, "why": "waits for a proof", "since": NOW - (20 + number) * MINUTE, "commit": Oid("ab" * 20),
        "agent": "claude", "files": 2, "insertions": 30, "deletions": 4,
    }
    return EntryView(**(base | more))  # type: ignore[arg-type]  # fields come from tests


def clash(one: int, other: int, kind: str = "hot", **more: object) -> ClashView:
    """Two that meet."""
    base: dict[str, object] = {
        "repo": RepoId("humanize"), "one": TaskId(f"T{one}"), "other": TaskId(f"T{other}"), "kind": kind,
        "hunks": (Hunk(path="src/humanize/time.py", line=88, count=9), Hunk(path="docs/index.md", kind="file")),
        "since": NOW - 3 * MINUTE, "titles": (f"change number {one}", f"change number {other}"), "told": (TaskId(f"T{other}"),),
    }
    return ClashView(**(base | more))  # type: ignore[arg-type]  # fields come from tests


def at_work() -> list[AnyView]:
    """Two proofs over five changes, the first of which breaks; one held, one that a person is asked about, three clashes."""
    return [
        queue(entries=8, oldest=NOW - 33 * MINUTE, bracket=tasks("22 23"), suspect=TaskId("T23"),
              proving=(proof(7, "21 22 23 24"), proof(8, "23", why="confirm", suspect=TaskId("T23"), since=NOW - 9 * SECOND),
                       proof(9, "21 22 24 25", why="without", suspect=TaskId("T23"), candidate=Oid(""), tree=Oid(""), runs=())),
              flaky=("tests/test_net.py::test_slow",)),
        entry(21, 1, "proving", title="Round naturalsize half to even", landing=LandingId("L7"), expected_at=NOW + MINUTE,
              why="proved together with T22, T23 and T24"),
        entry(22, 2, "suspect", title="Teach intcomma about Indian digit grouping", clashes=tasks("26"),
              why="T22 or T23 fails in this combination"),
        entry(23, 3, "confirming", title="Cache the compiled translations", why="proved again alone"),
        entry(24, 4, "proving", title="Speak Slovenian dual in naturaltime", landing=LandingId("L9"), overtaken=2,
              why="proved without T23"),
        entry(25, 5, "waiting", title="Give naturaldelta a months=False that never says 30 days when it means a month"),
        entry(26, 6, "clashing", title="Drop Python 3.8 from the classifiers", clashes=tasks("22 4"),
              why="does not merge with T22; its agent gets both intents"),
        entry(27, 0, "held", title="Add a type stub for i18n.activate", why="held by ada: after the release"),
        entry(28, 0, "gate", title="Fuzz naturalsize with hypothesis", why="a person is asked: G4"),
        clash(22, 26), clash(4, 26, "soft", hunks=(Hunk(path="setup.cfg", kind="file"),)), clash(4, 7),
    ]


def red() -> RedView:
    """The target fails."""
    return RedView(check="tests", commit=TRUNK, run=RunId("R9"), since=NOW - 12 * MINUTE, suspects=tasks("1 2"),
                   because="2 of 214 tests failed")
