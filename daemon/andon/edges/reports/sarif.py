"""SARIF 2.1.0: findings, which of them count, and which of them a base has too. Knows no git: lines and renames are given.

Theory of operation. A finding is *old* when the base has one that it can be: one finding of the base answers for one here. They
are paired by fingerprints that the tool made, else by rule, path after renames, the line's own text and its neighbours; numbers of
lines say nothing. Code that moved between files takes its findings along; the same defect planted a second time is new. Texts are
kept as digests, so a record of findings holds no source.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urljoin

import msgspec

from andon.edges import withheld
from andon.schema.sentences import plural

from .verdict import FAILING_SHOWN, Grounds, Read, Verdict, unevaluated

LEVELS = ("error", "warning", "note")
"""From worst to least; what is of level `none`, or of another kind than `fail`, never counts."""
SELECTED_NOTHING = (
    "No Python files found under the given path(s)", "No files matching the pattern", "no go files to analyze",
    "Nothing to scan", "Targets scanned: 0", "No files found",
)
"""What linters print when their configuration selects no file: they find nothing then, and end well."""
PRINT_CHARS = 8
"""A shorter fingerprint, or one of several words, is a placeholder."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One result, as it is compared."""

    rule: str
    path: str
    line: int = 0
    level: str = "warning"
    prints: tuple[tuple[str, str], ...] = ()
    text: str = ""
    """Digest of the line without its surrounding blanks; empty: not known."""
    before: str = ""
    after: str = ""
    """Digests of the next lines that are not blank."""
    message: str = ""
    """Digest of what the tool said."""
    shown: str = ""
    """As a person reads it."""
    suppressed: bool = False


Key = Callable[[Finding], Hashable | None]
KEYS: tuple[Key, ...] = (
    lambda one: one.text and (one.rule, one.path, one.text, one.before, one.after),
    lambda one: one.text and (one.rule, one.path, one.text, one.before),
    lambda one: one.text and (one.rule, one.path, one.text, one.after),
    lambda one: one.text and (one.rule, one.text, one.before, one.after),
    lambda one: one.text and (one.rule, one.path, one.text),
    lambda one: (one.rule, one.path, one.message) if not one.text else None,
)
"""What two findings must share to be one, the surest first; None and the empty text share nothing."""


def judge(read: Read) -> Verdict:
    """Fails on findings that count: of the levels of `fail_on`, not suppressed, and with `baseline` not in the base too. Exit codes
    above 1 are the tool's own trouble."""
    try:
        document = json.loads(read.data)
        found = findings(document, read.grounds)
        flaw = trouble(document, read, any(counts(one, read.check.fail_on) for one in found))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return unevaluated("unreadable-report", f"its report is no SARIF: {type(error).__name__}")
    if flaw is not None:
        return flaw
    kept = msgspec.json.encode([msgspec.structs.replace(one, shown="") for one in found if not one.suppressed])
    counted = [one for one in found if counts(one, read.check.fail_on)]
    said = _compared(read, found, counted) if read.check.baseline else _alone(read, found, counted)
    return msgspec.structs.replace(said, kept=kept if read.check.baseline else b"")


def _alone(read: Read, found: list[Finding], counted: list[Finding]) -> Verdict:
    """Each finding that counts is a failure."""
    code, level = read.seen.code, read.check.fail_on
    if counted:
        return _failed(counted, f"{len(counted)} findings")
    if code == 0:
        return Verdict(result="pass", because=f"no finding of level {level}, {len(found)} others" if found else "no finding")
    if code == 1:
        return Verdict(result="fail", because=f"exit code 1 without a finding of level {level}")
    return unevaluated("unreadable-report", f"exit code {code} though nothing was found")


def _compared(read: Read, found: list[Finding], counted: list[Finding]) -> Verdict:
    """Each finding that counts and that the base does not have is a failure."""
    grounds, code = read.grounds, read.seen.code
    if code not in (0, 1):
        return unevaluated("unreadable-report", f"exit code {code}, and {plural(len(found), 'finding')}")
    if code == 1 and not found:
        return Verdict(result="fail", because="exit code 1 without a finding")
    if not grounds.base:
        return Verdict(result="pass", because=f"{plural(len(counted), 'finding')}, known: changes are compared with them")
    if not grounds.kept:
        if not counted:
            return Verdict(result="pass", because="no finding")
        what = f"{plural(len(counted), 'finding')}, and what the base has is not known"
        return unevaluated("no-baseline", what)
    base = msgspec.json.decode(grounds.kept, type=list[Finding])
    new = new_of(counted, base, grounds.moved)
    old = f"{len(counted) - len(new)} of the base"
    if new:
        return _failed(new, f"{plural(len(new), 'new finding')}, {old}")
    gone = len(base) - (len(found) - sum(one.suppressed for one in found))
    mended = f", {gone} fewer than there" if gone > 0 else ""
    return Verdict(result="pass", because=f"no new finding, {old}{mended}")


def _failed(found: Sequence[Finding], because: str) -> Verdict:
    shown = [one.shown for one in found]
    return Verdict(
        result="fail", because=because, failed=len(shown), failing=tuple(shown[:FAILING_SHOWN]), told="\n".join(shown[:20]),
    )


def trouble(document: dict[str, Any], read: Read, counted: bool) -> Verdict | None:
    """Why a report says nothing of this tree, whatever it found."""
    runs = document["runs"]
    if not runs:
        return unevaluated("unreadable-report", "its report holds no run of any tool")
    commit = read.grounds.commit
    named = [str(one.get("revisionId") or "") for run in runs for one in run.get("versionControlProvenance") or ()]
    other = [name for name in named if name and commit and not commit.startswith(name.lower())]
    if other:
        return unevaluated("other-commit", f"its report is about commit {withheld.text(other[0])[:12]}, not {commit[:12]}")
    if counted:
        return None
    if any(one.get("executionSuccessful") is False for run in runs for one in run.get("invocations") or ()):
        return unevaluated("tool-failed", "its report says that the tool did not come to its end")
    words = read.log.decode(errors="replace")
    told = next((sentence for sentence in SELECTED_NOTHING if sentence in words), "")
    return unevaluated("empty-selection", f"it looked at no file: “{told}”") if told else None


# --- findings --------------------------------------------------------------------------------------------------------


def findings(document: dict[str, Any], grounds: Grounds) -> list[Finding]:
    """All results of a report. Raises what a document of another shape makes it raise."""
    return [_finding(run, result, grounds) for run in document["runs"] for result in run.get("results") or ()]


def _finding(run: dict[str, Any], result: dict[str, Any], grounds: Grounds) -> Finding:
    path, line = place_of(run, result, grounds)
    lines = grounds.lines.get(path, ())
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    above = lines[line - 2 :: -1] if line > 1 else ()
    before, after = (next((digest(one) for one in some if one.strip()), "") if text else "" for some in (above, lines[line:]))
    prints = {**(result.get("fingerprints") or {}), **(result.get("partialFingerprints") or {})}
    return Finding(
        rule=rule_of(result), path=path, line=line, level=level_of(run, result), text=digest(text), before=before, after=after,
        prints=tuple(sorted((str(key), str(value)) for key, value in prints.items())),
        message=digest((result.get("message") or {}).get("text") or ""), shown=sarif_line(result, path),
        suppressed=bool(result.get("suppressions")),
    )


def digest(text: str) -> str:
    """A short digest of a line; of nothing, nothing."""
    return hashlib.sha256(text.strip().encode(errors="surrogatepass")).hexdigest()[:16] if text.strip() else ""


def rule_of(result: dict[str, Any]) -> str:
    """The name of the rule."""
    return str(result.get("ruleId") or (result.get("rule") or {}).get("id") or "")


def level_of(run: dict[str, Any], result: dict[str, Any]) -> str:
    """The level, as SARIF defines it: said, else the rule's own, else `warning`; of another kind than `fail`, `none`."""
    if str(result.get("kind") or "fail") != "fail":
        return "none"
    if result.get("level"):
        return str(result["level"])
    rules = ((run.get("tool") or {}).get("driver") or {}).get("rules") or []
    number = result.get("ruleIndex")
    known = rules[number] if isinstance(number, int) and 0 <= number < len(rules) else next(
        (rule for rule in rules if rule.get("id") == result.get("ruleId")), {})
    return str((known.get("defaultConfiguration") or {}).get("level") or "warning")


def counts(one: Finding, fail_on: str) -> bool:
    """Whether a finding is of a level that fails."""
    return not one.suppressed and one.level in LEVELS[: LEVELS.index(fail_on) + 1]


def place_of(run: dict[str, Any], result: dict[str, Any], grounds: Grounds) -> tuple[str, int]:
    """Path from the tree's root, and line; 0 when it names none."""
    physical = (result.get("locations") or [{}])[0].get("physicalLocation") or {}
    artifact = physical.get("artifactLocation") or {}
    line = (physical.get("region") or {}).get("startLine")
    return path_of(run, artifact, grounds.place), line if isinstance(line, int) else 0


def path_of(run: dict[str, Any], artifact: dict[str, Any], place: Iterable[str]) -> str:
    """The path that a location names, below the checkout where it lies there."""
    uri = str(artifact.get("uri") or "")
    base = str(((run.get("originalUriBaseIds") or {}).get(artifact.get("uriBaseId")) or {}).get("uri") or "")
    path = unquote(urljoin(base, uri)).removeprefix("file://")
    for folder in place:
        if path.startswith(f"{folder}/"):
            return path[len(folder) + 1:]
    return path.removeprefix("./")


def paths(data: bytes, place: tuple[str, ...]) -> set[str]:
    """The paths that a report speaks of; none when it cannot be read."""
    try:
        found = findings(json.loads(data), Grounds(place=place))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    return {one.path for one in found if one.path}


def sarif_line(result: dict[str, Any], path: str = "") -> str:
    """One finding as a line."""
    places = result.get("locations") or [{}]
    physical = places[0].get("physicalLocation", {})
    where = path or physical.get("artifactLocation", {}).get("uri", "?")
    line = physical.get("region", {}).get("startLine", "?")
    return withheld.text(f"{where}:{line} {result.get('ruleId', '')} {result.get('message', {}).get('text', '')}")[:300]


# --- new or old ------------------------------------------------------------------------------------------------------


def new_of(here: Sequence[Finding], base: Sequence[Finding], moved: Mapping[str, str]) -> list[Finding]:
    """The findings that no finding of the base can be, in their order."""
    there = [msgspec.structs.replace(one, path=moved.get(one.path, one.path)) for one in base]
    marks = usable_prints(here) & usable_prints(there)
    left, rest = list(range(len(here))), list(range(len(there)))

    def printed(one: Finding) -> Hashable | None:
        mark = next((mark for mark in one.prints if mark in marks), None)
        return mark and (one.rule, *mark)

    def near(one: Finding) -> Hashable | None:
        mark = printed(one)
        return mark and (mark, one.path)

    for key in (near, printed, *KEYS):  # in the same file first: a fingerprint may stand in two
        left, rest = paired(here, there, left, rest, key)
    return [here[number] for number in left]


def paired(
    here: Sequence[Finding], there: Sequence[Finding], left: list[int], rest: list[int], key: Key,
) -> tuple[list[int], list[int]]:
    """What is left of both sides once each that shares this key has found one of the other."""
    open_: dict[Hashable, list[int]] = defaultdict(list)
    for number in reversed(rest):
        if known := key(there[number]):
            open_[known].append(number)
    taken: set[int] = set()
    unpaired: list[int] = []
    for number in left:
        partners = open_.get(key(here[number]) or None)
        if partners:
            taken.add(partners.pop())
        else:
            unpaired.append(number)
    return unpaired, [number for number in rest if number not in taken]


def usable_prints(found: Sequence[Finding]) -> set[tuple[str, str]]:
    """Fingerprints that tell findings apart: no placeholder, and none that findings on different lines share."""
    texts: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for one in found:
        for mark in one.prints:
            texts[mark][one.rule, one.text] += 1
    return {mark for mark, seen in texts.items()
            if len(mark[1]) >= PRINT_CHARS and len(mark[1].split()) == 1 and len(seen) == 1}
