"""Runs one check in a clean checkout of an exact commit and says what it showed; it must never know what follows from that."""

import asyncio
import contextlib
import json
import os
import shlex
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

import msgspec

from andon.edges import beneath, enclose, evidence, jobs, report, salvage, unseen, withheld
from andon.edges.baits import Place, place_of
from andon.edges.keys import Signer
from andon.edges.process import MARKER
from andon.edges.proving import Proving
from andon.edges.tried import Tally
from andon.edges.walled import Ways, nowhere
from andon.schema.effects import RunCheck
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Digest
from andon.schema.inputs import AccessSeen, CheckRan
from andon.schema.jobs import LOG, START, Exit, Job
from andon.schema.layout import Layout
from andon.schema.sandbox import Sandbox
from andon.schema.sentences import plural

TAIL_CHARS = 3500
LOG_BYTES = 256 * 2**20
REPORTS = "out"
"""The one folder of a run's directory that the code under test may write to, beside its TMPDIR."""
LOST_SHOWN = 50
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "USER", "LOGNAME", "SHELL", "TZ", "PIP_INDEX_URL", "SSL_CERT_FILE", "NODE_PATH")
"""What a check gets of the daemon's environment; everything else is left out."""


class Shelf(Protocol):
    """Where blobs are kept."""

    def put(self, data: bytes) -> Digest:
        """Keep these bytes."""
        ...

    def get(self, digest: Digest) -> bytes:
        """The bytes again."""
        ...


class Checks:
    """Check runs of one daemon."""

    def __init__(self, layout: Layout, proving: Proving, blobs: Shelf, verifier: Signer) -> None:
        self._layout, self._proving, self._blobs, self._verifier = layout, proving, blobs, verifier

    async def run(self, effect: RunCheck, ways: Ways = nowhere) -> CheckRan:
        """Prove one check; `ways` gives what leads out of its walls.

        A run that a killed daemon left behind was ended by `sweep`; it is simply run again.
        """
        withheld.name(effect.walls.secrets)
        folder: Path | None = None
        try:
            try:
                async with self._proving.slot(
                    effect.repo, effect.git_dir, effect.commit, effect.tree, keep=effect.checkout.keep, slots=effect.slots,
                    landing=effect.landing,
                ) as slot:
                    folder = self._folder(effect)
                    seen, box = await self._execute(effect, slot, folder, ways)
                    touched = await self._proving.tampered(slot)
            except Mistake as error:
                told = f"{error.problem.what} {error.problem.where}".strip()[:500]
                return CheckRan(run=effect.run, result="unevaluated", because=told, cause="storage", tail=str(error)[:TAIL_CHARS])
            point("run-check.ended")
            return await asyncio.to_thread(self._conclude, effect, folder, seen, touched, box)
        finally:  # also of a run that nobody wants any more; should something still run there, the next start looks after it
            if folder is not None and not isinstance(jobs.probe(folder), jobs.Running):
                await whole(self._forget(folder))

    async def sweep(self) -> int:
        """End check runs that a killed daemon left behind, before anything else is started. How many there were."""
        folders = [folder for name in ("R*", ".tmp-R*") for folder in self._layout.jobs.glob(name)]
        left = [folder for folder in folders if isinstance(jobs.probe(folder), jobs.Running)]
        await asyncio.gather(*(jobs.stop(folder, 0.5) for folder in left))
        for folder in folders:
            await self._forget(folder)
        return len(left)

    async def _forget(self, folder: Path) -> None:
        """Remove the directory of a run that has ended: what counts is kept as blobs, and a run may have left anything there."""
        aside = folder.with_name(f".tmp-{folder.name.removeprefix('.tmp-')}")
        with contextlib.suppress(OSError):  # then the next start removes it
            await asyncio.to_thread(folder.rename, aside)
            await salvage.destroy(aside, self._layout)

    def _folder(self, effect: RunCheck) -> Path:
        """A job directory that nothing ran in: the token of an earlier try is never taken again."""
        number = 1
        while os.path.lexists(self._layout.job(f"{effect.run}-{number}") / START):
            number += 1
        return self._layout.job(f"{effect.run}-{number}")

    async def _execute(self, effect: RunCheck, slot: Path, folder: Path, ways: Ways) -> tuple[Exit, Sandbox | None]:
        job = job_of(effect, slot, folder)
        for name in ("tmp", REPORTS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        doors = await ways(folder.name)
        box, env = await asyncio.to_thread(
            enclose.check, effect.walls, job=folder, slot=slot, git_dir=effect.git_dir, env=job.env, doors=doors,
            commands=(*effect.checkout.setup, effect.check.run), place=self._place(effect, folder),
        )
        jobs.write_job(folder, msgspec.structs.replace(job, env=env, sandbox=box))
        ended = False
        try:
            await jobs.start_detached(folder)
            seen = await jobs.wait(folder)
            ended = True
        finally:
            if not ended:
                await whole(jobs.stop(folder, 0.5))
        return seen.exit if isinstance(seen, jobs.Ended) else Exit(because="stopped", signal=9), box

    def _place(self, effect: RunCheck, folder: Path) -> Place:
        """Where baits may stand: who writes tests can attack from within them."""
        git_dir = Path(effect.git_dir)
        repository = git_dir.parent if git_dir.name == ".git" else None
        return place_of(self._layout, job=folder, home=folder / "home", repository=repository)

    def _conclude(self, effect: RunCheck, folder: Path, seen: Exit, touched: tuple[str, ...],
                  box: Sandbox | None) -> CheckRan:
        """Read report and log, keep them as blobs, and sign what they say."""
        found = report.judge(effect.check, seen, report_of(folder))
        if touched and found.result == "pass":
            because = f"the run changed {plural(len(touched), 'tracked file')}: {', '.join(touched[:3])}"
            found = msgspec.structs.replace(found, result="unevaluated", cause="tampered", because=because)
        log = _log_of(folder)
        if box is not None and found.result != "pass":
            found = self._missed(effect, box, found, log, seen)
        names = json.dumps(list(found.names)).encode()
        ran = CheckRan(
            run=effect.run, result=found.result, because=found.because, cause=found.cause, passed=found.passed,
            failed=found.failed, skipped=found.skipped, failing=found.failing, seconds=seen.seconds, cpu_s=seen.cpu_s,
            names=self._blobs.put(names) if effect.check.report == "junit" else Digest(""), log=self._blobs.put(log),
            report=self._keep_report(folder), lost_tests=self._lost(effect, found.names), tail=tail_of(found.told, log),
            walls=jobs.walls_of(folder, box), refused=refused(effect, folder),
        )
        line = self._verifier.sign(evidence.statement(effect, ran, seen, PASSED_ON))
        ran = msgspec.structs.replace(ran, evidence=self._blobs.put(line))
        point("run-check.concluded")
        return ran

    def _missed(self, effect: RunCheck, box: Sandbox, found: report.Verdict, log: bytes, seen: Exit) -> report.Verdict:
        """A run that did not find a program which this machine has, outside of its walls, says nothing about the change."""
        commands = (*effect.checkout.setup, effect.check.run)
        if seen.code == report.SETUP_EXIT and not box.forwards and box.network == "none":
            reach = "[sandbox] check_network and registries say what it may reach"
            found = msgspec.structs.replace(found, because=f"{found.because}; within its walls it has no network: {reach}")
        told = unseen.program(box, commands, log, os.environ.get("PATH", os.defpath), not_found=seen.code in (126, 127))
        return msgspec.structs.replace(found, result="unevaluated", cause="missing-tool", because=told) if told else found

    def _keep_report(self, folder: Path) -> Digest:
        """The report as a blob; nothing when it cannot be read."""
        path = report_of(folder)
        return Digest("") if report.readable(path) else self._blobs.put(report.content(path))

    def _lost(self, effect: RunCheck, names: tuple[str, ...]) -> tuple[str, ...]:
        """Tests that pass on the base and not here."""
        if not effect.base_names or effect.check.report != "junit":
            return ()
        base = msgspec.json.decode(self._blobs.get(effect.base_names), type=list[str])
        return tuple(sorted(set(base) - set(names)))[:LOST_SHOWN]


def refused(effect: RunCheck, folder: Path) -> tuple[AccessSeen, ...]:
    """What its walls refused it, before its directory goes."""
    tally = Tally(AttemptId(effect.run), folder)
    tally.read()
    return tuple(tally.take())


async def whole(ending: Coroutine[Any, Any, object]) -> None:
    """Done to its end, however often the run is cancelled meanwhile: the slot is not another's before its processes are gone."""
    task = asyncio.ensure_future(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


def _log_of(folder: Path) -> bytes:
    """What the run printed; a note when something else was put in its place."""
    try:
        return beneath.tail(folder, LOG, LOG_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        return f"[the log cannot be read: {error.strerror}]\n".encode()


def report_of(folder: Path) -> Path:
    """Where a run is asked to leave its report: outside the checkout, so nothing committed can lie there."""
    return folder / REPORTS / "report"


def job_of(effect: RunCheck, slot: Path, folder: Path) -> Job:
    """The job of a run: setup commands, then the check, in one shell each."""
    check = effect.check
    lines = [f"( {command}\n) || exit {report.SETUP_EXIT}" for command in effect.checkout.setup]
    lines.append(check.run.replace("{report}", shlex.quote(str(report_of(folder)))))
    env = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    env |= {"PWD": str(slot), "TMPDIR": str(folder / "tmp"), MARKER: str(folder), "ANDON_RUN": effect.run, "TERM": "dumb"}
    return Job(
        name=effect.run, argv=("/bin/sh", "-c", "\n".join(lines)), cwd=str(slot), env=env, log=True,
        seconds=check.minutes * 60.0, memory_mb=check.memory_mb, output_mb=check.output_mb,
    )


def tail_of(told: str, log: bytes) -> str:
    """What a retry packet quotes: the first failures in their own words, else the end of the log."""
    return told[:TAIL_CHARS] if told else withheld.text(log[-20_000:].decode(errors="replace"))[-TAIL_CHARS:]
