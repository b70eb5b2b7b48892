"""Cobertura XML and LCOV: which lines were run, in all and of those that a change touched. Knows no git: the tree is given.

Theory of operation. Only files of the tree count, so nothing is gained by files that a run makes up. A report that names a line
which its file does not have, or whose checksums are not those of the lines, is of another tree. Which lines a change touched is
the daemon's own reading of git. All shares are basis points, cut off and never rounded up.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from xml.etree import ElementTree

import msgspec

from andon.edges import withheld
from andon.schema.globs import matches
from andon.schema.sentences import plural

from .verdict import FAILING_SHOWN, Grounds, Read, Verdict, unevaluated

SLACK_MS = 2000
"""By so much may a report's own clock be behind."""
WHOLE = 10_000
"""All of it, in basis points."""

Lines = dict[int, int]
"""How often each executable line of a file was run."""


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a report, of whatever format."""

    files: dict[str, Lines]
    """By the name that the report gives them, joined with each of its source folders where it has some."""
    sources: tuple[str, ...] = ()
    sums: dict[str, dict[int, str]] = {}
    """Checksums of lines, where the report has them: MD5 in base64, as LCOV defines it."""
    versions: dict[str, str] = {}
    """What LCOV calls the version of a file: the name of a blob or of a commit."""
    at: int = 0
    """Unix milliseconds at which it says that it was made; 0: it does not say."""


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What a run on a later tree is compared with."""

    covered: int
    lines: int

    @property
    def share(self) -> int:
        """Basis points."""
        return self.covered * WHOLE // self.lines if self.lines else 0


def judge_cobertura(read: Read) -> Verdict:
    """The verdict of a Cobertura report."""
    return _judge(read, "Cobertura XML")


def judge_lcov(read: Read) -> Verdict:
    """The verdict of an LCOV report."""
    return _judge(read, "LCOV")


def _judge(read: Read, name: str) -> Verdict:
    code = read.seen.code
    if code not in (0, 1):
        return unevaluated("unreadable-report", f"exit code {code}, so its report may be of half a run")
    try:
        known = parsed(read)
    except (ElementTree.ParseError, ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        because = withheld.text(str(error))[:200] or type(error).__name__
        return unevaluated("unreadable-report", f"its report is no {name}: {because}")
    flaw, found = told(known, read.grounds)
    if flaw is not None:
        return flaw
    total = Sum(covered=sum(1 for file in found.values() for hits in file.values() if hits), lines=sum(map(len, found.values())))
    if not total.lines:
        return unevaluated("zero-lines", "its report has not one executable line of a file of this tree")
    said = _weighed(read, found, total) if read.grounds.base else _whole(read, total)
    if code == 1 and said.result == "pass":
        said = msgspec.structs.replace(said, result="fail", because=f"exit code 1, though {said.because}")
    return msgspec.structs.replace(said, kept=msgspec.json.encode(total))


def parsed(read: Read) -> Covered:
    """The content of a report. Raises when it has another format."""
    return cobertura(read.data) if read.check.report == "cobertura" else lcov(read.data)


def _whole(read: Read, total: Sum) -> Verdict:
    """A tree by itself: the share of all of it."""
    least = points(read.check.minimum)
    figures = (("coveredLines", total.covered), ("lines", total.lines), ("coverage", total.share))
    if total.share < least:
        because = f"{percent(total.share)} of all lines are covered, {percent(least)} must be"
        return Verdict(result="fail", because=because, figures=figures, told=because)
    return Verdict(result="pass", because=f"{percent(total.share)} of {plural(total.lines, 'line')} are covered", figures=figures)


def _weighed(read: Read, found: dict[str, Lines], total: Sum) -> Verdict:
    """A change: the share of all of it, of what it touched, and how the former moved."""
    whole, grounds, check = _whole(read, total), read.grounds, read.check
    touched = {path: [line for line in lines if line in found.get(path, {})] for path, lines in grounds.changed.items()}
    missed = [f"{path}:{line}" for path, lines in sorted(touched.items()) for line in lines if not found[path][line]]
    count = sum(map(len, touched.values()))
    flaw = _absent(read, found)
    if flaw is not None and whole.result == "pass":
        return flaw
    figures = [*whole.figures, ("changedLines", count), ("changedCovered", count - len(missed))]
    share = (count - len(missed)) * WHOLE // count if count else WHOLE
    told_ = [whole.because, f"{percent(share)} of {plural(count, 'changed line')}" if count else "no changed line can be run"]
    if grounds.kept:
        delta = total.share - msgspec.json.decode(grounds.kept, type=Sum).share
        figures.append(("delta", delta))
        told_.append(f"{'+' if delta >= 0 else '-'}{percent(abs(delta))} against the base")
    else:
        told_.append("what the base has is not known")
    least, failed = points(check.minimum_changed), whole.result == "fail"
    if count and share < least:
        failed = True
        told_[1] += f", {percent(least)} must be"
    lines = "\n".join(f"{one} is changed and was not run" for one in missed[:20])
    return Verdict(
        result="fail" if failed else "pass", because="; ".join(told_), figures=tuple(figures), failed=len(missed) if failed else 0,
        failing=tuple(missed[:FAILING_SHOWN]) if failed else (), told=lines if failed else "",
    )


def _absent(read: Read, found: Mapping[str, object]) -> Verdict | None:
    """Changed source that the report does not know: a run that leaves a file out must not pass for one that covers it."""
    changed = {path for path, lines in read.grounds.changed.items() if lines}
    wanted = read.check.inputs
    source = {path for path in changed if matches(path, wanted)} if wanted else {
        path for path in changed if PurePosixPath(path).suffix in {PurePosixPath(one).suffix for one in found}}
    missing = sorted(path for path in source if path not in found and _says(read.grounds, path))
    if missing and (wanted or len(missing) == len(source)):
        what = f"its report knows nothing of {plural(len(missing), 'changed source file')}: {', '.join(missing[:3])}"
        return unevaluated("files-missing", what)
    return None


def _says(grounds: Grounds, path: str) -> bool:
    """Whether one of the changed lines has a word; where a file was not read, it may have."""
    lines = grounds.lines.get(path)
    return lines is None or any(lines[number - 1].strip() for number in grounds.changed[path] if number <= len(lines))


def told(known: Covered, grounds: Grounds) -> tuple[Verdict | None, dict[str, Lines]]:
    """The lines of each file of the tree; and why the report is not about this tree, or is older than its run."""
    if known.at and grounds.started and known.at + SLACK_MS < grounds.started:
        return unevaluated("stale-report", "its report says that it was made before the run began"), {}
    found: dict[str, Lines] = {}
    for name, lines in known.files.items():
        path = path_in(name, known.sources, grounds)
        if path is None:
            continue
        flaw = _other(path, name, lines, known, grounds)
        if flaw:
            return unevaluated("other-commit", f"its report is about another commit: {flaw}"), {}
        own = found.setdefault(path, {})
        for number, hits in lines.items():
            own[number] = max(own.get(number, 0), hits)
    if known.files and not found:
        first = ", ".join(withheld.text(name)[:100] for name in list(known.files)[:3])
        return unevaluated("other-commit", f"not one file of its report is in this tree: {first}"), {}
    return None, found


def _other(path: str, name: str, lines: Lines, known: Covered, grounds: Grounds) -> str:
    """Why what is told of a file is not about the file of this tree; empty when it may be."""
    version = known.versions.get(name, "")
    if len(version) >= 40 and version not in (grounds.commit, (grounds.files or {}).get(path)):
        return f"{path} is told at {version[:12]}"
    text = grounds.lines.get(path)
    if text is None:
        return ""
    last = max(lines, default=0)
    if last > len(text):
        return f"it speaks of line {last} of {path}, which has {len(text)}"
    for number, mark in known.sums.get(name, {}).items():
        if 0 < number <= len(text) and mark and mark not in md5s(text[number - 1]):
            return f"line {number} of {path} has another checksum"
    return ""


def md5s(line: str) -> tuple[str, ...]:
    """The checksums that LCOV writers make of a line, with and without padding."""
    seen = hashlib.md5(line.encode(errors="surrogateescape"), usedforsecurity=False).digest()
    whole = base64.b64encode(seen).decode()
    return whole, whole.rstrip("=")


def path_in(name: str, sources: Iterable[str], grounds: Grounds) -> str | None:
    """The file of the tree that a report means by a name; None when there is none."""
    files = grounds.files or {}
    plain = name.replace("\\", "/")
    for tried in (plain, *(f"{source.rstrip('/')}/{plain}" for source in sources if source)):
        for folder in grounds.place:
            tried = tried.removeprefix(f"{folder}/")
        path = str(PurePosixPath(tried))
        if path in files:
            return path
    return None


def paths(read: Read) -> set[str]:
    """The files of the tree that a report speaks of; none when it cannot be read."""
    try:
        known = parsed(read)
    except (ElementTree.ParseError, ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        return set()
    return {path for name in known.files if (path := path_in(name, known.sources, read.grounds))}


def points(share: float) -> int:
    """Percent, as basis points."""
    return round(share * 100)


def percent(share: int) -> str:
    """Basis points, as percent."""
    return f"{share // 100}.{share % 100:02} %"


# --- formats ---------------------------------------------------------------------------------------------------------


def cobertura(data: bytes) -> Covered:
    """Cobertura XML, as coverage.py, gcovr, JaCoCo's and .NET's converters write it. Raises on what is none."""
    root = ElementTree.fromstring(data)
    if root.tag != "coverage":
        raise ValueError(f"its root is <{root.tag[:40]}>")
    files: dict[str, Lines] = {}
    for each in root.iter("class"):
        own = files.setdefault(str(each.attrib["filename"]), {})
        for line in each.iterfind("./lines/line"):  # those of its methods are told here once more
            number, hits = int(line.attrib["number"]), int(line.attrib["hits"])
            own[number] = max(own.get(number, 0), hits)
    sources = tuple(source.text.strip() for source in root.iterfind("./sources/source") if source.text)
    said = root.attrib.get("timestamp", "").split(".")[0]
    at = int(said) if said.isdigit() and len(said) < 16 else 0
    return Covered(files=files, sources=sources, at=at * 1000 if 0 < at < 10**11 else at)


def lcov(data: bytes) -> Covered:
    """LCOV's tracefile. Raises on what is none."""
    files: dict[str, Lines] = {}
    sums: dict[str, dict[int, str]] = {}
    versions: dict[str, str] = {}
    name = ""
    for line in data.decode(errors="surrogateescape").split("\n"):
        kind, _, rest = line.strip().partition(":")
        if kind == "SF":
            name = rest
            files.setdefault(name, {})
        elif kind == "VER" and name:
            versions[name] = rest.strip()
        elif kind == "DA":
            number, hits, *mark = rest.split(",")
            own = files[name]
            own[int(number)] = max(own.get(int(number), 0), int(hits))
            if mark:
                sums.setdefault(name, {})[int(number)] = mark[0]
        elif kind == "end_of_record":
            name = ""
    if not files:
        raise ValueError("it has no record of any file")
    return Covered(files=files, sums=sums, versions=versions)
