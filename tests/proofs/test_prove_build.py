"""What is built is installed and run alone: a package that forgets a file passes its tests in the checkout and fails here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from andon.proofs.fact import Unevaluated
from provekit import facts, lay

SETUP = """\
    from setuptools import setup
    setup(name="till", version="1.0", packages=["till"], package_data={DATA},
          entry_points={"console_scripts": ["till = till:main"]})
    """
TILL = {
    "setup.py": SETUP.replace("{DATA}", '{"till": ["rates.json"]}'),
    "MANIFEST.in": "include till/rates.json\n",
    "till/__init__.py": """\
        import json
        from pathlib import Path
        RATES = json.loads((Path(__file__).parent / "rates.json").read_text())
        def main():
            print("till", RATES["tax"])
        """,
    "till/rates.json": '{"tax": 7}\n',
}
SHIPS = "build: Python: the wheel ships till/rates.json"
IMPORT = "build: Python: `import till` from an empty folder"


def build(root: Path, *words: str) -> dict[str, tuple[str, str]]:
    """The facts of a build by name: state and what was told."""
    found = facts("build", root, "--python", sys.executable, *words)
    return {f"{fact.group}: {fact.name}": (fact.state, fact.told) for fact in found}


def test_a_package_is_built_installed_and_run_without_its_checkout(tmp_path: Path) -> None:
    root = lay(tmp_path / "till", TILL)
    asked = ("till", "python -c 'import till; till.main()'", "git --version")
    found = build(root, *(word for command in asked for word in ("--run", command)))
    state, told = found.pop("build: Python: `git --version` from an empty folder")
    assert state == "fails" and "not a program of the installation" in told
    assert {state for state, _ in found.values()} == {"holds"}, found
    assert set(found) == {IMPORT, SHIPS, *(f"build: Python: {name}" for name in (
        "an sdist is made", "a wheel is made of the sdist alone", "the wheel installs outside of the checkout",
        "what it needs is there",
        *(f"`{command}` from an empty folder" for command in asked[:2])))}
    assert sorted(path.name for path in root.iterdir()) == ["MANIFEST.in", "setup.py", "till"]


def test_a_package_that_forgets_a_data_file_works_in_its_checkout_and_fails_here(tmp_path: Path) -> None:
    lay(tmp_path, {**TILL, "setup.py": SETUP.replace("{DATA}", "{}"), "MANIFEST.in": ""})
    tried = [sys.executable, "-c", "import till; assert till.RATES == {'tax': 7}"]
    assert subprocess.run(tried, cwd=tmp_path, check=False, timeout=60).returncode == 0
    found = build(tmp_path)
    assert found[IMPORT][0] == "fails" and "rates.json" in found[IMPORT][1]
    assert found["build: Python: `till --version` from an empty folder"][0] == "fails"
    assert SHIPS not in found  # and so the base's fact is missed by name


def test_what_a_build_would_have_to_fetch_is_unevaluated(tmp_path: Path) -> None:
    lay(tmp_path, {"pyproject.toml": '[build-system]\nrequires = ["no-such-backend>=7"]\nbuild-backend = "nope"\n'})
    [state] = {state for state, _ in build(tmp_path).values()}
    assert state == "unevaluated" and "no-such-backend>=7" in str(build(tmp_path))
    needs = SETUP.replace("packages=", 'install_requires=["no-such-dependency"], packages=')
    found = build(lay(tmp_path / "two", {**TILL, "setup.py": needs.replace("{DATA}", '{"till": ["rates.json"]}')}))
    state, told = found["build: Python: what it needs is there"]
    assert state == "unevaluated" and "no-such-dependency" in told and IMPORT not in found


def test_a_broken_build_fails_with_the_words_of_its_backend(tmp_path: Path) -> None:
    found = build(lay(tmp_path, {**TILL, "setup.py": "raise SystemExit('the moon is wrong')\n"}))
    [(state, told)] = found.values()
    assert state == "fails" and "moon" in told


def test_without_a_build_system_it_says_which_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Unevaluated, match=r"pyproject\.toml and setup\.py \(Python\), package\.json \(npm\)"):
        facts("build", tmp_path)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_an_npm_package_is_packed_installed_and_run_from_its_pack(tmp_path: Path) -> None:
    package = ('{"name": "till", "version": "1.0.0", "main": "index.js", "bin": {"till": "bin.js"},'
               ' "files": ["index.js", "bin.js"%s]}')
    files = {"index.js": "module.exports = require('./rates.json')\n", "rates.json": '{"tax": 7}\n',
             "bin.js": "#!/usr/bin/env node\nconsole.log(require('./index.js').tax)\n"}
    good = build(lay(tmp_path / "good", {"package.json": package % ', "rates.json"', **files}))
    assert {state for state, _ in good.values()} == {"holds"} and "build: npm: the pack ships rates.json" in good, good
    bad = build(lay(tmp_path / "bad", {"package.json": package % "", **files}))
    assert bad["build: npm: `till` loads"][0] == "fails" and "rates.json" in bad["build: npm: `till` loads"][1]
