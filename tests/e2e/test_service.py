"""The factory as a service of a real `systemd --user`, booted in namespaces: installed, restarted, killed, rebooted, removed."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.main import version
from andon.schema.layout import layout
from andon.served import units
from support import wait_until
from systemdkit import Machine, machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SCENE = str(Path(__file__).with_name("scene_service.py"))
VERSION = version()
FLEET = 20 if os.environ.get("ANDON_FAULTS") else 4
"""Agents at work while the service is harmed."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "m") as made:
        yield made


@pytest.fixture
def served(lab: Machine) -> Machine:
    """With the service installed and running."""
    done = lab.andon("service", "install", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return lab


def home() -> Path:
    return layout().home


def names() -> tuple[str, ...]:
    return units(layout())


def scene(lab: Machine, what: str, *words: str) -> object:
    """Play one scene inside and give back what it saw."""
    done = lab.run(sys.executable, SCENE, what, str(home()), *words, seconds=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def parts(lab: Machine) -> dict[str, dict[str, str]]:
    """`andon service status --json` by part; the files as one."""
    return {part["part"]: part for part in json.loads(lab.andon("service", "status", "--json").stdout)}


def drop_in(lab: Machine, unit: str, text: str) -> Path:
    """Change a unit as a person may, beside its file."""
    place = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user" / f"{unit}.d"
    place.mkdir(exist_ok=True)
    (place / "test.conf").write_text(text)
    assert lab.run("systemctl", "--user", "daemon-reload").returncode == 0
    return place / "test.conf"


def test_install_shows_writes_starts_and_status_says_what_is_really_there(lab: Machine) -> None:
    daemon, door, terminals = names()
    assert "not installed" in lab.andon("service", "status").stdout
    refused = lab.andon("service", "install")
    assert refused.returncode == 2 and "--yes" in refused.stderr and "Type=notify" in refused.stderr
    assert lab.show(daemon, "LoadState") == "not-found"

    done = lab.andon("service", "install", "--yes")
    assert done.returncode == 0 and f"runs as {daemon}" in done.stderr, done.stderr
    seen = parts(lab)
    assert [seen[part]["state"] for part in ("file", daemon, door, terminals)] == ["ok"] * 4, seen
    assert terminals in seen[terminals]["told"], "the agents' terminals have a unit of their own from the first start on"
    assert seen["linger"]["state"] == "note" and "enable-linger" in seen["linger"]["mend"]
    wanted = {"Type": "notify", "NotifyAccess": "main", "WatchdogUSec": "30s", "Restart": "on-failure", "RestartUSec": "1s",
              "StartLimitBurst": "5", "KillMode": "mixed", "TimeoutStopUSec": "1min 30s", "UMask": "0077", "NoNewPrivileges": "yes",
              "StatusText": "running, 0 events, 0 open tasks", "SubState": "running", "UnitFileState": "enabled"}
    assert {fact: lab.show(daemon, fact) for fact in wanted} == wanted
    assert oct(layout().socket.stat().st_mode)[-3:] == "600" and oct(layout().runtime.stat().st_mode)[-3:] == "700"

    pid = lab.show(daemon, "MainPID")
    again = lab.andon("service", "install", "--yes")
    assert again.returncode == 0 and "are there already" in again.stderr and lab.show(daemon, "MainPID") == pid

    Path(lab.show(daemon, "FragmentPath")).write_text("[Service]\nExecStart=/bin/true\n")
    assert lab.andon("service", "install", "--yes").returncode == 2, "a file that is not ours is left alone"


def test_up_and_down_go_through_the_service_and_remove_leaves_nothing_behind(served: Machine) -> None:
    daemon, door, terminals = names()
    down = served.andon("down")
    assert down.returncode == 0 and "has stopped" in down.stdout, down.stderr
    assert [served.show(unit, "ActiveState") for unit in (daemon, door)] == ["inactive", "inactive"]
    assert "inactive" in parts(served)[daemon]["told"] and served.andon("service", "status").returncode == 1
    up = served.andon("up")
    assert up.returncode == 0 and served.show(daemon, "ActiveState") == "active", up.stderr
    pid = served.show(daemon, "MainPID")
    assert f"pid {pid}" in up.stdout

    removed = served.andon("service", "remove", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert [served.show(unit, "LoadState") for unit in names()] == ["not-found"] * 3
    place = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user"
    assert [path for path in place.rglob("*") if path.name.startswith("andon")] == []
    running = served.run("ps", "-eo", "args").stdout
    assert "andon.cli.main daemon" not in running and str(layout().tmux_socket) not in running
    assert "not installed" in served.andon("service", "remove").stderr
    assert served.andon("up").returncode == 0, "without the service it runs as before"
    assert served.andon("service", "install", "--yes").returncode == 0, "and a daemon that runs already becomes the service"
    assert parts(served)[terminals]["state"] == "ok" and "scope" not in parts(served)[daemon]["told"]


def test_agents_and_clients_outlive_a_restart_and_kill_9(served: Machine, tmp_path: Path) -> None:
    daemon = names()[0]
    shims = scene(served, "agents", str(tmp_path / "repo"), str(FLEET))
    assert isinstance(shims, list) and len(shims) == FLEET
    for harm in ("restart", "kill"):
        told = scene(served, "knock", daemon, harm)
        assert isinstance(told, dict)
        assert told["answered"] == 40 and told["refused"] == [], told
        seen = scene(served, "at-work")
        assert seen == {"shims": shims, "starts": FLEET, "sessions": FLEET, "gates": FLEET, "releases": [VERSION]}, harm
    assert served.show(daemon, "NRestarts") == "1"


OLDER = """
import importlib.metadata as told
real = told.version
told.version = lambda name: "0.0.1" if name == "andon" else real(name)
"""


def test_agents_and_clients_outlive_an_upgrade_and_there_is_a_way_back(served: Machine, tmp_path: Path) -> None:
    daemon = names()[0]
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "sitecustomize.py").write_text(OLDER)
    older = drop_in(served, daemon, f'[Service]\nEnvironment="PYTHONPATH={tmp_path}/older"\n')
    assert served.run("systemctl", "--user", "restart", daemon).returncode == 0
    shims = scene(served, "agents", str(tmp_path / "repo"), str(FLEET))
    older.unlink()
    assert served.run("systemctl", "--user", "daemon-reload").returncode == 0
    told = scene(served, "knock", daemon, "upgrade")
    assert isinstance(told, dict) and told["answered"] == 40 and told["refused"] == [], told
    seen = scene(served, "at-work")
    assert isinstance(seen, dict) and seen["releases"][-2:] == ["0.0.1", VERSION]
    assert {key: seen[key] for key in ("shims", "starts", "sessions", "gates")} == {
        "shims": shims, "starts": FLEET, "sessions": FLEET, "gates": FLEET}
    kept = [path.name for path in (home() / "backups").iterdir() if "0.0.1" in path.name]
    assert len(kept) == 1 and served.show(daemon, "NRestarts") == "0"


def test_a_daemon_that_hangs_is_started_anew_and_its_agents_are_kept(served: Machine, tmp_path: Path) -> None:
    daemon = names()[0]
    drop_in(served, daemon, "[Service]\nWatchdogSec=2\n")
    assert served.run("systemctl", "--user", "restart", daemon).returncode == 0
    shims = scene(served, "agents", str(tmp_path / "repo"), "2")
    pid = served.show(daemon, "MainPID")
    assert served.run("sh", "-c", "kill -STOP " + pid).returncode == 0
    wait_until(lambda: served.show(daemon, "MainPID") not in (pid, "0"), 30, what="another daemon")
    seen = scene(served, "at-work")
    assert isinstance(seen, dict) and seen["shims"] == shims and seen["starts"] == 2
    assert served.show(daemon, "NRestarts") == "1"
    wait_until(lambda: served.show(daemon, "ActiveState") == "active", 30, what="readiness")
    second = served.show(daemon, "MainPID")
    last = served.show(daemon, "WatchdogTimestampMonotonic")
    wait_until(lambda: served.show(daemon, "WatchdogTimestampMonotonic") != last, 10, what="a sign of life")
    assert served.show(daemon, "MainPID") == second, "one that lives is left alone"


def test_a_crash_loop_ends_after_five_tries_and_says_so(served: Machine) -> None:
    daemon = names()[0]
    served.andon("down")
    added = drop_in(served, daemon, "[Service]\nRestartSec=100ms\nExecStartPre=/bin/false\n")
    up = served.andon("up")
    assert up.returncode != 0 and f"{daemon} did not start" in up.stderr and "journalctl" in up.stderr, up.stderr
    wait_until(lambda: served.show(daemon, "ActiveState") == "failed", 30, what="the end of trying")
    assert served.show(daemon, "NRestarts") == "5"
    part = parts(served)[daemon]
    assert part["state"] == "missing" and re.search(r"failed .* started again 5 times, because: \S", part["told"]), part
    added.unlink()
    served.run("systemctl", "--user", "daemon-reload")
    assert served.andon("up").returncode == 0, "a person who mended the cause need not know about limits"


def test_after_a_reboot_the_service_is_there_and_the_work_goes_on(served: Machine, tmp_path: Path) -> None:
    scene(served, "agents", str(tmp_path / "repo"), "2")
    served.end()
    with machine(tmp_path / "again") as booted:
        seen = scene(booted, "at-work")
        wait_until(lambda: len(scene(booted, "at-work")["shims"]) == 2, 60, what="other attempts")  # type: ignore[index]  # a JSON object
        assert isinstance(seen, dict)
        after = scene(booted, "at-work")
        assert isinstance(after, dict) and after["starts"] == 4 and {one.split()[0] for one in after["shims"]} == {"T1.2", "T2.2"}


def test_a_sandbox_with_namespaces_of_its_own_starts_under_no_new_privileges(lab: Machine) -> None:
    which = lab.run("sh", "-c", "command -v bwrap")
    if which.returncode:
        pytest.skip("no bubblewrap here")
    assert not Path(which.stdout.strip()).stat().st_mode & 0o4000, "a setuid bubblewrap would not start"
    tried = ("systemd-run", "--user", "--wait", "--quiet", "-p", "NoNewPrivileges=yes", "-p", "UMask=0077",
             "bwrap", "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "--dev", "/dev", "true")
    done = lab.run(*tried)
    assert done.returncode == 0, done.stderr
