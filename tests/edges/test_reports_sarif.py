"""Findings of linters: which count, which a base has too whatever moved, and which reports say nothing."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.edges.report import judge
from andon.edges.reports.sarif import Finding, new_of
from andon.edges.reports.verdict import Grounds
from andon.schema.ids import Oid
from andon.schema.jobs import Exit
from andon.schema.settings import Check
from checkkit import Prover
from checkoutkit import floor

RUFF = f"{Path(sys.executable).parent}/ruff check --no-cache --isolated --select F,S --output-format sarif -o {{report}} ."
LINT = Check(name="lint", run=RUFF, report="sarif", baseline=True)
OLD = "import os\n\n\ndef first():\n    return 1\n"


def result(rule: str = "X", path: str = "a.py", line: int = 1, **more: Any) -> dict[str, Any]:
    place = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}}}
    return {"ruleId": rule, "level": "error", "message": {"text": "told"}, "locations": [place], **more}


def sarif(*results: dict[str, Any], **run: Any) -> dict[str, Any]:
    return {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": list(results), **run}]}


def verdict(tmp_path: Path, document: object, code: int = 0, log: bytes = b"", grounds: Grounds | None = None, **check: Any) -> Any:
    path = tmp_path / "report"
    path.write_text(json.dumps(document))
    return judge(Check(name="lint", run="x", report="sarif", **check), Exit(code=code), path, grounds or Grounds(), log)


# --- a real linter -----------------------------------------------------------------------------------------------------


CHANGES: Mapping[str, tuple[dict[str, str | None], str, str]] = {
    "nothing of it": ({"b.py": "x = 1\n"}, "pass", ""),
    "lines above it": ({"a.py": "# one\n# two\n# three\n" + OLD}, "pass", ""),
    "the file's name": ({"a.py": None, "deep/renamed.py": OLD}, "pass", ""),
    "the line's indentation": ({"a.py": "if True:\n    import os\n\n\ndef first():\n    return 1\n"}, "pass", ""),
    "the file that it stands in": ({"a.py": "\n\ndef first():\n    return 1\n", "b.py": OLD}, "pass", ""),
    "a planted defect": ({"a.py": OLD + "\n\ndef second():\n    return nowhere\n"}, "fail", "nowhere"),
    "the same defect once more, elsewhere": ({"b.py": OLD}, "fail", "F401"),
    "the same defect once more, in a function": ({"a.py": OLD + "\n\ndef second():\n    import os\n"}, "fail", "F401"),
    "another rule on the same line": ({"a.py": OLD.replace("import os", "import os; eval('1')")}, "fail", "S307"),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_planted_defect_is_new_and_what_the_base_has_is_old_wherever_it_moved(tmp_path: Path, what: str) -> None:
    files, wanted, told = CHANGES[what]
    shop = floor(tmp_path, {"a.py": OLD})
    base, head = shop.base, gitkit.commit(shop.person, files, what)
    ran = await Prover(shop).change(LINT, head, base)
    assert ran.result == wanted, ran
    if wanted == "fail":
        assert told in " ".join(ran.failing) and "new finding" in ran.because, ran
    else:
        assert "1 of the base" in ran.because, ran


async def test_without_a_baseline_what_was_always_there_fails_too(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"a.py": OLD})
    ran = await Prover(shop).run(Check(name="lint", run=RUFF, report="sarif"), shop.base)
    assert (ran.result, ran.because, ran.names) == ("fail", "1 findings", "")


async def test_findings_of_a_change_are_no_evidence_while_those_of_its_base_are_not_known(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"a.py": OLD})
    base, head = shop.base, gitkit.commit(shop.person, {"b.py": "x = 1\n"}, "more")
    ran = await Prover(shop).run(LINT, head, base)
    assert (ran.result, ran.cause) == ("unevaluated", "no-baseline") and "1 finding" in ran.because


async def test_a_linter_whose_settings_select_no_file_has_found_nothing_and_proves_nothing(tmp_path: Path) -> None:
    run = RUFF.replace("--isolated", "--config ruff.toml")
    shop = floor(tmp_path, {"a.py": OLD, "ruff.toml": "include = ['nowhere/*.py']\n"})
    ran = await Prover(shop).run(Check(name="lint", run=run, report="sarif"), shop.base)
    assert (ran.result, ran.cause) == ("unevaluated", "empty-selection"), ran
    clean = gitkit.commit(shop.person, {"ruff.toml": "lint.select = ['F']\n", "a.py": "x = 1\n"}, "clean")
    ran = await Prover(shop).run(Check(name="lint", run=run, report="sarif"), clean)
    assert ran.result == "pass", ran


async def test_what_a_base_kept_holds_no_source(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"a.py": "import secret_word\n"})
    prover = Prover(shop)
    ran = await prover.run(LINT, shop.base)
    kept = prover.blobs.get(ran.names)
    assert ran.result == "pass" and b"F401" in kept and b"secret_word" not in kept
    assert {"name": "findings", "digest": {"sha256": ran.names}} in prover.statement(ran)["configuration"]


# --- what counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fail_on", "level", "counts"), [
    ("error", "error", True), ("error", "warning", False), ("warning", "warning", True), ("warning", "note", False),
    ("note", "note", True), ("note", "none", False)])
def test_the_levels_that_fail_are_those_that_were_asked_for(tmp_path: Path, fail_on: str, level: str, counts: bool) -> None:
    found = verdict(tmp_path, sarif(result(level=level)), fail_on=fail_on)
    assert found.result == ("fail" if counts else "pass"), found


def test_a_level_that_a_result_leaves_out_is_that_of_its_rule(tmp_path: Path) -> None:
    tool = {"driver": {"name": "t", "rules": [{"id": "X", "defaultConfiguration": {"level": "error"}}]}}
    bare = {key: value for key, value in result().items() if key != "level"}
    assert verdict(tmp_path, sarif(bare, tool=tool)).result == "fail"
    assert verdict(tmp_path, sarif(bare)).result == "pass"  # SARIF's own default is a warning
    assert verdict(tmp_path, sarif(bare), fail_on="warning").result == "fail"


def test_what_is_suppressed_or_passes_does_not_count(tmp_path: Path) -> None:
    assert verdict(tmp_path, sarif(result(suppressions=[{"kind": "inSource"}]), result(kind="pass"))).result == "pass"


def test_a_finding_whose_suppression_was_taken_away_is_new(tmp_path: Path) -> None:
    grounds = Grounds(base=Oid("b"), lines={"a.py": ("eval(1)",)})
    was = verdict(tmp_path, sarif(result(suppressions=[{"kind": "inSource"}])), grounds=grounds, baseline=True)
    now = verdict(tmp_path, sarif(result()), grounds=Grounds(base=Oid("b"), lines=grounds.lines, kept=was.kept), baseline=True)
    assert (was.result, now.result) == ("pass", "fail")


@pytest.mark.parametrize(("document", "code", "cause"), [
    ({"runs": []}, 0, "unreadable-report"), ({"runs": None}, 0, "unreadable-report"), ([], 0, "unreadable-report"),
    ({"version": "2.1.0"}, 0, "unreadable-report"), (sarif(), 2, "unreadable-report"),
    (sarif(invocations=[{"executionSuccessful": False}]), 0, "tool-failed"),
    (sarif(versionControlProvenance=[{"revisionId": "b" * 40}]), 0, "other-commit")])
def test_a_report_that_says_nothing_of_this_tree_is_unevaluated(tmp_path: Path, document: object, code: int, cause: str) -> None:
    for baseline in (False, True):
        found = verdict(tmp_path, document, code, grounds=Grounds(commit=Oid("a" * 40)), baseline=baseline)
        assert (found.result, found.cause) == ("unevaluated", cause), found


def test_a_report_of_this_commit_counts(tmp_path: Path) -> None:
    said = sarif(versionControlProvenance=[{"revisionId": "a" * 12}])
    assert verdict(tmp_path, said, grounds=Grounds(commit=Oid("a" * 40))).result == "pass"


def test_an_exit_code_that_findings_of_the_base_do_not_explain_is_no_pass(tmp_path: Path) -> None:
    grounds = Grounds(base=Oid("b"), kept=b"[]")
    assert verdict(tmp_path, sarif(), 1, grounds=grounds, baseline=True).result == "fail"
    assert verdict(tmp_path, sarif(result(level="note")), 3, grounds=grounds, baseline=True).result == "unevaluated"


# --- fingerprints ------------------------------------------------------------------------------------------------------


def one(path: str = "a.py", text: str = "t", mark: str = "", **more: Any) -> Finding:
    return Finding(rule=more.pop("rule", "X"), path=path, text=text, prints=(("print/v1", mark),) if mark else (), **more)


def test_a_fingerprint_finds_its_finding_in_a_line_that_was_rewritten() -> None:
    base = [one(text="old words", mark="0123456789abcdef")]
    assert new_of([one(text="new words", mark="0123456789abcdef")], base, {}) == []
    assert new_of([one(text="new words", mark="fedcba9876543210")], base, {}) != []


@pytest.mark.parametrize("mark", ["requires login", "none", "-"])
def test_a_placeholder_is_no_fingerprint(mark: str) -> None:
    assert new_of([one(text="planted", mark=mark)], [one(text="old", mark=mark)], {}) != []


def test_a_fingerprint_that_different_lines_share_tells_nothing() -> None:
    base = [one(text="one", mark="0123456789abcdef"), one(text="two", mark="0123456789abcdef")]
    here = [one(text="one", mark="0123456789abcdef"), one(text="planted", mark="0123456789abcdef")]
    assert [found.text for found in new_of(here, base, {})] == ["planted"]


def test_one_finding_of_the_base_answers_for_one_here() -> None:
    assert len(new_of([one(), one(), one()], [one()], {})) == 2
    assert len(new_of([one(mark="0123456789abcdef")] * 2, [one(mark="0123456789abcdef")], {})) == 1


def test_findings_without_a_line_are_compared_by_what_they_say() -> None:
    base = [one(text="", message="m")]
    assert new_of([one(text="", message="m")], base, {}) == [] and new_of([one(text="", message="n")], base, {}) != []


def test_thousands_of_findings_are_compared_in_no_time() -> None:
    base = [one(path=f"f{n % 50}.py", text=f"t{n % 700}", mark=f"{n:016x}", before=str(n)) for n in range(20_000)]
    assert new_of(base, base, {}) == []
