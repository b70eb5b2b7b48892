"""Notes and claims by command line: hostile words do no harm in any field, and bad input gets a clear error."""

import pytest

from andon.cli import notes, show_claim
from andon.schema import wire
from andon.schema.evidence_views import Evidence, EvidenceFile
from andon.schema.ids import AttemptId, Digest, Oid, RepoId, RunId, TaskId
from andon.schema.notes import Attached, Effort, NoteRecord
from factory_on_paper import HOSTILE

BAD = ("\x1b", "\x9b", "\x00", "\u202e", "\u200b", "\x07", "\U000e0041")


def harmless(text: str) -> None:
    assert text and not [sign for sign in BAD if sign in text]


def test_evidence_with_hostile_words_in_every_field_prints_harmless_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_claim.tell(Evidence(
        task=TaskId("T1"), repo=RepoId("r"), claim=HOSTILE, status=HOSTILE, because=HOSTILE, run=RunId("R1"), at=1, kind=HOSTILE,
        commit=Oid(HOSTILE), tree=Oid(HOSTILE), result=HOSTILE, definition=Digest(HOSTILE), command=HOSTILE, exit=1, milliseconds=5,
        passed=1, failing=(HOSTILE,) * 30, lost=(HOSTILE,), environment=((HOSTILE, HOSTILE),), checkout=HOSTILE, isolation=HOSTILE,
        asked=HOSTILE, keys=(HOSTILE,), role=HOSTILE, again=f"{HOSTILE}\n{HOSTILE}", notes=(HOSTILE,),
        files=(EvidenceFile(name=HOSTILE, digest=Digest(HOSTILE)),),
    ))
    told = capsys.readouterr().out
    harmless(told)
    assert "10 more names" in told and "not in the store" in told


@pytest.mark.parametrize("deed", ["show", "repair", "sync"])
def test_notes_with_hostile_words_in_every_field_print_harmless_lines(deed: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = NoteRecord(
        version=1, task=TaskId(HOSTILE), attempt=AttemptId(HOSTILE), change=Oid(HOSTILE), repo=RepoId(HOSTILE), commit=Oid(HOSTILE),
        at=5, title=HOSTILE, spec=Digest(HOSTILE), agent=HOSTILE, model=HOSTILE, walls=HOSTILE, bundle=HOSTILE, policy=HOSTILE,
        summary=HOSTILE, tools={HOSTILE: 3}, transcript=Digest(HOSTILE), effort=Effort(turns=1), withheld=2,
    )
    one = Attached(commit=Oid("ab" * 20), state="ambiguous", tasks=(HOSTILE,), by=HOSTILE, lacks=(HOSTILE,), restored=(HOSTILE,),
                   subject=HOSTILE)
    notes.tell(wire.NotesAre(found=(one,), records=(record,), refs=(HOSTILE,), looked=3, beyond=1, notes=(HOSTILE,)), deed)
    said = capsys.readouterr()
    harmless(said.out + said.err)
    assert "ambiguous" in said.out or "could be any of these" in said.out
