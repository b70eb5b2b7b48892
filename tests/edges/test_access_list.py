"""The list of what an attempt tried: of all its sittings while they are there, else of what the ledger remembers."""

from pathlib import Path

import msgspec
import pytest

from andon.access import Ear, bounds_of, listed
from andon.core.state import Refusal, State
from andon.edges import tried
from andon.edges.tried import Tally
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId
from andon.schema.jobs import WALLS, Walls
from andon.schema.layout import Layout, layout
from andon.schema.sandbox import BY_ITSELF, Access, Bind, Sandbox
from andon.schema.signals import ToolBegan

A = AttemptId("T1.1")


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = layout(tmp_path / "state")
    made.job(A).mkdir(parents=True)
    return made


def line(what: str, **more: object) -> Access:
    given: dict[str, object] = {"at": 1, "kind": "host", "what": what, "allowed": False, "rule": "not listed", **more}
    return Access(**given)  # type: ignore[arg-type] # fields of Access


def news(tally: Tally) -> dict[str, int]:
    tally.read()
    return {one.what: one.times for one in tally.take()}


def test_a_tally_counts_what_was_refused_by_its_sign_and_gives_only_what_is_new(place: Layout) -> None:
    tally = Tally(A, place.job(A))
    tried.add(place.job(A), [line("a:443"), line("b:443", allowed=True), line("~/.ssh/x", kind="read", sign="~/.ssh"),
                              line("~/.ssh/y", kind="read", sign="~/.ssh", times=3), line("/x", kind="read", sign="-")])
    assert news(tally) == {"a:443": 1, "~/.ssh": 4} and news(tally) == {}
    tried.add(place.job(A), [line("a:443", times=9)])
    assert news(tally) == {"a:443": 10}


def test_a_host_that_the_program_asks_for_by_itself_is_told_only_when_it_is_asked_for_again_and_again(place: Layout) -> None:
    tally = Tally(A, place.job(A))
    tried.add(place.job(A), [line("updates.example:443", rule=BY_ITSELF, times=tried.OFTEN)])
    assert news(tally) == {}
    tried.add(place.job(A), [line("updates.example:443", rule=BY_ITSELF)])
    assert news(tally) == {"updates.example:443": tried.OFTEN + 1}


def test_the_list_is_of_all_sittings_one_row_a_thing_and_says_what_is_not_seen(place: Layout) -> None:
    earlier = place.jobs / "T1.1~1"
    earlier.mkdir()
    tried.add(earlier, [line("a:443", at=5, times=2)])
    tried.add(place.job(A), [line("a:443", at=9), line("b:443", at=7, allowed=True, rule="andon.toml")])
    (place.job(A) / WALLS).write_bytes(msgspec.json.encode(Walls(level="strict", told=("Memory is limited.",))))
    told = listed(State(), place, A)
    assert [(row.what, row.times, row.at) for row in told.rows] == [("a:443", 3, 5), ("b:443", 1, 7)]
    assert (told.kept, told.level) == ("files", "strict") and told.notes[0] == "Memory is limited." and "Not seen" in told.notes[1]


def test_where_the_job_is_gone_the_ledger_is_told_from_and_says_so(place: Layout) -> None:
    place.job(A).rmdir()
    kept = Refusal(kind="host", what="a:443", rule="not listed", times=10, at=3)
    state = msgspec.structs.replace(State(), refusals=State().refusals.set(A, (kept,)))
    told = listed(state, place, A)
    assert [(row.what, row.times, row.allowed) for row in told.rows] == [("a:443", 10, False)] and told.kept == "ledger"
    assert "its job directory is gone" in told.notes[0].lower()
    with pytest.raises(Mistake, match="nothing is known"):
        listed(State(), place, AttemptId("T9.9"))


def test_odd_lines_and_links_are_left_alone_and_a_full_file_takes_no_more(place: Layout, tmp_path: Path) -> None:
    file = place.job(A) / "access.jsonl"
    file.write_bytes(b"not json\n{}\n" + msgspec.json.encode(line("a:443")) + b"\n" + b'{"at":"x"}\n')
    assert [row.what for row in listed(State(), place, A).rows] == ["a:443"]
    file.write_bytes(b"x" * tried.FULL + b"\n")
    tried.add(place.job(A), [line("b:443")])
    assert file.stat().st_size == tried.FULL + 1
    file.unlink()
    (tmp_path / "prey").write_text("")
    file.symlink_to(tmp_path / "prey")
    tried.add(place.job(A), [line("b:443")])
    assert (tmp_path / "prey").read_text() == "" and listed(State(), place, A).rows == ()


def test_secrets_in_what_was_tried_are_not_shown(place: Layout) -> None:
    tried.add(place.job(A), [line("/x/sk-ant-api03-" + "Ab3dEf6hIj9" * 8, kind="read")])
    assert "Ab3dEf6hIj9Ab3" not in str(listed(State(), place, A).rows)


def test_a_path_that_a_tool_was_given_is_written_down_once_also_by_the_next_daemon(place: Layout) -> None:
    box = Sandbox(level="strict", binds=(Bind(source="/c", write=True),))
    asked = ToolBegan(at=7, source="hook", call="c", name="Write", target="/srv/planted")
    for _ in range(2):
        tally = Tally(A, place.job(A))
        tally.read()
        Ear(tally, place.job(A), bounds_of(place, A, "/c", box)).hear([asked, asked])
    (row,) = listed(State(), place, A).rows
    assert (row.kind, row.what, row.allowed, row.times, row.at) == ("write", "/srv/planted", False, 1, 7)
