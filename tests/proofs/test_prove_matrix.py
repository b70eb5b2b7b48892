"""Requirement by requirement: what it promises and its limits are shown by tests that ran and passed, or the row is red."""

import sys
from pathlib import Path

import pytest

from andon.proofs.fact import Fact, Unevaluated, exit_code
from andon.schema.errors import Mistake
from andon.schema.proofs import UNEVALUATED_EXIT
from clikit import Caps, andon
from provekit import facts, lay

SPEC = '[requirements]\nR-1 = "A cart adds up"\nR-2 = { text = "An empty cart cannot be paid" }\n'
TESTS = """\
    import pytest
    requirement = pytest.mark.requirement

    @requirement("R-1")
    def test_adds_up(): ...

    @pytest.mark.requirement("R-1", negative=True)
    @pytest.mark.parametrize("n", [1, 2])
    def test_refuses_letters(n): ...

    class TestPaying:
        def test_r_2_is_paid(self): ...

        def test_nothing(self, record_property):
            record_property("requirement", "R-2 negative")

    def test_of_nothing(): ...
    """
PYTEST = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable,
          "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml={junit}")
INI = "[pytest]\nmarkers =\n    requirement: what it shows\n"


def matrix(root: Path, tests: str = TESTS, spec: str = SPEC, *words: str) -> dict[str, Fact]:
    """The cells by name, from a real run of pytest."""
    lay(root, {"R.toml": spec, "tests/test_cart.py": tests, "pytest.ini": INI})
    return {f"{fact.group.removeprefix('matrix ')} {fact.name}": fact
            for fact in facts("matrix", root, "--requirements", "R.toml", *words, command=PYTEST)}


def test_a_marker_a_property_and_a_name_bind_a_test_to_its_requirement(tmp_path: Path) -> None:
    found = matrix(tmp_path)
    assert {name: fact.state for name, fact in found.items()} == dict.fromkeys(
        ("R-1 positive", "R-1 negative", "R-2 positive", "R-2 negative"), "holds")
    assert found["R-1 negative"].properties == (
        ("test", "tests.test_cart::test_refuses_letters[1]"), ("test", "tests.test_cart::test_refuses_letters[2]"))


@pytest.mark.parametrize(("old", "new", "name", "state", "told"), [
    ('@requirement("R-1")\n    def test_adds_up(): ...', "", "R-1 positive", "fails", "R-1 has no positive case: A cart adds up"),
    ("def test_refuses_letters(n): ...", "def test_refuses_letters(n): assert n == 1", "R-1 negative", "fails",
     "failed: tests.test_cart::test_refuses_letters[2]"),
    ('record_property("requirement", "R-2 negative")', "pass", "R-2 negative", "fails", "R-2 has no negative case"),
    ("def test_r_2_is_paid(self): ...", 'def test_r_2_is_paid(self): pytest.skip("later")', "R-2 positive", "skipped",
     "only skipped"),
    ("def test_r_2_is_paid(self): ...", "@pytest.mark.xfail\n        def test_r_2_is_paid(self): assert 0", "R-2 positive",
     "skipped", "only skipped"),
    ('"R-2 negative"', '"R-3 negative"', "R-3 is a requirement", "fails", "R.toml does not have it"),
])
def test_a_row_that_nothing_shows_any_more_turns_red_or_skipped(
    tmp_path: Path, old: str, new: str, name: str, state: str, told: str,
) -> None:
    assert old in TESTS
    found = matrix(tmp_path, TESTS.replace(old, new))
    assert found[name].state == state and told in found[name].told
    assert exit_code(list(found.values())) == (1 if any(fact.state == "fails" for fact in found.values()) else UNEVALUATED_EXIT)


def test_a_requirement_may_be_said_to_have_no_negative_case_by_who_defines_the_check(tmp_path: Path) -> None:
    one = TESTS.replace('record_property("requirement", "R-2 negative")', "pass")
    assert "R-2 negative" not in matrix(tmp_path, one, SPEC, "--positive-only", "R-2")
    with pytest.raises(Mistake, match="no requirement of"):
        matrix(tmp_path, one, SPEC, "--positive-only", "R-9")


def test_a_table_is_printed_for_a_person(tmp_path: Path, capsys: Caps) -> None:
    lay(tmp_path, {"SPEC.md": "# Till\n\n- **R-1**: A cart adds up\n| R-2 | Refuses |\n", "r.xml": """\
        <testsuite><testcase classname="t" name="r-1 adds"/><testcase classname="t" name="R1 negative"/>
        <testcase classname="t" name="R_2: pays"><skipped/></testcase></testsuite>"""})
    ran = andon(capsys, "prove", "matrix", "--root", str(tmp_path), "--requirements", "SPEC.md", "--junit", "r.xml", "--table")
    rows = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert ran.code == 1 and "R-1 pass (1) pass (1) A cart adds up" in rows and "R-2 skip (1) NONE Refuses" in rows


@pytest.mark.parametrize(("words", "command", "told"), [
    (("--junit", "none.xml"), (), "there is no report"),
    ((), (sys.executable, "-c", "pass", "{junit}"), "left no report"),
    ((), ("no-such-runner", "{junit}"), "no program"),
    ((), (sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write('<testsuite/>')", "{junit}"), "names no test"),
    ((), (sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write('<a/>'); sys.exit(4)", "{junit}"), "broken off"),
])
def test_without_a_report_of_this_run_nothing_is_evaluated(
    tmp_path: Path, words: tuple[str, ...], command: tuple[str, ...], told: str,
) -> None:
    lay(tmp_path, {"R.toml": SPEC})
    with pytest.raises(Unevaluated, match=told):
        facts("matrix", tmp_path, "--requirements", "R.toml", *words, command=command)


@pytest.mark.parametrize(("name", "text", "told"), [
    ("R.toml", "[requirements]\nR-1 = 7\n", "requirement `R-1` says nothing"),
    ("R.toml", "[requ", "cannot be read"),
    ("R.md", "- R-1: a\n- R-1: b\n", "`R-1` is there twice"),
    ("R.md", "nothing here\n", "names no requirement"),
    ("gone.md", "", "is not there"),
])
def test_requirements_that_make_no_sense_are_no_pass(tmp_path: Path, name: str, text: str, told: str) -> None:
    lay(tmp_path, {"R.md" if name == "gone.md" else name: text, "r.xml": "<testsuite/>"})
    with pytest.raises((Mistake, Unevaluated)) as wrong:
        facts("matrix", tmp_path, "--requirements", name, "--junit", "r.xml")
    assert told in str(wrong.value)
