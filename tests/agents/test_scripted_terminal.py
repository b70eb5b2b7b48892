"""The scripted agent at a real terminal: spinner, title, typed answers, Ctrl-C; light at its start and while it waits."""

import re
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentkit import Stage, Terminal

THINK = '[[step]]\nthink = "Pondering"\nseconds = 60\n[[step]]\nsay = "Next step"\n'


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def seats() -> Iterator[list[Terminal]]:
    """Terminals, closed at the end."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def sit(stage: Stage, scenario: str, seats: list[Terminal], **more: str) -> Terminal:
    terminal = Terminal(stage.argv(scenario), stage.checkout, stage.env(**more))
    seats.append(terminal)
    return terminal


def test_the_spinner_turns_and_the_title_turns_with_it(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, THINK, seats, ANDON_SCRIPTED_SPEED="40")
    shown = terminal.read_until("Next step")
    assert terminal.end() == 0
    assert len(set(re.findall("([⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]) Pondering… \\(\\d+s · esc to interrupt\\)", shown))) >= 8
    assert len(set(re.findall("\x1b]2;([⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]) T3\x07", shown))) >= 8


def test_the_spinner_draws_ten_frames_a_second_and_each_in_one_write(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, THINK, seats, ANDON_SCRIPTED_SPEED="40")
    terminal.read_until("Pondering")
    started = time.monotonic()
    shown = terminal.read_until("Next step")
    frames = shown.count("Pondering…")
    assert frames <= 10 * (time.monotonic() - started) + 3
    assert len(shown) < 400 * frames


def test_over_a_pipe_there_is_no_escape_at_all(stage: Stage) -> None:
    assert "\x1b" not in stage.play("proper").stdout


def test_a_question_is_answered_at_the_keyboard(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, "ask", seats)
    terminal.read_until("☐ Shall the note be long or short?")
    terminal.read_until("\x1b]2;? T3\x07")
    terminal.type("\n")
    terminal.type("long\n")
    terminal.read_until("Done as asked: long")
    assert terminal.end() == 0
    assert "It was to be long" in (stage.checkout / "notes/T3.md").read_text()


def test_ctrl_c_interrupts_the_step_and_a_typed_line_goes_on(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, THINK, seats, ANDON_SCRIPTED_SPEED="1")
    terminal.read_until("Pondering")
    terminal.type("\x03")
    terminal.read_until("Interrupted · what should I do instead?")
    assert b"Next step" not in terminal.output
    terminal.type("go on\n")
    terminal.read_until("Next step")
    assert terminal.end() == 0


def test_ctrl_c_twice_ends_the_agent_with_130(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, THINK, seats, ANDON_SCRIPTED_SPEED="1")
    terminal.read_until("Pondering")
    terminal.type("\x03")
    terminal.read_until("Interrupted")
    terminal.read_until("\u276f")
    terminal.type("\x03")
    assert terminal.end() == 130


def test_ctrl_c_ends_the_command_that_runs(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, '[[step]]\nrun = "echo $$ > ../pid; exec sleep 60"\n', seats)
    terminal.read_until("Running…")
    terminal.type("\x03")
    terminal.read_until("Interrupted")
    assert not psutil.pid_exists(int((stage.folder / "pid").read_text()))


def test_sigint_over_a_pipe_ends_the_agent_with_130(stage: Stage) -> None:
    with stage.started(THINK, ANDON_SCRIPTED_SPEED="1") as agent:
        assert agent.stdout is not None
        while b"Pondering" not in agent.stdout.readline():
            pass
        agent.send_signal(signal.SIGINT)
        assert agent.wait(10) == 130


def test_a_line_that_is_typed_while_it_works_is_acknowledged(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, THINK, seats, ANDON_SCRIPTED_SPEED="40")
    terminal.read_until("Pondering")
    terminal.type("mind the tests\n")
    terminal.read_until("\u276f mind the tests")
    terminal.read_until("● Noted.")
    assert terminal.end() == 0


def test_an_idle_agent_sits_at_its_prompt_until_a_line_is_typed(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, "idle", seats)
    terminal.read_until("● Done")
    terminal.read_until("\u276f")
    assert [said.kind for said in stage.said()] == ["finished"]
    terminal.type("exit\n")
    assert terminal.end() == 0


def test_a_closed_terminal_ends_the_agent(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, "hang", seats)
    terminal.read_until("Pondering")
    psutil.Process(terminal.pid).send_signal(signal.SIGHUP)
    assert terminal.end() == -signal.SIGHUP


def test_output_that_nobody_reads_ends_the_agent_quietly(stage: Stage) -> None:
    with stage.started("[[step]]\nflood = 50\n") as agent:
        assert agent.stdout is not None
        agent.stdout.close()
        assert agent.wait(20) == 128 + signal.SIGPIPE


def test_a_start_costs_little_processor_time(stage: Stage) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    rounds = 5
    for _ in range(rounds):
        stage.play("nothing")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    each = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / rounds
    assert each < 0.2, f"{each * 1000:.0f} ms of processor time"


def test_the_start_loads_no_heavy_module(stage: Stage) -> None:
    argv = stage.argv("nothing")
    done = subprocess.run([*argv[:2], "-X", "importtime", *argv[2:]], cwd=stage.checkout, env=stage.env(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "msgspec" in loaded
    assert not loaded & {"asyncio", "psutil", "textual", "argparse", "importlib.metadata", "platformdirs", "andon.schema.events"}


def test_a_turning_spinner_costs_next_to_nothing(stage: Stage, seats: list[Terminal]) -> None:
    terminal = sit(stage, "hang", seats)
    terminal.read_until("Pondering")
    process = psutil.Process(terminal.pid)
    before, started = sum(process.cpu_times()[:2]), time.monotonic()
    terminal.read_until("Pondering", times=terminal.output.count(b"Pondering") + 15)
    used = sum(process.cpu_times()[:2]) - before
    assert used / (time.monotonic() - started) < 0.05
