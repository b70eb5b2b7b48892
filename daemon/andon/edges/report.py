"""Reads what a check run left: exit, JUnit or SARIF. Three-valued: what cannot be read is unevaluated, never a pass."""

import json
import stat
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import msgspec
from junitparser import Error, Failure, JUnitXml, JUnitXmlError, Skipped, TestCase

from andon.edges import beneath, withheld
from andon.schema.events import Result
from andon.schema.jobs import Exit
from andon.schema.proofs import UNEVALUATED, UNEVALUATED_EXIT
from andon.schema.sentences import plural
from andon.schema.settings import Check

REPORT_BYTES = 64 * 1024 * 1024
"""A larger report is not read."""
FAILING_SHOWN = 50
SETUP_EXIT = 113
"""Exit code of our own script when a setup command failed."""
FIRST_SIGNAL = 128


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says."""

    result: Result
    because: str
    cause: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failing: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Names of all passed tests, sorted."""
    told: str = ""
    """The first failures in their own words."""


def unevaluated(cause: str, because: str) -> Verdict:
    """It could not say yes or no."""
    return Verdict(result="unevaluated", cause=cause, because=because)


def judge(check: Check, seen: Exit, report: Path) -> Verdict:
    """The verdict of a run that ended as `seen` and was asked to leave its report at `report`."""
    broken = judge_exit(check, seen)
    if broken is not None:
        return broken
    if check.report == "junit":
        return judge_junit(check, seen, report)
    if check.report == "sarif":
        return judge_sarif(seen, report)
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


# --- JUnit -----------------------------------------------------------------------------------------------------------


def judge_junit(check: Check, seen: Exit, report: Path) -> Verdict:
    """JUnit XML: at least the minimum of executed tests, none failed, and an exit code that agrees."""
    flaw = readable(report)
    if flaw:
        return unevaluated("unreadable-report", f"{flaw} (exit code {seen.code})")
    try:
        cases = cases_of(JUnitXml.fromstring(content(report)))
    except (JUnitXmlError, ParseError, ValueError, TypeError, AttributeError, OSError) as error:
        return unevaluated("unreadable-report", f"its report is no JUnit XML: {withheld.text(str(error))[:200]}")
    count = tally(cases)
    if count.passed + count.failed < check.minimum_tests and seen.code != UNEVALUATED_EXIT:
        ran = f"{plural(count.passed + count.failed, 'test')} ran, {count.skipped} skipped; at least {check.minimum_tests} must run"
        return msgspec.structs.replace(count, result="unevaluated", cause="zero-tests", because=ran)
    total = count.passed + count.failed
    if seen.code == UNEVALUATED_EXIT and not count.failed:
        return msgspec.structs.replace(count, result="unevaluated", cause="proof", because=unlooked(cases))
    if count.failed:
        return msgspec.structs.replace(count, result="fail", because=f"{count.failed} of {plural(total, 'test')} failed")
    if seen.code == 1:
        return msgspec.structs.replace(count, result="fail", because=f"exit code 1 though {plural(count.passed, 'test')} passed")
    if seen.code != 0:
        because = f"exit code {seen.code} though no test failed"
        return msgspec.structs.replace(count, result="unevaluated", cause="unreadable-report", because=because)
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    return msgspec.structs.replace(count, result="pass", because=f"{plural(count.passed, 'test')} passed{skipped}")


def unlooked(cases: list[TestCase]) -> str:
    """What a proof of ours could not look at, in its own words: the first, and how many there were."""
    told = []
    for case in cases:
        results = case.result if isinstance(case.result, list) else [case.result] if case.result else []
        told += [f"{case.name}: {str(one.message or '').removeprefix(UNEVALUATED)}" for one in results if isinstance(one, Skipped)]
    more = f" (and {len(told) - 1} more)" if told[1:] else ""
    return withheld.text(f"{told[0] if told else 'it could not be looked at'}")[:300] + more


def cases_of(xml: Any) -> list[TestCase]:
    """All test cases of a report, whatever its nesting."""
    cases: list[TestCase] = []
    for part in xml:
        if isinstance(part, TestCase):
            cases.append(part)
        else:
            cases += cases_of(part)
            cases += [case for suite in part.testsuites() for case in cases_of(suite)] if hasattr(part, "testsuites") else []
    return cases


def tally(cases: list[TestCase]) -> Verdict:
    """Counts, names and first failures; the result is filled in by the caller."""
    names: set[str] = set()
    failing: dict[str, str] = {}
    skipped: set[str] = set()
    for case in cases:
        name = withheld.text(f"{case.classname or ''}::{case.name or ''}")[:300]
        results = case.result if isinstance(case.result, list) else [case.result] if case.result else []
        bad = next((result for result in results if isinstance(result, Failure | Error)), None)
        if bad is not None:
            failing.setdefault(name, withheld.text(str(bad.text or bad.message or ""))[-1500:])
        elif any(isinstance(result, Skipped) for result in results):
            skipped.add(name)
        else:
            names.add(name)
    told = "\n\n".join(f"{name}\n{text}" for name, text in list(failing.items())[:3])
    passed = tuple(sorted(names - failing.keys()))
    return Verdict(
        result="unevaluated", because="", passed=len(passed), failed=len(failing), skipped=len(skipped),
        failing=tuple(failing)[:FAILING_SHOWN], names=passed, told=told,
    )


# --- SARIF -----------------------------------------------------------------------------------------------------------


def judge_sarif(seen: Exit, report: Path) -> Verdict:
    """SARIF: fails on any result of level error that is not suppressed; exit codes above 1 are the tool's own trouble."""
    flaw = readable(report)
    if flaw:
        return unevaluated("unreadable-report", f"{flaw} (exit code {seen.code})")
    try:
        found = [result for run in json.loads(content(report))["runs"] for result in run.get("results") or ()]
        errors = [sarif_line(result) for result in found if is_error(result)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        return unevaluated("unreadable-report", f"its report is no SARIF: {type(error).__name__}")
    if errors:
        return Verdict(
            result="fail", because=f"{len(errors)} findings", failed=len(errors), failing=tuple(errors[:FAILING_SHOWN]),
            told="\n".join(errors[:20]),
        )
    if seen.code == 0:
        return Verdict(result="pass", because=f"no finding of level error, {len(found)} others" if found else "no finding")
    if seen.code == 1:
        return Verdict(result="fail", because="exit code 1 without a finding of level error")
    return unevaluated("unreadable-report", f"exit code {seen.code} though nothing was found")


def is_error(result: dict[str, Any]) -> bool:
    """Whether a SARIF result counts as a failure."""
    return result.get("level") == "error" and not result.get("suppressions")


def sarif_line(result: dict[str, Any]) -> str:
    """One finding as a line."""
    places = result.get("locations") or [{}]
    physical = places[0].get("physicalLocation", {})
    where = physical.get("artifactLocation", {}).get("uri", "?")
    line = physical.get("region", {}).get("startLine", "?")
    return withheld.text(f"{where}:{line} {result.get('ruleId', '')} {result.get('message', {}).get('text', '')}")[:300]
