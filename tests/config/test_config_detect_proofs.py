"""`andon init` proposes the proofs that fit, behind a comment, and what it proposes loads once the comment is taken away."""

import re
from pathlib import Path

from andon_config.detect import detect
from andon_config.detect_proofs import proofs
from andon_config.load import load_repository
from andon_config.render import render
from provekit import lay

WHOLE = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "shop"\n', "src/shop/__init__.py": "",
    "src/shop/__main__.py": "", "tests/__init__.py": "",
    "tests/test_shop.py": "", "openapi.yaml": "openapi: 3.1.0", "migrations/1.sql": "",
    "docs/requirements.md": "- R-1: x", "journeys/buy.toml": "",
}


def test_each_proof_is_proposed_where_something_for_it_lies(tmp_path: Path) -> None:
    found = {one.name: one.run for one in proofs(lay(tmp_path, WHOLE))}
    assert list(found) == ["api", "cli", "schema", "matrix", "build", "journey"]
    assert found["api"] == "andon prove api shop --source src --report {report}"
    assert found["cli"] == "PYTHONPATH=src andon prove cli 'python3 -m shop' --report {report}"
    assert found["schema"] == "andon prove schema openapi.yaml 'migrations/*.sql' --report {report}"
    assert "--requirements docs/requirements.md" in found["matrix"] and found["matrix"].endswith("--junitxml={junit}")


def test_nothing_is_proposed_where_nothing_fits(tmp_path: Path) -> None:
    assert proofs(lay(tmp_path, {"main.c": "", "package.json": '{"name": "x", "private": true}', "pyproject.toml": "[wrong"})) == ()
    assert [one.name for one in proofs(lay(tmp_path, {"package.json": '{"name": "x"}'}))] == ["build"]


def test_proposals_stay_behind_their_comment_and_load_without_it(tmp_path: Path) -> None:
    lay(tmp_path, WHOLE)
    text = render(detect(tmp_path), ["claude"], "main", proofs(tmp_path))
    path = tmp_path / "andon.toml"
    path.write_text(text)
    assert not {"api", "build"} & load_repository(work=path, base=None, person=None).settings.checks.keys()
    path.write_text(re.sub(r"^# (\[checks\.|run = .*andon prove|report = \"junit\"$)", r"\1", text, flags=re.M))
    checks = load_repository(work=path, base=None, person=None).settings.checks
    assert {"api", "cli", "schema", "matrix", "build", "journey"} <= checks.keys()
    assert all(check.report == "junit" for name, check in checks.items() if "andon prove" in check.run)
