"""What a person or a machine gets wrong: each gets one clear error or a stated degraded mode, and leaves everything whole."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from andon.schema import events as e
from andon.schema.ids import TaskId
from factory import Factory, factory, git, small_repo
from wholekit import Ran, assert_clear, cli, contents, path_without, program


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    """One running daemon, to which all of this is done."""
    place = tmp_path_factory.mktemp("bad")
    (place / "home").mkdir()
    (place / "home/.gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n")
    env = {"HOME": str(place / "home"), "ANDON_CONFIG_HOME": str(place / "home/config"), "GIT_CONFIG_NOSYSTEM": "1",
           "XDG_CONFIG_HOME": str(place / "home/.config")}
    with factory(place / "f", env) as made:
        made.register(small_repo(place / "known"))
        yield made


# --- a repository that cannot be taken -------------------------------------------------------------------------------


def no_repository(path: Path) -> Path:
    (path / "file").parent.mkdir()
    (path / "file").write_text("just a file\n")
    return path


def bare(path: Path) -> Path:
    git(small_repo(path.with_name("origin")), "clone", "-q", "--bare", ".", str(path))
    return path


def shallow(path: Path) -> Path:
    origin = small_repo(path.with_name("origin"))
    git(origin, "commit", "-q", "--allow-empty", "-m", "a second")
    git(origin, "clone", "-q", "--depth", "1", origin.as_uri(), str(path))
    return path


def partial(path: Path) -> Path:
    origin = small_repo(path.with_name("origin"))
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(origin, "clone", "-q", "--filter=blob:none", origin.as_uri(), str(path))
    return path


def unborn(path: Path) -> Path:
    path.mkdir()
    git(path, "init", "-q")
    return path


def inside_git(path: Path) -> Path:
    return small_repo(path) / ".git"


def settings(text: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        (small_repo(path) / "andon.toml").write_text(text)
        return path

    return make


def folder_for_settings(path: Path) -> Path:
    (small_repo(path) / "andon.toml").unlink()
    (path / "andon.toml").mkdir()
    return path


PLACES: dict[str, tuple[Callable[[Path], Path], int, tuple[str, ...]]] = {
    "no repository": (no_repository, 2, ("no git repository", "git init")),
    "a directory that is not there": (lambda path: path, 2, ("no such directory",)),
    "a bare repository": (bare, 2, ("bare", "clone it")),
    "a git directory": (inside_git, 2, ("no git repository",)),
    "a shallow clone": (shallow, 4, ("shallow", "git fetch --unshallow")),
    "a partial clone": (partial, 4, ("partial clone", "--refetch")),
    "a branch without a commit": (unborn, 2, ("no commit yet", "commit once")),
    "settings that are not TOML": (settings("[factory\n"), 4, ("not TOML", "andon.toml:1:")),
    "settings with an unknown key": (settings("[factory]\nwpi = 2\n"), 4, ("factory.wpi", "andon.toml:2", "did you mean `wip`")),
    "settings with a wrong type": (settings('[factory]\nwip = "six"\n'), 4, ("factory.wip", "andon.toml:2")),
    "an agent without a command": (settings('[agents.default]\nuse = "command"\n'), 4, ("andon.toml:1", 'command = ["./my-agent"')),
    "a target that is not there": (settings('[factory]\ntarget = "mian"\n'), 4, ("no branch mian", 'target = "main"')),
    "settings in a directory": (
        folder_for_settings, 4, ("cannot read andon.toml", "make it a file")),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_repository_that_cannot_be_taken_is_one_clear_error_and_stays_as_it_is(plant: Factory, tmp_path: Path, case: str) -> None:
    make, code, says = PLACES[case]
    place = make(tmp_path / "the place")
    before, known = contents(tmp_path), plant.kinds().count("repository.registered")
    ran = cli(plant, "init", "--yes", str(place))
    assert_clear(ran, code, *says)
    assert contents(tmp_path) == before
    assert plant.kinds().count("repository.registered") == known and plant.answers()


# --- a repository that is taken with a word about it -----------------------------------------------------------------


def detach(path: Path) -> None:
    git(path, "checkout", "-q", "--detach")


def dirty(path: Path) -> None:
    (path / "README.md").write_text("my own words, not committed\n")
    (path / "untracked.txt").write_text("mine\n")


def submodule(path: Path) -> None:
    inner = small_repo(path.with_name("inner"))
    git(path, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    git(path, "commit", "-q", "-m", "a submodule")


def lfs(path: Path) -> None:
    (path / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (path / "big.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n")
    git(path, "-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "-A")
    git(path, "-c", "filter.lfs.clean=cat", "commit", "-q", "-m", "a pointer")


def stranger(path: Path) -> None:
    (path / "andon.toml").write_text((path / "andon.toml").read_text().replace('"scripted"', '"claud"'))


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "HEAD is detached": (detach, "HEAD is detached"),
    "a dirty tree": (dirty, "uncommitted changes: they stay as they are"),
    "a submodule": (submodule, "Submodules are not initialised"),
    "an adapter that nobody brings": (stranger, 'uses `claud`, and there is no such adapter: did you mean use = "claude"?'),
    "LFS attributes": (lfs, "git LFS are checked out as pointers"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_works_in_a_degraded_way_is_said_on_the_board(plant: Factory, tmp_path: Path, case: str) -> None:
    make, says = ODD[case]
    path = small_repo(tmp_path / case.replace(" ", "-").lower())
    make(path)
    head, mine = git(path, "rev-parse", "HEAD"), contents(*(one for one in path.iterdir() if one.name != ".git"))
    ran = cli(plant, "init", "--yes", str(path))
    assert ran.code == 0, ran
    assert says in cli(plant, "status").out
    assert git(path, "rev-parse", "HEAD") == head
    assert contents(*(one for one in path.iterdir() if one.name != ".git")) == mine


def test_all_of_it_at_once_below_a_path_of_spaces_and_signs_lands(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "mein Lädchen „$HOME“ \"q\" #{pane} 店")
    submodule(path)
    lfs(path)
    dirty(path)
    detach(path)
    head = git(path, "rev-parse", "HEAD")
    assert cli(plant, "init", "--yes", cwd=path).code == 0
    ran = cli(plant, "add", "-", "--wait", cwd=path, text="# Größe „x“ $(id)\n\n[[scenario: proper]]\n")
    assert ran.code == 0, (ran, plant.log_text()[-2000:])
    task = ran.out.split()[0]
    assert f"notes/{task}.md" in git(path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")
    assert git(path, "rev-parse", "HEAD") == head
    assert (path / "README.md").read_text() == "my own words, not committed\n" and (path / "untracked.txt").exists()


def test_a_repository_that_was_moved_away_is_said_and_nothing_is_made_in_its_place(plant: Factory, tmp_path: Path) -> None:
    path = small_repo(tmp_path / "wanderer")
    name = plant.register(path)
    plant.until_state(plant.add(name), "done")
    landed = git(path, "rev-parse", "refs/andon/trunk/main")
    plant.until(lambda: any(isinstance(row.event, e.TargetMirrored) and row.event.oid == landed for row in plant.events()),
                what="the checkout to follow: git must not be at work in what is moved")
    path.rename(tmp_path / "elsewhere")
    plant.until(lambda: f"{path / '.git'} is not a directory" in cli(plant, "status").out, what="the problem")
    task = plant.add(name)
    plant.until(lambda: any("tries again" in reason for reason in plant.task(task).why), what="a try")
    assert not path.exists()
    (tmp_path / "elsewhere").rename(path)
    plant.until_state(task, "done")
    plant.until(lambda: str(path / ".git") not in cli(plant, "status").out, what="the problem to go")


# --- a seed that cannot become a task --------------------------------------------------------------------------------

SEEDS: dict[str, tuple[tuple[str, ...], str | None, int, tuple[str, ...]]] = {
    "nothing": (("add", "  "), None, 2, ("it has no text", "say what you want")),
    "nothing on standard input": (("add", "-"), "\n \n", 2, ("it has no text", "standard input")),
    "a file that is not there": (("add", "spec.md"), None, 2, ("cannot be read", "spec.md")),
    "bytes that are no text": (("add", "binary.txt"), None, 2, ("not UTF-8", "binary.txt")),
    "a task that is not there": (("add", "x", "--after", "T99"), None, 4, ("no task T99",)),
    "something that is no task": (("add", "x", "--after", "seven"), None, 2, ("`seven` is no task",)),
    "itself": (("add", "x", "--after", "{next}"), None, 4, ("{next} would wait for itself", "--after")),
    "a line that is not there": (("add", "x", "--line", "biuld"), None, 2, ("no line `biuld`", "build")),
    "an agent that is not there": (("add", "x", "--agent", "defualt"), None, 4, ("no agent defualt", "did you mean default")),
    "a repository that is not there": (("add", "x", "--repo", "knwon"), None, 2, ("no repository `knwon`", "did you mean `known`")),
    "a key that is none": (("add", "-"), "---\nafte: T1\n---\n# x\n", 2, ("front matter", "standard input:2")),
    "a priority that is none": (("add", "-"), "---\npriority: high\n---\n# x\n", 2, ("no whole number",)),
}


@pytest.mark.parametrize("case", SEEDS)
def test_a_seed_that_cannot_become_a_task_is_one_clear_error_and_adds_nothing(plant: Factory, tmp_path: Path, case: str) -> None:
    words, text, code, says = SEEDS[case]
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    added = plant.kinds().count("task.added")
    upcoming = f"T{added + 1}"
    repo = () if "--repo" in words else ("--repo", "known")
    ran = cli(plant, *(word.format(next=upcoming) for word in words), *repo, cwd=tmp_path, text=text)
    assert_clear(ran, code, *(word.format(next=upcoming) for word in says))
    assert plant.kinds().count("task.added") == added


def test_a_task_can_only_wait_for_earlier_ones_so_two_cannot_wait_for_each_other(plant: Factory) -> None:
    first = cli(plant, "add", "wait for the next one", "--repo", "known", "--after", f"T{plant.kinds().count('task.added') + 2}")
    assert_clear(first, 4, "there is no task")


# --- tools that are missing ------------------------------------------------------------------------------------------


def test_without_git_a_person_is_told_before_anything_starts(tmp_path: Path) -> None:
    place, path = Factory(tmp_path / "f"), small_repo(tmp_path / "repo")
    before = contents(path)
    ran = cli(place, "init", "--yes", str(path), env={"PATH": path_without(tmp_path / "bin", "git")})
    assert_clear(ran, 2, "git is not installed", "install git 2.38")
    assert contents(path) == before and not place.layout.home.exists()


def test_without_git_a_running_factory_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    empty = {"PATH": path_without(tmp_path / "bin", "git")}
    with factory(tmp_path / "f") as plant:
        plant.register(small_repo(tmp_path / "repo"))
        plant.stop()
        plant.start(empty)
        plant.until(lambda: "git was not found" in cli(plant, "status").out, what="the problem")
        assert_clear(cli(plant, "init", "--yes", str(small_repo(tmp_path / "other")), env=empty), 2, "git is not installed")
        plant.stop()
        plant.start()
        plant.until(lambda: "problem" not in cli(plant, "status").out, what="the problem to go")


def test_without_tmux_the_daemon_serves_says_so_and_works_once_it_is_there(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    env = {"PATH": path_without(tools, "tmux")}
    with factory(tmp_path / "f", env) as plant:
        plant.until(lambda: "tmux is not installed" in cli(plant, "status").out, what="the problem")
        name = plant.register(small_repo(tmp_path / "repo"))
        task = plant.add(name)
        plant.until(lambda: any("tries again" in reason for reason in plant.task(task).why), what="the reason why it does not run")
        found = cli(plant, "doctor")
        assert found.code == 1 and "tmux" in found.out and "install tmux 3.2 or newer" in found.out
        (tools / "tmux").symlink_to(subprocess.check_output(("sh", "-c", "command -v tmux"), text=True).strip())
        plant.until_state(task, "done")
        plant.until(lambda: "problem" not in cli(plant, "status").out, what="the problem to go")
        assert "Traceback" not in plant.log_text()


def test_a_tmux_that_is_too_old_is_named_with_its_path(tmp_path: Path) -> None:
    old = program(tmp_path / "old/tmux", 'echo "tmux 2.9a"')
    with factory(tmp_path / "f", {"PATH": f"{old.parent}{os.pathsep}{os.environ['PATH']}"}) as plant:
        told = ""

        def problem() -> bool:
            nonlocal told
            told = cli(plant, "status").out
            return "problem" in told

        plant.until(problem, what="the problem")
        assert f"tmux 2.9a is too old ({old})" in told and "Install tmux 3.2" in told
        assert "Traceback" not in plant.log_text()


# --- two daemons, and sockets ----------------------------------------------------------------------------------------


def test_a_second_daemon_is_told_of_the_first_and_harms_nothing(plant: Factory) -> None:
    assert plant.process is not None
    ran = cli(plant, "daemon")
    assert_clear(ran, 2, f"(pid {plant.process.pid})", "andon down")
    ran = cli(plant, "up")
    assert ran.code == 0 and f"runs already: version 0.1.0, pid {plant.process.pid}" in ran.out
    assert plant.answers()


def test_a_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    with factory(tmp_path / "f") as plant:
        plant.kill()
        assert plant.layout.socket.exists()
        assert_clear(cli(plant, "list"), 3, "not running", "andon up")
        plant.start()
        assert plant.answers()


def test_what_lies_where_the_socket_belongs_is_named_and_left_alone(tmp_path: Path) -> None:
    plant = Factory(tmp_path / "f")
    plant.layout.runtime.mkdir(parents=True, mode=0o700)
    plant.layout.socket.write_text("somebody's file\n")
    ran = cli(plant, "up")
    try:
        assert_clear(ran, 3, "no socket is in the way", str(plant.layout.socket), "move it away")
        assert plant.layout.socket.read_text() == "somebody's file\n"
    finally:
        plant.close()


def test_a_daemon_of_another_version_is_told_apart(tmp_path: Path) -> None:
    plant = Factory(tmp_path / "f")
    plant.layout.runtime.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(plant.layout.socket))
        stranger.listen()
        done = subprocess.Popen(("python3", "-c", ANSWERS_OTHERWISE), stdin=stranger.fileno(), stdout=subprocess.DEVNULL)
        try:
            assert_clear(cli(plant, "list"), 4, "protocol 1", "andon down")
            assert_clear(cli(plant, "list"), 2, "does not know", "andon down")
        finally:
            done.kill()
            done.wait()


ANSWERS_OTHERWISE = """
import json, socket
door = socket.socket(fileno=0)
problem = {"what": "this face speaks protocol 1, the daemon protocol 9", "mend": "`andon down`, then `andon up`"}
refused = {"type": "refused", "problem": problem}
for answer in (refused, {"type": "greetings", "protocol": 9}):
    caller, _ = door.accept()
    caller.recv(65536)
    caller.sendall(json.dumps(answer).encode() + b"\\n")
    caller.recv(65536)
    caller.close()
"""


# --- an agent that cannot start --------------------------------------------------------------------------------------

AGENTS = {
    "an adapter that is not there": ('use = "claud"', "there is no such adapter"),
    "a binary that is not there": (
        'use = "command"\ncommand = ["no-such-agent", "{prompt_file}"]', "there is no program `no-such-agent`"),
    "an adapter whose program is not installed": ('use = "aider"', "is not installed"),
}


@pytest.mark.parametrize("case", AGENTS)
def test_an_agent_that_cannot_start_opens_a_gate_with_the_reason(plant: Factory, tmp_path: Path, case: str) -> None:
    text, says = AGENTS[case]
    path = small_repo(tmp_path / case.replace(" ", "-"))
    told = (path / "andon.toml").read_text().replace('use = "scripted"', text, 1)
    (path / "andon.toml").write_text("\n".join(line for line in told.splitlines() if "ANDON_SCRIPTED" not in line) + "\n")
    git(path, "commit", "-qam", "another agent")
    ran = cli(plant, "init", "--yes", str(path))
    assert ran.code == 0, ran
    task = TaskId(cli(plant, "add", "do it", cwd=path).out.split()[0])
    plant.until(lambda: plant.gate(task), what="a gate")
    gate = plant.gate(task)
    assert gate is not None and gate.kind == "failure" and says in gate.because + gate.question, gate
    failed = [row.event.failure for row in plant.events() if isinstance(row.event, e.AttemptFailed)
              and row.event.attempt.startswith(f"{task}.")]
    assert set(failed) == {"contract"}, failed
    assert not any(session.task == task for session in plant.sessions())


def test_the_check_of_clear_errors_can_fail() -> None:
    good = "andon: what\n  where: there\n  mend:  do this"
    assert_clear(Ran(2, "", good), 2, "what")
    traceback, destructive = "Traceback (most recent call last):\n" + good, good.replace("do this", "git reset --hard")
    for bad in (traceback, destructive, "andon: what", good + "\nx\nx"):
        with pytest.raises(AssertionError):
            assert_clear(Ran(2, "", bad), 2, "what")
    with pytest.raises(AssertionError):
        assert_clear(Ran(1, "", good), 2, "what")
