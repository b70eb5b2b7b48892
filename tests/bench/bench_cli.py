"""Cold start of verbs, in milliseconds: a new interpreter each, against a live daemon with 200 tasks.

    python tests/bench/bench_cli.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from andon.schema.layout import layout
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_shop, a_task

ROUNDS = 15
VERBS = ("--help", "version", "list", "list --json", "status", "why T1", "gate ls")
SCRIPT = Path(sys.executable).with_name("andon")


def milliseconds(argv: list[str]) -> tuple[float, float]:
    """Median and least wall-clock time of a command."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times), min(times)


def main() -> None:
    """Print one line a verb."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["ANDON_HOME"] = home
        views = [a_task(n, state="queued", why=["waits for T1"]) for n in range(1, 201)]
        with FakeDaemon(layout(), FakeOffice(*a_shop("/shop"), *views, a_gate(1))):
            print(f"{'command':<24}{'median ms':>10}{'least ms':>10}   ({ROUNDS} rounds, load {os.getloadavg()[0]:.1f})")
            rows = [("python -c pass", [sys.executable, "-P", "-c", "pass"])]
            rows += [(f"andon {verb}", [str(SCRIPT), *verb.split()]) for verb in VERBS]
            for name, argv in rows:
                median, least = milliseconds(argv)
                print(f"{name:<24}{median:>10.0f}{least:>10.0f}")


if __name__ == "__main__":
    main()
