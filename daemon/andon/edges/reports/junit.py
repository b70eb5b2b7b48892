"""JUnit XML: at least the minimum of executed tests, none failed, and an exit code that agrees. Knows no other format."""

import json
import re
from typing import Any
from xml.etree.ElementTree import ParseError

import msgspec
from junitparser import Error, Failure, JUnitXml, JUnitXmlError, Skipped, TestCase, TestSuite

from andon.edges import withheld
from andon.schema.proofs import UNEVALUATED, UNEVALUATED_EXIT
from andon.schema.sentences import plural

from .verdict import FAILING_SHOWN, Read, Verdict, unevaluated

NAMES_OF_COMMIT = ("commit", "git.commit", "git.commit.id", "git_commit", "revision", "vcs.revision")
"""Properties by which a suite may name its commit; no runner has to."""


def judge(read: Read) -> Verdict:
    """The verdict of a report."""
    check, seen = read.check, read.seen
    try:
        xml = JUnitXml.fromstring(read.data)
        cases, other = cases_of(xml), other_commit(xml, read.grounds.commit)
    except (JUnitXmlError, ParseError, ValueError, TypeError, AttributeError) as error:
        return unevaluated("unreadable-report", f"its report is no JUnit XML: {withheld.text(str(error))[:200]}")
    if other:
        return unevaluated("other-commit", f"its report is about commit {other[:12]}, not {read.grounds.commit[:12]}")
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


def other_commit(xml: Any, commit: str) -> str:
    """The commit that a property of a suite names, when it is another one; empty when none does."""
    suites = [xml] if isinstance(xml, TestSuite) else [part for part in xml if isinstance(part, TestSuite)]
    told = [one for suite in suites for one in suite.properties()]  # type: ignore[no-untyped-call]  # junitparser has no types here
    said = [str(one.value or "").lower() for one in told if one.name in NAMES_OF_COMMIT]
    return next((one for one in said if commit and re.fullmatch(r"[0-9a-f]{7,64}", one) and not commit.startswith(one)), "")


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
        failing=tuple(failing)[:FAILING_SHOWN], names=passed, told=told, kept=json.dumps(list(passed)).encode(),
    )
