"""Checks every tick of the demo again: from a fresh clone, with the project's own runner, believing nothing of the factory."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from andon.cli.demo_driver import Driver
from andon.cli.out import clean
from andon.ledger_reader import read_log
from andon.schema import events as e
from andon.schema.evidence import EVIDENCE_REF
from andon.schema.ids import Oid, TaskId
from andon.schema.layout import Layout
from andon.thirdparty.single import script

COMMAND = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

Claims = Mapping[tuple[TaskId, Oid], e.ClaimJudged]
"""What was claimed of a landed commit, by task and commit."""


def recheck(home: Layout, repo: Path, driver: Driver) -> bool:
    """Print the summary; whether every landed commit holds up and nothing landed that should not."""
    rows = [row.event for row in read_log(home, limit=100_000)]
    landed = [event for event in rows if isinstance(event, e.TaskLanded)]
    judged = [event for event in rows if isinstance(event, e.ClaimJudged) and event.claim == "tests@merge"]
    claims = {(event.task, event.commit): event for event in judged}
    proven = {event.landing: event.new for event in rows if isinstance(event, e.TargetMoved)}
    print("\nevery tick again, from a fresh clone:", flush=True)
    with tempfile.TemporaryDirectory(prefix="andon-recheck-") as folder:
        clone = Path(folder) / "clone"
        git(("clone", "-q", str(repo), str(clone)), repo)
        good = [recheck_one(event, proven.get(event.landing, event.commit), claims, clone, driver) for event in landed]
        base = git(("rev-parse", "HEAD"), clone)
        signed = verified(home, clone, Path(folder), [event.commit for event in landed])
    story(driver, rows)
    reached = bool(landed) and base == proven.get(landed[-1].landing, landed[-1].commit)
    print(f"main of the fresh clone stands at {base[:10]}: {'the last landed commit' if reached else 'NOT the last landed commit'}")
    print(f"{signed} of {len(landed)} landed commits are verified there by the script for third parties, from signed evidence")
    print(f"{sum(good)} of {len(good)} landed commits hold up", flush=True)
    return all(good) and bool(good) and reached and signed == len(landed)


def verified(home: Layout, clone: Path, folder: Path, landed: Sequence[Oid]) -> int:
    """How many commits hold for somebody who has the clone, the trust file and one script, and no Andon."""
    git(("fetch", "-q", "origin", f"{EVIDENCE_REF}:{EVIDENCE_REF}"), clone)
    program = folder / "verify.py"
    program.write_text(script())
    good = 0
    for commit in landed:
        done = subprocess.run(
            (sys.executable, "-I", str(program), "--repository", str(clone), "--trust", str(home.trust), commit),
            capture_output=True, text=True, check=False,
        )
        good += done.returncode == 0
        if done.returncode:
            print(f"  ✗ {commit[:10]}  {clean((done.stdout or done.stderr).strip())}", flush=True)
    return good


def recheck_one(event: e.TaskLanded, tip: Oid, claims: Claims, clone: Path, driver: Driver) -> bool:
    """Check out the commit that a change was proven and landed with, run the tests there, and compare with what was claimed."""
    claim = claims.get((event.task, tip))
    inside = all(
        subprocess.run(("git", "merge-base", "--is-ancestor", older, newer), cwd=clone, check=False).returncode == 0
        for older, newer in ((event.commit, tip), (tip, "origin/main"))
    )
    git(("checkout", "-q", "--detach", tip), clone)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "ANDON_", "PYTHON"))}
    done = subprocess.run(COMMAND, cwd=clone, capture_output=True, text=True, check=False,
                          env={**env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    said = done.stdout.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
    good = inside and done.returncode == 0 and claim is not None and claim.status == "proven"
    title = driver.seen[event.task].title if event.task in driver.seen else ""
    print(f"  {'✓' if good else '✗'} {event.task:<4} {tip[:10]}  {clean(said[0])}  {clean(title)}", flush=True)
    return good


def story(driver: Driver, rows: Sequence[e.AnyEvent]) -> None:
    """What else the demo was to show, as far as it was seen."""
    print()
    for event in rows:
        if isinstance(event, e.RetryScheduled) and event.failure == "test":
            print(f"  sent back   {event.task}: {clean(first(event.packet))}")
        if isinstance(event, e.PermissionDecided):
            print(f"  permitted   {event.attempt}: {clean(event.because)}")
        if isinstance(event, e.SessionResumed):
            how = "in the same conversation" if event.conversation else "in a new conversation"
            print(f"  went on     {event.attempt}: {clean(event.because)}; started again in its checkout, {how}")
    for task, role in driver.tasks.items():
        seen = driver.seen.get(task)
        if role == "liar" and seen is not None:
            print(f"  refused     {task}: says done, commits nothing; {seen.state} after {seen.attempts} attempts, nothing landed")
        if seen is not None and seen.state not in ("done", "failed", "stopped"):
            print(f"  unfinished  {task}: {seen.state}")
    for gate, option in driver.answered:
        print(f"  answered    {gate.gate} on {gate.task} ({gate.kind}) by the demo: {option}")


def first(packet: str) -> str:
    """The headline of a retry packet."""
    return packet.splitlines()[0].lstrip("# ") if packet else ""


def git(words: Sequence[str], folder: Path) -> str:
    """The output of a git command that must succeed."""
    return subprocess.run(("git", *words), cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
