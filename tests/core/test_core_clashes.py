"""Live changes that meet: told when it is news, taken back when it is over, and bounded."""

import pytest

from andon.core.evolve import replay
from andon.core.queue.facts import KEPT_CLASHES
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import RepoId, TaskId
from core.playbook import Given, like, nothing
from core.queueworld import QueueWorld, R
from core.sim import oid

T1, T2, T3 = TaskId("T1"), TaskId("T2"), TaskId("T3")
HUNK = e.Hunk(path="src/a.py", line=7, count=2)


def clash(one: TaskId = T1, other: TaskId = T2, **changes: object) -> i.Clash:
    fields = {"kind": "hot", "hunks": (HUNK,), "heads": (oid(one), oid(other)), **changes}
    return i.Clash(one=one, other=other, **fields)  # type: ignore[arg-type]  # the fields are its own


def seen(*clashes: i.Clash, compared: tuple[TaskId, ...] = (T1, T2, T3)) -> i.ClashesSeen:
    return i.ClashesSeen(repo=R, compared=compared, clashes=clashes)


def world() -> QueueWorld:
    """Three changes in work."""
    made = QueueWorld(1)
    for _ in range(3):
        made.add()
    return made


def known(made: QueueWorld) -> list[tuple[str, str]]:
    return [(meeting.one, meeting.other) for meeting in made.state.repos[R].queue.meetings]


def test_a_clash_is_told_once_and_again_only_when_its_kind_or_its_places_are_others() -> None:
    made = world()
    assert (
        Given.after(made)
        >> seen(clash()) << like(e.ClashSeen, one="T1", other="T2", kind="hot", hunks=(HUNK,), heads=(oid(T1), oid(T2)))
        >> seen(clash()) << nothing
        >> seen(clash(heads=(oid("newer"), oid(T2)))) << nothing
        >> seen(clash(kind="soft")) << like(e.ClashSeen, kind="soft")
        >> seen(clash(kind="soft", hunks=())) << like(e.ClashSeen, hunks=())
    )


def test_a_clash_is_over_when_both_were_compared_and_it_was_not_seen() -> None:
    made = world()
    made.give(seen(clash(), clash(T2, T3)))
    assert Given.after(made) >> seen(compared=(T1, T3)) << nothing, "T2 was not looked at"
    assert Given.after(made) >> seen(clash(T2, T3)) << e.ClashGone(repo=R, one=T1, other=T2)
    made.give(seen(clash(T2, T3)))
    assert known(made) == [("T2", "T3")]


@pytest.mark.parametrize("end", ["landed", "cancelled"])
def test_a_clash_ends_with_either_of_its_changes(end: str) -> None:
    made = world()
    made.give(seen(clash(), clash(T2, T3)))
    if end == "cancelled":
        made.give(i.CancelTask(task=T2, by="me"))
    else:
        made.rest()
    assert not known(made)
    assert {(event.one, event.other) for event in made.events(e.ClashGone)} == {("T1", "T2"), ("T2", "T3")}


def test_a_clash_with_what_is_over_or_unknown_is_not_told() -> None:
    made = world()
    made.give(i.CancelTask(task=T3, by="me"))
    assert Given.after(made) >> seen(clash(T1, T3), clash(T1, TaskId("T9"))) << nothing
    assert Given.after(made) >> i.ClashesSeen(repo=RepoId("nowhere"), compared=(T1,), clashes=(clash(),)) << nothing


def test_since_when_two_meet_is_kept_while_the_places_change() -> None:
    made = world()
    made.give(seen(clash()))
    first = made.now
    made.now += 60_000
    made.give(seen(clash(hunks=(e.Hunk(path="src/b.py"),))))
    assert made.state.repos[R].queue.meetings[0].since == first
    made.give(seen(clash(kind="soft")))
    assert made.state.repos[R].queue.meetings[0].since == made.now, "another kind is another matter"


def test_places_and_pairs_are_bounded() -> None:
    made = world()
    made.give(seen(clash(hunks=tuple(e.Hunk(path=f"src/{n}.py") for n in range(60)))))
    assert len(made.events(e.ClashSeen)[0].hunks) == 20
    state = made.state
    for n in range(KEPT_CLASHES + 10):
        told = e.ClashSeen(repo=R, one=T1, other=TaskId(f"X{n}"), kind="soft", heads=(oid(1), oid(n)))
        state = replay(state, [e.Recorded(seq=1, at=1, event=told, prev="", hash="")])
    assert len(state.repos[R].queue.meetings) == KEPT_CLASHES


def test_both_tasks_have_it_in_their_history_and_the_log_gives_the_same() -> None:
    made = world()
    made.give(seen(clash()))
    seq = next(row.seq for row in made.log if isinstance(row.event, e.ClashSeen))
    assert seq in made.task("T1").history and seq in made.task("T2").history and seq not in made.task("T3").history
    assert replay(State(), made.log) == made.state


def test_a_forecast_keeps_nobody_from_landing() -> None:
    made = QueueWorld(1)
    made.queue_up(3)
    made.give(seen(clash()))
    assert made.proofs() == [["T1", "T2", "T3"]], "what git can merge is proved together"
    made.rest()
    assert made.landed_tasks() == ["T1", "T2", "T3"]


def test_changes_found_not_to_merge_never_stand_in_one_proof_until_the_target_is_anothers() -> None:
    made = QueueWorld(1, conflicts=(("T2", "T4"),), slots=2)
    made.queue_up(5)
    made.do(f.MergeCandidate, landing="L2")
    made.rest()
    later = made.proofs()[2:]
    assert later and not any({"T2", "T4"} <= set(members) for members in later)
    assert made.sent_back("conflict") == ["T4"]
    other = QueueWorld(1, conflicts=(("T2", "T4"),))
    other.queue_up(4)
    other.do(f.MergeCandidate)
    assert len(other.state.repos[R].queue.clashing) == 1
    other.outsider()
    assert not other.state.repos[R].queue.clashing, "on another target they may merge"
    other.rest()
    assert other.sent_back("conflict") == ["T4"]
