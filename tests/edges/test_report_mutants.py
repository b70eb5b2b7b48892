"""The tests of reports can fail: one guard at a time is taken out, and a test of it must notice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edges.test_reports_coverage as of_coverage
import edges.test_reports_sarif as of_sarif
from andon.edges import grounds, report
from andon.edges.reports import coverage, sarif
from andon.edges.reports.verdict import Grounds
from andon.scans import advisories, locks, secrets
from andon.schema.effects import RunCheck
from andon.schema.ids import Digest, Oid, RepoId, RunId
from andon.schema.settings import Check, Checkout

Hunt = Callable[[Path], None]


def other(what: str) -> Hunt:
    return lambda tmp_path: of_coverage.test_a_report_that_is_not_about_this_tree_is_unevaluated(tmp_path, what)


def odd(document: Any, code: int, cause: str) -> Hunt:
    return lambda tmp_path: of_sarif.test_a_report_that_says_nothing_of_this_tree_is_unevaluated(tmp_path, document, code, cause)


def stale(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"<x/>")
    assert report.staleness(tmp_path / "r", b"<x/>", Grounds(begun=2**62)) == "its report is older than the run"


def dead(tmp_path: Path) -> None:
    effect = RunCheck(run=RunId("R1"), repo=RepoId("r"), git_dir="", commit=Oid("c"), tree=Oid("t"), definition=Digest("d"),
                      check=Check(name="a", run="a", inputs=("src/**",)), checkout=Checkout())
    assert grounds.dead_rules(effect, Grounds(files={"a.py": "f"}))


def marked(tmp_path: Path) -> None:
    allowed = {"results": {"a.py": [{"hashed_secret": "x", "is_secret": True}, {"hashed_secret": "y"}]}}
    assert secrets.allowed_in(allowed) == {("a.py", "y")}


def pragma(tmp_path: Path) -> None:
    assert secrets.look({"a.py": {"1": f"k = 'AKIA{'Z7QW3ERT5YUI8OPA'}'  # pragma: allowlist secret"}}, None)


def obedient(plugins: Any, path: str, number: int, line: str, real: Any = secrets.secrets_in) -> Any:
    """As detect-secrets does it by itself."""
    return () if "pragma: allowlist" in line else real(plugins, path, number, line)


def long_line(tmp_path: Path) -> None:
    assert secrets.look({"a.js": {"1": f"{'x = 1; ' * 5000}k = 'AKIA{'Z7QW3ERT5YUI8OPA'}';"}}, None)


MUTANTS: dict[str, tuple[Any, str, Any, Hunt]] = {
    "files of another tree": (coverage, "path_in", lambda name, sources, grounds: "a.py", other("files that do not exist")),
    "lines of another tree": (coverage, "_other", lambda *a: "", other("a line that the file does not have")),
    "checksums": (coverage, "md5s", lambda line: _Any(), other("checksums of other lines")),
    "a report's own time": (coverage, "SLACK_MS", 10**15, other("a time before the run")),
    "the age of a file": (report, "SLACK_NS", 2**63, stale),
    "made-up files": (coverage, "path_in", lambda name, sources, grounds: name,
                      of_coverage.test_files_that_are_not_in_the_tree_gain_nothing),
    "rounding": (coverage, "WHOLE", 10_002, of_coverage.test_a_share_is_never_rounded_up),
    "the commit of a report": (sarif, "trouble", lambda *a: None, odd(
        of_sarif.sarif(versionControlProvenance=[{"revisionId": "b" * 40}]), 0, "other-commit")),
    "levels": (sarif, "counts", lambda one, fail_on: one.level == "error",
               lambda tmp_path: of_sarif.test_the_levels_that_fail_are_those_that_were_asked_for(tmp_path, "note", "note", True)),
    "a rule's own level": (sarif, "level_of", lambda run, result: str(result.get("level") or "warning"),
                           of_sarif.test_a_level_that_a_result_leaves_out_is_that_of_its_rule),
    "placeholders": (sarif, "PRINT_CHARS", 0, lambda tmp_path: of_sarif.test_a_placeholder_is_no_fingerprint("none")),
    "shared fingerprints": (sarif, "usable_prints", lambda found: {mark for one in found for mark in one.prints},
                            lambda tmp_path: of_sarif.test_a_fingerprint_that_different_lines_share_tells_nothing()),
    "one for one": (sarif, "paired", lambda here, there, left, rest, key: (
        [n for n in left if not key(here[n]) or key(here[n]) not in {key(one) for one in there}], rest),
        lambda tmp_path: of_sarif.test_one_finding_of_the_base_answers_for_one_here()),
    "inputs that are not there": (grounds, "_inputs", lambda effect, grounds: (), dead),
    "secrets that were marked as real": (secrets, "allowed_in", lambda allowed: {("a.py", "x"), ("a.py", "y")}, marked),
    "words in the line itself": (secrets, "secrets_in", obedient, pragma),
    "lines that are long": (secrets, "pieces", lambda line: [line[:20_000]], long_line),
    "ranges": (advisories, "_within", lambda *a: False, lambda tmp_path: _range()),
    "folded lines": (locks, "_folded", lambda text: text.splitlines()[:1], lambda tmp_path: _folded()),
}


class _Any:
    """Every checksum is right."""

    def __contains__(self, mark: object) -> bool:
        return True


def _range() -> None:
    assert advisories.falls_under("1.5", {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}, locks.PYPI)


def _folded() -> None:
    found = locks.read("requirements.txt", "a==1 \\\n  --hash=x\nb==2\n").releases
    assert [(one.name, one.line) for one in found] == [("a", 1), ("b", 3)]


@pytest.mark.parametrize("guard", MUTANTS)
def test_without_its_guard_a_test_fails(guard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, instead, hunt = MUTANTS[guard]
    hunt(tmp_path)
    monkeypatch.setattr(module, name, instead)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        hunt(tmp_path)
