"""Cold doors: a verb loads only what it needs, and help needs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from andon.cli import codes
from andon.cli.verbs import GROUPS, VERBS
from andon.schema.layout import layout
from clikit import Caps, andon, andon_apart
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_shop, a_task

HEAVY = ("textual", "rich", "asyncio", "libtmux", "watchfiles", "hypothesis", "aiosqlite", "junitparser", "psutil")
HEAVY_SCRIPT = f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
MODULES_MOST = 160
"""Modules that `andon list` may load beyond a bare interpreter."""
OTHERS = ("demo",)
"""Verbs that another room speaks for."""


@pytest.mark.parametrize("name", [name for name in VERBS if name not in OTHERS])
def test_the_help_of_each_verb_loads_nothing_heavy_and_needs_no_daemon(name: str) -> None:
    ran = andon_apart(name, "--help", script=HEAVY_SCRIPT)
    assert ran.code == 0 and ran.out.startswith(f"usage: andon {name}"), ran.err
    assert "LOADED []" in ran.err


@pytest.mark.parametrize("words", [["list"], ["status"], ["show", "T1"], ["why", "T1"], ["gate", "ls"], ["gate", "show", "G1"],
                                   ["approve", "G1"], ["add", "x", "--repo", "shop"], ["wait", "T2"], ["log"], ["doctor"]])
def test_a_verb_that_runs_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    office = FakeOffice(*a_shop(str(tmp_path)), a_task(1), a_task(2, state="done"), a_gate(1))
    with FakeDaemon(layout(), office):
        ran = andon_apart(*words, script=HEAVY_SCRIPT)
    assert "LOADED []" in ran.err and "Traceback" not in ran.err, ran.err


def test_list_stays_a_small_program(tmp_path: Path) -> None:
    """Modules are what a cold start costs; milliseconds depend on the machine and are printed by the bench."""
    argv = [sys.executable, "-P", "-c", "import sys; print(len(sys.modules))"]
    bare = subprocess.run(argv, capture_output=True, text=True, check=True)
    with FakeDaemon(layout(), FakeOffice(*a_shop(str(tmp_path)), a_task(1))):
        ran = andon_apart("list", script="print('MODULES', len(sys.modules), file=sys.stderr)")
    assert int(ran.err.rpartition("MODULES ")[2]) - int(bare.stdout) < MODULES_MOST


def test_the_check_of_cold_doors_can_fail() -> None:
    assert "LOADED ['asyncio']" in andon_apart("version", script=f"import asyncio\n{HEAVY_SCRIPT}").err


def test_the_overview_lists_every_verb_by_group_and_loads_no_verb() -> None:
    script = "print('LOADED', [m for m in sys.modules if m.startswith(('andon', 'msgspec'))], file=sys.stderr)"
    ran = andon_apart("--help", script=script)
    assert ran.code == 0 and "LOADED ['andon', 'andon.cli', 'andon.cli.codes', 'andon.cli.verbs', 'andon.cli.main']" in ran.err
    for verb in VERBS.values():
        assert (f"  {verb.name} " in ran.out) == bool(verb.group)
    assert all(group in ran.out for group in GROUPS) and ran.out == andon_apart("help").out


@pytest.mark.parametrize(("typed", "meant"), [("lst", "list"), ("aprove", "approve"), ("agnets", "agents")])
def test_an_unknown_verb_names_the_nearest(capsys: Caps, typed: str, meant: str) -> None:
    ran = andon(capsys, typed)
    assert ran.code == codes.MISTAKE and f"`andon {meant}`" in ran.err


def test_exit_codes_are_documented_and_complete(capsys: Caps) -> None:
    told = andon(capsys, "help", "exit-codes").out
    values = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}
    assert {int(line.split()[0]) for line in told.splitlines() if line.strip()[:1].isdigit()} == values


def test_an_option_cannot_be_abbreviated_into_another_meaning(capsys: Caps) -> None:
    assert andon(capsys, "list", "--al").code == codes.MISTAKE


def test_interrupting_a_verb_is_130_and_quiet(tmp_path: Path) -> None:
    office = FakeOffice(*a_shop(str(tmp_path)), a_task(1))
    with FakeDaemon(layout(), office) as daemon:
        from support import wait_until
        process = subprocess.Popen([sys.executable, "-P", "-m", "andon.cli.main", "wait", "T1"], stderr=subprocess.PIPE, text=True)
        assert daemon.server is not None
        wait_until(lambda: any(client._subscribed for client in set(daemon.server._clients)), what="the subscription")  # type: ignore[union-attr]
        import signal
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == codes.INTERRUPTED and told == ""
