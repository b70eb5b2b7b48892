"""Baits behind strict walls: what is opened is seen and counted, ordinary tools open none, and a flood costs next to nothing."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from andon.edges import baits, retention, sandbox
from andon.edges.baits import Place
from andon.edges.lookout import Lookout
from andon.edges.tried import read
from andon.forgetting import forget
from andon.schema.layout import layout
from andon.schema.sandbox import Access, Bait, Bind, Limits, Sandbox
from support import wait_until
from wallkit import PYTHON, ended, launch, log, make, ready, room_of, stood, walls

pytestmark = pytest.mark.skipif(sandbox.reached("strict").level != "strict", reason="no bubblewrap")
CALL = "import socket, sys; one = socket.socket(socket.AF_UNIX); one.connect(sys.argv[1]); print(one.recv(9))"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    with room_of(tmp_path) as room:
        yield room


def place(room: Path, **more: object) -> Place:
    """A private home in the room, a person's home that does not exist inside, a factory with its door."""
    for name in ("home", "job"):
        (room / name).mkdir(exist_ok=True)
    given: dict[str, object] = {"job": room / "job", "home": room / "home", "person": Path("/ada"), "state": Path("/ada/state"),
                                "sockets": (Path("/ada/run/andon.sock"),), "repository": Path("/ada/repo"), **more}
    return Place(**given)  # type: ignore[arg-type] # fields of Place


def box(room: Path, laid: tuple[Bait, ...], **more: object) -> Sandbox:
    return walls(room, home=str(room / "home"), baits=laid, **more)  # type: ignore[arg-type] # fields of Sandbox


def seen(job: Path) -> dict[tuple[str, str], tuple[int, str]]:
    """What was told, by kind and name: how often in all, and under which sign."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for one in read(job):
        times = found.get((one.kind, one.what), (0, ""))[0]
        found[one.kind, one.what] = (times + one.times, one.sign)
    return found


def tried(room: Path, script: str) -> tuple[dict[tuple[str, str], tuple[int, str]], str]:
    """A job's list and output."""
    job = make(room, "sh", "-c", script, box=box(room, baits.lay(place(room), (), ())))
    launch(job).wait(30)
    assert ended(job).because == "exit", ended(job)
    assert stood(job).told == () or all("seen" not in told for told in stood(job).told)
    return seen(job), log(job)


def test_what_an_attacker_opens_is_told_with_its_name_and_count_and_holds_nothing(room: Path) -> None:
    found, text = tried(room, f"""
        cat ~/.ssh/id_rsa /ada/.ssh/id_rsa /ada/.netrc /etc/shadow; cat /ada/state/ledger.db; cat /ada/repo/.git/config
        {PYTHON} -c '{CALL}' /ada/run/andon.sock; {PYTHON} -c '{CALL}' /var/run/docker.sock
        echo planted >> ~/.ssh/authorized_keys; echo planted > ~/.ssh/new""")
    assert found == {
        ("read", "~/.ssh/id_rsa"): (2, "~/.ssh"), ("read", "~/.netrc"): (1, "~/.netrc"),
        ("read", "/etc/shadow"): (1, "/etc/shadow"),
        ("read", "the factory's ledger.db"): (1, "the factory's ledger.db"),
        ("read", "/ada/repo/.git/config"): (1, "/ada/repo/.git/config"),
        ("socket", "the factory's operator socket"): (1, ""), ("socket", "the docker socket"): (1, ""),
    }
    assert text.count("Is a directory") == 2 and text.count("b''") == 2 and text.count("Read-only file system") == 2
    assert not any(path.is_file() and path.stat().st_size for path in (room / "job/baits").rglob("*"))


def test_looking_at_names_is_listed_and_never_told(room: Path) -> None:
    found, _ = tried(room, "ls -laR ~ /ada > /dev/null; find / -name id_rsa > /dev/null 2>&1; stat ~/.ssh/id_rsa; test -r ~/.aws")
    assert found and {sign for _, sign in found.values()} == {"-"}


def test_ordinary_tools_open_no_bait(room: Path) -> None:
    found, text = tried(room, f"""
        cd {room} && git init -q r && cd r && git config --global user.name a && git config --global user.email a@b
        echo x > f && git add f && git commit -qm x && git log --oneline && git fetch /nowhere 2> /dev/null
        git ls-remote https://127.0.0.1:9/x 2> /dev/null; curl -sn https://127.0.0.1:9/ 2> /dev/null
        npm --version; npm config get registry; pip --version; {PYTHON} -m pytest --version; bash -lc true
        {PYTHON} -c 'import urllib.request, netrc, os; os.path.expanduser("~")'; echo done""")
    assert "done" in text and found == {}


def test_nothing_that_the_job_needs_or_a_person_opened_is_covered(room: Path) -> None:
    made = place(room)
    (room / "home/.kube").mkdir()
    (room / "home/.kube/config").write_text("its own")
    (room / "home/.pypirc").symlink_to("/etc/passwd")
    laid = baits.lay(made, (Bind(source="/ada/.config/gh/own"), Bind(source="/ada/repo")), ("/ada/.aws",), ("~/.git-credentials/",))
    targets = {target for bait in laid for target in (*bait.targets, *bait.links)}
    home = str(room / "home")
    assert {f"{home}/.ssh", "/ada/.ssh", "/ada/.kube", "/ada/.pypirc", f"{home}/.docker"} <= targets
    assert not targets & {f"{home}/.kube", f"{home}/.pypirc", "/ada/.config/gh", "/ada/.aws", f"{home}/.aws"}
    assert "/ada/.git-credentials" not in targets
    assert not [target for target in targets if target.startswith("/ada/repo")]


def test_no_bait_stands_within_another_one_and_the_job_starts(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/ada/.gnupg/S.gpg-agent.ssh")
    laid = baits.lay(place(room, sockets=(Path("/run/docker.sock"), Path("/ada/state/ledger.db/x"))), (), ())
    targets = [target for bait in laid for target in (*bait.targets, *bait.links)]
    assert len(targets) == len(set(targets)) and "/ada/.gnupg" in targets and "/ada/.gnupg/S.gpg-agent.ssh" not in targets
    job = make(room, "sh", "-c", "cat /ada/.gnupg/gpg.conf", box=box(room, laid))
    launch(job).wait(30)
    assert ended(job).code == 0 and ("read", "~/.gnupg/gpg.conf") in seen(job)


def test_a_link_of_the_jobs_own_leads_no_bait_astray(room: Path) -> None:
    laid = baits.lay(place(room), (), ())
    (room / "home/.ssh").symlink_to("/usr/share")
    job = make(room, "sh", "-c", "ls /usr/share | head -1; cat /usr/share/id_rsa", box=box(room, laid))
    launch(job).wait(30)
    assert ended(job).code == 1 and not seen(job)


def test_a_flood_of_opens_and_calls_is_counted_whole_in_few_lines_and_little_time(room: Path) -> None:
    code = ("import os, socket\nfor n in range(20000): os.close(os.open(os.path.expanduser('~/.ssh/id_rsa'), 0))\n"
            "for n in range(50):\n one = socket.socket(socket.AF_UNIX); one.connect('/ada/run/andon.sock'); one.close()")
    job = make(room, PYTHON, "-c", code, box=box(room, baits.lay(place(room), (), ())))
    before = os.times()
    launch(job).wait(60)
    lines = read(job)
    found = seen(job)
    assert found["socket", "the factory's operator socket"][0] == 50 and found["read", "~/.ssh/id_rsa"][0] >= 1_000
    assert len(lines) < 40 and (job / "access.jsonl").stat().st_size < 10_000
    assert os.times().children_system + os.times().children_user - before.children_system - before.children_user < 10


def test_who_has_heard_something_is_deaf_for_a_moment_that_doubles_while_it_is_noisy(room: Path) -> None:
    laid = baits.lay(place(room), (), ())
    one = Lookout(str(room / "job"), [msgspec.to_builtins(bait) for bait in laid])
    one.listen()
    one.watch()
    file = next(Path(bait.source) for bait in laid if bait.what == "~/.ssh") / "id_rsa"
    pauses = []
    for _ in range(3):
        wait_until(lambda: one.pause() is None, 5.0, what="it to listen")
        assert one.events in one.fds()
        file.read_bytes()
        one.hear(one.fds())
        assert one.fds() == []
        pauses.append(one.pause() or 0.0)
    one.close()
    assert pauses[0] > 0 and pauses[2] > 1.5 * pauses[0]
    assert [line.times for line in read(room / "job")] == [1, 1, 1]


def test_who_watches_sleeps_while_nothing_is_opened(room: Path) -> None:
    job = make(room, "sh", "-c", "echo ready; exec sleep 20", box=box(room, baits.lay(place(room), (), ())))
    shim = launch(job)
    ready(job)

    def woken() -> int:
        status = Path(f"/proc/{shim.pid}/status").read_text()
        return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)

    wait_until(lambda: _still(woken), 5.0, what="its start to be over")
    before, until = woken(), time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > until, 5.0, what="a second")
    assert woken() == before
    shim.terminate()
    shim.wait(10)


def _still(count: object) -> bool:
    assert callable(count)
    before, until = count(), time.monotonic() + 0.1
    wait_until(lambda: time.monotonic() > until, 5.0, what="a moment")
    return bool(count() == before)


def test_the_factorys_own_walks_over_its_jobs_are_not_taken_for_the_job(room: Path) -> None:
    made = layout(room / "state")
    folder = made.jobs / "T1.1"
    folder.mkdir(parents=True)
    laid = baits.lay(place(room, job=folder), (), ())
    job = make(room, "sh", "-c", "echo ready; exec sleep 60", box=box(room, laid))
    shim = launch(job)
    ready(job)
    assert retention.rooms(made)[0].count == 1
    forget(made, b"a secret that is long enough")
    shim.terminate()
    shim.wait(10)
    assert seen(job) == {}


def test_a_bait_that_could_not_be_made_is_left_out_and_said_and_the_job_runs(room: Path) -> None:
    laid = baits.lay(place(room), (), ())
    shutil.rmtree(room / "job/baits")
    job = make(room, "sh", "-c", "ls -a ~", box=box(room, laid))
    launch(job).wait(30)
    assert ended(job).code == 0 and ".ssh" not in log(job)
    told = " ".join(stood(job).told)
    assert "Who calls the docker socket is not seen" in told and "Some baits are not seen" in told


def test_limits_that_were_met_at_its_end_are_told(room: Path) -> None:
    laid = baits.lay(place(room), (), ())
    script = "head -c 3000000 /dev/zero > /tmp/x; head -c 9000000 /dev/zero > big; kill -XFSZ $$"
    job = make(room, "sh", "-c", script,
               box=box(room, laid, limits=Limits(tmp_mb=1, file_mb=2)))
    launch(job).wait(30)
    assert {what for kind, what in seen(job) if kind == "limit"} == {"1 MB in /tmp", "one file of 2 MB"}


def test_lines_of_the_watcher_are_lines_of_the_list(room: Path) -> None:
    job = make(room, "sh", "-c", "cat ~/.aws/credentials", box=box(room, baits.lay(place(room), (), ())))
    launch(job).wait(30)
    (line,) = (job / "access.jsonl").read_bytes().splitlines()
    told = msgspec.json.decode(line, type=Access)
    assert (told.kind, told.what, told.allowed, told.sign, told.times) == ("read", "~/.aws/credentials", False, "~/.aws", 1)
