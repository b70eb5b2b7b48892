"""Setting up by command line: init, config, doctor, up, down, and a daemon that starts when it is needed."""

import json
import os
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.client import VERSION
from andon.schema import wire
from andon.schema.ids import Digest
from andon.schema.layout import layout
from andon.schema.settings import Check, Loaded, Settings
from clikit import Caps, a_repository, andon, andon_apart, git
from fakeoffice import FakeDaemon, FakeOffice, a_session, a_shop, a_task


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = a_repository(tmp_path / "my shop ü")
    monkeypatch.chdir(path / "tests")
    return path


@pytest.fixture
def office() -> FakeOffice:
    """An office that asks for trust, as the daemon does."""
    office = FakeOffice()
    settings = Settings(checks={"tests": Check(name="tests", run="pytest -q")})

    def register(request: wire.AnyRequest, push: object) -> wire.AnyReply:
        if isinstance(request, wire.Register) and not request.trust:
            loaded = Loaded(settings=settings, digest=Digest("1" * 64), commands=Digest("2" * 64))
            return wire.SettingsAre(loaded=loaded, trusted=False, commands=settings.commands())
        return wire.Done(ids=("shop",))
    office.answer = register
    return office


@pytest.fixture
def daemon(office: FakeOffice) -> Iterator[FakeDaemon]:
    with FakeDaemon(layout(), office) as running:
        yield running


# --- init ---


def test_init_shows_the_file_writes_only_it_and_trusts_what_it_showed(
        capsys: Caps, repo: Path, office: FakeOffice, daemon: FakeDaemon) -> None:
    ran = andon(capsys, "init", "--yes")
    assert ran.code == 0, ran.err
    assert "+[factory]" in ran.out and "check tests: pytest -q" in ran.out and "git add andon.toml" in ran.out
    assert git(repo, "status", "--porcelain") == "?? andon.toml"
    assert office.requests == [wire.Register(id=1, path=str(repo)), wire.Register(id=2, path=str(repo), trust=Digest("2" * 64))]


def test_init_without_a_yes_writes_nothing_and_registers_nothing(
        capsys: Caps, repo: Path, office: FakeOffice, daemon: FakeDaemon) -> None:
    ran = andon(capsys, "init")
    assert ran.code == 2 and "--yes" in ran.err and "+[factory]" in ran.out
    assert git(repo, "status", "--porcelain") == "" and not office.requests


def test_init_show_prints_a_file_that_config_check_accepts(capsys: Caps, repo: Path) -> None:
    ran = andon(capsys, "init", "--show", "--agent", "claude")
    assert ran.code == 0 and 'target = "main"' in ran.out and git(repo, "status", "--porcelain") == ""
    (repo / "andon.toml").write_text(ran.out)
    assert andon(capsys, "config", "check").code == 0


def test_init_from_a_workflow_shows_its_steps_as_checks_and_lists_the_rest(capsys: Caps, repo: Path) -> None:
    flow = repo / "ci.yml"
    flow.write_text("jobs: {t: {steps: [{uses: actions/checkout@v4}, {run: make test}, {run: 'echo ${{ secrets.KEY }}'}]}}")
    ran = andon(capsys, "init", "--show", "--agent", "claude", "--from-workflow", str(flow))
    assert ran.code == 0 and 'run = "make test"' in ran.out and "Note: not taken over" in ran.out
    assert "1 check, 0 setup commands; not taken over: 2" in ran.err and "it needs the secret KEY" in ran.err
    (repo / "andon.toml").write_text(ran.out)
    assert andon(capsys, "config", "check").code == 0
    ran = andon(capsys, "init", "--yes", "--from-workflow", str(flow))
    assert ran.code == 2 and "never written over" in ran.err and "--show" in ran.err
    assert andon(capsys, "init", "--show", "--from-workflow", str(repo / "none.yml")).code == 2


def test_advisories_are_read_from_a_file_and_say_how_old_they_are(capsys: Caps, repo: Path, tmp_path: Path) -> None:
    assert "no advisories" in (ran := andon(capsys, "advisories")).err and ran.code == 1
    affected = [{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["1"]}]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("A.json", json.dumps({"id": "A", "modified": "2020-01-01T00:00:00Z", "affected": affected}))
    ran = andon(capsys, "advisories", "update", str(tmp_path / "all.zip"))
    assert ran.code == 0 and "PyPI" in ran.out and "days" in ran.out
    (kept,) = json.loads(andon(capsys, "advisories", "ls", "--json").out)
    assert (kept["ecosystem"], kept["advisories"], kept["source"]) == ("PyPI", 1, "all.zip") and kept["days"] > 2000
    bad = andon(capsys, "advisories", "update", str(repo))
    assert bad.code == 2 and "mend" in bad.err and str(repo) in bad.err


def test_init_leaves_an_andon_toml_as_it_is(
        capsys: Caps, repo: Path, office: FakeOffice, daemon: FakeDaemon) -> None:
    (repo / "andon.toml").write_text("# mine\n")
    ran = andon(capsys, "init", "--yes")
    assert ran.code == 0 and "used as it is" in ran.out and (repo / "andon.toml").read_text() == "# mine\n"
    assert len(office.requests) == 2


def test_init_never_writes_through_a_link(
        capsys: Caps, repo: Path, office: FakeOffice, daemon: FakeDaemon, tmp_path: Path) -> None:
    (repo / "andon.toml").symlink_to(tmp_path / "elsewhere")
    andon(capsys, "init", "--yes")
    assert not (tmp_path / "elsewhere").exists()


def test_init_names_what_is_wrong_with_the_place(
        capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare")
    git(tmp_path, "init", "-q", "unborn")
    (tmp_path / "plain").mkdir()
    faults = {"bare": "is bare", "unborn": "no commit yet", "plain": "no git repository", "gone": "no such directory"}
    for name, what in faults.items():
        ran = andon(capsys, "init", str(tmp_path / name))
        assert ran.code == 2 and what in ran.err and "mend" in ran.err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in andon(capsys, "init", str(tmp_path / "plain")).err


# --- config ---


def test_config_show_gives_each_value_its_origin(capsys: Caps, repo: Path) -> None:
    (repo / "andon.toml").write_text("[factory]\nwip = 3\n")
    rows = {row["key"]: row for row in json.loads(andon(capsys, "config", "show", "--json").out)}
    assert (rows["factory.wip"]["value"], rows["factory.wip"]["origin"]) == ("3", "repository")
    rows = {row["key"]: row for row in json.loads(andon(capsys, "config", "show", "--set", "factory.wip=2", "--json").out)}
    assert (rows["factory.wip"]["value"], rows["factory.wip"]["origin"]) == ("2", "command line")
    table = andon(capsys, "config", "show", "factory").out
    assert "factory.wip" in table and "repository" in table


def test_config_check_names_the_line_of_an_unknown_key(capsys: Caps, repo: Path) -> None:
    (repo / "andon.toml").write_text("[factory]\nwipp = 3\n")
    ran = andon(capsys, "config", "check")
    assert ran.code == 1 and "wip" in ran.err and ":2" in ran.err


def test_config_schema_is_json(capsys: Caps) -> None:
    assert json.loads(andon(capsys, "config", "schema").out)["$schema"].endswith("2020-12/schema")


# --- doctor ---


def test_doctor_looks_at_each_part(capsys: Caps, daemon: FakeDaemon) -> None:
    ran = andon(capsys, "doctor", "--json")
    assert ran.code == 0
    parts = {one["part"]: one for one in json.loads(ran.out)}
    assert set(parts) == {"python", "git", "tmux", "sqlite", "home", "runtime", "daemon", "lock", "ledger"}
    assert f"pid {os.getpid()}" in parts["daemon"]["told"]


def test_doctor_is_exit_code_1_when_a_tool_is_missing(
        capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin" / "git"
    old.write_text("#!/bin/sh\necho git version 2.20.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    ran = andon(capsys, "doctor")
    assert ran.code == 1 and "tmux 3.2 or newer" in ran.out and "2.38 or newer is needed" in ran.out


def test_doctor_sees_a_stale_socket(capsys: Caps) -> None:
    layout().runtime.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(layout().socket))
    assert "stale" in andon(capsys, "doctor", "--quick").out


# --- the daemon's coming and going ---


@pytest.mark.parametrize("words", [["list"], ["status"], ["gate", "ls"], ["why", "T1"], ["approve", "T1"], ["tail", "T1"],
                                   ["wait", "T1"], ["cancel", "T1"], ["stop", "build", "--because", "x"], ["undo", "T1"],
                                   ["trust"]])
def test_with_the_daemon_down_a_verb_says_how_to_start_it(capsys: Caps, words: list[str]) -> None:
    ran = andon(capsys, *words)
    assert ran.code == 3 and "andon up" in ran.err and not ran.out
    assert not layout().home.exists()


SITE = '''
import sys, types

def run_daemon(layout):
    import asyncio
    sys.path.insert(0, {tests!r})
    from andon.edges.server import Server
    from andon.schema import wire
    from fakeoffice import FakeOffice, a_shop
    office = FakeOffice(*a_shop({repo!r}))

    async def be():
        server = Server(layout, office)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.serve())
            def answer(request, push):
                if isinstance(request, wire.Shutdown):
                    task.cancel()
                return wire.Done()
            office.answer = answer
    asyncio.run(be())
    return 0

made = types.ModuleType("andon.main")
made.run_daemon = {run}
sys.modules["andon.main"] = made
'''


def daemon_program(tmp_path: Path, repo: Path, run: str = "run_daemon") -> dict[str, str]:
    """An environment in which `andon daemon` is a small real server."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(tests=str(Path(__file__).parent.parent), repo=str(repo), run=run))
    return {"PYTHONPATH": str(site)}


def test_add_with_the_daemon_down_starts_it_and_says_so_and_down_ends_it(tmp_path: Path, repo: Path) -> None:
    env = daemon_program(tmp_path, repo)
    try:
        ran = andon_apart("add", "say hello", cwd=repo, env=env)
        assert (ran.code, ran.out) == (0, "T1  say hello\n"), ran.err
        assert "started it" in ran.err and str(layout().daemon_log) in ran.err
        again = andon_apart("up", cwd=repo, env=env)
        assert "runs already" in again.out and VERSION in again.out
    finally:
        ended = andon_apart("down", cwd=repo, env=env)
    assert (ended.code, ended.out) == (0, "the daemon has stopped\n")
    assert andon_apart("down", env=env).out == "the daemon is not running\n"


def test_a_daemon_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path, repo: Path) -> None:
    env = daemon_program(tmp_path, repo, run="lambda layout: sys.exit('the ledger is of a newer version')")
    ran = andon_apart("up", env=env)
    assert ran.code == 3 and "ended at once: the ledger is of a newer version" in ran.err


def test_a_module_in_the_persons_directory_is_not_loaded_into_the_daemon(tmp_path: Path, repo: Path) -> None:
    layout().home.mkdir(mode=0o700)
    for folder in (repo, layout().home):
        (folder / "msgspec.py").write_text("open('poisoned', 'w').close()\n")
    env = daemon_program(tmp_path, repo)
    try:
        assert andon_apart("up", cwd=repo, env=env).code == 0
    finally:
        andon_apart("down", env=env)
    assert not (repo / "poisoned").exists() and not (layout().home / "poisoned").exists()


def test_down_says_how_many_agents_go_on(capsys: Caps) -> None:
    office = FakeOffice(*a_shop("/x"), a_task(1), a_session(1), a_session(2))
    daemon = FakeDaemon(layout(), office)

    def leave(request: wire.AnyRequest, push: object) -> wire.AnyReply:
        assert daemon._stop is not None
        daemon._stop.set()
        return wire.Done()
    office.answer = leave
    with daemon:
        assert andon(capsys, "down").out == "the daemon has stopped; 2 agents go on\n"


def test_the_version_is_that_of_the_distribution(capsys: Caps) -> None:
    from importlib.metadata import version
    assert version("andon") == VERSION
    assert andon(capsys, "version").out == andon(capsys, "--version").out == f"andon {VERSION}\n"
