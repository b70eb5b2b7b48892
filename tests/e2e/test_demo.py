"""The demo does what the README says, on the bundled project and without a screen."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_the_demo_lands_what_is_proven_refuses_the_liar_and_rechecks_every_tick(tmp_path: Path) -> None:
    options = ("--no-tui", "--bundled", "--speed", "20", "--dir", str(tmp_path / "d"))
    command = (sys.executable, "-m", "andon.cli.main", "demo", *options)
    done = subprocess.run(command, capture_output=True, text=True, timeout=270, check=False, env={**os.environ})
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    good, of = re.search(r"(\d+) of (\d+) landed commits hold up", told).groups()  # type: ignore[union-attr]
    assert good == of and int(good) >= 7
    assert "sent back" in told and "tests failed" in told
    assert re.search(r"refused +T\d+: says done, commits nothing; failed after 2 attempts", told)
    assert re.search(r"answered +G\d+ on T\d+ \(review\) by the demo: approve", told)
    assert "is the bundled project" in told or "bundled" in told
    assert not left_behind(tmp_path)


def left_behind(place: Path) -> list[str]:
    """Processes that still have the demo's directory in their command line."""
    listed = subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in listed if str(place) in line]
