"""What is guessed about a repository, and that the andon.toml made from it loads and does what it says."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from andon.schema.settings import Check, Settings
from andon_config.detect import Detected, Suggestion, detect
from andon_config.load import load_repository
from andon_config.render import render


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def loaded(text: str) -> Settings:
    """The settings of this text, which must be right."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "andon.toml"
        file.write_text(text)
        return load_repository(work=file, base=text, person=None).settings


def commands(folder: Path) -> dict[str, tuple[str, str]]:
    """Checks of the rendered file, by name, after loading it."""
    checks = loaded(render(detect(folder), ["claude"], "main")).checks
    return {name: (check.run, check.report) for name, check in checks.items()}


PYTEST = "python3 -m pytest -q --junitxml={report}"
RUFF = ("ruff check --output-format sarif -o {report}", "sarif")
TEST = "def test_it() -> None: ...\n"
PACKAGES: dict[str, tuple[dict[str, str], dict[str, tuple[str, str]]]] = {
    "flat Python": (
        {"pyproject.toml": "[tool.pytest.ini_options]\n[tool.ruff]\n", "pkg/__init__.py": ""},
        {"tests": (PYTEST, "junit"), "lint": RUFF},
    ),
    "src Python": (
        {"pyproject.toml": "[project]\nname='p'\n", "src/pkg/__init__.py": "", "tests/test_a.py": TEST},
        {"tests": (f"PYTHONPATH=src {PYTEST}", "junit")},
    ),
    "Python in a folder of its own": (
        {"pyproject.toml": "[tool.setuptools.packages.find]\nwhere=['my lib']\n[tool.pytest]\n", "my lib/pkg/__init__.py": ""},
        {"tests": (f"PYTHONPATH='my lib' {PYTEST}", "junit")},
    ),
    "setup.py with package_dir": (
        {"setup.py": "setup(package_dir={'': 'lib'})", "lib/pkg/__init__.py": "", "tox.ini": "[pytest]\n"},
        {"tests": (f"PYTHONPATH=lib {PYTEST}", "junit")},
    ),
    "setup.cfg": (
        {"setup.cfg": "[tool:pytest]\n[options]\npackage_dir =\n    = src\n", "src/pkg/__init__.py": ""},
        {"tests": (f"PYTHONPATH=src {PYTEST}", "junit")},
    ),
    "a package called src": ({"pytest.ini": "[pytest]\n", "src/__init__.py": ""}, {"tests": (PYTEST, "junit")}),
    "requirements": ({"requirements-dev.txt": "pytest-cov\nruff\n", "setup.py": ""}, {"tests": (PYTEST, "junit"), "lint": RUFF}),
    "uv": (
        {"pyproject.toml": "[tool.pytest]\n[tool.ruff]\n", "uv.lock": "", "src/pkg/__init__.py": ""},
        {
            "tests": ("PYTHONPATH=src uv run python -m pytest -q --junitxml={report}", "junit"),
            "lint": (f"uv run {RUFF[0]}", "sarif"),
        },
    ),
    "Python without tests": ({"pyproject.toml": "[project]\nname='p'\n"}, {}),
    "npm scripts": (
        {"package.json": json.dumps({"scripts": {"test": "mocha", "lint": "eslint ."}}), "package-lock.json": "{}"},
        {"tests": ("npm run test", "exit"), "lint": ("npm run lint", "exit")},
    ),
    "npm's own placeholder": ({"package.json": json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})}, {}),
    "vitest": (
        {"package.json": json.dumps({"scripts": {"test": "vitest"}, "devDependencies": {"vitest": "1"}}), "pnpm-lock.yaml": ""},
        {"tests": ("pnpm exec vitest run --reporter=junit --outputFile={report}", "junit")},
    ),
    "jest with jest-junit": (
        {"package.json": json.dumps({"scripts": {"test": "jest --runInBand"}, "devDependencies": {"jest-junit": "1"}})},
        {"tests": ("JEST_JUNIT_OUTPUT_FILE={report} npx --no-install jest --runInBand --ci --reporters=jest-junit", "junit")},
    ),
    "jest alone": (
        {"package.json": json.dumps({"scripts": {"test": "jest"}}), "yarn.lock": ""},
        {"tests": ("yarn run test", "exit")},
    ),
    "node's own runner": (
        {"package.json": json.dumps({"scripts": {"test": "node --test lib"}})},
        {"tests": ("node --test --test-reporter=junit --test-reporter-destination={report} lib", "junit")},
    ),
    "a script of several commands": (
        {"package.json": json.dumps({"scripts": {"test": "vitest run && tsc"}}), "bun.lock": ""},
        {"tests": ("bun run test", "exit")},
    ),
    "Rust": ({"Cargo.toml": "", "Cargo.lock": ""}, {"tests": ("cargo test --locked", "exit")}),
    "Go": ({"go.mod": "module x\n"}, {"tests": ("go test ./...", "exit")}),
    "make": (
        {"Makefile": "VERSION := 1\n.PHONY: test lint\nall test: build\n\t./run\nlint:\n\t./lint\n"},
        {"tests": ("make test", "exit"), "lint": ("make lint", "exit")},
    ),
    "make beside a language": (
        {"Makefile": "test:\n\ttrue\nlint:\n\ttrue\n", "go.mod": ""},
        {"tests": ("go test ./...", "exit"), "lint": ("make lint", "exit")},
    ),
    "a makefile without tests": ({"Makefile": "test_dir = x\nbuild: test.o\n"}, {}),
    "two languages": (
        {"pytest.ini": "[pytest]\n", "package.json": json.dumps({"scripts": {"test": "mocha"}})},
        {"tests": (PYTEST, "junit"), "tests-node": ("npm run test", "exit")},
    ),
    "nothing": ({"README.md": "# hi\n"}, {}),
}


@pytest.mark.parametrize("kind", PACKAGES)
def test_commands_are_found_and_the_rendered_file_loads(kind: str, tmp_path: Path) -> None:
    files, wanted = PACKAGES[kind]
    assert commands(project(tmp_path, files)) == wanted


def test_finding_no_tests_is_said_in_the_file(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert found.checks == ()
    assert found.notes == ("no test command was found: add one under [checks], or nothing can be proven",)
    text = render(found, [], "main")
    assert "# Note: no test command was found" in text
    assert "# [checks.tests]" in text and "# No agent was found" in text


def test_the_reason_for_the_path_is_in_the_file(tmp_path: Path) -> None:
    text = render(detect(project(tmp_path, PACKAGES["src Python"][0])), [], "main")
    assert "never an installed copy" in " ".join(line.removeprefix("# ") for line in text.splitlines())


def test_dependencies_of_node_are_installed_in_each_checkout_and_its_address_space_is_left_alone(tmp_path: Path) -> None:
    text = render(detect(project(tmp_path, PACKAGES["vitest"][0])), [], "main")
    settings = loaded(text)
    assert settings.checkout.setup == ("pnpm install --frozen-lockfile",)
    assert settings.checks["tests"].memory_mb == 0
    assert settings.checkout.keep == ()
    assert '# keep = ["node_modules"]' in text


def test_a_project_with_compiled_modules_is_told_to_build_them(tmp_path: Path) -> None:
    project(tmp_path, {"pyproject.toml": "[build-system]\nbuild-backend='maturin'\n[tool.pytest]\n"})
    assert any("compiled modules" in note for note in detect(tmp_path).notes)


def test_a_broken_project_file_is_a_note_and_no_error(tmp_path: Path) -> None:
    project(tmp_path, {"pyproject.toml": "[[", "package.json": "{", "tests/test_a.py": TEST})
    found = detect(tmp_path)
    assert [check.name for check in found.checks] == ["tests"]
    assert any("pyproject.toml is not valid TOML" in note for note in found.notes)
    assert any("package.json is not valid JSON" in note for note in found.notes)


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert detect(tmp_path / "nowhere").checks == ()


def test_agents_and_branch_are_written_as_given() -> None:
    settings = loaded(render(Detected(), ["codex", "claude"], 'odd"branch'))
    assert settings.agents["default"].use == "codex"
    assert settings.target == 'odd"branch'


keys = st.sampled_from(["scripts", "test", "lint", "dependencies", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3), max_leaves=6,
)


@settings(deadline=None)
@given(json_values, st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_content_of_project_files_makes_a_file_that_loads(package: Any, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder), {"package.json": json.dumps(package), "pytest.ini": text, "Makefile": text, "setup.py": text})
        where = f"[tool.setuptools.packages.find]\nwhere = [{json.dumps(text)}]\n[tool.setuptools]\npackage-dir = 3\n"
        (root / "pyproject.toml").write_text(where)
        checks = loaded(render(detect(root), [], "main")).checks
        assert "tests" in checks


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_reason_can_break_out_of_its_comment(because: str) -> None:
    found = Detected(checks=(Suggestion(name="a", run="true", report="exit", because=because),), notes=(because,))
    assert loaded(render(found, [], "main")).checks == {"a": Check(name="a", run="true")}


def test_a_src_project_is_tested_from_the_checkout_although_another_copy_is_installed(tmp_path: Path) -> None:
    stale = project(tmp_path / "installed", {"pkg/__init__.py": "ANSWER = 'installed'\n"})
    check = "from pkg import ANSWER\n\ndef test_the_answer() -> None:\n    assert ANSWER == 'checkout'\n"
    repo = project(tmp_path / "repo", {
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p no:cacheprovider'\n",
        "src/pkg/__init__.py": "ANSWER = 'checkout'\n", "tests/test_answer.py": check,
    })
    machine = tmp_path / "venv"
    venv.create(machine, symlinks=True)
    site = next((machine / "lib").iterdir()) / "site-packages"
    (site / "others.pth").write_text(f"{stale}\n{sysconfig.get_path('purelib')}\n")
    run, _ = commands(repo)["tests"]
    assert proven(repo, run, machine) == 0
    assert proven(repo, run.replace("PYTHONPATH=src ", ""), machine) == 1


def proven(repo: Path, run: str, machine: Path) -> int:
    """The exit code of the command as a check would run it; its report must be there."""
    report = repo.parent / "report.xml"
    report.unlink(missing_ok=True)
    path = f"{machine / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(repo.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = run.replace("{report}", str(report))
    done = subprocess.run(["sh", "-c", command], cwd=repo, env=env, capture_output=True, text=True)
    assert "<testcase" in report.read_text(), done.stdout + done.stderr
    return done.returncode


def test_the_lint_command_writes_the_report_that_it_promises(tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    repo = project(tmp_path / "repo", {"ruff.toml": "", "pyproject.toml": "", "bad.py": "import os\n"})
    run, _ = commands(repo)["lint"]
    report = tmp_path / "lint.sarif"
    env = os.environ | {"PATH": f"{Path(ruff).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", run.replace("{report}", str(report))], cwd=repo, env=env, capture_output=True)
    results = json.loads(report.read_text())["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["F401"]
