"""A fleet within walls: agents build, checks prove, changes land, and nothing else of the machine can be reached."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.sandbox import reached
from andon.schema import events as e, wire
from andon.schema.evidence import readable
from e2e.test_queue import job, project
from factory import Factory, factory, git
from wholekit import cli

pytestmark = pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
STRICT = '[sandbox]\nlevel = "strict"\n'


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Factory]:
    with factory(tmp_path / "f") as made:
        yield made


def test_a_change_is_built_and_proven_within_walls_and_lands(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", STRICT)
    repo = plant.register(path)
    task = job(plant, repo, "echo x > made/n0")
    plant.until_state(task, "done", "failed", "waiting", deadline=40)
    assert plant.task(task).state == "done", "\n".join(str(row.event) for row in plant.events()[-14:])
    assert "made/n0" in git(path, "ls-tree", "-r", "--name-only", "refs/andon/trunk/main")


def test_several_changes_land_together_as_shipped_each_with_its_level_and_a_kill_between_them_changes_nothing(
        plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", walls=True)
    repo = plant.register(path)
    assert cli(plant, "queue", "stop", "--because", "gather", cwd=path).code == 0
    names = [job(plant, repo, f"echo x > made/n{n}") for n in range(3)]
    for name in names:
        plant.until_state(name, "landing", deadline=60)
    plant.kill()
    plant.start()
    assert cli(plant, "queue", "resume", cwd=path).code == 0
    for name in names:
        plant.until_state(name, "done", "waiting", "failed", deadline=60)
        assert (plant.task(name).state, plant.task(name).walls) == ("done", "strict")
    assert not [row for row in plant.events() if isinstance(row.event, e.GateOpened)]
    told = git(path, "log", "--format=%(trailers:key=Andon-Walls,valueonly)", "refs/andon/trunk/main").split()
    assert told == ["strict"] * 3
    shown = cli(plant, "show", names[0]).out
    assert "walls      strict" in shown and "WALLS" in shown, shown


def test_an_agent_sees_nothing_of_the_machine_but_its_own(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", STRICT)
    secret = tmp_path / "secret"
    secret.write_text("the person's own\n")
    repo = plant.register(path)
    tries = [f"cat {secret}", f"cat {plant.layout.home}/ledger.db", f"cat {plant.layout.jobs}/T1.1/job.json",
             f"cat {plant.layout.keys}/daemon",
             "grep -q . ~/.ssh/id_rsa", f"git -C {path} update-ref refs/heads/main HEAD",
             "test $(ls /proc | grep -c '^[0-9]') -gt 40",
             f"grep -q . {path}/README.md"]
    name, places = f"planted-{os.getpid()}", (path, tmp_path, Path("/usr"), plant.layout.home)
    plants = "\n".join(f"touch {place}/{name} 2> /dev/null || true" for place in places)
    script = "\n".join(f"if {one} > /dev/null 2>&1; then echo '{n}' >> made/reached; fi" for n, one in enumerate(tries))
    task = job(plant, repo, f"echo none > made/reached\n{script}\n{plants}")
    plant.until_state(task, "done", "failed", "waiting", deadline=40)
    assert git(path, "show", "refs/andon/trunk/main:made/reached") == "none"
    assert not [place for place in places if (place / name).exists()]


def test_the_code_under_test_reaches_nothing_either_and_the_evidence_says_so(plant: Factory, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the person's own\n")
    tried = f"! cat {secret} && ! cat {plant.layout.home}/ledger.db && ! cat {plant.layout.keys}/verifier"
    path = project(tmp_path / "repo", f'{STRICT}[checks.walls]\nrun = "{tried}"\n')
    repo = plant.register(path)
    task = job(plant, repo, "echo x > made/n0")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    assert plant.task(task).state == "done"
    runs = [row.event for row in plant.events() if isinstance(row.event, e.RunFinished) and row.event.result == "pass"]
    assert runs and all('"isolation": "strict"' in readable(plant.blob(run.evidence)) for run in runs)


def test_setup_and_teardown_of_a_checkout_that_an_agent_filled_reach_nothing_either(plant: Factory, tmp_path: Path) -> None:
    secret, leak = tmp_path / "secret", tmp_path / "leak"
    secret.write_text("the person's own\n")
    setup = f"! cat {secret} && mkdir -p made && test $(git rev-parse --is-inside-work-tree) = true && echo set > made/up"
    path = project(tmp_path / "repo", f'{STRICT}[checkout]\nsetup = ["{setup}"]\nteardown = ["sh down.sh"]\n')
    repo = plant.register(path)
    task = job(plant, repo, f"echo 'cat {secret} > {leak}; echo reached > {tmp_path}/torn' > down.sh")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    gate = plant.gate(task)
    assert gate is not None and gate.kind == "review" and "down.sh" in gate.because, "a person sees what the settings call"
    plant.until(lambda: [row for row in plant.events() if isinstance(row.event, e.CheckoutRemoved)], what="the end of the checkout")
    assert git(path, "show", f"{gate.commit}:made/up") == "set"
    assert not leak.exists() and not (tmp_path / "torn").exists()
    assert not list(plant.layout.jobs.glob("R-*")), "nothing of the commands' jobs is left"


def test_a_linked_worktree_has_no_walls_around_its_agents_and_says_so_at_the_gate(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", '[checkout]\nisolation = "worktree"\n', walls=True)
    task = job(plant, plant.register(path), "echo x > made/n0")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    gate = plant.gate(task)
    assert gate is not None and gate.because == "built within walls of level none; [policy] walls asks for strict"
    assert "a linked worktree shares" in cli(plant, "doctor", "--quick").out


def test_what_a_check_fetches_goes_through_the_proxy_when_the_settings_say_so(plant: Factory, tmp_path: Path) -> None:
    opens = "import urllib.request; urllib.request.urlopen('http://{}/', timeout=10)"
    tries = " ; ".join(f'python3 -c \\"{opens.format(host)}\\" 2>&1 | grep -o {code}' for host, code in (
        ("evil.example", "403"), ("127.0.0.1:9", "502")))
    more = 'hosts = ["127.0.0.1:9"]\ncheck_network = "allow-list"\n'
    path = project(tmp_path / "repo", f'{STRICT}{more}[checks.net]\nrun = "unset NO_PROXY no_proxy; {tries}"\n')
    task = job(plant, plant.register(path), "echo x > made/n0")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    assert plant.task(task).state == "done", "\n".join(str(row.event)[:600] for row in plant.events()[-8:])
    logs = [plant.blob(row.event.log) for row in plant.events() if isinstance(row.event, e.RunFinished)]
    assert ["403", "502"] in [log.split() for log in logs]


def test_an_agent_reaches_the_hosts_of_its_list_through_the_proxy_and_no_other(plant: Factory, tmp_path: Path) -> None:
    path = project(tmp_path / "repo", STRICT + 'hosts = ["127.0.0.1:9"]\n')
    repo = plant.register(path)
    opens = "import urllib.request; urllib.request.urlopen('http://{}/', timeout=10)"
    ask = f'python3 -c "{opens}" 2>&1 | grep -o "{{}}" > made/{{}} || true'
    script = "\n".join(ask.format(host, said, name) for host, said, name in (
        ("evil.example", "403", "other"), ("127.0.0.1:9", "502", "listed"), ("127.0.0.1:10", "403", "port")))
    task = job(plant, repo, f"unset NO_PROXY no_proxy\n{script}")
    plant.until_state(task, "done", "failed", "waiting", deadline=60)
    told = {name: git(path, "show", f"refs/andon/trunk/main:made/{name}") for name in ("other", "listed", "port")}
    assert told == {"other": "403", "listed": "502", "port": "403"}
    access = (plant.layout.jobs / "T1.1" / "access.jsonl").read_text()
    assert '"what":"evil.example:80"' in access and '"allowed":false' in access


def test_doctor_attacks_the_walls_of_this_machine_and_says_what_they_hold(plant: Factory) -> None:
    told = cli(plant, "doctor", "--quick", "--attacks")
    assert "this machine gives strict by bubblewrap" in told.out and "attacks at level strict: 0 got through" in told.out, told
    reply = plant.ask(wire.TryWalls())
    assert isinstance(reply, wire.WallsAre) and len(reply.attacks) >= 19
    by_name = {attack.name: attack for attack in reply.attacks}
    assert by_name.pop("commit").succeeded and not [name for name, one in by_name.items() if one.succeeded and not one.own]
