"""Process trees of sessions: the agent, its work and its helpers told apart; strays found by their marker; nobody else's."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from andon.edges import process
from andon.edges.tree import Look, Root, Trees
from andon.schema.ids import AttemptId
from support import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
ONE, TWO = AttemptId("T1.1"), AttemptId("T2.1")
Starts = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def started() -> Iterator[Starts]:
    """Starts a process that ends with the test, its whole group with it."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                                        env={**os.environ, **(env or {})}))
        return running[-1]

    yield start
    for one in running:
        if one.poll() is None:
            os.killpg(one.pid, 9)
        one.wait(10)
        for pipe in (one.stdin, one.stdout):
            if pipe:
                pipe.close()


def root(attempt: AttemptId, shim: subprocess.Popen[bytes], *names: str, program: str = "") -> Root:
    ticks = process.start_ticks(shim.pid)
    assert ticks is not None
    return Root(attempt=attempt, pid=shim.pid, ticks=ticks, names=names, program=program, marker=str(attempt))


def script(folder: Path, name: str, text: str) -> Path:
    """An executable of this name."""
    file = folder / name
    file.write_text(f"#!{sys.executable} -IS\n{text}\n")
    file.chmod(0o755)
    return file


SHIM = "import subprocess, sys\nchild = subprocess.Popen(sys.argv[1:])\nprint(child.pid, flush=True)\nsys.stdin.read()"


def shim_of(started: Starts, *argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A parent that stays, with this command as its child."""
    made = started(sys.executable, "-IS", "-c", SHIM, *argv, env=env)
    assert made.stdout is not None and made.stdout.readline()
    return made


def until(trees: Trees, wanted: Root, condition: Callable[[Look], object]) -> Look:
    """Look until it is so."""
    last: list[Look] = []

    def look() -> object:
        last[:] = [trees.look([wanted], int(time.time() * 1000))[wanted.attempt]]
        return condition(last[0])

    wait_until(look, what="the tree to look so")
    return last[0]


def test_the_agent_is_told_from_its_wrapper_and_from_its_work(tmp_path: Path, started: Starts) -> None:
    work = script(tmp_path, "compiler", "while True: pass")
    agent = script(tmp_path, "claude", f"import subprocess, time\nsubprocess.Popen([{str(work)!r}])\ntime.sleep(60)")
    shim, trees = shim_of(started, "sh", "-c", f"{agent}; sleep 60"), Trees()
    seen = until(trees, root(ONE, shim, "claude"), lambda look: look.agent and look.tree.commands == ("compiler",))
    assert seen.tree.alive and seen.tree.children == 1 and seen.tree.wrapper
    later = until(trees, root(ONE, shim, "claude"), lambda look: look.tree.child_cpu_s > seen.tree.child_cpu_s + 0.1)
    assert later.tree.cpu_s >= later.tree.child_cpu_s


def test_an_agent_whose_wrapper_stands_is_seen_to_be_gone_only_after_it_was_once_there(
    tmp_path: Path, started: Starts,
) -> None:
    agent = script(tmp_path, "claude", "import time\ntime.sleep(60)")
    shim, trees = shim_of(started, "sh", "-c", f"{agent}; sleep 60"), Trees()
    seen = until(trees, root(ONE, shim, "claude"), lambda look: look.agent is not None)
    assert seen.agent is not None and seen.tree.alive
    assert until(Trees(), root(ONE, shim, "codex"), lambda look: True).tree.alive  # a name that never matched proves nothing
    process.tell(*seen.agent, 9)
    gone = until(trees, root(ONE, shim, "claude"), lambda look: not look.tree.alive)
    assert gone.tree.wrapper and gone.agent is None


def test_a_command_agent_is_the_program_that_its_job_names(started: Starts) -> None:
    shim, trees = shim_of(started, "sh", "-c", "sleep 60 & sleep 60"), Trees()
    seen = until(trees, root(ONE, shim, program="sh"), lambda look: look.tree.commands == ("sleep",))
    assert seen.tree.alive and seen.tree.children == 2


def test_cpu_of_children_that_are_gone_still_counts_and_never_shrinks(
    tmp_path: Path, started: Starts,
) -> None:
    burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    text = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {burn!r}])\ntime.sleep(60)"
    agent = script(tmp_path, "claude", text)
    shim, trees = shim_of(started, str(agent)), Trees()
    seen = until(trees, root(ONE, shim, "claude"), lambda look: look.tree.child_cpu_s >= 0.25 and look.tree.children == 0)
    assert until(trees, root(ONE, shim, "claude"), lambda look: True).tree.child_cpu_s >= seen.tree.child_cpu_s


def test_a_stray_is_found_by_its_marker_and_nobody_elses_process_is(
    tmp_path: Path, started: Starts,
) -> None:
    shim = shim_of(started, "sleep", "60")
    started("sleep", "61", env={process.MARKER: str(ONE)})
    started("sleep", "62", env={process.MARKER: "T9.9"})
    started("sleep", "63", env={process.MARKER: "T1.1x"})
    seen = until(Trees(), root(ONE, shim, program="sleep"), lambda look: look.tree.children >= 1)
    assert seen.tree.children == 1


def test_our_own_programs_in_a_session_are_not_its_work(tmp_path: Path, started: Starts) -> None:
    (tmp_path / "andon_agents").mkdir()
    hook = tmp_path / "andon_agents" / "hook.py"
    hook.write_text("import time; time.sleep(60)")
    text = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-I', '-S', {str(hook)!r}, 'x'])\n"
    agent = script(tmp_path, "claude", text + "subprocess.Popen(['sleep', '60'])\ntime.sleep(60)")
    shim, trees = shim_of(started, str(agent)), Trees()
    seen = until(trees, root(ONE, shim, "claude"), lambda look: "sleep" in look.tree.commands)
    assert seen.tree.children == 1


def test_connections_are_counted_only_when_asked(tmp_path: Path, started: Starts) -> None:
    text = ("import socket, time\na = socket.create_server(('127.0.0.1', 0))\nb = socket.create_connection(a.getsockname())\n"
            "c, _ = a.accept()\ntime.sleep(60)")
    shim, trees = shim_of(started, str(script(tmp_path, "claude", text))), Trees()
    wanted = root(ONE, shim, "claude")
    wait_until(lambda: trees.look([wanted], 1, {ONE})[ONE].tree.network == 2, what="both ends")
    assert trees.look([wanted], 1)[ONE].tree.network == -1


def test_one_pass_serves_all_sessions_and_one_that_is_gone_is_nothing(started: Starts) -> None:
    trees, shims = Trees(), [shim_of(started, "sleep", "60") for _ in range(2)]
    gone = Root(attempt=AttemptId("T3.1"), pid=shims[0].pid, ticks=1, program="sleep")
    found = trees.look([root(ONE, shims[0], program="sleep"), root(TWO, shims[1], program="sleep"), gone], 1)
    assert [look.tree.alive for look in found.values()] == [True, True, False] and trees.passes == 1
    assert not found[gone.attempt].tree.wrapper


async def test_the_kernel_tells_of_an_agents_end(started: Starts) -> None:
    from support import wait_for

    one, two = started("sleep", "60"), started("sleep", "60")
    told: list[int] = []
    first, second = process.start_ticks(one.pid), process.start_ticks(two.pid)
    assert first and second
    assert process.on_gone(one.pid, first, lambda: told.append(1)) is not None
    leave = process.on_gone(two.pid, second, lambda: told.append(2))
    assert leave is not None
    leave()
    process.on_gone(two.pid, 1, lambda: told.append(3))  # another process had this pid
    one.kill()
    two.kill()
    await wait_for(lambda: sorted(told) == [1, 3])
