"""`andon forget`: a stored secret leaves every view, answer and export, and what can be changed; it is never printed."""

import asyncio
import getpass
import json
import os
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import SimpleNamespace

import pytest

from andon.client import connect
from andon.edges import withheld
from andon.edges.blobs import Blobs
from andon.edges.store import Store
from andon.forgetting import forget
from andon.ledger_reader import verify_log
from andon.schema import events as e
from andon.schema.errors import Mistake
from andon.schema.ids import Digest, RepoId, TaskId
from andon.schema.layout import Layout, layout
from clikit import Caps, andon
from fakeoffice import FakeDaemon, FakeOffice, a_task

VALUE = "Tr0ub4dor&3 \"quoted\""
"""With what JSON and URLs spell otherwise."""


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withheld, "_kept", withheld._Kept())
    monkeypatch.setattr(withheld, "LOOK_S", 0.0)


def stored() -> tuple[Layout, Digest, Path]:
    """A factory that kept the value in its ledger, in a blob, and in a session's raw lines."""
    place = layout()

    async def write() -> None:
        store = await Store.open(place)
        try:
            await store.load()
            for n, title in enumerate((f"use {VALUE} there", "other"), 1):
                await store.append([e.TaskAdded(task=TaskId(f"T{n}"), repo=RepoId("shop"), title=title, spec="x", by="ann")], n)
        finally:
            await store.close()
    asyncio.run(write())
    digest = Blobs(place).put(f"log\n{VALUE}\nend".encode())
    file = place.job("T1.1") / "hooks.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"said": VALUE}) + "\n{}\n")
    return place, digest, file


def typed(monkeypatch: pytest.MonkeyPatch, value: str) -> list[str]:
    """A person at a terminal who types this when asked without echo; the questions."""
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return value
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(getpass, "getpass", ask)
    return asked


def test_a_secret_is_asked_for_without_echo_and_leaves_what_can_be_changed(capsys: Caps, monkeypatch: pytest.MonkeyPatch) -> None:
    place, digest, file = stored()
    size = file.stat().st_size
    assert VALUE in andon(capsys, "log").out, "it is there to begin with"
    asked = typed(monkeypatch, VALUE)
    ran = andon(capsys, "forget")
    assert ran.code == 0 and len(asked) == 1
    assert "1 blob" in ran.out and "1 event of the ledger (1)" in ran.out and "jobs/T1.1/hooks.jsonl" in ran.out
    for part in (VALUE, VALUE[:6], "quoted"):
        assert part not in ran.out + ran.err
    assert file.stat().st_size == size and json.loads(file.read_text().splitlines()[0]) == {"said": "x" * (len(VALUE) + 2)}
    with pytest.raises(Mistake, match="forgotten at a person's wish"):
        Blobs(place).get(digest)
    assert VALUE.encode() not in place.blob(digest).read_bytes() and json.loads(place.blob(digest).read_bytes())["blob"] == digest
    assert VALUE.encode() not in (place.home / withheld.FILE).read_bytes()
    assert verify_log(place) is None, "the ledger is as it was"


def test_what_the_ledger_still_holds_is_withheld_from_the_log_and_from_the_export(capsys: Caps) -> None:
    place, _, _ = stored()
    forget(place, VALUE.encode())
    told, exported = andon(capsys, "log").out, andon(capsys, "log", "--json").out
    assert "Tr0ub4dor" not in told + exported and "[secret withheld: forgotten]" in told
    first, second = map(json.loads, exported.splitlines())
    assert first["data"]["title"] == "use [secret withheld: forgotten] there" and second["andonprev"] == first["andonhash"]


def test_a_running_daemon_withholds_it_from_then_on_in_answers_that_it_already_had(tmp_path: Path) -> None:
    place = layout()
    with FakeDaemon(place, FakeOffice(a_task(title=f"use {VALUE}"))), connect(place) as client:
        withheld.keep(place.home)
        assert "Tr0ub4dor" in repr(client.views())
        forget(place, VALUE.encode())
        assert "Tr0ub4dor" not in repr(client.views()) and "withheld" in repr(client.views())


def test_a_secret_on_the_command_line_is_refused_and_not_repeated(capsys: Caps) -> None:
    ran = andon(capsys, "forget", VALUE)
    assert ran.code != 0 and "Tr0ub4dor" not in ran.out + ran.err and "history" in ran.err


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_it_comes_from_a_file_or_a_pipe_too(capsys: Caps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    place, _, _ = stored()
    (tmp_path / "key").write_text(VALUE + "\n")
    words = ["--file", str(tmp_path / "key")] if way == "file" else []
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(VALUE.encode() + b"\n")))
    ran = andon(capsys, "forget", "--json", *words)
    assert ran.code == 0 and len(json.loads(ran.out)["blobs"]) == 1 and "Tr0ub4dor" not in ran.out
    again = andon(capsys, "forget", "--json", "--file", str(tmp_path / "key"))
    assert again.code == 0 and json.loads(again.out)["blobs"] == [] and json.loads(again.out)["events"] == [1]
    assert len(withheld.read_list(place.home).values) == len(set(withheld.read_list(place.home).values))


def test_one_that_stands_nowhere_says_so_and_is_withheld_all_the_same(capsys: Caps, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, _ = stored()
    typed(monkeypatch, "never-seen-before-1")
    ran = andon(capsys, "forget")
    assert ran.code == 1 and "nowhere" in ran.out
    withheld.keep(place.home)
    assert withheld.text("never-seen-before-1") == "[secret withheld: forgotten]"


@pytest.mark.parametrize(("value", "why"), [(b"short", "too short"), (b"", "too short"), (b"x" * 20_000, "more than")])
def test_a_value_that_cannot_be_known_again_is_refused(value: bytes, why: str) -> None:
    place, _, _ = stored()
    with pytest.raises(Mistake, match=why):
        forget(place, value)
    assert not (place.home / withheld.FILE).exists()


def test_a_link_a_second_name_and_a_pipe_in_a_job_are_not_written_through(tmp_path: Path) -> None:
    place, _, file = stored()
    mine = tmp_path / "mine"
    mine.write_text(VALUE)
    (file.parent / "link").symlink_to(mine)
    (file.parent / "way").symlink_to(tmp_path)
    os.link(mine, file.parent / "hard")
    os.mkfifo(file.parent / "pipe")
    done = forget(place, VALUE.encode())
    assert mine.read_text() == VALUE and done.files == ("jobs/T1.1/hooks.jsonl",)
    assert [name.partition(":")[0] for name in done.left] == ["jobs/T1.1/hard"]
