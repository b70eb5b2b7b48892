"""The broker of logins at work: it wakes when the kernel says so, tells a problem and its end, and no agent keeps it busy."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import andon.logins as broker
from andon.edges import login_files
from andon.logins import Logins, settle
from andon.schema import events as e, inputs as i
from andon.schema.ids import AttemptId, RepoId
from andon.schema.layout import Layout
from andon.schema.settings import AgentSettings, Settings
from support import wait_for

NAME = ".agent/auth.json"


def login(n: int) -> str:
    """A login in its n-th life."""
    return json.dumps({"oauth": {"access": f"access-{n:05}", "refresh": f"refresh-{n:05}", "expires": 1_800_000_000_000 + n}})


class Desk:
    """What the broker sees of the loop: a state, and who takes its inputs."""

    def __init__(self, top: Path, *, write_back: bool = True) -> None:
        self.layout = Layout(home=top / "factory", runtime=top / "run", config=top / "config")
        self.layout.home.mkdir()
        self.mine = top / "person" / "auth.json"
        self.mine.parent.mkdir()
        self.mine.write_text(login(1))
        agent = AgentSettings(name="a", use="x", login="copy", write_back=write_back)
        repo = SimpleNamespace(is_trusted=True, settings=SimpleNamespace(agents={"a": agent}))
        self.state = SimpleNamespace(repos={RepoId("r"): repo}, attempts={}, problems={})
        self.given: list[i.Input] = []
        self.give = self.given.append

    def lend(self, name: str) -> Path:
        """A session begins; its copy."""
        attempt = AttemptId(name)
        home, job = self.layout.session_home(attempt), self.layout.job(attempt)
        (home / NAME).parent.mkdir(parents=True)
        job.mkdir(parents=True)
        (home / NAME).write_bytes(self.mine.read_bytes())
        login_files.note(self.layout, job, home, ((NAME, str(self.mine)),))
        self.state.attempts[attempt] = SimpleNamespace(attempt=attempt, repo=RepoId("r"), agent="a", phase="running")
        return home / NAME

    def of(self, kind: type) -> list[i.Input]:
        return [one for one in self.given if isinstance(one, kind)]


@contextlib.asynccontextmanager
async def living(desk: Desk) -> AsyncIterator[Logins]:
    made = Logins(desk.layout, desk)  # type: ignore[arg-type] # of a loop it needs no more
    task = asyncio.ensure_future(made.run())
    try:
        await wait_for(lambda: made.looks or not desk.state.attempts, what="its first look")
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def replace(place: Path, text: str) -> None:
    """As programs do: aside, then renamed."""
    aside = place.with_suffix(".new")
    aside.write_text(text)
    aside.rename(place)


async def test_nothing_is_looked_at_while_nothing_changes_and_a_change_is_seen_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    one, other = desk.lend("T1.1"), desk.lend("T2.1")
    async with living(desk) as made:
        await asyncio.sleep(0.5)  # the time in which nothing may happen
        calm = made.looks
        await asyncio.sleep(0.3)
        assert made.looks == calm
        replace(one, login(2))
        await wait_for(lambda: desk.mine.read_text() == other.read_text() == login(2), what="the renewed login everywhere")


async def test_a_file_that_is_written_in_place_and_a_later_session_are_followed_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    one = desk.lend("T1.1")
    async with living(desk) as made:
        later = desk.lend("T2.1")
        made.recorded([e.AttemptStarted(attempt=AttemptId("T2.1"), pid=1, ticks=1, boot="b", session="s")])
        looks = made.looks
        await wait_for(lambda: made.looks > looks, what="the new session")
        later.write_text(login(3))
        await wait_for(lambda: desk.mine.read_text() == one.read_text() == login(3), what="the renewed login everywhere")


async def test_what_a_session_renewed_in_its_last_moment_still_comes_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    one = desk.lend("T1.1")
    async with living(desk) as made:
        desk.state.attempts[AttemptId("T1.1")].phase = "ended"
        replace(one, login(2))
        made.recorded([e.AttemptExited(attempt=AttemptId("T1.1"), code=0)])
        await wait_for(lambda: desk.mine.read_text() == login(2), what="the renewed login")


async def test_a_lost_refresh_is_told_until_the_person_has_another_login(tmp_path: Path) -> None:
    desk = Desk(tmp_path, write_back=False)
    one = desk.lend("T1.1")
    async with living(desk) as made:
        replace(one, login(2))
        await wait_for(lambda: desk.of(i.TroubleSeen), what="the problem")
        desk.state.attempts[AttemptId("T1.1")].phase = "ended"
        made.recorded([e.AttemptExited(attempt=AttemptId("T1.1"), code=0)])
        desk.lend("T2.1")
        made.recorded([e.AttemptStarted(attempt=AttemptId("T2.1"), pid=1, ticks=1, boot="b", session="s")])
        looks = made.looks
        await wait_for(lambda: made.looks > looks, what="another session")
        assert not desk.of(i.TroubleGone) and desk.mine.read_text() == login(1)
        replace(desk.mine, login(7))
        await wait_for(lambda: desk.of(i.TroubleGone), what="the end of the problem")


async def test_an_agent_that_changes_its_copy_for_ever_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "MOVES", 3)
    desk = Desk(tmp_path)
    one = desk.lend("T1.1")
    async with living(desk):
        for n in range(2, 5):
            replace(one, login(n))
            await wait_for(lambda n=n: len(desk.of(i.LoginMoved)) == n - 1, what=f"life {n}")
        replace(one, login(9))
        await wait_for(lambda: desk.of(i.TroubleSeen), what="the problem")
        assert desk.mine.read_text() == login(4) and len(desk.of(i.LoginMoved)) == 3


async def test_consent_that_is_taken_back_counts_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    one = desk.lend("T1.1")
    async with living(desk):
        desk.state.repos[RepoId("r")].is_trusted = False
        replace(one, login(2))
        await wait_for(lambda: desk.of(i.TroubleSeen), what="the problem")
        assert desk.mine.read_text() == login(1)


async def test_a_file_that_is_half_written_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path)
    one = desk.lend("T1.1")
    seen: list[broker.Found] = []

    def watched(*given: Any) -> broker.Found:
        seen.append(settle(*given))
        return seen[-1]

    monkeypatch.setattr(broker, "settle", watched)
    async with living(desk):
        whole = login(2)
        one.write_text(whole[:20])
        await wait_for(lambda: seen and seen[-1].told, what="a look in the middle")
        one.write_text(whole)
        await wait_for(lambda: desk.mine.read_text() == whole, what="the renewed login")
    assert not desk.of(i.TroubleSeen)


def test_writing_back_is_a_part_of_what_a_person_trusts() -> None:
    with_it, without = (Settings(agents={"a": AgentSettings(name="a", use="codex", login="copy", write_back=on)}).commands()
                        for on in (True, False))
    assert with_it == ("agent a: codex login=copy write_back=yes",) and without == ("agent a: codex login=copy",)
