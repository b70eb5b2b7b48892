"""Takes each guard of isolation away and runs its tests: whatever stays green without its guard proves nothing. Run as a program.

    python tests/fault/guards.py [--list] [--only WORD] [--jobs N]

Exit code 1 when a guard is not missed. Nothing of the repository is changed: guards are taken away in a copy of it, with an
interpreter of its own that finds its packages in the copy, so that daemons, shims and witnesses lack the guard as well.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import venv
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fault.guards_table import ROOT, Guard, all_guards, mutated

ROOMS = ("daemon", "tui", "agents", "config")
TEST_S, RUN_S = 60, 400
"""So long may one test, and all tests of a guard, take. What hangs without its guard is red."""


class Outcome(NamedTuple):
    """What came of one run of tests."""

    state: str
    """`green`, `red`, `skipped` (nothing of it can be tried here) or `broken`: no test was run at all."""
    told: str = ""


class Copy:
    """The repository once more, with an interpreter that knows only this one."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "copy"
        asked = ("git", "ls-files", "-coz", "--exclude-standard")
        for name in filter(None, subprocess.run(asked, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name, follow_symlinks=False)
        venv.create(folder / "venv", symlinks=True, with_pip=False)
        self.python = folder / "venv" / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", vars=dict.fromkeys(("base", "platbase"), str(folder / "venv"))))
        for one in Path(sysconfig.get_path("purelib")).iterdir():
            if one.suffix != ".pth" and not (site / one.name).exists():  # those lead to the repository itself
                (site / one.name).symlink_to(one)
        (site / "copy.pth").write_text("".join(f"{self.root / room}\n" for room in ROOMS))

    def run(self, tests: Sequence[str]) -> Outcome:
        """Run these tests here, up to the first that fails."""
        report = self.root.parent / "report.xml"
        report.unlink(missing_ok=True)
        argv = [str(self.python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", f"--timeout={TEST_S}",
                f"--junitxml={report}", *(f"tests/{test}" for test in tests)]
        env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        try:
            done = subprocess.run(argv, cwd=self.root, env=env, capture_output=True, text=True, errors="replace", timeout=RUN_S,
                                  check=False)
        except subprocess.TimeoutExpired:
            return Outcome("red", f"it hung for {RUN_S} s")
        cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []
        kinds = [{child.tag for child in case} for case in cases]
        if done.returncode == 0 and cases:
            return Outcome("skipped" if all("skipped" in kind for kind in kinds) else "green")
        bad = [case.get("name", "") for case, kind in zip(cases, kinds, strict=True) if kind & {"failure", "error"}]
        if done.returncode == 1 and bad:
            return Outcome("red", bad[0])
        return Outcome("broken", done.stdout[-1500:] + done.stderr[-500:])

    def without(self, guard: Guard) -> Outcome:
        """Run the guard's tests without it, and put it back."""
        file = self.root / guard.file
        whole = file.read_bytes()
        self._write(file, mutated(guard).encode())
        try:
            return self.run(guard.tests)
        finally:
            self._write(file, whole)

    def _write(self, file: Path, data: bytes) -> None:
        """With no compiled form of what stood there: one of the same size and second would be taken for it."""
        file.write_bytes(data)
        for old in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            old.unlink()


def try_all(guards: Sequence[Guard], jobs: int) -> dict[Guard, Outcome]:
    """Each guard's outcome without it, told as it comes. A guard whose tests are not green with it is `broken`."""
    seen: dict[Guard, Outcome] = {}
    waiting: queue.SimpleQueue[Guard] = queue.SimpleQueue()
    for guard in guards:
        waiting.put(guard)
    sound: dict[str, Outcome] = {}
    lock = threading.Lock()

    def work(folder: Path) -> None:
        copy = Copy(folder)
        while not waiting.empty():
            try:
                guard = waiting.get_nowait()
            except queue.Empty:
                return
            begun = time.monotonic()
            for test in guard.tests:
                if test not in sound:
                    sound[test] = copy.run([test])
            states = {sound[test].state for test in guard.tests}
            if states <= {"green", "skipped"} and "green" in states:
                outcome = copy.without(guard)
            else:
                bad = next((sound[test] for test in guard.tests if sound[test].state not in ("green", "skipped")), None)
                outcome = Outcome("skipped") if bad is None else Outcome("broken", f"with the guard: {bad.state} {bad.told}")
            with lock:
                seen[guard] = outcome
                took = f"[{time.monotonic() - begun:.1f} s]"
                print(f"{word(guard, outcome):<10} {guard.area:<11} {guard.name}  {took} {outcome.told[:90]!r}", flush=True)

    with tempfile.TemporaryDirectory(prefix="andon-guards-") as top:
        Path(top).chmod(0o755)  # some tests are another user
        threads = [threading.Thread(target=work, args=(Path(top) / str(n),)) for n in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return seen


def word(guard: Guard, outcome: Outcome) -> str:
    """What it comes to: `missed` is good, `NOT MISSED` is a guard that no test holds."""
    if outcome.state == "green":
        return "doubled" if guard.why else "NOT MISSED"
    return {"red": "missed", "skipped": "not here", "broken": "BROKEN"}[outcome.state]


def main() -> int:
    """Try the guards of the table and say which are not missed."""
    parser = argparse.ArgumentParser(description="each guard taken away")
    parser.add_argument("--list", action="store_true", help="print the guards only")
    parser.add_argument("--only", default="", help="guards with this word in their area or name")
    parser.add_argument("--jobs", type=int, default=1, help="so many copies at once")
    args = parser.parse_args()
    guards = [guard for guard in all_guards() if args.only in f"{guard.area} {guard.name}"]
    if args.list:
        for guard in guards:
            print(f"{guard.area:<11} {guard.name}{f' (doubled: {guard.why})' if guard.why else ''}")
        return 0
    begun = time.monotonic()
    seen = try_all(guards, args.jobs)
    words = [word(guard, outcome) for guard, outcome in seen.items()]
    counts = ", ".join(f"{words.count(one)} {one}" for one in sorted(set(words)))
    print(f"{len(guards)} guards in {time.monotonic() - begun:.0f} s: {counts}")
    return 1 if {"NOT MISSED", "BROKEN"} & set(words) else 0


if __name__ == "__main__":
    sys.exit(main())
