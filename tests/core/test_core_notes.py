"""Notes of landed changes are owed until they stand, are tried again, and tell a person what could not be settled."""

import msgspec
import pytest

from andon.core.evolve import replay
from andon.core.folds.notes import KEPT_OWED, KEPT_REPAIRS
from andon.core.image import freeze, thaw
from andon.core.pending import pending
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, Digest, LandingId, Oid, RepoId, TaskId
from andon.schema.notes import Attached, NoteRecord, Talk
from andon.schema.sentences import sentence
from andon.schema.settings import ProvenanceSettings
from core.sim import Sim, oid

R = RepoId("r0")
RECORD = NoteRecord(version=1, task=TaskId("T9"), change=Oid("c"), repo=R, commit=Oid("m"), landing=LandingId("L1"))
NOTES = ProvenanceSettings(notes=("andon", "ai"))


def landed(tasks: int = 1) -> Sim:
    """A factory whose first change has landed and has no notes yet."""
    sim = Sim(provenance=NOTES)
    for n in range(tasks):
        sim.add(f"task {n}")
    sim.until(f.WriteNotes)
    return sim


def owed(sim: Sim, kind: type[f.Effect] = f.WriteNotes) -> list[f.Effect]:
    return [effect for effect in pending(sim.state, sim.now) if isinstance(effect, kind)]


def test_a_change_that_landed_is_owed_its_notes_with_what_the_factory_knew_then() -> None:
    sim = landed()
    [effect] = owed(sim)
    assert isinstance(effect, f.WriteNotes) and effect.refs == ("andon", "ai") and effect.key == f"T1/notes/{effect.record.commit}"
    record = effect.record
    moved = sim.events(e.TargetMoved)[0]
    assert (record.task, record.attempt, record.change, record.commit) == ("T1", "T1.1", oid("c", "T1.1"), moved.new)
    assert record.before == moved.old and record.landing == "L1" and record.title == "task 0" and record.agent == "default"
    assert len(record.spec) == 64 and record.at and record.version == 1


def test_they_are_owed_over_a_restart_and_once_they_stand_no_more() -> None:
    sim = landed()
    state = thaw(freeze(sim.state))
    assert state is not None and pending(state, sim.now) == pending(sim.state, sim.now)
    sim.do(f.WriteNotes)
    assert not owed(sim) and [event.written for event in sim.events(e.NotesWritten)] == [("refs/notes/andon",)]
    again = i.NotesWritten(task=TaskId("T1"), commit=sim.events(e.NotesWritten)[0].commit)
    assert not sim.give(again), "told twice it is told once"


def test_where_the_settings_name_no_notes_nothing_is_owed_and_old_logs_owe_nothing() -> None:
    sim = Sim()
    sim.add("a task")
    sim.run()
    assert sim.task().outcome == "done" and "notes.planned" not in sim.kinds() and not owed(sim)


def test_a_snapshot_of_a_release_without_notes_is_read() -> None:
    image = msgspec.json.decode(freeze(State()))
    del image["notes"]
    assert thaw(msgspec.json.encode(image)) == State()


def test_notes_that_fail_are_tried_again_after_a_wait_and_then_told_though_their_task_is_over() -> None:
    sim = landed()
    sim.do(f.MirrorTarget)
    for _ in range(30):
        found = owed(sim)
        if found:
            sim.fail(found[0], R)
        sim.now += 400_000
        sim.give(i.Ticked())
        if sim.state.problems:
            break
    assert list(sim.state.problems) == [f"effect:{R}"] and sim.task().outcome == "done"
    sim.now += 4_000_000
    sim.do(f.WriteNotes)
    assert not sim.state.problems and not owed(sim)


def test_a_note_that_cannot_be_looked_through_is_a_problem_at_once_and_does_not_spin() -> None:
    sim = landed()
    told = Problem(what="the notes of T1 could not be looked through for secrets", where=R, mend="nothing was written")
    sim.give(i.EffectFailed(key="k", kind="write-notes", subject=R, problem=told, transient=False))
    assert [problem.what for problem in sim.state.problems.values()] == [told.what] and not owed(sim)


def test_a_target_that_somebody_else_moved_is_looked_through_once() -> None:
    sim = landed()
    sim.do(f.WriteNotes)
    trunk = sim.state.repos[R].trunk
    sim.give(i.TargetSeen(repo=R, oid=oid("by hand"), tree=oid("tree")))
    [effect] = owed(sim, f.RepairNotes)
    assert isinstance(effect, f.RepairNotes) and (effect.old, effect.new) == (trunk, oid("by hand"))
    sim.do(f.RepairNotes)
    assert not owed(sim, f.RepairNotes) and not sim.state.problems


def test_a_commit_that_could_be_two_changes_is_told_until_it_is_settled() -> None:
    sim = landed()
    vague = Attached(commit=oid("copy"), state="ambiguous", tasks=("T1", "T2"), by="patch-id")
    sim.give(i.NotesRepaired(repo=R, found=(vague,), looked=4))
    [problem] = sim.state.problems.values()
    assert "fits T1, T2 alike" in problem.what and "andon notes show" in problem.mend
    sim.give(i.NotesRepaired(repo=R, old=oid("a"), new=oid("b"), looked=4))
    assert not sim.state.problems


def test_a_record_that_only_a_note_holds_comes_into_the_ledger_and_one_of_ours_does_not() -> None:
    sim = landed()
    ours = NoteRecord(version=1, task=TaskId("T1"), change=oid("x"), repo=R, commit=oid("y"))
    theirs = msgspec.structs.replace(ours, task=TaskId("T77"))
    events = sim.give(i.NotesRepaired(repo=R, records=((oid("y"), ours), (oid("y"), theirs))))
    assert [event.record.task for event in events if isinstance(event, e.NoteFound)] == ["T77"]


def test_a_transcript_that_was_kept_is_named_by_the_note() -> None:
    sim = Sim(provenance=NOTES)
    sim.add("a task")
    sim.until(f.ImportWork)
    talk = Talk(transcript=Digest("7a" * 32), bytes=9000, tools={"Edit": 2}, withheld=3)
    kept = i.ConversationKept(attempt=AttemptId("T1.1"), talk=talk)
    assert [e.kind_of(event) for event in sim.give(kept)] == ["conversation.kept"] and not sim.give(kept)
    effect = sim.until(f.WriteNotes)
    assert (effect.record.transcript, effect.record.tools, effect.record.withheld) == (talk.transcript, {"Edit": 2}, 3)


@pytest.mark.parametrize("count", [KEPT_OWED + 3])
def test_what_is_owed_is_bounded(count: int) -> None:
    sim = landed()
    rows = []
    for n in range(count):
        record = NoteRecord(version=1, task=TaskId(f"T{n}"), change=Oid("c"), repo=R, commit=Oid("m"))
        rows.append(e.NotesPlanned(task=record.task, refs=("andon",), record=record))
    state = replay(sim.state, [e.Recorded(seq=n, at=1, event=event, prev="", hash="") for n, event in enumerate(rows)])
    assert len(state.notes.owed) == KEPT_OWED and len(list(pending(state, sim.now))) < 60
    for n in range(KEPT_REPAIRS + 5):
        sim.give(i.TargetSeen(repo=R, oid=oid("hand", n), tree=oid("tree", n)))
    assert len(sim.state.notes.repairs) == KEPT_REPAIRS


@pytest.mark.parametrize("event", [
    e.ConversationKept(attempt=AttemptId("T1.1"), talk=Talk(bytes=5, withheld=1)),
    e.NotesWritten(task=TaskId("T1"), commit=Oid("ab" * 20)), e.NotesWritten(task=TaskId("T1"), commit=Oid("ab" * 20), kept=("x",)),
    e.NotesRepaired(repo=R, looked=3, beyond=2, found=(Attached(commit=Oid("ab"), state="ambiguous"),)),
    e.NoteFound(repo=R, commit=Oid("ab"), record=RECORD), e.NotesPlanned(task=TaskId("T9"), refs=("andon",), record=RECORD),
])
def test_each_event_is_one_plain_sentence(event: e.AnyEvent) -> None:
    told = sentence(event)
    assert told and "\n" not in told and told != e.kind_of(event)
