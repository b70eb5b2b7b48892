"""Each place where words of others come in, by itself: no secret gets past it, and nothing that a terminal would obey."""

import asyncio
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from andon.edges.channels import Channels
from andon.edges.check import tail_of
from andon.edges.pane import PaneWatch, _without_secrets, cleaned
from andon.edges.report import judge, judge_exit
from andon.edges.reports.sarif import sarif_line
from andon.edges.tmux import _records
from andon.office import WITHHELD, Office, need_plain
from andon.schema import inputs as i, wire
from andon.schema.agent import SessionFacts
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, GateId, RepoId
from andon.schema.jobs import Exit
from andon.schema.layout import layout
from andon.schema.redact import COMPRESSED, PROVIDERS, Redactor, values_of
from andon.schema.settings import Check, Settings
from andon.schema.signals import Line
from support import wait_for

TOKEN = "ghp_" + "A7" * 18
HOSTILE = "\x1b]52;c;eA==\x07\x1b[2J\x9b2J\u202etxt"
CHECK = Check(name="tests", run="x", report="junit")


# --- screens -------------------------------------------------------------------------------------------------------------------


def test_rows_of_a_live_pane_come_clean_and_keep_their_colours(tmp_path: Path) -> None:
    watch = PaneWatch(layout(tmp_path), AttemptId("T1.1"), lambda _: None)
    rows = [f"\x1b[31mred\x1b[0m {HOSTILE}end", f"key {TOKEN}", "tab\there"]
    shown = watch._picture(rows, 200, 3, None, alive=True).rows
    assert shown == ("\x1b[31mred\x1b[0m txtend", "key " + "•" * len(TOKEN), "tab here")


def test_a_secret_over_two_rows_is_dotted_out_in_a_live_pane() -> None:
    shown = _without_secrets([f"\x1b[1m{TOKEN[:20]}", TOKEN[20:], "\x1b[32m ok"], 20)
    assert shown == ["•" * 20, "•" * len(TOKEN[20:]), "\x1b[32m ok"]


def test_glances_come_clean_and_without_secrets() -> None:
    assert cleaned([f"a{HOSTILE}b", f"key {TOKEN}", "", " "]) == ("atxtb", "key " + "•" * len(TOKEN))


def test_a_title_comes_clean() -> None:
    title = f"t{HOSTILE}\nitle".encode()
    record = b"T1_1 T1_1 %1 42 0   5 " + str(len(title)).encode() + b" " + title + b" "
    (seen,) = _records(record)
    assert seen.title == "ttxt itle"


# --- checks and reports ---------------------------------------------------------------------------------------------------------


def test_words_of_a_check_come_without_secrets(tmp_path: Path) -> None:
    case = '<testcase classname="c" name="{0}"><failure message="m">{0}</failure></testcase>'
    (tmp_path / "r").write_text(f'<testsuite name="q" tests="1" failures="1">{case.format(f"key {TOKEN}")}</testsuite>')
    verdict = judge(CHECK, Exit(code=1), tmp_path / "r")
    assert TOKEN not in repr(verdict) and "secret withheld" in verdict.told and "secret withheld" in verdict.failing[0]
    (tmp_path / "r").write_text(f"<{TOKEN}")
    assert TOKEN not in repr(judge(CHECK, Exit(code=1), tmp_path / "r"))
    missing = judge_exit(CHECK, Exit(code=127, because="not-started", error=f"{TOKEN}{HOSTILE}: not found"))
    assert missing is not None and TOKEN not in missing.because and "\x1b" not in missing.because and "not found" in missing.because
    line = sarif_line({"ruleId": "X", "message": {"text": f"found {TOKEN}{HOSTILE}"}})
    assert TOKEN not in line and "\x1b" not in line and "secret withheld" in line
    assert TOKEN not in tail_of("", f"log {TOKEN}".encode()) and "\x1b" not in tail_of("", HOSTILE.encode())


# --- channels -------------------------------------------------------------------------------------------------------------------


class Talks:
    """A channel of an agent's that says one line."""

    async def lines(self) -> AsyncIterator[Line]:
        yield Line(at=1, source="api", data=msgspec.Raw(msgspec.json.encode({"text": f"use {TOKEN}"})))
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        return None


async def test_lines_of_a_channel_reach_disk_and_reader_without_secrets(tmp_path: Path) -> None:
    heard: list[Line] = []
    async with asyncio.TaskGroup() as group:
        channels = Channels(group, lambda attempt, line: heard.append(line))
        facts = SessionFacts(attempt=AttemptId("T1.1"), job=tmp_path, **_rest())  # type: ignore[arg-type]  # what nobody reads here
        reading = group.create_task(channels._read(facts, Talks()))  # type: ignore[arg-type]  # as much of a channel as is read
        await wait_for(lambda: heard)
        reading.cancel()
    assert TOKEN not in bytes(heard[0].data).decode() and "secret withheld" in bytes(heard[0].data).decode()
    assert TOKEN.encode() not in (tmp_path / "channel.jsonl").read_bytes()


def _rest() -> dict[str, object]:
    """What else a session's facts need."""
    given = {"attempt", "job"}
    needed = [field for field in msgspec.structs.fields(SessionFacts) if field.required and field.name not in given]
    return {field.name: Path("/nowhere") if "Path" in str(field.type) else "" for field in needed}


# --- a person's own words ---------------------------------------------------------------------------------------------------------


class Looks:
    """Who looks at answers: nobody signed this one."""

    async def looked(self, answer: i.AnswerGate) -> i.AnswerGate:
        return answer


class Takes:
    """As much of the loop as a command needs."""

    def __init__(self) -> None:
        self.asked: list[i.Input] = []

    async def ask(self, given: i.Input) -> list[object]:
        self.asked.append(given)
        return []

    def publish_now(self) -> None:
        return None


async def test_a_persons_words_are_kept_without_secrets_and_the_answer_says_so() -> None:
    office, loop = Office.__new__(Office), Takes()
    office._loop, office.witness = loop, Looks()  # type: ignore[assignment]  # as much of them as a command needs
    told = await office.do(i.AnswerGate(gate=GateId("G1"), option="answer", because=f"take {TOKEN}"))
    assert isinstance(told, wire.Done) and WITHHELD in told.text and TOKEN not in repr(loop.asked)
    plain = i.PullCord(repo=RepoId("shop"), line="build", because="lunch")
    told = await office.do(plain)
    assert loop.asked[-1] is plain and isinstance(told, wire.Done) and told.text == ""


def test_settings_with_a_secret_are_a_mistake_that_does_not_tell_it() -> None:
    need_plain(Settings(), "andon.toml")
    with pytest.raises(Mistake, match="hold a secret") as refused:
        need_plain(Settings(target=TOKEN), "andon.toml")
    assert TOKEN not in str(refused.value)


# --- what cannot be looked through ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"])
def test_every_packed_form_is_withheld_whole(head: bytes) -> None:
    assert Redactor().data(head + b"rest of it").startswith(b"[withheld: it cannot be looked through")
    assert len(COMPRESSED) == 6


def test_a_secret_in_an_archive_does_not_slip_through() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("key", TOKEN)
    assert Redactor().data(packed.getvalue()).startswith(b"[withheld")


@pytest.mark.parametrize("name", [
    "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "CLAUDE_CODE_OAUTH_TOKEN", "DATABASE_URL", "REDIS_URL", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"])
def test_what_providers_read_is_a_secret_whatever_its_name_says(name: str) -> None:
    assert values_of({name: "value-of-it-1"}) == ("value-of-it-1",) and name in PROVIDERS
