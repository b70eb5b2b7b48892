"""The scripted agent does what its scenario says: properly, and each misbehaviour exactly as it is named."""

import os
import resource
import signal
import time
from pathlib import Path

import psutil
import pytest

import gitkit
from agentkit import Stage
from andon.edges.jobs import write_answer
from andon.schema.jobs import Answer
from andon_agents.acting.misdeeds import JUNK
from andon_agents.acting.shelf import bundled, opened
from support import wait_until


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def kinds(stage: Stage) -> list[str]:
    return [said.kind for said in stage.said()]


# --- proper ----------------------------------------------------------------------------------------------------------


def test_proper_work_ends_in_a_commit_and_a_true_claim(stage: Stage) -> None:
    done = stage.play("proper")
    assert done.returncode == 0, done.stderr
    assert kinds(stage) == ["progress", "finished"]
    assert stage.said()[-1].commit == stage.head() != stage.base
    assert stage.git("show", "--format=%an", "--name-only", "HEAD").splitlines() == ["Scripted Agent", "", "notes/T3.md"]
    assert stage.git("status", "--porcelain") == ""


def test_every_deed_of_a_good_agent_does_what_it_says(stage: Stage) -> None:
    done = stage.play("""
[[step]]
say = "Hello from {attempt}"
[[step]]
read = "src.py"
[[step]]
edit = "src.py"
find = "VALUE = 1"
replace = "VALUE = 2"
[[step]]
append = "src.py"
text = "MORE = '{title}'\\n"
[[step]]
write = "bin/{task}.sh"
text = "echo {task}\\n"
executable = true
[[step]]
delete = "README.md"
[[step]]
run = "cat src.py; exit 4"
[[step]]
commit = "All of it"
[[step]]
handoff = "the rest"
[[step]]
exit = 7
""")
    assert done.returncode == 7
    assert stage.git("show", "--name-status", "--format=", "HEAD").split() == ["D", "README.md", "A", "bin/T3.sh", "M", "src.py"]
    assert (stage.checkout / "src.py").read_text() == "VALUE = 2\nMORE = 'A title'\n"
    assert os.access(stage.checkout / "bin/T3.sh", os.X_OK)
    for shown in ("Hello from T3.1", "● Read(src.py)", "VALUE = 1",
                  "● Bash(cat src.py; exit 4)", "MORE = 'A title'", "exit code 4"):
        assert shown in done.stdout
    assert [(said.kind, said.text) for said in stage.said()] == [("handoff", "the rest")]


def test_literal_texts_keep_their_braces(stage: Stage) -> None:
    stage.play("[[step]]\nwrite = \"a.py\"\ntext = 'f\"{number} {title}\"'\nliteral = true\n")
    assert (stage.checkout / "a.py").read_text() == 'f"{number} {title}"'


def test_an_edit_that_does_not_fit_ends_the_agent(stage: Stage) -> None:
    done = stage.play('[[step]]\nedit = "src.py"\nfind = "nowhere"\nreplace = "x"\n[[step]]\ncommit = "no"\n')
    assert done.returncode == 1
    assert "occurs 0 times in src.py" in done.stdout
    assert stage.head() == stage.base


def test_what_an_earlier_attempt_did_is_not_done_again(stage: Stage) -> None:
    act = r"""
[[step]]
edit = "src.py"
find = "VALUE = 1"
replace = "VALUE = 2"
[[step]]
edit = "README.md"
find = "# Project\n"
replace = "# Project\nMore.\n"
[[step]]
append = "src.py"
text = "END = True\n"
[[step]]
commit = "Once"
"""
    assert stage.play(act).returncode == 0
    once = stage.head()
    again = stage.play(act)
    assert again.returncode == 0
    assert again.stdout.count("already there") == 3
    assert "nothing to commit" in again.stdout
    assert stage.head() == once != stage.base
    assert (stage.checkout / "src.py").read_text() == "VALUE = 2\nEND = True\n"


def test_a_command_that_must_succeed_ends_the_agent(stage: Stage) -> None:
    assert stage.play('[[step]]\nrun = "exit 3"\nmust = true\n').returncode == 1


def test_a_command_that_leaves_something_in_the_background_does_not_hold_the_agent(stage: Stage) -> None:
    started = time.monotonic()
    stage.play('[[step]]\nrun = "sleep 60 & echo $! > ../pid"\n')
    assert time.monotonic() - started < 20
    os.kill(int((stage.folder / "pid").read_text()), signal.SIGKILL)


def test_a_question_is_answered_from_the_inbox_and_the_answer_is_used(stage: Stage) -> None:
    write_answer(stage.job, Answer(n=1, text="long"))
    assert stage.play("ask").returncode == 0
    assert stage.said()[0].options == ("short", "long")
    assert "The answer was: long\nIt was to be long" in (stage.checkout / "notes/T3.md").read_text()


def test_a_question_waits_for_its_own_answer(stage: Stage) -> None:
    with stage.started("ask") as agent:
        wait_until(lambda: kinds(stage) == ["ask"], what="the question")
        write_answer(stage.job, Answer(n=7, text="wrong number"))
        assert agent.poll() is None
        write_answer(stage.job, Answer(n=1, text="2"))
        assert agent.wait(20) == 0
    assert stage.said()[-1].text == "Done as asked: long"


def test_the_second_attempt_can_differ_from_the_first(tmp_path: Path) -> None:
    first, second = Stage(tmp_path / "1", attempt="T3.1"), Stage(tmp_path / "2", attempt="T3.2")
    for stage in (first, second):
        assert stage.play("fail-then-fix").returncode == 0
    assert "1 + 1 == 3" in (first.checkout / "tests/test_T3.py").read_text()
    assert "1 + 1 == 2" in (second.checkout / "tests/test_T3.py").read_text()


def test_a_crash_can_be_for_the_first_attempt_alone(tmp_path: Path) -> None:
    assert Stage(tmp_path / "1", attempt="T3.1").play("crash-once").returncode == 1
    assert Stage(tmp_path / "2", attempt="T3.2").play("crash-once").returncode == 0


def test_an_attempt_always_plays_alike(tmp_path: Path) -> None:
    act = '[[step]]\nflood = 0.05\n[[step]]\nbig_file = "x"\nmb = 0.1\n[[step]]\ninvent_sha = "done"\n'
    stages = [Stage(tmp_path / str(place), attempt=attempt) for place, attempt in enumerate(("T3.1", "T3.1", "T3.2"))]
    played = [(stage.play(act).stdout, (stage.checkout / "x").read_bytes(), stage.said()[0].commit) for stage in stages]
    assert played[0] == played[1]
    assert played[0][1:] != played[2][1:]


def test_without_a_job_directory_it_can_be_tried_by_hand(stage: Stage) -> None:
    done = stage.play("proper", ANDON_JOB="")
    assert done.returncode == 0
    assert stage.said() == []


def test_speed_divides_the_seconds(stage: Stage) -> None:
    started = time.monotonic()
    stage.play('speed = 2.0\n[[step]]\nthink = "x"\nseconds = 1.0\n', ANDON_SCRIPTED_SPEED="1")
    assert 0.42 <= time.monotonic() - started < 5


# --- misbehaviour ----------------------------------------------------------------------------------------------------


def test_a_liar_says_finished_and_commits_nothing(stage: Stage) -> None:
    assert stage.play("lie").returncode == 0
    assert kinds(stage) == ["finished"]
    assert stage.head() == stage.said()[0].commit == stage.base
    assert stage.git("status", "--porcelain") == ""


def test_nothing_leaves_no_trace(stage: Stage) -> None:
    assert stage.play("nothing").returncode == 0
    assert (stage.said(), stage.head()) == ([], stage.base)


def test_an_empty_commit_has_the_tree_of_its_parent(stage: Stage) -> None:
    stage.play("empty-commit")
    assert stage.head() != stage.base
    assert stage.git("rev-parse", "HEAD^{tree}") == stage.git("rev-parse", "HEAD^^{tree}")
    assert stage.said()[-1].commit == stage.head()


def test_an_invented_commit_does_not_exist(stage: Stage) -> None:
    stage.play("invent-sha")
    assert len(stage.said()[0].commit) == 40
    assert gitkit.run(stage.checkout, "cat-file", "-t", stage.said()[0].commit, check=False) == ""
    assert stage.head() == stage.base


def test_a_thief_takes_a_commit_out_of_the_shared_object_store(tmp_path: Path) -> None:
    shared = gitkit.make_repo(tmp_path / "shared")
    stage = Stage(tmp_path / "stage")
    gitkit.run(stage.folder, "clone", "-q", "--shared", str(shared), "clone")
    gitkit.run(shared, "checkout", "-q", "-b", "other")
    foreign = gitkit.commit(shared, {"other.py": "theirs\n"}, "Work of another task")
    stage.checkout = stage.folder / "clone"
    assert stage.play("steal").returncode == 0
    assert stage.head() == stage.said()[-1].commit == foreign
    assert stage.git("rev-parse", "--abbrev-ref", "HEAD") == "main"


def test_a_thief_takes_the_ref_that_it_was_told(stage: Stage) -> None:
    stage.git("checkout", "-q", "-b", "other")
    foreign = gitkit.commit(stage.checkout, {"other.py": "theirs\n"}, "Work of another task")
    stage.git("checkout", "-q", "main")
    stage.play('[[step]]\nsteal = "other"\n')
    assert stage.head() == foreign


def test_with_nothing_to_steal_a_thief_gives_up(stage: Stage) -> None:
    assert stage.play("steal").returncode == 1


def test_deleted_tests_are_gone_from_the_commit(stage: Stage) -> None:
    assert stage.play("delete-tests").returncode == 0
    assert "D\ttests/test_src.py" in stage.git("show", "--name-status", "--format=", "HEAD")


def test_edited_checks_always_say_yes(stage: Stage) -> None:
    assert stage.play("edit-checks").returncode == 0
    settings = stage.git("show", "HEAD:andon.toml")
    assert 'run = "true"\nreport = "exit"' in settings
    assert 'use = "scripted"' in settings


def test_a_crash_has_its_exit_code_and_leaves_its_work_uncommitted(stage: Stage) -> None:
    assert stage.play("crash").returncode == 3
    assert stage.git("status", "--porcelain") == "?? notes/"


def test_a_segfault_is_a_signal_and_leaves_no_core(stage: Stage) -> None:
    assert stage.play("segfault").returncode == -signal.SIGSEGV
    assert not list(stage.checkout.glob("core*"))


def test_done_then_crash_says_finished_first(stage: Stage) -> None:
    assert stage.play("crash-after-done").returncode == -signal.SIGKILL
    assert kinds(stage) == ["finished"]


@pytest.mark.parametrize("scenario", ["hang", "hang-silent"])
def test_a_hanging_agent_stays_and_dies_of_sigterm(scenario: str, stage: Stage) -> None:
    with stage.started(scenario) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        wait_until(lambda: psutil.Process(agent.pid).status() == psutil.STATUS_SLEEPING, what="the hang")
        assert agent.poll() is None
        agent.terminate()
        assert agent.wait(10) == -signal.SIGTERM


def test_a_loop_makes_the_same_edit_again_and_again(stage: Stage) -> None:
    done = stage.play('[[step]]\nloop = "notes/x.py"\ntimes = 5\n')
    assert done.stdout.count("● Edit(notes/x.py)") == 5
    assert done.stdout.count("The test still fails") == 5
    assert (stage.checkout / "notes/x.py").read_text() == "# fixed\n"


def test_a_flood_is_megabytes_of_escape_junk(stage: Stage) -> None:
    with stage.started("[[step]]\nflood = 2.0\n") as agent:
        assert agent.stdout is not None
        data = agent.stdout.read()
    assert 2 * 1024**2 < len(data) < 2.5 * 1024**2
    for junk in JUNK:
        assert junk.encode(errors="replace") in data


def test_a_flood_without_junk_is_plain(stage: Stage) -> None:
    assert "\x1b" not in stage.play("[[step]]\nflood = 0.1\njunk = false\n").stdout


def test_a_flood_goes_on_for_as_long_as_it_is_told_to(stage: Stage) -> None:
    began = time.monotonic()
    assert len(stage.play("[[step]]\nflood = 0.1\njunk = false\nseconds = 0.5\n").stdout) > 300_000
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("itself", ["true", "false"])
def test_a_burner_uses_a_core_writes_nothing_and_leaves_nobody_behind(stage: Stage, itself: str) -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, files = spent(), sorted(stage.checkout.rglob("*"))
    stage.play(f"[[step]]\nburn = 1.5\nitself = {itself}\n")
    assert spent() - before > 0.4 and sorted(stage.checkout.rglob("*")) == files


def test_a_fill_writes_file_after_file(stage: Stage) -> None:
    stage.play('[[step]]\nfill = "heap"\nmb = 20\nseconds = 0\n')
    assert sum(one.stat().st_size for one in (stage.checkout / "heap").iterdir()) == 20 * 1024**2
    assert len(list((stage.checkout / "heap").iterdir())) == 3


def test_an_agent_that_ignores_sigterm_lives_until_sigkill(stage: Stage) -> None:
    with stage.started("ignore-term") as agent:
        wait_until(lambda: (stage.checkout / "notes/T3.md").exists(), what="the agent's work")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            agent.send_signal(number)
        ignored = int(Path(f"/proc/{agent.pid}/status").read_text().partition("SigIgn:")[2].split()[0], 16)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            assert ignored >> (number - 1) & 1
        assert agent.poll() is None
        agent.kill()
        assert agent.wait(10) == -signal.SIGKILL


def test_an_orphan_survives_in_a_session_of_its_own(stage: Stage) -> None:
    done = stage.play("orphan")
    assert done.returncode == 0
    orphan = psutil.Process(int(done.stdout.rpartition("(pid ")[2].partition(")")[0]))
    try:
        assert orphan.is_running()
        assert os.getsid(orphan.pid) != os.getsid(0)
        assert kinds(stage) == ["finished"]
    finally:
        for process in (*orphan.children(), orphan):
            process.kill()


def test_an_orphan_may_write_after_the_agents_end(stage: Stage) -> None:
    stage.play('[[step]]\norphan = 0.2\nwrites = "late.txt"\n')
    wait_until(lambda: (stage.checkout / "late.txt").exists(), what="the orphan's file")


def test_many_children_outlive_the_agent(stage: Stage) -> None:
    with stage.started("[[step]]\nfork_many = 12\nseconds = 50\n") as agent:
        assert agent.wait(20) == 0
        alive = [process for process in psutil.process_iter() if process.status() != psutil.STATUS_ZOMBIE]
        assert len([process for process in alive if _group(process) == agent.pid]) == 12


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


def test_writing_outside_leaves_the_checkout(stage: Stage, own_home: Path) -> None:
    assert stage.play("write-outside").returncode == 0
    assert (stage.folder / "outside-T3.txt").exists()
    assert (own_home / "outside-T3.txt").exists()


def test_a_refused_write_outside_does_not_end_the_agent(stage: Stage) -> None:
    done = stage.play('[[step]]\nwrite_outside = "/proc/nowhere"\n')
    assert done.returncode == 0
    assert "refused:" in done.stdout


def test_two_conflicting_agents_really_conflict(tmp_path: Path) -> None:
    one, two = Stage(tmp_path / "1", attempt="T3.1"), Stage(tmp_path / "2", attempt="T4.1")
    for stage in (one, two):
        stage.play("conflict")
    one.git("fetch", "-q", str(two.checkout), "main")
    merged = gitkit.run(one.checkout, "merge", "-q", "--allow-unrelated-histories", "FETCH_HEAD", check=False)
    assert "CONFLICT" in merged
    assert "README.md" in merged


def test_dirty_work_lies_in_every_corner(stage: Stage) -> None:
    assert stage.play("dirty").returncode == 1
    assert stage.git("status", "--porcelain").splitlines() == [" M README.md", "A  staged-T3.1.txt", "?? untracked-T3.1.txt"]
    assert stage.head() == stage.base
    lost = stage.git("fsck", "--lost-found", "--no-reflogs").split()[-1]
    assert stage.git("show", "--format=%s", "--name-only", lost).split()[-1] == "detached-T3.1.txt"


def test_detached_work_alone_stays_detached(stage: Stage) -> None:
    stage.play('[[step]]\ndirty = ["detached"]\n')
    assert stage.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert stage.git("rev-parse", "main") == stage.base


def test_a_big_file_is_big_and_does_not_compress(stage: Stage) -> None:
    stage.play('[[step]]\nbig_file = "data.bin"\nmb = 1.5\n[[step]]\ncommit = "data"\n')
    assert int(stage.git("cat-file", "-s", "HEAD:data.bin")) == int(1.5 * 1024**2)
    assert sum(path.stat().st_size for path in (stage.checkout / ".git/objects").rglob("*") if path.is_file()) > 1.4 * 1024**2


def test_slow_work_reports_each_quarter(stage: Stage) -> None:
    stage.play("slow")
    assert [said.text for said in stage.said()][:3] == [f"Working through the files: {percent} %" for percent in (25, 50, 75)]


def test_every_bundled_scenario_says_what_it_is_and_can_be_read() -> None:
    assert len(bundled()) >= 25
    for name in bundled():
        assert len(opened(name).about) > 20, name
