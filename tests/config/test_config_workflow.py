"""Steps of a GitHub Actions workflow become checks; whatever is not taken over is named with its reason."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from andon.schema.errors import Mistake
from andon_config.load import load_repository
from andon_config.render import render
from andon_config.workflow import Imported, imported

CI = """
name: CI
on: [push]
env: {LEVEL: "3", TOKEN: "${{ secrets.TOKEN }}"}
jobs:
  test:
    runs-on: ${{ matrix.os }}
    timeout-minutes: 20
    strategy: {matrix: {os: [ubuntu-latest, windows-latest], python: ["3.11", "3.12"]}}
    defaults: {run: {working-directory: app}}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "${{ matrix.python }}"}
      - name: Install
        run: |
          python -m pip install --upgrade pip
          pip install -r requirements.txt
      - name: Unit tests
        run: pytest -q
        env: {MODE: fast, COUNT: 2, ON: true}
      - name: Types
        working-directory: .
        run: |
          mypy . --python-version ${{ matrix.python }}
          echo "level $LEVEL"
      - run: ./publish "$TOKEN"
      - name: Upload
        if: failure()
        run: ./upload
      - run: echo ${{ github.ref }}
      - {name: System, run: sudo apt-get install -y jq}
      - {name: Windows, run: dir, shell: pwsh}
      - {name: Loose, run: ./maybe, continue-on-error: true}
      - {name: Away, run: ls, working-directory: ../other}
  database:
    runs-on: ubuntu-latest
    services: {postgres: {image: postgres}}
    steps: [{run: ./db}]
  mac: {runs-on: macos-14, steps: [{run: ./mac}]}
  sometimes: {runs-on: ubuntu-latest, if: github.ref == 'main', steps: [{run: ./rare}]}
  reused: {uses: ./.github/workflows/other.yml}
  made: {runs-on: ubuntu-latest, strategy: {matrix: "${{ fromJSON(needs.x.outputs.y) }}"}, steps: [{run: ./made}]}
  end:
    needs: [test, database]
    runs-on: ubuntu-latest
    steps: [{run: ./end-to-end}, {run: ./end-to-end}]
"""


@pytest.fixture(scope="module")
def made() -> Imported:
    return imported(CI, "ci.yml")


def test_run_steps_become_checks_with_their_folder_variables_and_first_matrix_entry(made: Imported) -> None:
    checks = {check.name: check for check in made.detected.checks}
    assert list(checks) == ["test-unit-tests", "test-types", "end-end-to-end", "end-end-to-end-2"]
    assert checks["test-unit-tests"].run == (
        "cd app && export MODE=fast && export COUNT=2 && export ON=true && pytest -q --junitxml={report}")
    assert checks["test-unit-tests"].report == "junit" and checks["test-unit-tests"].minutes == 20
    types = checks["test-types"].run
    assert types.startswith("export LEVEL=3 && bash -e -c ") and "--python-version 3.11" in types and "cd app" not in types
    assert (checks["test-types"].stage, checks["end-end-to-end"].stage) == (None, 6)
    assert made.detected.setup == ("cd app && bash -e -c 'python -m pip install --upgrade pip\npip install -r requirements.txt'",)
    assert made.detected.registries == ("pypi",)


@pytest.mark.parametrize(("where", "because"), [
    ("job test, step actions/checkout@v4", "clean checkout anyway"), ("job test, step actions/setup-python@v5", "of this machine"),
    ("the workflow", "variable TOKEN: it needs the secret TOKEN"), ('job test, step ./publish "$TOKEN"', "TOKEN is not known here"),
    ("job test, step Upload", "only if failure()"), ("job test, step echo ${{ github.ref }}", "only GitHub knows github.ref"),
    ("job test, step System", "installs into the system"), ("job test, step Windows", "its shell is pwsh"),
    ("job test, step Loose", "failure is passed over"), ("job test, step Away", "outside of the checkout"),
    ("job test", "first entry is taken: os = ubuntu-latest, python = 3.11"), ("job database", "needs services: postgres"),
    ("job mac", "runs on macos-14"), ("job sometimes", "only if github.ref"), ("job reused", "calls another workflow"),
    ("job made", "matrix is made while it runs")])
def test_what_is_not_taken_over_is_named_with_its_reason(made: Imported, where: str, because: str) -> None:
    assert [one for one in made.skipped if one.where == where and because in one.because], made.skipped


def test_every_step_is_either_a_check_or_setup_or_on_the_list(made: Imported) -> None:
    assert len(made.skipped) == 16 and len(made.detected.checks) + len(made.detected.setup) == 5


def test_the_proposal_loads_and_lists_what_is_missing(made: Imported, tmp_path: Path) -> None:
    text = render(made.detected, ("claude",), "main")
    (tmp_path / "andon.toml").write_text(text)
    settings = load_repository(work=tmp_path / "andon.toml", base=None, person=None).settings
    assert settings.checks["end-end-to-end"].stage == 6 and settings.checks["test-unit-tests"].minutes == 20
    assert "services: postgres" in " ".join(text.replace("\n# ", " ").split())


def test_a_taken_over_script_fails_where_it_fails_there(tmp_path: Path) -> None:
    text = "jobs: {a: {runs-on: ubuntu-latest, steps: [{name: two, env: {A: \"it's\"}, run: \"false\\necho \\\"$A\\\"\\n\"}]}}"
    run = imported(text, "x.yml").detected.checks[0].run
    assert subprocess.run(("sh", "-c", run), check=False).returncode == 1
    done = subprocess.run(("sh", "-c", run.replace("false", "true")), check=True, capture_output=True, text=True)
    assert done.stdout == "it's\n"


@pytest.mark.parametrize("text", ["", "[1]", "a: b: c", "jobs: []", "name: x", "jobs: &a {x: *a", "\x00"])
def test_what_is_no_workflow_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(Mistake) as told:
        imported(text, "x.yml")
    assert told.value.problem.where == "x.yml" and told.value.problem.mend


@pytest.mark.parametrize("text", [
    "jobs: {a: 1, b: {steps: 3}, c: {steps: {x: 1}}}", "jobs: {a: {needs: [a, b], steps: [{run: x}]}, b: {needs: a}}",
    "jobs: {a: {steps: [1, {run: [x]}, {run: ''}], services: [x], env: 3, defaults: 1}}",
    "x: &a [1, 1]\ny: &b [*a, *a]\njobs: {a: {if: *b, steps: []}, c: {env: {A: *b}, steps: [{run: x, env: {B: *b}}]}}"])
def test_odd_shapes_are_listed_and_never_an_error_of_ours(text: str) -> None:
    made = imported(text.replace("steps: 3", "steps: []"), "x.yml")
    assert tomllib.loads(render(made.detected, (), "main"))
