"""Questions to the record by command line: what is refused, what is bounded, what the views say against independent counting."""

import csv
import json
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from andon.edges import ledger_file
from andon.forgetting import forget
from andon.record import board, questions
from andon.record.board import Board, answer, needed, views
from andon.schema import events as e
from andon.schema.chain import chain
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, Digest, GateId, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.layout import Layout, layout
from clikit import Caps, andon, andon_apart
from ledgerkit import added, entered, fill, rows_of, sql
from support import wait_until

T1, T2, R, L1 = TaskId("T1"), TaskId("T2"), RepoId("shop"), LandingId("L1")
ATTACKS = [
    "DELETE FROM event", "INSERT INTO event VALUES (9, 9, 'x', 1, '', '{}', '', '')", "UPDATE event SET at = 1",
    "REPLACE INTO event(seq) VALUES (1)",
    "DELETE FROM event RETURNING *", "WITH x AS (SELECT 1) DELETE FROM event",
    "INSERT INTO temp.tasks(task) VALUES ('T9')",
    "CREATE TABLE x (a)", "CREATE TEMP TABLE x (a)", "CREATE TEMP VIEW x AS SELECT 1", "DROP TABLE event",
    "ALTER TABLE event ADD COLUMN x",
    "DROP TRIGGER event_is_never_edited", "CREATE TEMP TRIGGER t AFTER INSERT ON event BEGIN SELECT 1; END",
    "ATTACH '/tmp/other.db' AS other", "DETACH main", "PRAGMA writable_schema = 1", "PRAGMA query_only = 0",
    "PRAGMA table_info(event)", "SELECT * FROM pragma_table_info('event')", "SELECT * FROM dbstat", "VACUUM",
    "VACUUM INTO '/tmp/andon-query-copy.db'", "REINDEX", "ANALYZE",
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT x", "SELECT load_extension('x')", "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'y')", "SELECT fts3_tokenizer('x')", "SELECT randomblob(100)", "SELECT zeroblob(1000000000)",
    "SELECT printf('%.*c', 2000000000, 'x')", "SELECT 1; SELECT 2", "", "-- nothing", "SELECT 1\0", "SELECT * FROM nope",
    "SELECT " + "1," * 40_000 + "1", "CREATE VIRTUAL TABLE x USING fts5(a)", "EXPLAIN DELETE FROM event",
]
ENDLESS = ["WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
           "SELECT count(*) FROM event a, event b, event c, event d, event f WHERE a.data < b.data"]


@pytest.fixture
def where() -> Layout:
    """A small ledger."""
    place = layout()
    fill(place, rows_of([*(added(n) for n in range(1, 300)), *(entered(n) for n in range(1, 300))]))
    return place


@pytest.mark.parametrize("question", ATTACKS)
def test_whatever_is_no_question_is_refused_and_the_ledger_stays_as_it_is(where: Layout, question: str) -> None:
    before, files = where.ledger.read_bytes(), there(where)
    with pytest.raises(Mistake) as refused:
        answer(where, question, seconds=2)
    told = refused.value.problem
    assert told.what and told.mend and len(str(told)) < 1000
    assert where.ledger.read_bytes() == before
    assert there(where) == files and not Path("/tmp/andon-query-copy.db").exists()


def there(where: Layout) -> list[str]:
    """Names in the factory's home, without those that any reader of a ledger leaves beside it."""
    return sorted(path.name for path in where.home.iterdir() if not path.name.endswith(("-wal", "-shm")))


def test_the_connection_refuses_writes_by_each_lock_alone(where: Layout) -> None:
    """`mode=ro`, `query_only` and the authorizer: with the others taken away each still holds."""
    with Board(where) as one:
        one._db.set_authorizer(None)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            one._db.execute("DELETE FROM event")
        one._db.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            one._db.execute("DELETE FROM event")
    with Board(where) as two:
        two._db.set_authorizer(None)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            two._db.execute("CREATE TEMP TABLE x (a)")
    with Board(where) as three, pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        three._db.execute("CREATE TEMP TABLE x (a)")


@pytest.mark.parametrize("question", ENDLESS)
def test_an_endless_question_is_given_up_in_time(where: Layout, question: str) -> None:
    with pytest.raises(Mistake, match=r"took longer than 0.3 seconds"):
        answer(where, question, seconds=0.3)


def test_memory_is_bounded_in_a_process_that_only_asks(where: Layout) -> None:
    script = "import sqlite3; print(sqlite3.connect(':memory:').execute('PRAGMA hard_heap_limit').fetchone()[0])"
    assert andon_apart("query", "SELECT 1", script=script).out.splitlines()[-1] == str(2**30)
    small = """
from andon.record.board import answer
from andon.schema.errors import Mistake
from andon.schema.layout import layout
try:
    answer(layout(), "SELECT count(*) FROM (SELECT a.data || b.data AS d FROM event a, event b ORDER BY d)", heap=2**24)
except Mistake as mistake:
    print(mistake)
"""
    assert "needs more memory" in andon_apart("version", script=small).out


def test_rows_and_bytes_are_bounded_and_it_is_said(where: Layout) -> None:
    found = answer(where, "SELECT seq FROM event", rows=7)
    assert (len(found.rows), found.cut) == (7, "only the first 7 rows are shown")
    assert answer(where, "SELECT seq FROM event LIMIT 7", rows=7).cut == ""
    wide = answer(where, f"SELECT replace(hex(data), 'A', '{'x' * 3000}') FROM event WHERE kind = 'task.added'")
    assert 0 < len(wide.rows) < 299 and "MiB" in wide.cut


def test_questions_see_one_moment_and_never_hold_up_the_writer(where: Layout) -> None:
    rows = rows_of([*(added(n) for n in range(1, 300)), *(entered(n) for n in range(1, 400))])[598:]
    with Board(where, "tasks") as board_:
        before = board_.ask("SELECT count(*) FROM event").rows
        wrote: list[float] = []

        def write() -> None:
            with closing(ledger_file.open_for_writing(where)) as db:
                for row in rows:
                    db.execute(ledger_file.insert(1), ledger_file.values([row]))
            wrote.append(1)
        writer = threading.Thread(target=write)
        writer.start()
        wait_until(lambda: wrote, 10, what="a hundred writes beside an open question")
        writer.join(10)
        assert board_.ask("SELECT count(*) FROM event").rows == before
    assert answer(where, "SELECT count(*) FROM event").rows == [(598 + len(rows),)] and len(rows) == 100


def test_what_was_forgotten_stays_withheld(where: Layout) -> None:
    fill_more(where, [added(400, "the password is hunter2hunter2 today")])
    assert "hunter2hunter2" in str(answer(where, "SELECT data FROM event WHERE data LIKE '%T400%'").rows)
    forget(where, b"hunter2hunter2")
    assert "hunter2hunter2" not in str(answer(where, "SELECT data FROM event WHERE data LIKE '%T400%'").rows)


def fill_more(where: Layout, more: list[e.Event]) -> None:
    old = [msgspec.json.decode(cast("str", row[0]), type=e.AnyEvent) for row in sql(where, "SELECT data FROM event ORDER BY seq")]
    fill(where, rows_of([*cast("list[e.Event]", old), *more])[len(old):])


def test_every_view_has_exactly_the_columns_that_it_documents(where: Layout) -> None:
    for view in views():
        with Board(where, view.name) as filled, Board(where) as lazy:
            for one in (filled, lazy):
                assert one.ask(f'SELECT * FROM "{view.name}"').columns == tuple(view.columns), view.name
        assert set(view.index) <= set(view.columns)
    assert "event" in board.EVENT["kind"] or set(board.EVENT) == set(answer(where, "SELECT * FROM event").columns)


def test_a_view_that_was_filled_says_what_the_same_view_says_unfilled() -> None:
    place = layout()
    fill(place, rows_of(a_story()))
    for view in views():
        with Board(place, view.name) as filled, Board(place) as lazy:
            wanted = f'SELECT * FROM "{view.name}" ORDER BY {"seq" if "seq" in view.columns else "1, 2"}'
            assert filled.ask(wanted).rows == lazy.ask(wanted).rows, view.name
        assert view.name in needed(f"select * from {view.name.upper()}")


def a_story() -> list[e.Event]:
    """Two tasks: one lands after an unevaluated check, a lost test, a lie and an approval; one fails twice on the same."""
    oid, tree = Oid("c" * 40), Oid("d" * 40)
    claim: dict[str, Any] = {"task": T1, "commit": oid, "claim": "tests", "run": RunId("R1")}
    return [
        e.TaskAdded(task=T1, repo=R, title="one", spec="do it", by="kim"), e.TaskAdded(task=T2, repo=R, title="two", spec="do it"),
        e.AttemptClaimed(task=T1, attempt=AttemptId("T1.1"), number=1, station="build", fence=1, agent="claude", base=oid),
        e.AttemptStarted(attempt=AttemptId("T1.1"), pid=1, ticks=1, boot="b", session="s", walls="strict"),
        e.AttemptSaid(attempt=AttemptId("T1.1"), n=1, kind="finished", text="all tests pass"),
        e.WorkImported(attempt=AttemptId("T1.1"), commit=oid, tree=tree, base=oid),
        e.AttemptAccepted(attempt=AttemptId("T1.1"), commit=oid),
        e.ClaimContradicted(attempt=AttemptId("T1.1"), asserted="I committed", observed="there is no commit"),
        e.RunPlanned(run=RunId("R1"), repo=R, task=T1, purpose="change", check="tests", definition=Digest("f" * 64),
                     commit=oid, tree=tree),
        e.RunFinished(run=RunId("R1"), result="unevaluated", because="timeout", cause="timeout", lost_tests=("t::a", "t::b"),
                      walls="strict", evidence=Digest("e" * 64)),
        e.ClaimJudged(**claim, status="unevaluated", because="timeout", walls="strict"),
        e.GateOpened(gate=GateId("G1"), task=T1, kind="unevaluated", question="?", options=()),
        e.GateAnswered(gate=GateId("G1"), option="run-again", by="kim"),
        e.ClaimJudged(**claim, status="refuted", because="1 failed", walls="strict"),
        e.ClaimJudged(**claim, status="proven", because="2 passed", walls="strict"),
        e.GateOpened(gate=GateId("G2"), task=T1, kind="review", question="?", options=(), risk="stop", commit=oid,
                     bound=Digest("b")),
        e.GateAnswered(gate=GateId("G2"), option="approve", by="kim", bound=Digest("b")),
        e.LandingPlanned(landing=L1, repo=R, task=T1, commit=oid, onto=oid, members=(e.Member(task=T1, commit=oid),)),
        e.LandingChecked(landing=L1, check="tests", result="pass", run=RunId("R1"), because="2 passed", walls="partial"),
        e.TargetMoved(landing=L1, old=oid, new=tree), e.TaskLanded(task=T1, commit=tree, landing=L1),
        e.UsageCounted(attempt=AttemptId("T1.1"), usd=0.5, metered="reported"),
        e.UsageCounted(attempt=AttemptId("T1.1"), usd=1.25, metered="reported"),
        *(event for n in (1, 2) for event in (
            e.AttemptClaimed(task=T2, attempt=AttemptId(f"T2.{n}"), number=n, station="build", fence=n + 1, agent="codex",
                             base=oid),
            e.AttemptFailed(attempt=AttemptId(f"T2.{n}"), failure="test", fingerprint="same", message="1 failed"))),
        e.RetryScheduled(task=T2, failure="test", fingerprint="same", packet="x"),
        e.TargetObserved(repo=R, oid=oid, tree=tree, by="start"), e.TargetObserved(repo=R, oid=tree, tree=tree, by="landing"),
        e.TargetObserved(repo=R, oid=Oid("a" * 40), tree=tree, by="person"),
        e.ProblemNoticed(key="k", what="odd"), e.ProblemCleared(key="k", by="kim"),
    ]


def rows(name: str, **given: str) -> list[dict[str, Any]]:
    """The rows of a saved question."""
    question = questions.named(layout(), name)
    found = answer(layout(), question.sql, questions.filled(question, given))
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def only(name: str, *columns: str, **given: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows(name, **given)]


def test_the_standing_questions_give_exactly_the_rows_of_a_known_story() -> None:
    fill(layout(), rows_of(a_story(), at=60_000))
    assert only("unevaluated", "task", "claim", "then_judged", "a_person_said", "outcome") == [
        ("T1", "tests", "refuted", "kim: run-again", "open")]
    assert only("lost-tests", "run", "task", "test") == [("R1", "T1", "t::a"), ("R1", "T1", "t::b")]
    assert only("contradicted", "attempt", "agent", "asserted", "observed") == [
        ("T1.1", "claude", "I committed", "there is no commit"), ("T1.1", "claude", "all tests pass", "tests: 1 failed")]
    assert only("approvals", "by", "task", "gate", "risk", "signed", "saw_exactly_this", "landing") == [
        ("kim", "T1", "G2", "stop", "no", 1, "L1")]
    assert only("approvals", "by", by="nobody") == []
    assert only("stop-class", "task", "by", "landed") == [("T1", "kim", "d" * 40)]
    assert only("landed-alone", "task") == [] and only("weak-walls", "task", "walls") == [("T1", "partial")]
    assert only("landed-cost", "task", "usd", "attempts", "unmetered") == [("T1", 1.25, 1, 0)]
    assert only("fingerprints", "fingerprint", "attempts", "retries", "tasks", "landed") == [("same", 2, 1, 1, 0)]
    assert only("foreign-commits", "from", "to") == [("d" * 40, "a" * 40)]
    assert only("gate-waits", "gate", kind="review", now="1970-01-01T00:05") == [("G2",)]
    assert only("waivers", "waiver") == only("loosened", "what") == only("reverted", "task") == []


def test_an_approval_is_signed_when_the_record_has_its_key_and_waivers_count_until_they_end() -> None:
    """Events of these kinds carry fields that this test writes as JSON: the views read them by name alone."""
    base = rows_of(a_story(), at=60_000)
    fill(layout(), base)
    gate = {"gate": "G2", "option": "approve", "by": "kim", "approver": {"name": "kim", "key": "SHA256:x"}, "approvals": ["e"]}
    given = {"repo": "shop", "rule": "tests", "paths": ["docs/**"], "because": "x", "by": "kim", "signature": "s"}
    raw: list[tuple[str, dict[str, Any]]] = [
        ("gate.answered", gate), *(("waiver.granted", {**given, "waiver": name, "until": until})
                                   for name, until in (("W1", 9_000_000), ("W2", 70_000), ("W3", 9_000_000))),
        ("waiver.ended", {"waiver": "W3", "because": "done", "by": "kim"}),
        ("gate.loosened", {"repo": "shop", "what": ["check lint is gone", "stop lost **/auth/**"], "landed": "T1"})]
    last = base[-1]
    for n, (kind, fields) in enumerate(raw, 1):
        data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
        last = chain(base[-1].seq + n, last.hash, 60_000, kind, 1, "", data)
        fill(layout(), [last])
    assert only("approvals", "by", "signed", "key") == [("kim", "yes", "SHA256:x")]
    assert only("waivers", "waiver", "scope", "signed", now="1970-01-01T00:02") == [("W1", '["docs/**"]', "yes")]
    assert only("loosened", "what", "brought_by", "approved_by", "signed") == [
        ("check lint is gone", "T1", "kim", "yes"), ("stop lost **/auth/**", "T1", "kim", "yes")]
    signed = answer(layout(), "SELECT kind FROM decisions WHERE by = 'kim' AND signed = 'yes'").rows
    assert Counter(kind for (kind,) in signed) == {"waiver.granted": 3, "gate.answered": 1}


def test_the_command_prints_tables_json_and_csv(capsys: Caps, where: Layout) -> None:
    ran = andon(capsys, "query", "SELECT task, title FROM tasks ORDER BY seq LIMIT 2")
    assert ran.code == 0 and ran.out.splitlines() == ["TASK  TITLE", "T1    Task 1", "T2    Task 2"]
    found = json.loads(andon(capsys, "query", "--json", "--param", "n=2", "SELECT seq, kind AS seq FROM event WHERE seq <= :n").out)
    assert found["rows"] == [{"seq": 1, "seq_2": "task.added"}, {"seq": 2, "seq_2": "task.added"}] and found["cut"] == ""
    told = andon(capsys, "query", "--csv", "SELECT 'a,\"b' AS x, NULL AS y, 1.5 AS z").out
    assert list(csv.reader(told.splitlines())) == [["x", "y", "z"], ['a,"b', "", "1.5"]]
    listed = json.loads(andon(capsys, "query", "--list", "--json").out)
    assert {one["name"] for one in listed} == set(questions.shipped())
    schema = json.loads(andon(capsys, "query", "--schema", "--json").out)
    assert {one["name"] for one in schema} == {"event", *(view.name for view in views())}


@pytest.mark.parametrize(("words", "says"), [
    ((), "what is asked?"), (("nope",), "no saved question `nope`"), (("approval",), "Did you mean `approvals`?"),
    (("approvals", "--param", "x=1"), "no parameter `x`"), (("approvals", "--param", "by"), "`by` is no parameter"),
    (("landed-alone", "--param", "since=soon"), "`soon` is no moment"), (("approvals", "--rows", "0"), "0 rows"),
    (("DELETE FROM event",), "Refused: writing"), (("SELECT :x",), "cannot be understood"),
])
def test_a_wrong_question_is_one_clear_error(capsys: Caps, where: Layout, words: tuple[str, ...], says: str) -> None:
    ran = andon(capsys, "query", *words)
    assert ran.code == 2 and says in ran.err and "mend:" in ran.err and not ran.out


def test_a_persons_own_questions_are_asked_and_never_replace_a_shipped_one(capsys: Caps, where: Layout) -> None:
    folder = questions.folder(where)
    folder.mkdir(parents=True)
    (folder / "first.sql").write_text("-- The first task\nSELECT task FROM tasks WHERE seq = :n\n")
    (folder / "aged.toml").write_text('title = "x"\nsql = "SELECT :since AS since"\n[params.since]\ntype = "moment"\n')
    (folder / "approvals.sql").write_text("SELECT 'mine'")
    (folder / "broken.toml").write_text("title = 3")
    (folder / "Not A Name.sql").write_text("SELECT 1")
    assert json.loads(andon(capsys, "query", "first", "--param", "n=1", "--json").out)["rows"] == [{"task": "T1"}]
    aged = andon(capsys, "query", "aged", "--param", "since=1970-01-02", "--json").out
    assert json.loads(aged)["rows"] == [{"since": 86_400_000}]
    assert "needs a value for `since`" in andon(capsys, "query", "aged").err
    assert "mine" not in andon(capsys, "query", "approvals").out
    listed = {one["name"]: one for one in json.loads(andon(capsys, "query", "--list", "--json").out) if one["where"]}
    assert set(listed) == {"first", "aged", "approvals", "broken"} and listed["first"]["title"] == "The first task"
    assert "shipped" in listed["approvals"]["hidden"] and "no question" in listed["broken"]["hidden"]
    assert "is no question" in andon(capsys, "query", "broken").err


def test_hostile_words_of_an_agent_reach_no_terminal(capsys: Caps) -> None:
    fill(layout(), rows_of([e.TaskAdded(task=T1, repo=R, title="\x1b]0;owned\x07\x1b[2J\u202eevil", spec="x")]))
    for words in ((), ("--csv",), ("--json",)):
        told = andon(capsys, "query", *words, "SELECT title, title AS t FROM tasks").out
        assert "\x1b" not in told and "\x07" not in told and "\u202e" not in told, words


def test_without_a_ledger_it_says_how_to_start(capsys: Caps) -> None:
    ran = andon(capsys, "query", "approvals")
    assert ran.code == 2 and "no ledger yet" in ran.err
