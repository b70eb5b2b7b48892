"""The factory as a service with agents at work: restarted, upgraded, killed, while clients connect; who noticed, and for how long.

    python tests/bench/bench_service.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest

from andon.schema.layout import layout
from andon.served import units
from conftest import GITCONFIG, surroundings
from support import wait_until
from systemdkit import Machine, machine

SCENE = str(Path(__file__).resolve().parents[1] / "e2e" / "scene_service.py")
AGENTS, KNOCKS = 20, 40
OLDER = """
import importlib.metadata as told
real = told.version
told.version = lambda name: "0.0.1" if name == "andon" else real(name)
"""
Told = dict[str, dict[str, object]]


def scene(lab: Machine, what: str, *words: str) -> dict[str, object]:
    """Play one scene inside; lists come back under `shims`."""
    done = lab.run(sys.executable, SCENE, what, str(layout().home), *words, seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return found if isinstance(found, dict) else {"shims": found}


def harmed(lab: Machine, daemon: str, harm: str, shims: object) -> dict[str, object]:
    """One harm, and what of agents and clients was lost by it."""
    begun = time.monotonic()
    told = scene(lab, "knock", daemon, harm)
    seen = scene(lab, "at-work")
    now, slowest = seen["shims"], told["slowest"]
    assert isinstance(shims, list) and isinstance(now, list) and isinstance(slowest, float)
    return {"agents": len(shims), "lost": len(set(shims) - set(now)), "started_twice": len(set(now) - set(shims)),
            "answered": told["answered"], "refused": KNOCKS - int(str(told["answered"])), "slowest_ms": round(slowest * 1000),
            "seconds": round(time.monotonic() - begun, 1)}


def measure(folder: Path, agents: int) -> Told:
    """All harms, one after the other, to the same agents."""
    daemon, found = units(layout())[0], Told()
    place = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user" / f"{daemon}.d"
    with machine(folder / "m") as lab:
        assert lab.andon("service", "install", "--yes").returncode == 0
        (folder / "older").mkdir()
        (folder / "older" / "sitecustomize.py").write_text(OLDER)
        place.mkdir(exist_ok=True)
        (place / "older.conf").write_text(f'[Service]\nEnvironment="PYTHONPATH={folder}/older"\n')
        for words in (("daemon-reload",), ("restart", daemon)):
            assert lab.run("systemctl", "--user", *words).returncode == 0
        shims = scene(lab, "agents", str(folder / "repo"), str(agents))["shims"]
        (place / "older.conf").unlink()
        assert lab.run("systemctl", "--user", "daemon-reload").returncode == 0
        for harm in ("upgrade", "restart", "kill"):
            found[harm] = harmed(lab, daemon, harm, shims)
        wait_until(lambda: lab.show(daemon, "ActiveState") == "active", 30, what="the service")
    return found


def main() -> int:
    """Print the table; exit code 1 when anything was lost, doubled or refused."""
    parser = argparse.ArgumentParser(description="the service under harm")
    parser.add_argument("--quick", action="store_true", help="four agents")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="andon-service-") as top:
        folder = Path(top)
        (folder / "home").mkdir()
        (folder / "home" / ".gitconfig").write_text(GITCONFIG)
        os.environ.update(surroundings(folder / "home", folder / "f"))
        try:
            found = measure(folder, 4 if args.quick else AGENTS)
        except pytest.skip.Exception as reason:
            print(f"not here: {reason}")
            return 0
    for harm, row in found.items():
        print(f"{harm:<8} " + ", ".join(f"{name} {value}" for name, value in row.items()))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))
    return 1 if any(row[name] for row in found.values() for name in ("lost", "started_twice", "refused")) else 0


if __name__ == "__main__":
    sys.exit(main())
