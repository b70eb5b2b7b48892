# ruff: noqa: ASYNC220 (starting a helper process takes a moment that no other task of a test needs)
"""Our tmux server: exact words in, pushed news out, no poll, and it outlives whoever started it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from andon.edges import jobs
from andon.edges.control import Control, quote
from andon.edges.tmux import News, PanesChanged, PaneSeen, ServerLost, Tmux, TmuxError, server_argv
from andon.schema.attach import attach_argv
from andon.schema.errors import Mistake
from andon.schema.jobs import Job
from andon.schema.layout import layout
from support import wait_for
from tmuxkit import end_server, private_tmux, server_pid

NASTY = [
    "plain", "", " ", "a b", "  lead and trail  ", "it's", '"double"', "'\"'\"'", "\\", "\\\\n", "a\\", "$HOME", "${HOME}", "$(id)",
    "`id`", "~", "~root", "#",
    "##", "#{session_name}", "#(id)", "#[fg=red]", ";", "a;", "a ; b", "\\;", "{", "}", "{ kill }", "%if",
    "%1", "-x", "--",
    "two\nlines", "\n", "\ttab\t", "\r", "\x01\x1b[31m\x7f", "é ü 漢字 🧵", "*?[a]", "=", "A=B", "!", "&&", "|", ">",
    "0", "\\101", "x" * 5000,
]
DUMP = "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ), os.getcwd()], open(sys.argv[1] + '.x', 'w'))"
DUMP += "; os.rename(sys.argv[1] + '.x', sys.argv[1])"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Tmux]:
    async with private_tmux(tmp_path / "f") as made:
        yield made


@contextlib.asynccontextmanager
async def watched(server: Tmux) -> AsyncIterator[list[News]]:
    news: list[News] = []
    server.subscribe(news.append)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        yield news
        running.cancel()


def told(news: list[News], name: str, holds: Callable[[PaneSeen], object]) -> bool:
    return any(isinstance(one, PanesChanged) and any(pane.name == name and holds(pane) for pane in one.panes) for one in news)


async def test_every_word_of_argv_env_and_cwd_arrives_exactly(server: Tmux, tmp_path: Path) -> None:
    out, cwd = tmp_path / "out", tmp_path / "a #{pid} 'dir' $x ü;"
    cwd.mkdir()
    env = {f"N{n}": word for n, word in enumerate(NASTY)}
    await server.new_session("T1_1", [sys.executable, "-c", DUMP, str(out), *NASTY], str(cwd), env)
    await wait_for(out.exists)
    argv, environ, where = json.loads(out.read_text())
    assert argv == NASTY
    assert {key: environ[key] for key in env} == env
    assert where == str(cwd)


async def test_a_single_word_is_a_program_and_never_a_shell_line(server: Tmux, tmp_path: Path) -> None:
    program = tmp_path / "a b; touch x"
    program.write_text(f"#!/bin/sh\necho ran > '{tmp_path}/out'\n")
    program.chmod(0o755)
    await server.new_session("T1_1", [str(program)], str(tmp_path), {})
    await wait_for((tmp_path / "out").exists)
    assert not (tmp_path / "x").exists()


async def test_quoted_words_survive_tmuxs_parser(server: Tmux) -> None:
    for word in NASTY:
        await server.command("set-option", "-g", "@word", word)
        if "\n" not in word:
            plain = [row for row in await server.command("show-options", "-gv", "@word") if row]
            assert plain == ([word] if word else []), word
    with pytest.raises(ValueError):
        quote("a\0b")


async def test_pasted_text_arrives_exactly_and_enter_follows(server: Tmux, tmp_path: Path) -> None:
    text = "\n".join(word for word in NASTY if not set(word) & set("\x01\x7f\r") and len(word) < 4000)
    await server.new_session("T1_1", ["sh", "-c", 'stty -echo; echo ready; cat > "$0"', str(tmp_path / "out")], "/", {})
    await wait_for(lambda: "ready" in screen(server, "T1_1"))
    await server.send_text("T1_1", text)
    await wait_for(lambda: (tmp_path / "out").read_text() == text + "\n", what="the whole text")


def screen(server: Tmux, name: str) -> str:
    argv = [*server_argv(server.layout), "capture-pane", "-p", "-t", f"={name}:"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


async def test_text_that_would_end_the_paste_is_refused(server: Tmux) -> None:
    await server.new_session("T1_1", ["cat"], "/", {})
    for text in ("a\x1b[201~rm", "a\x9b201~rm", "a\0b", "x" * (1024 * 1024 + 1)):
        with pytest.raises(Mistake, match="cannot be pasted"):
            await server.send_text("T1_1", text)
    assert list(server.layout.runtime.glob("*.paste")) == []


async def test_sending_to_a_session_that_ended_is_refused(server: Tmux) -> None:
    await server.new_session("T1_1", ["true"], "/", {})
    await wait_for(lambda: dead(server, "T1_1"))
    with pytest.raises(TmuxError):
        await server.send_text("T1_1", "hello")
    with pytest.raises(TmuxError):
        await server.send_text("T9_9", "hello")


async def ended_with(server: Tmux, name: str, status: int) -> bool:
    return (await server.sessions())[name].status == status


async def dead(server: Tmux, name: str) -> bool:
    return (await server.sessions())[name].dead


async def test_a_session_keeps_its_exit_status_and_its_last_screen(server: Tmux) -> None:
    await server.new_session("T1_1", ["sh", "-c", "printf '\\033[31mlast\\033[0m words'; exit 7"], "/", {})
    await wait_for(lambda: ended_with(server, "T1_1", 7))

    async def drawn() -> bool:
        return (await server.capture_text("T1_1")).strip() == "last words"

    await wait_for(drawn)  # tmux may draw what was printed a moment after it saw the exit
    assert await server.capture_text("T9_9") == ""


async def test_a_session_of_the_same_name_is_not_started_twice(server: Tmux, tmp_path: Path) -> None:
    command = ["sh", "-c", f"echo ran >> '{tmp_path}/ran'; cat"]
    first = await server.new_session("T1_1", command, "/", {})
    assert (await server.new_session("T1_1", command, "/", {})).pid == first.pid
    await wait_for(lambda: (tmp_path / "ran").exists() and (tmp_path / "ran").read_text())
    assert (tmp_path / "ran").read_text() == "ran\n"


async def test_only_sessions_with_our_marker_are_seen_and_killed(server: Tmux) -> None:
    await server.command("new-session", "-d", "-s", "mine", "cat")
    await server.command("new-session", "-d", "-s", "T1_1x", "cat")
    await server.new_session("T1_1", ["cat"], "/", {})
    assert set(await server.sessions()) == {"T1_1"}
    for name in ("mine", "hub"):
        with pytest.raises(AssertionError, match="marker"):
            await server.kill_session(name)
    await server.kill_session("T1")
    await server.kill_session("T1_1")
    await server.kill_session("T1_1")
    assert await server.command("list-sessions", "-F", "#{session_name}") == ["T1_1x", "hub", "mine"]


async def test_the_servers_settings_are_ours(server: Tmux) -> None:
    async def option(*words: str) -> str:
        return (await server.command("show-options", *words))[0]

    assert await option("-sv", "set-clipboard") == "off"
    assert await option("-gwv", "allow-passthrough") == "off"
    assert await option("-gwv", "remain-on-exit") == "on"
    assert await option("-sv", "exit-empty") == "off"
    assert await option("-gwv", "allow-rename") == "off"
    bound = " ".join([*await server.command("list-keys", "-T", "prefix"), *await server.command("list-keys", "-T", "root")])
    assert "detach-client" in bound
    assert not [word for word in ("kill", "split", "command-prompt", "menu", "respawn", "new-") if word in bound]


async def test_no_secret_of_the_daemons_environment_reaches_a_pane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    async with private_tmux(tmp_path / "f") as server:
        await server.new_session("T1_1", [sys.executable, "-c", DUMP, str(tmp_path / "out")], "/", {})
        await wait_for((tmp_path / "out").exists)
    assert "hunter2" not in (tmp_path / "out").read_text()


# --- news ------------------------------------------------------------------------------------------------------------


async def test_title_death_and_end_of_a_session_are_pushed(server: Tmux) -> None:
    async with watched(server) as news:
        await server.new_session("T1_1", ["sh", "-c", "printf '\\033]2;thinking\\007'; read x; exit 3"], "/", {})
        await wait_for(lambda: told(news, "T1_1", lambda pane: pane.title == "thinking" and pane.activity > 0 and not pane.dead))
        await server.send_text("T1_1", "go")
        await wait_for(lambda: told(news, "T1_1", lambda pane: pane.dead and pane.status == 3), what=str(news))
        await server.kill_session("T1_1")
        await wait_for(lambda: any(isinstance(one, PanesChanged) and one.gone == ("T1_1",) for one in news))


async def test_a_title_cannot_forge_the_record_of_another_session(server: Tmux) -> None:
    forged = "x T2_1 T2_1 %9 1 1 0  1 4 dead T1_1 T1_1 %0 1 1 9  1 1 y %end #{pid},é"
    async with watched(server) as news:
        await server.new_session("T1_1", ["sh", "-c", 'printf "\\033]2;%s\\007" "$0"; cat', forged], "/", {})
        await server.new_session("T2_1", ["cat"], "/", {})
        await wait_for(lambda: told(news, "T1_1", lambda pane: pane.title == forged))
        assert not told(news, "T2_1", lambda pane: pane.dead) and not told(news, "T1_1", lambda pane: pane.dead)
        seen = await server.sessions()
        assert seen["T1_1"].title == forged and set(seen) == {"T1_1", "T2_1"} and not seen["T2_1"].dead


async def test_silent_panes_cost_no_command_at_all(server: Tmux) -> None:
    async with watched(server) as news:
        for n in range(4):
            await server.new_session(f"T{n}_1", ["cat"], "/", {})
        await wait_for(lambda: all(told(news, f"T{n}_1", bool) for n in range(4)))
        before, heard = server.sent, len(news)
        await asyncio.sleep(3.0)  # the silence is what is tested
        assert (server.sent, len(news)) == (before, heard)


async def test_a_killed_connection_comes_back_with_its_subscription(server: Tmux) -> None:
    async with watched(server) as news:
        await server.new_session("T1_1", ["cat"], "/", {})
        await wait_for(lambda: told(news, "T1_1", bool))
        first = server.client_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await wait_for(lambda: server.client_pid not in (None, first))
        await server.new_session("T2_1", ["cat"], "/", {})
        await wait_for(lambda: told(news, "T2_1", bool))
        assert not any(isinstance(one, ServerLost) for one in news)


async def test_a_lost_server_is_told_once_and_ensure_brings_a_new_one(server: Tmux) -> None:
    async with watched(server) as news:
        await server.new_session("T1_1", ["cat"], "/", {})
        await wait_for(lambda: told(news, "T1_1", bool))
        end_server(server.layout)
        await wait_for(lambda: any(isinstance(one, ServerLost) for one in news))
        await server.ensure()
        assert await server.sessions() == {}
        await server.new_session("T2_1", ["cat"], "/", {})
        await wait_for(lambda: told(news, "T2_1", bool))
        assert sum(isinstance(one, ServerLost) for one in news) == 1


# --- life of the server ----------------------------------------------------------------------------------------------

STARTER = """
import asyncio, sys
from pathlib import Path
from andon.edges.tmux import Tmux
from andon.schema.layout import layout
async def main():
    server = Tmux(layout(Path(sys.argv[1])))
    await server.ensure()
    await server.new_session("T1_1", ["cat"], "/", {})
    print("started", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_the_server_outlives_the_kill_of_its_starter_and_is_adopted(tmp_path: Path) -> None:
    place = layout(tmp_path / "f")
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(place.home)], stdout=subprocess.PIPE, start_new_session=True)
    assert starter.stdout is not None and starter.stdout.readline() == b"started\n"
    pid = server_pid(place)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    async with private_tmux(place.home) as server:
        assert server_pid(place) == pid
        assert not (await server.sessions())["T1_1"].dead


async def test_closing_ends_our_client_and_nothing_else(server: Tmux) -> None:
    await server.new_session("T1_1", ["cat"], "/", {})
    pid = server_pid(server.layout)
    await server.close()
    assert server.client_pid is None and server_pid(server.layout) == pid
    assert set(await server.sessions()) == {"T1_1"}, "and it connects again when asked"


async def test_two_who_start_at_once_share_one_server(tmp_path: Path) -> None:
    one, two = Tmux(layout(tmp_path / "f")), Tmux(layout(tmp_path / "f"))
    try:
        await asyncio.gather(one.ensure(), two.ensure())
        await one.new_session("T1_1", ["cat"], "/", {})
        assert set(await two.sessions()) == {"T1_1"}
    finally:
        await one.close()
        await two.close()
        end_server(one.layout)


@pytest.mark.parametrize(("version", "words"), [("tmux 3.1c", "too old"), ("tmux 2.9", "too old")])
async def test_a_tmux_that_is_too_old_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, words: str
) -> None:
    fake = tmp_path / "bin" / "tmux"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho {version}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(Mistake, match=words) as caught:
        await Tmux(layout(tmp_path / "f")).ensure()
    assert "3.2" in caught.value.problem.mend and caught.value.problem.where == str(fake)


async def test_a_missing_tmux_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Mistake, match="not installed"):
        await Tmux(layout(tmp_path / "f")).ensure()


async def test_an_answer_that_holds_protocol_lines_of_another_block_stays_one_answer(server: Tmux) -> None:
    text = "%end 1 1 1\n%error 1 1 1\n%begin 1 2 1\n%exit\n%output %0 x"
    await server.command("set-buffer", "-b", "x", text)
    assert await server.command("show-buffer", "-b", "x") == text.split("\n")
    assert await server.command("display-message", "-p", "after") == ["after"]


async def test_a_refusal_in_a_sequence_raises_and_later_commands_are_not_run(server: Tmux) -> None:
    control = await Control.open(server_argv(server.layout), "=hub", "no-output", lambda kind, rest: None, lambda: None)
    with pytest.raises(TmuxError, match="can't find session"):
        await control.sequence(("display-message", "-p", "1"), ("kill-session", "-t", "=none"), ("set-option", "-g", "@ran", "yes"))
    assert await control.command("show-options", "-gqv", "@ran") == []
    answers = await asyncio.gather(*(control.command("display-message", "-p", str(n)) for n in range(50)))
    assert answers == [[str(n)] for n in range(50)]
    await control.close()


async def test_a_job_in_a_pane_has_the_terminal_and_is_stopped_from_outside(server: Tmux, tmp_path: Path) -> None:
    job = tmp_path / "job"
    asks = "import os, sys; print('foreground', os.tcgetpgrp(0) == os.getpgrp() != os.getsid(0), flush=True); sys.stdin.read()"
    jobs.write_job(job, Job(name="j", argv=(sys.executable, "-c", asks), cwd="/", env={"PATH": os.environ["PATH"]}))
    await server.new_session("T1_1", jobs.shim_argv(job), "/", {})
    assert isinstance(await jobs.await_start(job), jobs.Running)
    await wait_for(lambda: "foreground True" in screen(server, "T1_1"))
    seen = await jobs.stop(job)
    assert isinstance(seen, jobs.Ended) and seen.exit.because == "stopped"
    await wait_for(lambda: dead(server, "T1_1"))


async def test_a_job_whose_terminal_goes_away_is_ended(server: Tmux, tmp_path: Path) -> None:
    job = tmp_path / "job"
    env = {"PATH": os.environ["PATH"]}
    jobs.write_job(job, Job(name="j", argv=("sh", "-c", "trap '' HUP; sleep 600"), cwd="/", env=env, grace_s=0.2))
    await server.new_session("T1_1", jobs.shim_argv(job), "/", {})
    await jobs.await_start(job)
    await server.kill_session("T1_1")
    seen = await jobs.wait(job)
    assert isinstance(seen, jobs.Ended) and seen.exit.because == "stopped"


def test_the_attach_command_joins_from_inside_another_tmux(tmp_path: Path) -> None:
    argv = attach_argv(layout(tmp_path), "T1_1")
    assert argv[:3] == ["env", "-u", "TMUX"] and argv[-2:] == ["-t", "=T1_1"] and str(tmp_path / "run/tmux.sock") in argv
