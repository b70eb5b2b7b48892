"""`andon demo`: a factory of its own on a sample project, on the screen or as plain lines; then every tick is re-checked."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from andon.cli import codes, demo_operator, out
from andon.cli.demo_driver import Driver
from andon.cli.demo_recheck import recheck
from andon.client import Client, connect
from andon.schema import inputs, wire
from andon.schema.errors import Mistake
from andon.schema.ids import RepoId, TaskId
from andon.schema.layout import Layout, layout

EXAMPLES = """\
  andon demo                 on the screen: watch, answer gates, look into everything
  andon demo --no-tui        the same as plain lines
  andon demo --bundled       without asking the package index
"""
SETTINGS = "[admission]\nload_per_core = 0\nfree_memory_mb = 0\n"
"""The demo's own person: its agents weigh next to nothing, so a busy machine need not hold them back."""
LINGER_S = 20.0
"""How long the screen stays when everything is over and nobody closes it."""


class DemoTaskSpec(NamedTuple):
    """A task of the demo, ready to be added."""

    title: str
    spec: str
    after: tuple[str, ...]
    paths: tuple[str, ...]
    role: str
    agent: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where, and how to watch."""
    parser.add_argument("--no-tui", action="store_true", help="plain lines instead of the screen; gates are answered for you")
    parser.add_argument("--bundled", action="store_true", help="use the bundled project; ask no package index")
    parser.add_argument("--dir", type=Path, help="where to make it (default: a new directory in the user's cache)")
    parser.add_argument("--patience", type=float, default=40.0, metavar="S",
                        help="on the screen: seconds that a gate waits for you before the demo answers it (default: 40)")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the scripted agents act (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Make it, run it, watch it, check it again, clean up the processes."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, leave)
    needs()
    place = where(args.dir)
    os.environ["ANDON_HOME"] = str(place / "factory")
    os.environ["ANDON_CONFIG_HOME"] = str(place / "config")
    home = layout(place / "factory")
    (place / "config").mkdir(exist_ok=True)
    (place / "config" / "andon.toml").write_text(SETTINGS + demo_operator.make(place / "config"))
    repo, specs = make_repository(place, bundled=args.bundled, speed=args.speed)
    plain = args.no_tui or not (sys.stdout.isatty() and sys.stdin.isatty())
    try:
        with connect(home, start=True) as client:
            driver = Driver(home, patience=2.0 if plain else args.patience, tell=say if plain else None)
            driver.tasks = add_tasks(client, repo, specs)
            say(f"{len(driver.tasks)} tasks are on the line; scripted agents go to work {within(client)}")
            watch(driver, home, plain=plain)
        good = recheck(home, repo, driver)
        say(f"from nothing to here: {time.monotonic() - began:.0f} s")
        return codes.OK if good else codes.NOT_SO
    finally:
        end(home)
        say(f"look around: ANDON_HOME={home.home} andon log      the repository: {repo}")


def leave(_number: int, _frame: FrameType | None) -> None:
    """Told to end: what the demo started ends with it."""
    raise SystemExit(128 + signal.SIGTERM)


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


def needs() -> None:
    """git, tmux and pytest, or a clear word."""
    for tool in ("git", "tmux"):
        if shutil.which(tool) is None:
            raise Mistake(f"{tool} is not installed", where="PATH", mend=f"install {tool} with your system's package manager")
    probe = subprocess.run((sys.executable, "-c", "import pytest"), capture_output=True, check=False)
    if probe.returncode:
        raise Mistake("pytest is not installed beside andon; the sample project's checks need it", where=sys.executable,
                      mend=f"{sys.executable} -m pip install pytest")


def where(wanted: Path | None) -> Path:
    """A new directory for this demo."""
    if wanted is not None:
        place = wanted.expanduser().absolute()
        if place.exists() and any(place.iterdir()):
            raise Mistake(f"{place} is not empty", where="--dir", mend="name a directory that does not exist yet")
    else:
        from platformdirs import user_cache_path

        place = user_cache_path("andon") / "demo" / time.strftime("%Y%m%d-%H%M%S")
        number = 1
        while place.exists():
            number += 1
            place = place.with_name(f"{place.name.split('_')[0]}_{number}")
    place.mkdir(parents=True, mode=0o700, exist_ok=True)
    return place


def make_repository(place: Path, *, bundled: bool, speed: float) -> tuple[Path, dict[str, DemoTaskSpec]]:
    """A real git repository of a real project with its settings committed, and its tasks with their specs."""
    from andon_agents.demo.fetch import bundled_project, fetch_project
    from andon_agents.demo.plan import andon_toml, demo_tasks, write_scenarios

    repo = place / "project"
    repo.mkdir()
    say("getting a sample project …")
    project = bundled_project(repo) if bundled else fetch_project(repo)
    say(f"{project.name} {project.version}: {project.because}")
    toml = andon_toml(project, sys.executable, place / "scenarios")
    if speed != 1.0:
        for name in ("scripted", "sitter"):
            toml = toml.replace(f'use = "{name}"', f'use = "{name}"\nenv = {{ ANDON_SCRIPTED_SPEED = "{speed}" }}')
    (repo / "andon.toml").write_text(toml)
    identity = ("-c", "user.name=Andon Demo", "-c", "user.email=demo@localhost")
    commit = (*identity, "commit", "-q", "-m", f"{project.name} {project.version}")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), commit):
        done = subprocess.run(("git", *words), cwd=repo, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Mistake(f"git {words[0]} failed: {done.stderr.strip()}", where=str(repo), mend="see andon doctor")
    tasks = demo_tasks(project)
    specs = write_scenarios(tasks, place / "scenarios")
    return repo, {task.key: DemoTaskSpec(task.title, specs[task.key], task.after, task.paths, task.role, task.agent)
                  for task in tasks}


def add_tasks(client: Client, repo: Path, specs: dict[str, DemoTaskSpec]) -> dict[TaskId, str]:
    """Register, trust (these commands are our own), and add every task; gives the role of each."""
    shown = client.ask(wire.Register(path=str(repo)))
    assert isinstance(shown, wire.SettingsAre), shown
    registered = client.ask(wire.Register(path=str(repo), trust=shown.loaded.commands))
    assert isinstance(registered, wire.Done), registered
    ids: dict[str, TaskId] = {}
    for key, task in specs.items():
        command = inputs.AddTask(
            repo=RepoId(registered.ids[0]), title=task.title, spec=task.spec, after=tuple(ids[other] for other in task.after),
            paths=task.paths, key=f"demo-{key}", agent=task.agent,
        )
        done = client.ask(wire.Do(command=command))
        assert isinstance(done, wire.Done), done
        ids[key] = TaskId(done.ids[0])
        waits = f"   after {', '.join(command.after)}" if command.after else ""
        say(f"  {ids[key]:<4} {task.title}{waits}")
    return {ids[key]: task.role for key, task in specs.items()}


def within(client: Client) -> str:
    """What stands around the demo's agents and checks, as the daemon found it."""
    from andon.cli.reach import of
    from andon.schema.views import FactoryView

    best = next((view.walls for view in of(FactoryView, client.views())), None)
    if best is None:
        return "within walls that are not known"
    weak = f"; {best.because} {best.mend} You are asked before each change lands." if best.level != "strict" else ""
    return f"within walls of level {best.level}{weak}"


def watch(driver: Driver, home: Layout, *, plain: bool) -> None:
    """Until every task is over: as plain lines here, or on the screen with the driver beside it."""
    if plain:
        driver.run()
        return
    from andon_tui.app import run as open_screen

    over = threading.Event()

    def drive() -> None:
        driver.run()
        driver.left.wait(LINGER_S)
        over.set()

    beside = threading.Thread(target=drive, daemon=True, name="demo")
    beside.start()
    open_screen(home, until=over)
    driver.left.set()
    beside.join(5)


def end(home: Layout) -> None:
    """Stop this demo's daemon, its agents and its tmux server: all of them are its own."""
    try:
        with connect(home) as client:
            from andon.cli.reach import of
            from andon.schema.views import SessionView

            for session in of(SessionView, client.views()):
                client.ask(wire.Do(command=inputs.CancelTask(task=session.task, because="the demo is over")))
            deadline = time.monotonic() + 10
            while of(SessionView, client.views()) and time.monotonic() < deadline:
                time.sleep(0.1)
            client.ask(wire.Shutdown(because="the demo is over"))
    except Mistake as mistake:
        out.say(f"the demo's daemon had left: {mistake.problem.what}")
    if home.tmux_socket.exists():
        subprocess.run(("tmux", "-S", str(home.tmux_socket), "kill-server"), capture_output=True, check=False)
