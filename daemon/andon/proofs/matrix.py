"""Requirements against the tests that show them: for each what it promises and its limits, as facts; it runs one given command.

Theory of operation. Requirements are read from a file of the repository, what tests said from a JUnit report that a command writes
anew or that is named. A test is bound to a requirement by a marker in its source, by a property of its case, or by its name. A row
has two cells, the positive case and the negative one. A cell holds when at least one test passed for it and none failed; a cell
without a test fails; one whose tests were all skipped is skipped, which is no pass.
"""

import argparse
import ast
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from andon.proofs import fact, running
from andon.proofs.fact import Case, Fact, Unevaluated
from andon.proofs.requirements import Requirement, load
from andon.schema.errors import Mistake

HELP = "requirements, each with tests that show it and tests that show its limits"
EXAMPLES = """\
examples:
  andon prove matrix --requirements docs/requirements.toml -- python3 -m pytest -q --junitxml={junit}
  andon prove matrix --requirements SPEC.md --junit build/report.xml --table

requirements:
  R-12 = "An empty cart cannot be paid"                      # TOML: [requirements], id = "text"
  - **R-12**: An empty cart cannot be paid                   # Markdown: a line, a heading or a row that begins with the id

a test is bound by any of
  @requirement("R-12")  @pytest.mark.requirement("R-12", negative=True)        # read from the sources of Python tests
  record_property("requirement", "R-12 negative")                              # a property of the case, in any language
  def test_r_12_an_empty_cart_is_refused_negative(): ...                       # its name: the id, and the word negative
"""
MARKS = ("requirement", "requirements", "req")
SOURCES = ("tests", "test", "testing", "src", ".")
FILES = 5000
Bound = tuple[str, bool]
"""An id, and whether it is the negative case."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two cases of a requirement."""

    requirement: Requirement
    negative: bool
    cases: tuple[Case, ...]

    @property
    def state(self) -> fact.State:
        """`fails` also when there is no test."""
        states = {case.state for case in self.cases}
        return "fails" if not states or "failed" in states else "holds" if "passed" in states else "skipped"

    @property
    def told(self) -> str:
        """Why it does not hold."""
        word = "negative" if self.negative else "positive"
        if not self.cases:
            return f"{self.requirement.id} has no {word} case: {self.requirement.text}"
        bad = [name_of(case) for case in self.cases if case.state == "failed"] or [name_of(case) for case in self.cases]
        return "" if self.state == "holds" else f"{'failed' if self.state == 'fails' else 'only skipped'}: {', '.join(bad[:10])}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which requirements, which report."""
    parser.add_argument("--requirements", required=True, metavar="FILE", help="TOML or Markdown with ids such as R-12")
    parser.add_argument("--junit", default="", metavar="FILE", help="a report, when no command follows `--`")
    parser.add_argument("--id", default=r"[A-Z][A-Z0-9]{0,9}-\d{1,5}", metavar="PATTERN", help="how ids look (%(default)s)")
    parser.add_argument("--tests", action="append", default=[], metavar="DIR", help="where markers are read (default: the usual)")
    parser.add_argument("--positive-only", action="append", default=[], metavar="ID", help="one that has no negative case")
    parser.add_argument("--table", action="store_true", help="print the table")
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long the command may take")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each cell, and a failing one for each test that is bound to a requirement that nobody made."""
    requirements = load(root / args.requirements, args.id)
    for name in args.positive_only:
        if name not in requirements:
            raise Mistake(f"`{name}` is no requirement of {args.requirements}", where="--positive-only", mend="correct the id")
    cases = fact.read(root / args.junit) if not args.command else reported(args.command, root, args.seconds)
    if not cases:
        raise Unevaluated("the report names no test")
    marks = marked([root / folder for folder in args.tests or SOURCES], root)
    bound = [(case, one) for case in cases for one in bindings(case, marks, requirements)]
    cells = [
        Cell(requirement=one, negative=negative, cases=tuple(case for case, way in bound if way == (one.id, negative)))
        for one in requirements.values() for negative in (False, True) if not (negative and one.id in args.positive_only)
    ]
    if args.table:
        print(table(cells))
    for cell in cells:
        tests = tuple(("test", name_of(case)) for case in cell.cases[:50])
        yield Fact(group=f"matrix {cell.requirement.id}", name="negative" if cell.negative else "positive", state=cell.state,
                   told=cell.told, properties=tests)
    for name in sorted({one for case, (one, _) in bound if one not in requirements}):
        told = f"tests are bound to it, and {args.requirements} does not have it"
        yield Fact(group=f"matrix {name}", name="is a requirement", state="fails", told=told)


def reported(command: list[str], root: Path, seconds: float) -> list[Case]:
    """The cases of a fresh report. A run that leaves none says nothing; whether it went well is for its cases to say."""
    with tempfile.TemporaryDirectory(prefix="andon-matrix-") as made:
        path = Path(made) / "report.xml"
        words = [word.replace("{junit}", str(path)) for word in command]
        if words == command:
            raise Mistake("the command never names {junit}", where=shlex.join(command), mend="such as `pytest --junitxml={junit}`")
        ran = running.run(words, cwd=root, seconds=seconds)
        if not path.is_file():
            raise Unevaluated(f"`{shlex.join(command)}` left no report (exit code {ran.code})\n{ran.told[-3000:]}")
        if ran.code > 1 or ran.code < 0:
            raise Unevaluated(f"`{shlex.join(command)}` was broken off (exit code {ran.code})\n{ran.told[-3000:]}")
        return fact.read(path)


def name_of(case: Case) -> str:
    """As reports show it."""
    return f"{case.group}::{case.name}" if case.group else case.name


# --- which test is bound to what ---------------------------------------------------------------------------------------


def bindings(case: Case, marks: dict[str, set[Bound]], requirements: dict[str, Requirement]) -> set[Bound]:
    """What a case shows: by its properties, by markers on its source, by its name."""
    found = {way for key, value in case.properties if key.lower() in MARKS for way in _said(value)}
    plain = case.name.partition("[")[0]
    found |= marks.get(f"{case.group}.{plain}", set())
    words = re.sub(r"[^a-z0-9]+", " ", f"{case.name}".lower())
    for known in requirements:
        spelled = re.sub(r"[^a-z0-9]+", " ", known.lower())
        if re.search(rf"(?<![a-z0-9]){re.escape(spelled).replace(chr(92) + ' ', ' ?')}(?![a-z0-9])", words):
            found.add((known, "negative" in words.split()))
    return found


def _said(value: str) -> Iterator[Bound]:
    """`R-12`, `R-12 negative`, `R-1, R-2`."""
    for part in value.split(","):
        words = part.split()
        if words:
            yield words[0], "negative" in words[1:]


def marked(folders: list[Path], root: Path) -> dict[str, set[Bound]]:
    """Markers of Python tests by the name that a report gives them. Sources are read, never imported."""
    found: dict[str, set[Bound]] = {}
    paths = {path for folder in folders for path in _tests(folder)}
    for path in sorted(paths)[:FILES]:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError, RecursionError):
            continue  # the runner will have said so
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        _collect(tree, module, set(), found)
    return found


def _tests(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        deep = ("test_*.py", "*_test.py") if folder.name == "" else ("**/test_*.py", "**/*_test.py")
        yield from (path for pattern in deep for path in folder.glob(pattern))


def _collect(node: ast.AST, name: str, above: set[Bound], found: dict[str, set[Bound]]) -> None:
    """Markers of a module, a class or a function, and of all within it."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            own = above | {way for decorator in inner.decorator_list for way in _marks(decorator)}
            place = f"{name}.{inner.name}"
            if not isinstance(inner, ast.ClassDef) and own:
                found.setdefault(place, set()).update(own)
            _collect(inner, place, own, found)


def _marks(decorator: ast.expr) -> Iterator[Bound]:
    """What `@requirement("R-1", "R-2", negative=True)` says, however it was imported."""
    if not isinstance(decorator, ast.Call):
        return
    called = decorator.func.attr if isinstance(decorator.func, ast.Attribute) else getattr(decorator.func, "id", "")
    if called not in MARKS:
        return
    negative = any(word.arg == "negative" and isinstance(word.value, ast.Constant) and word.value.value is True
                   for word in decorator.keywords)
    for given in decorator.args:
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            yield given.value, negative


# --- the table -----------------------------------------------------------------------------------------------------------


def table(cells: list[Cell]) -> str:
    """Requirements as rows, for a person."""
    words = {"holds": "pass", "fails": "FAIL", "skipped": "skip", "unevaluated": "?"}
    rows: dict[str, list[str]] = {}
    for cell in cells:
        shown = words[cell.state] if cell.cases else "NONE"
        rows.setdefault(cell.requirement.id, [cell.requirement.text, "-", "-"])[2 if cell.negative else 1] = (
            f"{shown} ({len(cell.cases)})" if cell.cases else shown)
    width = max([len(name) for name in rows] + [11])
    lines = [f"{'REQUIREMENT':<{width}}  {'POSITIVE':<10}  {'NEGATIVE':<10}  TEXT"]
    lines += [f"{name:<{width}}  {one:<10}  {two:<10}  {fact.clean(text)[:100]}" for name, (text, one, two) in rows.items()]
    return "\n".join(lines)
