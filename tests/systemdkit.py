"""A real `systemd --user` in namespaces of its own: boots in a second, ends with everything in it, touches nothing outside."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import wait_until

BOOT = """
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/systemd/system
mount -t cgroup2 none /sys/fs/cgroup
exec 3>&1
/lib/systemd/systemd --user --log-target=console --log-level=info >"$1" 2>&1 &
echo booted >&3
wait
"""
QUIET = ("HOME", "PATH", "ANDON_HOME", "ANDON_CONFIG_HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_NOSYSTEM", "LANG", "PYTHONPATH")


def cgroups() -> Path | None:
    """Where the unified hierarchy is mounted here."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Machine:
    """One booted manager. `run` runs a command beside it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.runtime = folder / "xdg"
        self.env = {**env, "XDG_RUNTIME_DIR": str(self.runtime)}
        self.group = Path()
        self.boot: subprocess.Popen[str] | None = None
        self.first = 0

    def start(self) -> None:
        """Boot. Skips the test where namespaces or control groups are not ours to make."""
        root = cgroups()
        if root is None or os.getuid() != 0 or not shutil.which("unshare") or not Path("/lib/systemd/systemd").exists():
            pytest.skip("no systemd that can be booted in namespaces here; the notify socket's tests stand in for it")
        self.runtime.mkdir(mode=0o700, parents=True)
        self.group = root / f"andon-test-{os.getpid()}-{self.folder.name}"[:200]
        try:
            self.group.mkdir()
        except OSError as error:
            pytest.skip(f"no control group of our own: {error.strerror}")
        enter = (f"echo $$ > {self.group}/cgroup.procs && "
                 'exec unshare -m -p -C -f --kill-child --mount-proc bash -c "$0" boot "$1"')
        self.boot = subprocess.Popen(["bash", "-c", enter, BOOT, str(self.folder / "systemd.log")], env=self.env, text=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.boot.stdout
        said = self.boot.stdout.readline()
        if said.strip() != "booted":
            pytest.skip(f"systemd cannot be booted in namespaces here: {said.strip()}")
        children = Path(f"/proc/{self.boot.pid}/task/{self.boot.pid}/children").read_text().split()
        self.first = int(children[0])
        wait_until(lambda: self.run("systemctl", "--user", "is-system-running").stdout.strip() in ("running", "degraded"), 30,
                   what=f"the manager: {self.told()[-800:]}")

    def run(self, *argv: str, env: dict[str, str] | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        enter = ("nsenter", "-t", str(self.first), "-m", "-p", "-C", "--", *argv)
        return subprocess.run(enter, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=seconds, check=False)

    def andon(self, *words: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """`andon WORDS`, inside."""
        return self.run(sys.executable, "-P", "-m", "andon.cli.main", *words, seconds=seconds)

    def show(self, unit: str, fact: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "--user", "show", "-p", fact, "--value", "--", unit).stdout.strip()

    def told(self) -> str:
        """What the manager and its units printed."""
        log = self.folder / "systemd.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def end(self) -> None:
        """Everything inside ends with the first process of the namespace."""
        if self.boot is not None:
            self.boot.kill()
            self.boot.wait(10)
            if self.boot.stdout:
                self.boot.stdout.close()
        if self.group.name.startswith("andon-test-") and self.group.exists():
            kill = self.group / "cgroup.kill"
            if kill.exists():
                kill.write_text("1")
            wait_until(lambda: "populated 0" in (self.group / "cgroup.events").read_text(), 10, what="the end of all inside")
            for place in sorted((path for path in self.group.rglob("*") if path.is_dir()), reverse=True):
                place.rmdir()
            self.group.rmdir()


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A booted manager, ended afterwards."""
    made = Machine(folder, {key: os.environ[key] for key in QUIET if key in os.environ})
    try:
        made.start()
        yield made
    finally:
        made.end()
