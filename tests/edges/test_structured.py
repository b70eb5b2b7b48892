"""Structured merging is a proposal: offered in the agent's own checkout when all is solved, else said why, never anything more."""

import os
import re
import sys
from pathlib import Path

import psutil
import pytest

import gitkit
from andon.edges import checkout, structured
from andon.schema import events as e, inputs as i, wire
from andon.schema.effects import PrepareCheckout
from andon.schema.ids import TaskId
from andon.schema.inputs import CheckoutReady
from andon.schema.views import EntryView
from checkoutkit import Blobs, Floor, floor
from factory import factory, git, small_repo, without_walls
from gitkit import commit, run
from support import wait_for
from wholekit import contents, program

BASE = "def f(a):\n    return a\n"
OURS = "def f(a, b):\n    return a\n"
THEIRS = "def f(a, c=1):\n    return a + c\n"
SOLVED = "def f(a, b, c=1):\n    return a + c\n"
SOLVES = """
while [ $# -gt 0 ]; do case "$1" in -p) named=$2; shift;; -o) out=$2; shift;; esac; shift; done
printf '%s\\n' "$named" >> "$PWD/../../../told"
{ head -c 9 left; echo "b, c=1):"; tail -n 1 right; } > "$out"
"""
PROPOSED = "conflict in src/f.py; mergiraf proposes a merge on the branch andon/proposal"


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    """A target that has moved on, and earlier work that conflicts with it: `clash` wants it resolved."""
    return floor(tmp_path, {"src/f.py": BASE, "other.txt": "o\n"})


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program named mergiraf is found, when a test writes one."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "bin" / "mergiraf"


def clash(shop: Floor, ours: str | None = OURS, theirs: str | None = THEIRS, path: str = "src/f.py", *, isolation: str = "clone",
          rebase: bool = True) -> PrepareCheckout:
    """Both sides change one file; the checkout of a second attempt on the newer target."""
    start = shop.base
    run(shop.person, "checkout", "-q", "-b", "work")
    previous = commit(shop.person, {path: theirs, "mine.txt": "m\n"}, "Earlier work")
    run(shop.person, "checkout", "-q", "main")
    commit(shop.person, {path: ours, "other.txt": "newer\n"}, "Landed meanwhile")
    run(shop.person, "update-ref", "refs/andon/work/T1.1", previous)
    run(shop.person, "branch", "-q", "-D", "work")
    assert shop.base != start
    made = shop.prepare("T1.2", previous=previous, isolation=isolation, rebase=rebase)
    return PrepareCheckout(**{name: getattr(made, name) for name in made.__struct_fields__} | {"structured": True})


async def prepared(shop: Floor, effect: PrepareCheckout) -> CheckoutReady:
    """The checkout, while the person's files, branches and settings stay as they are."""
    before = {name: told for name, told in contents(shop.person).items() if "/.git/" not in name}
    heads = run(shop.person, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    ready = await checkout.prepare(effect, shop.layout)
    assert {name: told for name, told in contents(shop.person).items() if "/.git/" not in name} == before
    linked = effect.checkout.isolation == "worktree"
    assert linked or run(shop.person, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags") == heads
    assert not list((shop.layout.home / "scratch").glob("*")), "a scratch directory was left"
    return ready


def offered(shop: Floor) -> str:
    """The proposal in the agent's checkout; empty when there is none."""
    return gitkit.ref(shop.path("T1.2"), "refs/heads/andon/proposal")


async def test_what_the_tool_solves_is_offered_as_a_branch_and_the_agent_starts_at_the_target_all_the_same(
    shop: Floor, tool: Path,
) -> None:
    program(tool, SOLVES)
    effect = clash(shop)
    ready = await prepared(shop, effect)
    path = shop.path("T1.2")
    assert ready.rebased == PROPOSED and ready.start == ""
    assert run(path, "rev-parse", "HEAD") == shop.base and (path / "src/f.py").read_text() == OURS
    assert run(path, "status", "--porcelain") == ""
    assert run(path, "rev-parse", "andon/proposal^1", "andon/proposal^2").split() == [shop.base, effect.previous]
    assert run(path, "show", "andon/proposal:src/f.py") + "\n" == SOLVED
    assert run(path, "ls-tree", "-r", "--name-only", "andon/proposal").split() == ["mine.txt", "other.txt", "src/f.py"]
    assert run(path, "show", "andon/proposal:other.txt") == "newer"
    assert (shop.layout.home / "told").read_text() == "./src/f.py\n"


async def test_the_objects_of_a_proposal_are_the_agents_own_and_not_in_the_persons_repository(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    await prepared(shop, clash(shop))
    assert run(shop.person, "cat-file", "-t", offered(shop), check=False) == ""
    assert run(shop.path("T1.2"), "fsck", "--connectivity-only", "--no-dangling") == ""


async def test_a_proposal_that_the_agent_takes_is_imported_like_any_work(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    effect = clash(shop)
    await prepared(shop, effect)
    path = shop.path("T1.2")
    run(path, "merge", "-q", "--squash", "andon/proposal")
    work = commit(path, {}, "Both intents")
    read = await checkout.import_work(shop.bring("T1.2"), shop.layout, Blobs())
    assert (read.commit, read.descends, read.refused) == (work, True, "")
    assert set(read.paths) == {"src/f.py", "mine.txt"}
    assert run(shop.person, "show", f"{work}:src/f.py") + "\n" == SOLVED


async def test_what_is_not_taken_never_comes_back(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    await prepared(shop, clash(shop))
    work = commit(shop.path("T1.2"), {"src/f.py": "def f(a, b):\n    return a + b\n"}, "By hand")
    assert (await checkout.import_work(shop.bring("T1.2"), shop.layout, Blobs())).commit == work
    assert offered(shop) not in gitkit.reachable_blobs(shop.person)


WRONG = {
    "leaves markers and says so": (
        "printf '<<<<<<< left\\na\\n=======\\nb\\n>>>>>>> right\\n' > out; exit 1", "mergiraf could not solve src/f.py"),
    "leaves markers and says that all is well": (
        "printf '<<<<<<< left\\na\\n=======\\nb\\n>>>>>>> right\\n' > out", "mergiraf could not solve src/f.py"),
    "fails": ("cp right out; exit 1", "mergiraf could not solve src/f.py"),
    "knows no such option": ("exit 2", "mergiraf failed on src/f.py (exit code 2)"),
    "crashes": ("cp right out; kill -SEGV $$", "mergiraf failed on src/f.py (signal 11)"),
    "writes into the versions": ("echo mine > left; echo mine > right; echo mine", "mergiraf left no result for src/f.py"),
    "writes elsewhere": ("mkdir -p src; echo mine > src/f.py; echo mine > ../out; echo mine > \"$HOME/f.py\"",
                         "mergiraf left no result for src/f.py"),
    "leaves a link": ("ln -s /etc/hostname out", "mergiraf left no result for src/f.py"),
    "leaves a directory": ("mkdir out", "mergiraf left no result for src/f.py"),
    "leaves nothing": (": > out", "mergiraf left nothing of src/f.py"),
    "writes without end": ("exec cat /dev/zero > out", "mergiraf failed on src/f.py (signal 25)"),
    "writes too much": ("head -c 1100000 /dev/zero > out", "the result for src/f.py is larger than 1024 KiB"),
}


@pytest.mark.parametrize("how", WRONG)
async def test_a_tool_that_does_it_wrong_leaves_no_proposal_and_the_reason_is_said(shop: Floor, tool: Path, how: str) -> None:
    script, why = WRONG[how]
    program(tool, script)
    ready = await prepared(shop, clash(shop))
    assert ready.rebased == f"conflict in src/f.py; no proposal: {why}"
    assert offered(shop) == "" and (shop.path("T1.2") / "src/f.py").read_text() == OURS


async def test_a_tool_that_hangs_is_ended_with_its_children(shop: Floor, tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structured, "FILE_S", 0.3)
    note = shop.layout.home / "pid"
    program(tool, f"sleep 300 & echo $! > {note}; cp right out; sleep 300")
    ready = await prepared(shop, clash(shop))
    assert ready.rebased == "conflict in src/f.py; no proposal: mergiraf took longer than 0.3 s for src/f.py"
    assert offered(shop) == ""
    await wait_for(lambda: not psutil.pid_exists(pid(note)) or psutil.Process(pid(note)).status() == "zombie", 5)


def pid(note: Path) -> int:
    """The number in a file."""
    return int(note.read_text())


async def test_many_files_together_have_a_limit_of_time_too(shop: Floor, tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structured, "ALL_S", 0.2)
    program(tool, "sleep 300")
    ready = await prepared(shop, clash(shop))
    assert ready.rebased == "conflict in src/f.py; no proposal: mergiraf took longer than 0 s"


async def test_a_machine_without_the_tool_is_told_and_nothing_else_changes(
    shop: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(structured, "TOOL", "mergiraf-that-nobody-installed")
    ready = await prepared(shop, clash(shop))
    assert ready.rebased == "conflict in src/f.py; no proposal: mergiraf-that-nobody-installed is not installed"
    assert offered(shop) == "" and run(shop.path("T1.2"), "rev-parse", "HEAD") == shop.base
    assert gitkit.ref(shop.path("T1.2"), "refs/heads/andon/previous")


async def test_the_tool_is_not_run_where_nobody_asked_for_it(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    effect = clash(shop)
    plain = PrepareCheckout(**{name: getattr(effect, name) for name in effect.__struct_fields__} | {"structured": False})
    ready = await checkout.prepare(plain, shop.layout)
    assert ready.rebased == "conflict in src/f.py" and offered(shop) == "" and not (shop.layout.home / "told").exists()


async def test_the_tool_is_not_run_where_the_sides_merge(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    ready = await prepared(shop, clash(shop, ours=BASE + "# ours\n", theirs="# theirs\n" + BASE))
    assert ready.rebased == "clean" and offered(shop) == "" and not (shop.layout.home / "told").exists()


async def test_a_conflict_is_told_also_where_nothing_was_to_be_replayed(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    ready = await prepared(shop, clash(shop, rebase=False))
    assert ready.rebased == PROPOSED and ready.start == "" and offered(shop)


async def test_a_linked_worktree_gets_no_branch_in_the_persons_repository(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    ready = await prepared(shop, clash(shop, isolation="worktree"))
    assert ready.rebased.endswith("no proposal: the checkout is a linked worktree, whose branches are the repository's own")
    assert gitkit.ref(shop.person, "refs/heads/andon/proposal") == "" and not (shop.layout.home / "told").exists()


NOT_FOR_IT = {
    "removed here": (None, THEIRS, "a conflict of kind modify/delete is not for a tool"),
    "removed there": (OURS, None, "a conflict of kind modify/delete is not for a tool"),
    "no text": ("a\0b\n", "a\0c\n", "(a conflict of kind binary is not for a tool|src/f.py is no text)"),
    "large": (OURS + "x = 1\n" * 200_000, THEIRS, "src/f.py is larger than 1024 KiB"),
    "line ends of both kinds": ("a\r\nb\nc\r\n", THEIRS, "src/f.py has line ends of both kinds"),
}


@pytest.mark.parametrize("how", NOT_FOR_IT)
async def test_what_is_not_for_a_tool_is_left_to_the_agent(shop: Floor, tool: Path, how: str) -> None:
    program(tool, "cp right out")
    ours, theirs, why = NOT_FOR_IT[how]
    ready = await prepared(shop, clash(shop, ours, theirs))
    assert re.search(f"; no proposal: {why}$", ready.rebased) and offered(shop) == ""


async def test_a_file_that_both_sides_added_is_left_to_the_agent(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    ready = await prepared(shop, clash(shop, path="new.py"))
    assert ready.rebased == "conflict in new.py; no proposal: new.py is not on both sides and before them"


@pytest.mark.parametrize(("attribute", "why"), [("-merge", "not merged by lines"), ("merge=lockfile", "merged by `lockfile`")])
async def test_what_the_attributes_keep_from_merging_is_kept_from_the_tool(
    shop: Floor, tool: Path, attribute: str, why: str,
) -> None:
    program(tool, SOLVES)
    commit(shop.person, {".gitattributes": f"*.py {attribute}\n"}, "Attributes")
    ready = await prepared(shop, clash(shop))
    assert f"no proposal: .gitattributes has src/f.py {why}" in ready.rebased and offered(shop) == ""


async def test_markers_that_a_file_has_anyway_are_not_taken_for_conflicts(shop: Floor, tool: Path) -> None:
    program(tool, "{ cat left; tail -n 1 right; } > out")
    ready = await prepared(shop, clash(shop, ours="Heading\n=======\nours\n", theirs="Heading\n=======\ntheirs\n"))
    assert ready.rebased == PROPOSED
    assert run(shop.path("T1.2"), "show", "andon/proposal:src/f.py").split() == ["Heading", "=======", "ours", "theirs"]


async def test_a_file_keeps_its_line_ends_although_the_tool_writes_plain_ones(shop: Floor, tool: Path) -> None:
    program(tool, "{ cat left; tail -n 1 right; } | tr -d '\\r' > out")
    await prepared(shop, clash(shop, ours="one\r\nours\r\n", theirs="one\r\ntheirs\r\n"))
    blob = run(shop.path("T1.2"), "cat-file", "blob", "andon/proposal:src/f.py")
    assert blob + "\n" == "one\r\nours\r\ntheirs\r\n"


async def test_a_checkout_made_again_after_a_kill_has_its_proposal(shop: Floor, tool: Path) -> None:
    program(tool, SOLVES)
    effect = clash(shop)
    first = await prepared(shop, effect)
    made = offered(shop)
    assert await checkout.prepare(effect, shop.layout) == first
    await checkout.remove(shop.remove("T1.2"), shop.layout)
    assert await checkout.prepare(effect, shop.layout) == first and offered(shop) == made


AGENT = f"""\
[agents.default]
command = ["{sys.executable}", "-S", "agent.py", "{{prompt_file}}"]
[policy]
ship = ["**"]
[queue]
structured = "propose"
"""
AGENT_PY = """
import pathlib, re, subprocess, sys
text = pathlib.Path(sys.argv[1]).read_text()
script = re.search(r"```sh\\n(.*?)```", text, re.S)[1]
if "read" in text and "git merge --squash andon/proposal" in text:
    script = "git merge -q --squash andon/proposal"
subprocess.run(["sh", "-ec", script], check=True)
subprocess.run(["git", "add", "-A"], check=True)
subprocess.run(["git", "commit", "-qm", "what was asked for"], check=True)
"""


def test_a_conflict_of_two_tasks_is_resolved_by_a_proposal_that_the_agent_took_and_the_checks_proved(tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "repo", files={"agent.py": AGENT_PY, "src/f.py": BASE, "new.py": OURS, "newer.py": THEIRS})
    text = (repo / "andon.toml").read_text()
    (repo / "andon.toml").write_text(without_walls(AGENT + text[text.index("[checks.tests]"):text.index("[policy]")]))
    git(repo, "commit", "-qam", "settings")
    program(tmp_path / "bin/mergiraf", SOLVES)
    with factory(tmp_path / "f", {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}) as plant:
        name = plant.register(repo)
        plant.do(i.HoldQueue(repo=name, because="gathering"))
        tasks = []
        for script in ("cp new.py src/f.py", "cp newer.py src/f.py"):
            done = plant.do(i.AddTask(repo=name, title="a task", spec=f"a task\n\n```sh\n{script}\n```\n"))
            assert isinstance(done, wire.Done)
            tasks.append(TaskId(done.ids[0]))
            plant.until(lambda: len([view for view in plant.views() if isinstance(view, EntryView)]) == len(tasks), what="an entry")
        plant.do(i.ResumeQueue(repo=name))
        for task in tasks:
            plant.until_state(task, "done", deadline=60)
        rows = [row.event for row in plant.events()]
    assert [told.rebased for told in rows if isinstance(told, e.CheckoutPrepared)] == ["", "", PROPOSED]
    assert git(repo, "show", "refs/andon/trunk/main:src/f.py") + "\n" == SOLVED
    runs = {row.tree for row in rows if isinstance(row, e.RunPlanned)}
    assert git(repo, "rev-parse", "refs/andon/trunk/main^{tree}") in runs, "it was proved like any other change"
