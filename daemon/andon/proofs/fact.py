"""A named fact and the JUnit report that facts become; knows no kind of proof, and never what follows from a fact."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from junitparser import Error, Failure, JUnitXml, JUnitXmlError, Properties, Property, Skipped, TestCase, TestSuite

from andon.schema.errors import Mistake
from andon.schema.proofs import UNEVALUATED, UNEVALUATED_EXIT

GROUP_CHARS, NAME_CHARS = 120, 170
"""Of a group and of a name; readers of reports cut both together at 300, which would make two into one."""
TOLD_CHARS = 6000
FACT_LIMIT = 50_000
State = Literal["holds", "fails", "skipped", "unevaluated"]
_FOREIGN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was looked at, by name."""

    group: str
    """What it belongs to: `api shop.cart`, `build`."""
    name: str
    """The same words on every commit and machine where it holds: by them it is missed when it is gone."""
    state: State = "holds"
    """`skipped`: somebody said that it is not to be looked at, which is no yes."""
    told: str = ""
    """What was seen, when it does not hold."""
    seconds: float = 0.0
    properties: tuple[tuple[str, str], ...] = ()


class Unevaluated(Exception):
    """A whole proof that can say neither yes nor no here: a tool is missing, there is nothing to look at. Says which."""


def exit_code(facts: Sequence[Fact]) -> int:
    """0: all hold; 1: one does not; else `UNEVALUATED_EXIT`: something was skipped, could not be looked at, or is not there."""
    states = {fact.state for fact in facts}
    return 1 if "fails" in states else 0 if states == {"holds"} else UNEVALUATED_EXIT


def shortened(name: str, limit: int = NAME_CHARS) -> str:
    """A name that fits, still told apart from all others."""
    name = " ".join(clean(name).split())
    if len(name) <= limit:
        return name
    return f"{name[:limit - 18]}… {hashlib.sha256(name.encode()).hexdigest()[:16]}"


def key_of(fact: Fact) -> tuple[str, str]:
    """Group and name as a report has them."""
    return shortened(fact.group, GROUP_CHARS), shortened(fact.name)


def clean(text: str) -> str:
    """What XML can hold of it."""
    return _FOREIGN.sub("", text)


def distinct(facts: Iterable[Fact]) -> list[Fact]:
    """Each name once, in order; the worse state wins. Raises Unevaluated past the limit: half an inventory is none."""
    worst = ("fails", "unevaluated", "skipped", "holds")
    found: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        key = key_of(fact)
        known = found.get(key)
        if known is None or worst.index(fact.state) < worst.index(known.state):
            found[key] = fact
        if len(found) > FACT_LIMIT:
            raise Unevaluated(f"there are more than {FACT_LIMIT} facts: name less of it")
    return list(found.values())


def report(kind: str, facts: Sequence[Fact]) -> bytes:
    """The facts as JUnit XML, in their order."""
    suite = TestSuite(f"andon prove {kind}")
    suite.add_testcases([_case(fact) for fact in facts])
    xml: Any = JUnitXml()
    xml.add_testsuite(suite)
    return bytes(xml.tostring())


def _case(fact: Fact) -> TestCase:
    group, name = key_of(fact)
    case: Any = TestCase(name, classname=group, time=round(fact.seconds, 3))
    told = clean(fact.told)[-TOLD_CHARS:]
    head = told.strip().partition("\n")[0][:200]
    if fact.state == "fails":
        failure = Failure(head)
        failure.text = told
        case.result = [failure]
    elif fact.state != "holds":
        case.result = [Skipped(f"{UNEVALUATED if fact.state == 'unevaluated' else ''}{head}")]
    if fact.properties:
        properties: Any = Properties()  # type: ignore[no-untyped-call]  # junitparser leaves it untyped
        for name, value in fact.properties:
            properties.append(Property(clean(name), clean(value)))
        case.append(properties)
    return cast("TestCase", case)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A test case of somebody's report."""

    group: str
    name: str
    state: Literal["passed", "failed", "skipped"]
    properties: tuple[tuple[str, str], ...] = ()


def read(path: Path) -> list[Case]:
    """The cases of a JUnit report, whatever its nesting. Raises Unevaluated when it is none."""
    try:
        xml = JUnitXml.fromstring(path.read_bytes())
        return [_read(case) for case in _cases(xml)]
    except FileNotFoundError:
        raise Unevaluated(f"there is no report at {path}") from None
    except (JUnitXmlError, SyntaxError, ValueError, TypeError, AttributeError, OSError) as error:
        raise Unevaluated(f"{path} is no JUnit report: {str(error)[:200]}") from None


def _cases(part: object) -> Iterable[TestCase]:
    for inner in part if isinstance(part, Iterable) else ():
        if isinstance(inner, TestCase):
            yield inner
        else:
            yield from _cases(inner)
            for suite in inner.testsuites() if hasattr(inner, "testsuites") else ():
                yield from _cases(suite)


def _read(case: Any) -> Case:
    results = case.result if isinstance(case.result, list) else [case.result] if case.result else []
    bad = any(isinstance(result, Failure | Error) for result in results)
    skipped = any(isinstance(result, Skipped) for result in results)
    inner = case.child(Properties)
    said = tuple((str(one.name or ""), str(one.value or "")) for one in inner) if inner is not None else ()
    return Case(group=case.classname or "", name=case.name or "", properties=said,
                state="failed" if bad else "skipped" if skipped else "passed")


def missing(facts: Sequence[Fact], before: Path) -> list[Fact]:
    """A failing fact for each that held in an earlier report and does not now."""
    if not before.is_file():
        raise Mistake("there is no earlier report to compare with", where=str(before), mend="name a file that `--report` wrote")
    looked = {key_of(fact) for fact in facts}
    return [Fact(group=case.group, name=case.name, state="fails", told="it held before and is gone now")
            for case in read(before) if case.state == "passed" and (case.group, case.name) not in looked]
