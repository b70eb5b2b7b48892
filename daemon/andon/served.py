"""The factory as units of the person's service manager: names, whether they are there, start and stop. Must never write one."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from andon.schema.errors import Mistake
from andon.schema.layout import Layout

WAIT_S = 120.0
"""How long one order to the manager may take: a daemon may drain for as long as its unit allows."""
ENDS = (".service", ".socket", "-tmux.service")
"""What follows the factory's name in the names of its units: the daemon, its door, the agents' terminals."""
LAUNCHD = "dev.andon.daemon"
FACTS = ("LoadState", "UnitFileState", "ActiveState", "SubState", "MainPID", "Result", "NRestarts", "StatusText", "FragmentPath")


def name_of(layout: Layout) -> str:
    """`andon` for the usual factory of a person; one elsewhere has a name of its own."""
    from platformdirs import user_state_path

    if layout.home == user_state_path("andon"):
        return "andon"
    return f"andon-{hashlib.sha256(os.fsencode(layout.home)).hexdigest()[:8]}"


def units(layout: Layout) -> tuple[str, ...]:
    """The names of its units: the daemon first."""
    return tuple(name_of(layout) + end for end in ENDS)


def folder() -> Path:
    """Where the person's unit files lie."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "LaunchAgents"
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def marker(layout: Layout) -> str:
    """The line by which a unit file is known as ours and of this factory."""
    return f"# Written by `andon service install` for {layout.home}"


def installed(layout: Layout) -> bool:
    """Whether this factory's daemon has a unit of its own. Costs one look at one file."""
    if sys.platform == "darwin":
        return False
    try:
        return (folder() / units(layout)[0]).read_text(errors="replace").startswith(marker(layout))
    except OSError:
        return False


def systemctl(*words: str, seconds: float = WAIT_S) -> tuple[int, str]:
    """`systemctl --user WORDS`: exit code and what it said. 127 when it is not there, 124 when it took too long."""
    import subprocess

    try:
        ran = subprocess.run(("systemctl", "--user", "--no-pager", *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, check=False)
    except FileNotFoundError:
        return 127, "systemctl is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"systemctl did not answer within {seconds:.0f} s"
    return ran.returncode, ran.stdout.strip()


def unmanaged() -> str:
    """Why no manager of this person can be spoken to; empty when one answers."""
    if shutil.which("systemctl") is None:
        return "there is no systemd on this machine"
    code, said = systemctl("show", "-p", "Version", seconds=10)
    return "" if code == 0 else f"no systemd of yours answers ({said.splitlines()[-1] if said else f'exit code {code}'})"


def facts(unit: str) -> dict[str, str]:
    """What the manager says of a unit; empty when it says nothing."""
    code, said = systemctl("show", "-p", ",".join(FACTS), "--", unit, seconds=10)
    return dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line) if code == 0 else {}


def start(layout: Layout) -> None:
    """Have the door open and the daemon ready. Forgets earlier failures: a person asked. Mistake that says why it is not."""
    daemon, door, _ = units(layout)
    systemctl("reset-failed", "--", door, daemon)
    code, said = systemctl("start", "--", door, daemon)
    if code != 0:
        raise _failed(daemon, said)


def stop(layout: Layout) -> bool:
    """Close the door and stop the daemon, when they are units; agents go on in theirs. Whether there was anything to stop."""
    if not installed(layout):
        return False
    daemon, door, _ = units(layout)
    code, said = systemctl("stop", "--", door, daemon)
    if code != 0:
        raise Mistake(f"{daemon} could not be stopped: {said[-300:]}", where=daemon,
                      mend=f"`journalctl --user -u {daemon} -n 50` says why")
    return True


def _failed(unit: str, said: str) -> Mistake:
    known = facts(unit)
    why = known.get("Result", "") or "unknown"
    if why == "start-limit-hit" or known.get("NRestarts", "0") not in ("", "0"):
        why += f", after {known.get('NRestarts', '?')} restarts"
    last = said.splitlines()[-1][:200] if said else ""
    return Mistake(f"{unit} did not start ({why}){f': {last}' if last else ''}", where=unit,
                   mend=f"`journalctl --user -u {unit} -n 50` says why; `andon doctor` looks for what is missing")
