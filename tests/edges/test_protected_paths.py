"""What judges comes from the base: protected paths, stale reports, rules that name nothing. Each against a change that cheats."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.edges import dsse
from andon.edges.report import judge
from andon.edges.reports.verdict import Grounds
from andon.schema.ids import Oid
from andon.schema.jobs import Exit
from andon.schema.settings import Check
from checkkit import Prover
from checkoutkit import floor

JUNIT = "<testsuite name='q' tests='1'>{}</testsuite>"
RUN = '''
import pathlib, sys
sys.path.insert(0, "tests")
try:
    import conftest
except ImportError:
    pass
import calc
bad = []
for path in sorted(pathlib.Path("tests").glob("t_*.py")):
    try:
        exec(path.read_text(), {"calc": calc})
    except AssertionError:
        bad.append(path.stem)
cases = "".join(f"<testcase classname='t' name='{path.stem}'>{'<failure/>' if path.stem in bad else ''}</testcase>"
                for path in sorted(pathlib.Path("tests").glob("t_*.py")))
pathlib.Path(sys.argv[1]).write_text(f"<testsuite name='q'>{cases}</testsuite>")
sys.exit(bool(bad))
'''
FILES = {
    "calc.py": "def add(a, b):\n    return a + b\n", "tests/t_add.py": "assert calc.add(1, 2) == 3\n",
    "tests/t_zero.py": "assert calc.add(0, 0) == 0\n", "run.py": RUN, ".gitignore": "__pycache__/\n",
}
BROKEN = {"calc.py": "def add(a, b):\n    return 7 if b else 0\n"}
TESTS = Check(name="tests", run=f"{sys.executable} -B run.py {{report}}", report="junit",
              protect=("tests/**", "run.py", "conftest.py", "**/conftest.py"))


def protecting(**more: Any) -> Check:
    return Check(name="tests", run=TESTS.run, report="junit", **{"protect": ("tests/**", "run.py"), **more})


CHEATS: dict[str, dict[str, str | None]] = {
    "it edits the test": {"tests/t_add.py": "assert calc.add(1, 2) == 7\n"},
    "it weakens the test": {"tests/t_add.py": "assert calc.add(1, 2)\n"},
    "it removes the test": {"tests/t_add.py": None},
    "it edits what runs the tests": {"run.py": RUN.replace("    bad.append(path.stem)", "    pass")},
    "it adds a hook beside the tests": {"tests/conftest.py": "import calc\ncalc.add = lambda a, b: {3: 3, 0: 0}[a + b]\n"},
    "it puts a link in place of the tests": {"tests/t_add.py": None, "tests/t_zero.py": None},
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_a_red_change_cannot_make_itself_green_by_what_judges_it(tmp_path: Path, cheat: str) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    head = gitkit.commit(shop.person, BROKEN | CHEATS[cheat], cheat)
    if "link" in cheat:
        gitkit.write(shop.person, {"easy/t_add.py": "pass\n", "easy/t_zero.py": "pass\n"})
        shutil.rmtree(shop.person / "tests")
        (shop.person / "tests").symlink_to("easy")
        head = gitkit.commit(shop.person, {}, cheat)
    prover = Prover(shop)
    ran = await prover.run(protecting(), head, base)
    assert ran.result == "fail" and ran.failing == ("t::t_add",), ran
    assert ran.because.startswith("with the base's ") and "which the change touches" in ran.because


async def test_without_protection_the_same_cheats_come_through(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    for cheat in ("it edits the test", "it adds a hook beside the tests"):
        gitkit.run(shop.person, "reset", "-q", "--hard", base)
        ran = await Prover(shop).run(protecting(protect=()), gitkit.commit(shop.person, BROKEN | CHEATS[cheat], cheat), base)
        assert ran.result == "pass", (cheat, ran)


async def test_a_change_has_to_hold_with_its_own_tests_too(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    head = gitkit.commit(shop.person, {"tests/t_more.py": "assert calc.add(1, 1) == 3\n"}, "a test that fails")
    prover = Prover(shop)
    ran = await prover.run(protecting(), head, base)
    assert ran.result == "fail" and ran.failing == ("t::t_more",), ran
    ran = await prover.run(protecting(own_too=False), head, base)
    assert ran.result == "pass" and "tests/t_more.py" in ran.because, ran


async def test_an_honest_change_of_tests_and_code_is_proven_by_both_and_says_so(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base = shop.base
    head = gitkit.commit(shop.person, {"calc.py": FILES["calc.py"] + "\n\ndef sub(a, b):\n    return a - b\n",
                                       "tests/t_sub.py": "assert calc.sub(3, 1) == 2\n"}, "subtract")
    prover = Prover(shop)
    ran = await prover.run(protecting(), head, base)
    assert (ran.result, ran.passed) == ("pass", 3) and ran.because == (
        "3 tests passed; with the base's tests/t_sub.py, which the change touches: 2 tests passed"), ran
    both = [entry for entry in prover.statement(ran)["configuration"] if entry["name"].startswith("run with protected")]
    first = dsse.decode(prover.blobs.get(both[0]["digest"]["sha256"])).payload
    blob = gitkit.run(shop.person, "rev-parse", f"{base}:tests/t_add.py")
    assert blob.encode() in first and b"protected tests/t_add.py" in first and b"tree with protected paths of the base" in first
    assert not gitkit.run(shop.person, "status", "--porcelain")


async def test_a_change_that_touches_nothing_protected_runs_once(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base, head = shop.base, gitkit.commit(shop.person, {"calc.py": FILES["calc.py"] + "# a remark\n"}, "a remark")
    counted = tmp_path / "runs"
    check = Check(name="tests", run=f"echo . >> {counted}; {TESTS.run}", report="junit", protect=("tests/**", "run.py"))
    ran = await Prover(shop).run(check, head, base)
    assert ran.result == "pass" and ran.because == "2 tests passed; it changes no protected path" and counted.read_text() == ".\n"


async def test_what_a_protected_run_changes_is_still_told(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base, head = shop.base, gitkit.commit(shop.person, {"tests/t_more.py": "pass\n"}, "more")
    check = Check(name="tests", run=f"echo >> calc.py; {TESTS.run}", report="junit", protect=("tests/**", "run.py"))
    ran = await Prover(shop).run(check, head, base)
    assert (ran.result, ran.cause) == ("unevaluated", "tampered") and "calc.py" in ran.because, ran


# --- rules that name nothing ---------------------------------------------------------------------------------------------


async def test_a_pattern_that_protects_nothing_is_unevaluated(tmp_path: Path) -> None:
    shop = floor(tmp_path, FILES)
    base, head = shop.base, gitkit.commit(shop.person, {"calc.py": FILES["calc.py"] + "# a remark\n"}, "a remark")
    ran = await Prover(shop).run(TESTS, head, base)
    assert (ran.result, ran.cause) == ("unevaluated", "dead-rule") and "`conftest.py`" in ran.because
    assert "tests/**" not in ran.because


async def test_a_check_whose_inputs_are_not_there_is_unevaluated(tmp_path: Path) -> None:
    prover = Prover(shop := floor(tmp_path, FILES))
    ran = await prover.run(Check(name="lint", run="true", inputs=("src/**", "lib/*.py")), shop.base)
    assert (ran.result, ran.cause) == ("unevaluated", "dead-rule") and "`src/**` of checks.lint.inputs" in ran.because, ran
    assert (await prover.run(Check(name="lint", run="true", inputs=("src/**", "*.py")), shop.base)).result == "pass"
    assert (await prover.run(Check(name="lint", run="false", inputs=("src/**",)), shop.base)).result == "fail"


async def test_a_rule_of_the_settings_that_names_no_file_is_unevaluated(tmp_path: Path) -> None:
    prover = Prover(shop := floor(tmp_path, FILES))
    rules = (("policy.ship", "docs/**"), ("sandbox.hide", "tests/**"))
    ran = await prover.run(Check(name="rules", run="", use="rules"), shop.base, rules=rules)
    assert (ran.result, ran.cause) == ("unevaluated", "dead-rule") and "`docs/**` of policy.ship" in ran.because, ran
    ran = await prover.run(Check(name="rules", run="", use="rules"), shop.base, rules=rules[1:])
    assert ran.result == "pass" and "1 rule" in ran.because, ran


# --- reports that another run left -----------------------------------------------------------------------------------------


GOOD = JUNIT.format("<testcase classname='t' name='one'/>")
STALE: dict[str, tuple[str, str, str]] = {
    "a copy of a file of the tree": ("cp old.xml {report}", "stale-report", "is old.xml of the tree, byte for byte"),
    "older than the run": (
        "cp old.xml {report}; echo >> {report}; touch -d @1600000000 {report}", "stale-report", "older than the run"),
}


@pytest.mark.parametrize(("named", "result"), [("b" * 40, "unevaluated"), ("a" * 40, "pass"), ("a" * 12, "pass"), ("v1.2", "pass")])
def test_a_test_report_that_names_another_commit_is_unevaluated(tmp_path: Path, named: str, result: str) -> None:
    told = f"<properties><property name='git.commit' value='{named}'/></properties><testcase classname='t' name='one'/>"
    for text in (JUNIT.format(told), f"<testsuites>{JUNIT.format(told)}</testsuites>"):
        (tmp_path / "r").write_text(text)
        found = judge(Check(name="tests", run="x", report="junit"), Exit(code=0), tmp_path / "r", Grounds(commit=Oid("a" * 40)))
        assert (found.result, found.cause) == (result, "other-commit" if result == "unevaluated" else ""), found


@pytest.mark.parametrize("what", STALE)
async def test_a_report_that_this_run_did_not_make_is_unevaluated(tmp_path: Path, what: str) -> None:
    run, cause, told = STALE[what]
    shop = floor(tmp_path, {"old.xml": GOOD})
    prover = Prover(shop)
    ran = await prover.run(Check(name="tests", run=run, report="junit"), shop.base)
    assert (ran.result, ran.cause) == ("unevaluated", cause) and told in ran.because, ran
    ran = await prover.run(Check(name="tests", run="cp old.xml {report}; echo >> {report}", report="junit"), shop.base)
    assert ran.result == "pass", ran
