"""The demo's content is real: a project whose tests pass, and tasks whose edits make more tests pass."""

import fnmatch
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges.jobs import read_outbox, write_answer
from andon.schema.jobs import Answer
from andon_agents.acting.deeds import DEEDS
from andon_agents.acting.misdeeds import MISDEEDS
from andon_agents.acting.player import Player
from andon_agents.acting.scenario import Crash, Run
from andon_agents.acting.screen import Screen
from andon_agents.acting.shelf import parsed
from andon_agents.demo import fetch
from andon_agents.demo.fetch import NAME, VERSION, Fetched, Unreachable, bundled_project, fetch_project
from andon_agents.demo.plan import REVIEW, DemoTask, andon_toml, demo_tasks, write_scenarios
from andon_config.load import load_repository


def project(name: str, into: Path) -> Fetched:
    """The project of this name, under git, with its settings; skipped only when there is no index."""
    found = bundled_project(into) if name == "pocket" else fetch_project(into)
    if found.name != name:
        pytest.skip(found.because)
    (into / "andon.toml").write_text(andon_toml(found, sys.executable))
    return found


def under_git(found: Fetched) -> str:
    gitkit.run(found.path, "init", "-q", "-b", "main", "--template=")
    return gitkit.commit(found.path, {}, f"{found.name} {found.version}")


def check(path: Path) -> dict[str, bool]:
    """Run the check of andon.toml as the daemon would: test name to whether it passed."""
    run = tomllib.loads((path / "andon.toml").read_text())["checks"]["tests"]["run"]
    report = path.parent / "report.xml"
    report.unlink(missing_ok=True)
    subprocess.run(["sh", "-c", run.replace("{report}", str(report))], cwd=path, stdin=subprocess.DEVNULL, timeout=60,
                   capture_output=True, check=False)
    return {f"{case.get('classname')}.{case.get('name')}": case.find("failure") is None and case.find("error") is None
            for case in ET.parse(report).iter("testcase")}


def act(task: DemoTask, found: Fetched, folder: Path, *, attempt: int = 1, answer: str = "") -> tuple[int, str]:
    """One attempt of the scripted agent on the task, without its own tests and crashes: exit code and output."""
    job = folder / f"{task.key}.{attempt}.{answer}"
    (job / "outbox").mkdir(parents=True)
    (job / "inbox").mkdir()
    write_answer(job, Answer(n=1, text=answer))
    whole = parsed(task.scenario, name=task.key, where=task.key)
    steps = tuple(step for step in whole.steps if not isinstance(step, Run | Crash))
    quick = msgspec.structs.replace(whole, speed=10_000.0, steps=steps)
    with (job / "screen").open("wb") as out, Path(os.devnull).open("rb") as keys:
        player = Player(quick, checkout=found.path, screen=Screen(task.key, out=out.fileno(), keys=keys.fileno()),
                        environ={"ANDON_JOB": str(job), "ANDON_ATTEMPT": f"T1.{attempt}"})
        code = player.play({**DEEDS, **MISDEEDS})
    if code == 0:
        assert read_outbox(job, 0)[-1].kind == "finished"
    return code, (job / "screen").read_text()


def commands(tasks: tuple[DemoTask, ...]) -> list[str]:
    """What the agents run for themselves."""
    steps = [step for task in tasks for step in parsed(task.scenario, name=task.key, where=task.key).steps]
    return list(dict.fromkeys(step.command.replace("{python}", sys.executable) for step in steps if isinstance(step, Run)))


def changed(found: Fetched, since: str) -> list[str]:
    return gitkit.run(found.path, "diff", "--name-only", since, "HEAD").splitlines()


@pytest.mark.parametrize(("name", "answer"), [("pocket", "last day"), ("toolz", "stop")])
def test_all_tasks_in_order_pass_the_projects_own_tests(name: str, answer: str, tmp_path: Path) -> None:
    found = project(name, tmp_path / "project")
    under_git(found)
    before = check(found.path)
    assert len(before) > 40
    assert all(before.values())
    for task in demo_tasks(found):
        base = gitkit.run(found.path, "rev-parse", "HEAD")
        code, output = act(task, found, tmp_path, attempt=2 if task.role == "fails-first" else 1, answer=answer)
        assert code == 0, f"{task.key}: {output}"
        paths = changed(found, base)
        assert bool(paths) is (task.role != "liar"), task.key
        assert all(any(fnmatch.fnmatch(path, glob) for glob in task.paths) for path in paths), f"{task.key} touches {paths}"
        assert gitkit.run(found.path, "status", "--porcelain") == "", f"{task.key} leaves something behind"
    for command in commands(demo_tasks(found)):
        for word in command.split():
            assert "/" not in word or not word.endswith(".py") or (found.path / word).exists(), f"{word} is nowhere"
        if name == "pocket":
            subprocess.run(command, shell=True, cwd=found.path, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    after = check(found.path)
    assert all(after.values())
    assert set(before) < set(after)
    assert len(after) >= len(before) + 20


@pytest.mark.parametrize(("name", "fresh"), [("pocket", True), ("pocket", False), ("toolz", False)])
def test_the_task_that_fails_first_fails_a_real_test_and_only_at_first(name: str, fresh: bool, tmp_path: Path) -> None:
    found = project(name, tmp_path / "project")
    base = under_git(found)
    (task,) = [task for task in demo_tasks(found) if task.role == "fails-first"]
    results = []
    for attempt in (1, 2):
        if fresh:
            gitkit.run(found.path, "reset", "-q", "--hard", base)
        assert act(task, found, tmp_path, attempt=attempt)[0] == 0
        results.append([test for test, passed in check(found.path).items() if not passed])
    assert len(results[0]) == 1
    assert results[1] == []


def test_each_task_that_waits_for_none_works_on_the_bare_project(tmp_path: Path) -> None:
    found = project("pocket", tmp_path / "project")
    base = under_git(found)
    for task in demo_tasks(found):
        if not task.after and task.role not in ("liar", "asks"):
            gitkit.run(found.path, "reset", "-q", "--hard", base)
            code, output = act(task, found, tmp_path, attempt=2)
            assert code == 0, output
            assert all(check(found.path).values()), task.key
            done = gitkit.run(found.path, "rev-parse", "HEAD")
            assert act(task, found, tmp_path, attempt=3)[0] == 0
            assert gitkit.run(found.path, "rev-parse", "HEAD") == done, f"{task.key} does its work twice"


@pytest.mark.parametrize("name", ["pocket", "toolz"])
def test_whatever_a_person_answers_the_asking_task_does_it_with_tests(name: str, tmp_path: Path) -> None:
    found = project(name, tmp_path / "project")
    base = under_git(found)
    (task,) = [task for task in demo_tasks(found) if task.role == "asks"]
    trees = set()
    for answer in ("1", "2", "what you like", ""):
        gitkit.run(found.path, "reset", "-q", "--hard", base)
        code, output = act(task, found, tmp_path, answer=answer)
        assert code == 0, output
        trees.add(gitkit.run(found.path, "rev-parse", "HEAD:" + task.paths[0]))
    assert len(trees) == 2


@pytest.mark.parametrize("name", ["pocket", "toolz"])
def test_the_plan_covers_what_a_factory_must_cope_with(name: str, tmp_path: Path) -> None:
    found = Fetched(name=name, version="1", source="bundled", because="", path=tmp_path)
    tasks = demo_tasks(found)
    seen: set[str] = set()
    for task in tasks:
        assert set(task.after) <= seen, f"{task.key} comes before what it needs"
        seen.add(task.key)
        assert task.paths
        assert len(task.spec) > 60
        assert "scenario" not in task.spec + task.title
    assert len(tasks) >= 9
    assert {"fails-first", "liar", "asks", "review", "slow", "permission", "falls"} <= {task.role for task in tasks}
    assert len([task for task in tasks if not task.after and not task.role]) >= 3
    assert any(task.after and tasks_by(tasks, task.after[0]).after for task in tasks), "no chain of three"
    assert any(set(one.paths) & set(other.paths) for one in tasks for other in tasks
               if one.key < other.key and not one.after and not other.after), "no two that overlap"
    reviewed = {task.key for task in tasks if REVIEW[name] in task.paths}
    assert reviewed == {task.key for task in tasks if task.role == "review"}


def tasks_by(tasks: tuple[DemoTask, ...], key: str) -> DemoTask:
    return next(task for task in tasks if task.key == key)


def test_a_spec_names_its_scenario_in_the_marker_line(tmp_path: Path) -> None:
    from andon_agents.scripted import chosen

    tasks = demo_tasks(bundled_project(tmp_path / "project"))
    specs = write_scenarios(tasks, tmp_path / "with blanks")
    assert set(specs) == {task.key for task in tasks}
    for task in tasks:
        assert specs[task.key].startswith(task.spec.strip())
        assert Path(chosen(specs[task.key])).read_text() == task.scenario


def test_the_settings_quote_an_interpreter_with_blanks(tmp_path: Path) -> None:
    found = bundled_project(tmp_path / "project")
    settings = tomllib.loads(andon_toml(found, '/opt/my "own" python/bin/python'))
    assert """'/opt/my "own" python/bin/python' -m pytest""" in settings["checks"]["tests"]["run"]
    assert settings["policy"] == {"ship": ["**"], "review": ["pocket/tokens.py"]}
    assert tomllib.loads((found.path / "andon.toml").read_text()) == tomllib.loads(andon_toml(found))


@pytest.mark.parametrize("name", ["pocket", "toolz"])
def test_the_settings_of_the_demo_are_accepted_as_they_stand(name: str, tmp_path: Path) -> None:
    found = Fetched(name=name, version="1", source="bundled", because="", path=tmp_path)
    (tmp_path / "andon.toml").write_text(andon_toml(found, sys.executable))
    text = (tmp_path / "andon.toml").read_text()
    loaded = load_repository(work=tmp_path / "andon.toml", base=text, person=None)
    assert loaded.settings.agents["default"].use == "scripted"
    assert loaded.settings.checks["tests"].report == "junit"
    assert loaded.settings.policy.review == (REVIEW[name],)
    assert loaded.notes == ()


# --- fetching --------------------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A package index on loopback: its folder and its URL."""
    folder = tmp_path / "index"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def put_release(folder: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, str], *, pinned: bool = True) -> None:
    """A release on the index, whose checksum is the pinned one unless it is not."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    (folder / "files").mkdir()
    (folder / "files" / f"{NAME}-{VERSION}.tar.gz").write_bytes(data.getvalue())
    page = folder / "simple" / NAME / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{NAME}-{VERSION}.tar.gz#sha256=0">x</a>')
    if pinned:
        monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(data.getvalue()).hexdigest())


def test_the_pinned_release_comes_from_the_configured_index(
    index: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_release(index[0], monkeypatch, {f"{NAME}-{VERSION}/toolz/__init__.py": "x = 1\n"})
    monkeypatch.setenv("PIP_INDEX_URL", index[1])
    found = fetch_project(tmp_path / "project")
    assert (found.name, found.version, found.source) == (NAME, VERSION, "pypi")
    assert (found.path / "toolz/__init__.py").read_text() == "x = 1\n"
    assert "__pycache__/" in (found.path / ".gitignore").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "index", "project"]


def test_nothing_of_a_release_is_written_outside(index: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, over, up = f"{NAME}-{VERSION}/a.py", "../../escaped.py", f"{NAME}-{VERSION}/../up.py"
    put_release(index[0], monkeypatch, {inside: "", over: "bad", up: "bad"})
    fetch_project(tmp_path / "deep" / "project", index=index[1])
    assert not list(tmp_path.rglob("escaped.py")) + list(tmp_path.rglob("up.py"))


def test_another_checksum_is_refused_and_the_bundled_project_says_why(
    index: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_release(index[0], monkeypatch, {f"{NAME}-{VERSION}/evil.py": ""}, pinned=False)
    found = fetch_project(tmp_path / "project", index=index[1])
    assert (found.name, found.source) == ("pocket", "bundled")
    assert "does not have the pinned checksum" in found.because
    assert not list(tmp_path.rglob("evil.py"))


@pytest.mark.parametrize(("url", "says"), [
    ("http://127.0.0.1:9/simple", "refused"), ("http://no-such-host.invalid/simple", "could not be downloaded"),
    ("gopher://x", "cannot fetch"),
])
def test_without_an_index_there_is_the_bundled_project(url: str, says: str, tmp_path: Path) -> None:
    found = fetch_project(tmp_path / "project", index=url)
    assert (found.name, found.source) == ("pocket", "bundled")
    assert says in found.because
    assert all(check_plain(found.path))


def check_plain(path: Path) -> list[bool]:
    """The bundled project's tests pass in the place where it was put."""
    (path / "andon.toml").write_text(andon_toml(bundled_project(path), sys.executable))
    return list(check(path).values())


def test_an_index_that_lacks_the_release_or_hangs_is_given_up(index: tuple[Path, str], tmp_path: Path) -> None:
    page = index[0] / "simple" / NAME / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<a href='toolz-0.1.tar.gz'>old</a>")
    assert f"has no {NAME}-{VERSION}.tar.gz" in fetch_project(tmp_path / "one", index=index[1]).because
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as deaf:
        found = fetch_project(tmp_path / "two", index=f"http://127.0.0.1:{deaf.server_port}/simple", seconds=0.3)
    assert found.source == "bundled"


def test_a_password_in_the_index_setting_is_never_shown(tmp_path: Path) -> None:
    found = fetch_project(tmp_path / "project", index="http://me:secret@127.0.0.1:9/simple")
    assert "secret" not in found.because


def test_the_real_index_gives_the_real_release(tmp_path: Path) -> None:
    try:
        fetch._within(fetch.SECONDS, fetch.default_index())
    except Unreachable as error:
        pytest.skip(f"the index is unreachable: {error}")
    found = fetch_project(tmp_path / "project", index=fetch.default_index())
    assert found.source == "pypi"
    assert {"LICENSE.txt", "toolz", "tlz", ".gitignore"} <= {path.name for path in found.path.iterdir()}
