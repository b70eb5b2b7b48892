"""Reads what a check run left: exit and report. Three-valued: what cannot be read is unevaluated, never a pass.

How each format is judged stands in `reports`, one file each; here is the one table of them, and what holds for all.
"""

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

from andon.edges import beneath, withheld
from andon.edges.reports import coverage, junit, sarif
from andon.edges.reports.verdict import UNKNOWN, Grounds, Read, Verdict, unevaluated
from andon.schema.jobs import Exit
from andon.schema.settings import Check

REPORT_BYTES = 64 * 1024 * 1024
"""A larger report is not read."""
SETUP_EXIT = 113
"""Exit code of our own script when a setup command failed."""
FIRST_SIGNAL = 128
SLACK_NS = 1_000_000_000
"""Two files that are written one after the other may have times the other way round: file systems round, each in its own way."""
FORMATS: dict[str, Callable[[Read], Verdict]] = {
    "junit": junit.judge, "sarif": sarif.judge, "cobertura": coverage.judge_cobertura, "lcov": coverage.judge_lcov,
}
"""How a report of each format is judged; `exit` has none."""


def judge(check: Check, seen: Exit, report: Path, grounds: Grounds = UNKNOWN, log: bytes = b"") -> Verdict:
    """The verdict of a run that ended as `seen` and was asked to leave its report at `report`."""
    broken = judge_exit(check, seen)
    if broken is not None:
        return broken
    if check.report in FORMATS:
        flaw = readable(report)
        if flaw:
            return unevaluated("unreadable-report", f"{flaw} (exit code {seen.code})")
        try:
            data = content(report)
        except OSError as error:
            return unevaluated("unreadable-report", f"its report cannot be read: {error.strerror} (exit code {seen.code})")
        stale = staleness(report, data, grounds)
        if stale:
            return unevaluated("stale-report", stale)
        return FORMATS[check.report](Read(check=check, seen=seen, data=data, log=log, grounds=grounds))
    if seen.code == 0:
        return Verdict(result="pass", because="exit code 0")
    return Verdict(result="fail", because=f"exit code {seen.code}")


def judge_exit(check: Check, seen: Exit) -> Verdict | None:
    """Ends that say nothing about the change, whatever a report claims."""
    if seen.because == "timeout":
        return unevaluated("timeout", f"it ran into its limit of {check.minutes:g} minutes")
    if seen.because == "stopped":
        return unevaluated("lost", "it was stopped from outside")
    if seen.because == "not-started" or seen.code in (126, 127):
        return unevaluated("missing-tool", f"exit {seen.code}: {withheld.text(seen.error) or 'a command was not found'}")
    if seen.starved and seen.code != 0:
        return unevaluated("memory", seen.error or "the memory of the whole job was used up")
    if seen.code == SETUP_EXIT:
        return unevaluated("setup", "a setup command failed")
    if seen.code is None or seen.code >= FIRST_SIGNAL:
        number = seen.signal if seen.code is None else seen.code - FIRST_SIGNAL
        return unevaluated("signal", f"it was ended by signal {number}")
    return None


def readable(report: Path) -> str:
    """Why a report cannot be read; empty when it can."""
    seen = beneath.facts(report.parent, report.name)
    if seen is None:
        return "it left no report"
    if not stat.S_ISREG(seen.st_mode):
        return "its report is no plain file"
    return f"its report has {seen.st_size} bytes, more than are read" if seen.st_size > REPORT_BYTES else ""


def content(report: Path) -> bytes:
    """What the run left. Raises OSError when it cannot be read: it may have been swapped since `readable`."""
    return beneath.read(report.parent, report.name, REPORT_BYTES)


def staleness(report: Path, data: bytes, grounds: Grounds) -> str:
    """Why a report was not made by this run; empty when it may have been: it is older, or a file of the tree, byte for byte."""
    seen = beneath.facts(report.parent, report.name)
    if seen is not None and grounds.begun and seen.st_mtime_ns + SLACK_NS < grounds.begun:
        return "its report is older than the run"
    if not grounds.files or not data:
        return ""
    blob = b"blob %d\0" % len(data) + data
    names = {hashlib.sha1(blob, usedforsecurity=False).hexdigest(), hashlib.sha256(blob).hexdigest()}
    same = next((path for path, name in grounds.files.items() if name in names), "")
    return f"its report is {withheld.text(same)[:200]} of the tree, byte for byte" if same else ""
