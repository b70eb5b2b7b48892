"""Coverage: of all lines and of those that a change touched, as git says; what is not about this tree says nothing."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.edges.report import judge
from andon.edges.reports.coverage import md5s, percent
from andon.edges.reports.verdict import Grounds, Verdict
from andon.edges.touched import added_in
from andon.schema.ids import Oid
from andon.schema.jobs import Exit
from andon.schema.settings import Check
from checkkit import Prover
from checkoutkit import floor

PYTHON = sys.executable
WRITE = {"cobertura": "xml", "lcov": "lcov"}
CODE = "def add(a, b):\n    return a + b\n\n\ndef unused():\n    return 0\n"
TESTS = "from src.calc import add\nassert add(1, 2) == 3\n"
FILES = {"src/calc.py": CODE, "src/__init__.py": "", "go.py": TESTS, ".gitignore": "__pycache__/\n.coverage\n"}


def covering(report: str = "cobertura", **more: Any) -> Check:
    """Real coverage.py over `src`."""
    run = f"{PYTHON} -m coverage run --source=src go.py && {PYTHON} -m coverage {WRITE[report]} -q -o {{report}}"
    return Check(name="coverage", run=run, report=report, **more)


def figures(prover: Prover, ran: Any) -> dict[str, int]:
    found: dict[str, int] = prover.statement(ran)["figures"]
    return found


@pytest.mark.parametrize("report", WRITE)
async def test_a_changed_line_that_no_test_runs_fails_with_its_file_and_number(tmp_path: Path, report: str) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    head = gitkit.commit(shop.person, {
        "src/calc.py": CODE + "\n\ndef twice(a):\n    return add(a, a)\n", "go.py": TESTS + "from src import calc\ncalc.unused()\n",
    }, "more code")
    prover = Prover(shop)
    ran = await prover.change(covering(report, minimum_changed=80), head, base)
    assert ran.result == "fail" and ran.failing == ("src/calc.py:10",), ran
    assert "50.00 % of 2 changed lines, 80.00 % must be" in ran.because and "src/calc.py:10" in ran.tail
    seen = figures(prover, ran)
    assert seen == {"coveredLines": 5, "lines": 6, "coverage": 8333, "changedLines": 2, "changedCovered": 1, "delta": 8333 - 7500}
    assert (await prover.change(covering(report, minimum_changed=50), head, base)).result == "pass"


async def test_the_whole_may_not_fall_below_its_minimum_and_its_move_is_told(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    head = gitkit.commit(shop.person, {"src/other.py": "x = 1\n\n\ndef f():\n    return x\n", "go.py": TESTS}, "untested")
    prover = Prover(shop)
    ran = await prover.change(covering(minimum=75), head, base)
    assert ran.result == "fail" and "42.85 % of all lines are covered, 75.00 % must be" in ran.because, ran
    assert "-32.15 % against the base" in ran.because and figures(prover, ran)["delta"] == 3 * 10_000 // 7 - 7500
    assert (await prover.run(covering(minimum=75), base)).result == "pass"  # a tree for itself


async def test_a_change_that_touches_nothing_that_runs_passes(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base, head = shop.base, gitkit.commit(shop.person, {"README.md": "words\n", "src/calc.py": CODE + "# a remark\n"}, "words")
    ran = await Prover(shop).change(covering(minimum_changed=100), head, base)
    assert ran.result == "pass" and "no changed line can be run" in ran.because and "+0.00 % against the base" in ran.because, ran


async def test_changed_source_that_a_run_leaves_out_is_no_pass(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    head = gitkit.commit(shop.person, {"lib/new.py": "y = 1\n"}, "elsewhere")
    prover = Prover(shop)
    ran = await prover.change(covering(minimum_changed=80), head, base)
    assert (ran.result, ran.cause) == ("unevaluated", "files-missing") and "lib/new.py" in ran.because, ran
    more = gitkit.commit(shop.person, {"src/calc.py": CODE.replace("a + b", "b + a")}, "covered too")
    assert (await prover.change(covering(minimum_changed=80), more, base)).result == "pass"
    named = covering(minimum_changed=80, inputs=("src/**", "lib/**"))
    assert (await prover.change(named, more, base)).cause == "files-missing"


# --- reports that are not about this tree --------------------------------------------------------------------------------


LINES = ("a = 1", "b = 2", "c = 3")
GROUNDS = Grounds(
    commit=Oid("a" * 40), base=Oid("b" * 40), files={"a.py": "f" * 40, "b.py": "e" * 40}, lines={"a.py": LINES}, place=("/slot",),
    changed={"a.py": (2,)}, started=1_700_000_000_000,
)


def lcov(*lines: str, name: str = "a.py") -> str:
    return "\n".join((f"SF:{name}", *lines, "end_of_record", ""))


def xml(name: str = "a.py", lines: str = '<line number="2" hits="1"/>', attributes: str = "", sources: str = "") -> str:
    where = f"<sources><source>{sources}</source></sources>" if sources else ""
    return f'<coverage {attributes}>{where}<packages><package><classes><class filename="{name}"><lines>{lines}</lines></class>' \
           "</classes></package></packages></coverage>"


def seen(tmp_path: Path, text: str, code: int = 0, grounds: Grounds = GROUNDS, **check: Any) -> Verdict:
    path = tmp_path / "report"
    path.write_text(text)
    report = "lcov" if text.startswith(("SF", "TN")) else "cobertura"
    return judge(Check(name="coverage", run="x", report=report, **check), Exit(code=code), path, grounds)


def sum_of(line: str) -> str:
    return md5s(line)[1]


OTHER: dict[str, tuple[str, str, str]] = {
    "files that do not exist": (lcov("DA:1,1", name="gone.py"), "other-commit", "gone.py"),
    "files of another place": (xml("/elsewhere/a.py"), "other-commit", "/elsewhere/a.py"),
    "a line that the file does not have": (xml(lines='<line number="4" hits="1"/>'), "other-commit", "line 4 of a.py, which has 3"),
    "checksums of other lines": (lcov(f"DA:2,1,{sum_of('b = 9')}"), "other-commit", "line 2 of a.py has another checksum"),
    "a file at another commit": (lcov(f"VER:{'d' * 40}", "DA:2,1"), "other-commit", "dddddddddddd"),
    "a time before the run": (xml(attributes='timestamp="1699999990000"'), "stale-report", "before the run began"),
    "a time in seconds": (xml(attributes='timestamp="1699999990"'), "stale-report", "before the run began"),
    "no line at all": (xml(lines=""), "zero-lines", "not one executable line"),
    "another format": ("<testsuite/>", "unreadable-report", "no Cobertura XML"),
    "half a file": (xml()[:-20], "unreadable-report", "no Cobertura XML"),
    "no number": (lcov("DA:x,1"), "unreadable-report", "no LCOV"),
    "lines of no file": ("TN:\nDA:1,1\n", "unreadable-report", "no LCOV"),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_report_that_is_not_about_this_tree_is_unevaluated(tmp_path: Path, what: str) -> None:
    text, cause, told = OTHER[what]
    found = seen(tmp_path, text)
    assert (found.result, found.cause) == ("unevaluated", cause) and told in found.because, found


@pytest.mark.parametrize("text", [
    xml(), xml("/slot/a.py"), xml(sources="/slot"), xml(attributes='timestamp="1700000000100"'), xml(attributes='timestamp="0"'),
    lcov(f"DA:2,1,{sum_of('b = 2')}"), lcov(f"VER:{'a' * 40}", "DA:2,1"), lcov(f"VER:{'f' * 40}", "DA:2,3"),
    lcov("DA:2,1", name="./a.py"),
])
def test_a_report_of_this_tree_counts_however_it_names_its_files(tmp_path: Path, text: str) -> None:
    found = seen(tmp_path, text)
    assert found.result == "pass" and dict(found.figures)["changedCovered"] == 1, found


def test_files_that_are_not_in_the_tree_gain_nothing(tmp_path: Path) -> None:
    made_up = lcov("DA:1,0", "DA:2,1") + lcov(*(f"DA:{n},1" for n in range(1, 1000)), name="made_up.py")
    assert dict(seen(tmp_path, made_up).figures)["coverage"] == 5000


@pytest.mark.parametrize(("code", "result"), [(0, "pass"), (1, "fail"), (2, "unevaluated")])
def test_the_exit_code_counts_beside_the_report(tmp_path: Path, code: int, result: str) -> None:
    assert seen(tmp_path, xml(), code).result == result


def test_a_share_is_never_rounded_up(tmp_path: Path) -> None:
    text = lcov(*(f"DA:{n},{int(n > 1)}" for n in range(1, 10_001)))
    grounds = Grounds(files={"a.py": "f"})
    found = seen(tmp_path, text, grounds=grounds, minimum=100)
    assert found.result == "fail" and "99.99 %" in found.because and percent(9999) == "99.99 %"
    assert json.loads(found.kept) == {"covered": 9999, "lines": 10_000}


# --- which lines a change touched ------------------------------------------------------------------------------------------


def test_changed_lines_are_counted_so_content_cannot_pass_for_a_header() -> None:
    diff = b"\n".join([
        b"diff --git a/x.py b/x.py", b"--- a/x.py", b"+++ b/x.py", b"@@ -3 +3,3 @@ f", b"--- a/y.py", b"++++ b/other.py",
        b"+@@ -1 +900 @@", b"+last", b"\\ No newline at end of file", b"diff --git a/y b/y", b"--- a/y",
        b'+++ "b/t\\303\\251 \\"q\\".py"',
        b"@@ -0,0 +1 @@", b"+one", b"--- a/gone", b"+++ /dev/null", b"@@ -1,2 +0,0 @@", b"-a", b"-b", b""])
    found = added_in(diff)
    assert found == {"x.py": {3: b"+++ b/other.py", 4: b"@@ -1 +900 @@", 5: b"last"}, 't\u00e9 "q".py': {1: b"one"}}
