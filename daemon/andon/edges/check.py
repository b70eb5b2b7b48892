"""Runs one check in a clean checkout of an exact commit and says what it showed; it must never know what follows from that."""

import asyncio
import contextlib
import os
import shlex
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from andon.edges import beneath, bundled, enclose, evidence, jobs, ourselves, report, salvage, unseen, withheld
from andon.edges.baits import Place, place_of
from andon.edges.grounds import dead_rules, grounds_of
from andon.edges.keys import Signer
from andon.edges.process import MARKER
from andon.edges.protected import Protected
from andon.edges.proving import Proving
from andon.edges.reports.verdict import Grounds, Verdict
from andon.edges.tried import Tally
from andon.edges.walled import Ways, nowhere
from andon.schema.effects import RunCheck
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import AttemptId, Digest
from andon.schema.inputs import AccessSeen, CheckRan
from andon.schema.jobs import LOG, START, Exit, Job
from andon.schema.layout import Layout
from andon.schema.sandbox import Sandbox, weakest
from andon.schema.sentences import plural

TAIL_CHARS = 3500
LOG_BYTES = 256 * 2**20
REPORTS = "out"
"""The one folder of a run's directory that the code under test may write to, beside its TMPDIR."""
JUDGED_BYTES = 256 * 1024
"""Of the end of a log, what a report may be judged by."""
LOST_SHOWN = 50
NOTHING = Digest("")
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


class Once(NamedTuple):
    """One run, and what stood in the place of the change's own."""

    ran: CheckRan
    held: Protected


class Checks:
    """Check runs of one daemon."""

    def __init__(self, layout: Layout, proving: Proving, blobs: Shelf, verifier: Signer) -> None:
        self._layout, self._proving, self._blobs, self._verifier = layout, proving, blobs, verifier

    async def run(self, effect: RunCheck, ways: Ways = nowhere) -> CheckRan:
        """Prove one check; `ways` gives what leads out of its walls.

        A run that a killed daemon left behind was ended by `sweep`; it is simply run again.
        """
        withheld.name(effect.walls.secrets)
        if effect.check.use:
            return await self._scan(effect)
        if not effect.check.protect or not effect.base:
            return (await self._once(effect, ways)).ran
        first = await self._once(effect, ways, guarded=True)
        if first.held.changed and first.ran.result == "pass" and effect.check.own_too:
            return joined(first, await self._once(effect, ways, earlier=first.ran.evidence))
        return first.ran

    async def _scan(self, effect: RunCheck) -> CheckRan:
        """A check that comes with the program: none of the change runs, so its setup does not either."""
        try:
            ready = await bundled.prepare(effect, self._layout.home)
            level = await asyncio.to_thread(enclose.settled, effect.walls)
        except Mistake as error:
            return unproven(effect, error)
        if ready.verdict is None:
            scan = msgspec.structs.replace(effect, walls=bundled.walls_of(effect.walls, ready.read))
            return (await self._once(scan, nowhere, ready=ready)).ran
        known = ready.verdict
        dead = await bundled.dead(effect) if known.result == "pass" else ""
        if dead:
            known = msgspec.structs.replace(known, result="unevaluated", cause="dead-rule", because=dead)
        ran = CheckRan(run=effect.run, result=known.result, because=known.because, cause=known.cause, walls=level)
        return self._signed(ran, evidence.statement(effect, ran, None, PASSED_ON))

    def _signed(self, ran: CheckRan, statement: bytes) -> CheckRan:
        """What a run showed with its statement, signed as measured."""
        line = self._verifier.sign(statement)
        return msgspec.structs.replace(ran, evidence=self._blobs.put(line))

    async def _once(self, effect: RunCheck, ways: Ways, *, guarded: bool = False, earlier: Digest = NOTHING,
                    ready: bundled.Prepared | None = None) -> Once:
        """One run; `guarded`: with the protected paths as the base has them, of which `earlier` is the statement."""
        folder: Path | None = None
        held = Protected(earlier=earlier)
        try:
            try:
                async with self._proving.slot(
                    effect.repo, effect.git_dir, effect.commit, effect.tree, keep=effect.checkout.keep, slots=effect.slots,
                    landing=effect.landing,
                ) as slot:
                    if guarded:
                        held = await self._proving.protect(slot, effect.git_dir, effect.check.protect, effect.base, effect.commit)
                    folder = self._folder(effect)
                    seen, box = await self._execute(effect, slot, folder, ways, ready)
                    touched = await self._proving.tampered(slot)
                    subject = msgspec.structs.replace(effect, tree=held.tree or effect.tree)
                    grounds = await grounds_of(subject, slot, folder, report_of(folder), self._blobs, ready.told if ready else "")
            except Mistake as error:
                return Once(unproven(effect, error), held)
            point("run-check.ended")
            return Once(await asyncio.to_thread(self._conclude, effect, folder, seen, touched, box, grounds, held), held)
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

    async def _execute(self, effect: RunCheck, slot: Path, folder: Path, ways: Ways, ready: bundled.Prepared | None,
                       ) -> tuple[Exit, Sandbox | None]:
        job = job_of(effect, slot, folder)
        for name in ("tmp", REPORTS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if ready is not None:
            await asyncio.to_thread(beneath.write_whole, folder / REPORTS, bundled.ASKED, ready.asked)
        doors = await ways(folder.name)
        box, env = await asyncio.to_thread(
            enclose.check, effect.walls, job=folder, slot=slot, git_dir=effect.git_dir, env=job.env, doors=doors,
            commands=(*effect.checkout.setup, effect.check.run or shlex.quote(sys.executable),
                      *ourselves.program(effect.check.run)[:1]),
            place=self._place(effect, folder), ours=ourselves.folders(effect.check.run),
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
                  box: Sandbox | None, grounds: Grounds, held: Protected) -> CheckRan:
        """Read report and log, keep them as blobs, and sign what they say."""
        log = _log_of(folder)
        found = report.judge(effect.check, seen, report_of(folder), grounds, log[-JUDGED_BYTES:])
        dead = dead_rules(effect, grounds) or held.dead_rules(effect.check.name)
        if dead and found.result == "pass":
            found = msgspec.structs.replace(found, result="unevaluated", cause="dead-rule", because=dead)
        if touched and found.result == "pass":
            because = f"the run changed {plural(len(touched), 'tracked file')}: {', '.join(touched[:3])}"
            found = msgspec.structs.replace(found, result="unevaluated", cause="tampered", because=because)
        found = msgspec.structs.replace(found, because="; ".join(filter(None, (held.told(found.because), grounds.told))))
        if box is not None and found.result != "pass":
            found = self._missed(effect, box, found, log, seen)
        kept = found.kept or (b"[]" if effect.check.report == "junit" else b"")
        ran = CheckRan(
            run=effect.run, result=found.result, because=found.because, cause=found.cause, passed=found.passed,
            failed=found.failed, skipped=found.skipped, failing=found.failing, seconds=seen.seconds, cpu_s=seen.cpu_s,
            names=self._blobs.put(kept) if kept else Digest(""), log=self._blobs.put(log),
            report=self._keep_report(folder), lost_tests=self._lost(effect, found.names), tail=tail_of(found.told, log),
            walls=jobs.walls_of(folder, box), refused=refused(effect, folder),
        )
        told = evidence.statement(effect, ran, seen, PASSED_ON, also=held.evidence(), figures=found.figures)
        ran = self._signed(ran, told)
        point("run-check.concluded")
        return ran

    def _missed(self, effect: RunCheck, box: Sandbox, found: Verdict, log: bytes, seen: Exit) -> Verdict:
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


def joined(first: Once, second: Once) -> CheckRan:
    """A change that held with the protected paths of its base, run with its own too: the second statement names the first."""
    ran, was = second.ran, first.ran
    return msgspec.structs.replace(
        ran, because=f"{ran.because}; {was.because}", seconds=was.seconds + ran.seconds, cpu_s=was.cpu_s + ran.cpu_s,
        walls=weakest((was.walls, ran.walls)), refused=(*was.refused, *ran.refused),
    )


def unproven(effect: RunCheck, error: Mistake) -> CheckRan:
    """A run that could not be made."""
    told = f"{error.problem.what} {error.problem.where}".strip()[:500]
    return CheckRan(run=effect.run, result="unevaluated", because=told, cause="storage", tail=str(error)[:TAIL_CHARS])


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
    lines = [*ourselves.function(check.run), *(f"( {command}\n) || exit {report.SETUP_EXIT}" for command in effect.checkout.setup)]
    lines.append(check.run.replace("{report}", shlex.quote(str(report_of(folder)))))
    env = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    env |= {"PWD": str(slot), "TMPDIR": str(folder / "tmp"), MARKER: str(folder), "ANDON_RUN": effect.run, "TERM": "dumb"}
    shell = ("/bin/sh", "-c", "\n".join(lines))
    argv = bundled.argv(check.use, folder / REPORTS, report_of(folder)) if check.use else shell
    return Job(
        name=effect.run, argv=argv, cwd=str(slot), env=env, log=True,
        seconds=check.minutes * 60.0, memory_mb=check.memory_mb, output_mb=check.output_mb,
    )


def tail_of(told: str, log: bytes) -> str:
    """What a retry packet quotes: the first failures in their own words, else the end of the log."""
    return told[:TAIL_CHARS] if told else withheld.text(log[-20_000:].decode(errors="replace"))[-TAIL_CHARS:]
