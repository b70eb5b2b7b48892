"""How a repository is tested and linted, guessed from its files. Pure look-ups: runs nothing, asks no network, raises nothing."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

LOOK_LIMIT = 1024 * 1024
"""Bytes read of any one file."""
MANY = 2000
"""Matches looked at in one place."""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A check that would fit, and why."""

    name: str
    run: str
    report: str
    because: str
    """What was found, in one sentence: the comment above the check."""
    memory_mb: int | None = None
    """The address-space limit when the usual one would not do: Node reserves far more than it uses."""
    minutes: float | None = None
    stage: int | None = None


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say."""

    checks: tuple[Suggestion, ...] = ()
    setup: tuple[str, ...] = ()
    """Commands that a clean checkout needs before its checks can run."""
    keep: tuple[str, ...] = ()
    """Ignored folders that could survive between two check runs, if speed matters more than strictness."""
    registries: tuple[str, ...] = ()
    """Where its setup or its checks fetch what they need: within walls they reach nothing that is not named."""
    notes: tuple[str, ...] = ()
    """What a person should look at before believing the guess."""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of project contributes."""

    kind: str
    tests: Suggestion | None = None
    lint: Suggestion | None = None
    setup: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def detect(repo: Path) -> Detected:
    """Test and lint commands for the project at this path; with none, a note says so."""
    found = [each for look in (_python, _node, _rust, _go) if (each := look(repo))]
    made = _make(repo, tests=not any(each.tests for each in found), lint=not any(each.lint for each in found))
    found += [made] if made else []
    checks: list[Suggestion] = []
    for each in found:
        for check in (each.tests, each.lint):
            if check:
                taken = any(other.name == check.name for other in checks)
                checks.append(msgspec.structs.replace(check, name=f"{check.name}-{each.kind}") if taken else check)
    notes = [note for each in found for note in each.notes]
    if not any(each.tests for each in found):
        notes.append("no test command was found: add one under [checks], or nothing can be proven")
    return Detected(
        checks=tuple(checks), setup=tuple(step for each in found for step in each.setup),
        keep=tuple(dict.fromkeys(folder for each in found for folder in each.keep)), notes=tuple(notes),
        registries=tuple(dict.fromkeys(name for each in found for name in each.registries)),
    )


# --- looking ---------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    """The file's text; empty when there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(LOOK_LIMIT).decode(errors="replace")
    except OSError:
        return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    """At most MANY entries that match."""
    try:
        yield from (path for path, _ in zip(folder.glob(pattern), range(MANY), strict=False))
    except (OSError, ValueError):
        return


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path).removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return {}


def _dig(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _table(tree: Any, key: str) -> dict[str, Any]:
    found = _dig(tree, key)
    return found if isinstance(found, dict) else {}


# --- Python ----------------------------------------------------------------------------------------------------------


PYTHON = ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "pytest.ini", "conftest.py", "requirements.txt")
"""Files of which any makes a Python project."""


def _python(repo: Path) -> _Found | None:
    """pytest with a JUnit report from the checkout itself, ruff with a SARIF report."""
    project = _toml(repo / "pyproject.toml")
    if not any(_is_file(repo / name) for name in PYTHON):
        return None
    runner = "uv run " if _is_file(repo / "uv.lock") else ""
    notes = list(_python_notes(repo, project, bool(runner)))
    tests = None
    reason = _pytest_reason(repo, project)
    if reason:
        source = _source_folder(repo, project)
        path = f"PYTHONPATH={shlex.quote(source)} " if source else ""
        what = f"{reason}. " + (
            f"PYTHONPATH={source} makes Python import the code of the clean checkout, never an installed copy." if source
            else "`python3 -m` makes Python import the code of the clean checkout, never an installed copy."
        )
        if "names pytest" not in reason and "settings" not in reason:
            notes.append("pytest is named nowhere in the project: make sure that python3 has it")
        python = "python" if runner else "python3"
        run = f"{path}{runner}{python} -m pytest -q --junitxml={{report}}"
        tests = Suggestion(name="tests", run=run, report="junit", because=what)
    lint = None
    ruff = _ruff_reason(repo, project)
    if ruff:
        run = f"{runner}ruff check --output-format sarif -o {{report}}"
        lint = Suggestion(name="lint", run=run, report="sarif", because=f"{ruff}.")
    return _Found(kind="python", tests=tests, lint=lint, notes=tuple(notes) if tests or lint else ())


def _pytest_reason(repo: Path, project: dict[str, Any]) -> str:
    """Why this project seems to be tested by pytest; empty when it does not."""
    if _dig(project, "tool", "pytest") is not None:
        return "pyproject.toml has settings for pytest"
    marks = (("pytest.ini", ""), (".pytest.ini", ""), ("setup.cfg", r"^\[tool:pytest\]"), ("tox.ini", r"^\[pytest\]"))
    for name, pattern in marks:
        if _is_file(repo / name) and re.search(pattern, _text(repo / name), re.MULTILINE):
            return f"{name} has settings for pytest"
    for path in _requirements(repo):
        if re.search(r"(?<![\w-])pytest(?![\w])", _text(path)):
            return f"{path.relative_to(repo)} names pytest"
    for folder in ("tests", "test", "testing"):
        if any(_glob(repo / folder, "**/test_*.py")) or any(_glob(repo / folder, "**/*_test.py")):
            return f"{folder}/ holds Python tests"
    if _is_file(repo / "conftest.py") or any(_glob(repo, "test_*.py")):
        return "there are Python tests at the root"
    return ""


def _requirements(repo: Path) -> list[Path]:
    """Files in which a project names what it needs."""
    fixed = [repo / name for name in ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py", "Pipfile")]
    found = sorted([*_glob(repo, "*requirements*.txt"), *_glob(repo, "requirements/*.txt")])
    return [path for path in (*fixed, *found) if _is_file(path)]


def _source_folder(repo: Path, project: dict[str, Any]) -> str:
    """The folder that packages are imported from when it is not the root itself; empty for a flat project."""
    where = _dig(project, "tool", "setuptools", "packages", "find", "where")
    said = [_dig(project, "tool", "setuptools", "package-dir", ""), where[0] if isinstance(where, list) and where else None]
    said += re.findall(r"""package_dir\s*=\s*\{\s*["']{2}\s*:\s*["']([^"']+)["']""", _text(repo / "setup.py"))
    said += re.findall(r"^package_dir\s*=\s*\n?\s*=\s*(\S+)", _text(repo / "setup.cfg"), re.MULTILINE)
    for folder in [*said, "src"]:
        inside = repo / folder if isinstance(folder, str) and folder.strip("./") else None
        if inside and ".." not in Path(folder).parts and not Path(folder).is_absolute() and _holds_package(inside):
            return str(Path(folder))
    return ""


def _holds_package(folder: Path) -> bool:
    """Modules or packages, also packages without an `__init__.py`; not a package itself."""
    if _is_file(folder / "__init__.py"):
        return False
    return any(any(_glob(folder, pattern)) for pattern in ("*.py", "*/__init__.py", "*/*.py", "*/*/__init__.py"))


def _python_notes(repo: Path, project: dict[str, Any], uv: bool) -> Iterator[str]:
    backend = str(_dig(project, "build-system", "build-backend") or "")
    compiled = ("maturin", "scikit_build", "mesonpy", "setuptools_rust")
    if any(name in backend for name in compiled) or re.search(r"ext_modules|rust_extensions|cythonize", _text(repo / "setup.py")):
        yield "the project has compiled modules: build them in `[checkout] setup`, or an installed copy is what gets tested"
    if _is_file(repo / "pyproject.toml") and not project:
        yield "pyproject.toml is not valid TOML: only the other files were looked at"
    if not uv:
        yield "python3 is the one on the PATH of the shell that starts the daemon: it needs the project's dependencies"


def _ruff_reason(repo: Path, project: dict[str, Any]) -> str:
    if _dig(project, "tool", "ruff") is not None:
        return "pyproject.toml has settings for ruff"
    for name in ("ruff.toml", ".ruff.toml"):
        if _is_file(repo / name):
            return f"{name} is there"
    for path in (*_requirements(repo), repo / ".pre-commit-config.yaml"):
        if re.search(r"(?<![\w-])ruff(?![\w])", _text(path)):
            return f"{path.relative_to(repo)} names ruff"
    return ""


# --- Node ------------------------------------------------------------------------------------------------------------

MANAGERS = (
    ("pnpm-lock.yaml", "pnpm", "pnpm install --frozen-lockfile", "pnpm exec"),
    ("bun.lock", "bun", "bun install --frozen-lockfile", "bunx"),
    ("bun.lockb", "bun", "bun install --frozen-lockfile", "bunx"),
    ("yarn.lock", "yarn", "yarn install --frozen-lockfile", "yarn run"),
    ("package-lock.json", "npm", "npm ci", "npx --no-install"),
    ("npm-shrinkwrap.json", "npm", "npm ci", "npx --no-install"),
)
"""Lock file, package manager, installation that changes no lock, way to run an installed program."""


def _node(repo: Path) -> _Found | None:
    """The scripts of package.json, with a JUnit report where the runner makes one."""
    if not _is_file(repo / "package.json"):
        return None
    try:
        package = json.loads(_text(repo / "package.json"))
    except (ValueError, RecursionError):
        return _Found(kind="node", notes=("package.json is not valid JSON: it was not looked at",))
    scripts = {key: text for key, text in _table(package, "scripts").items() if isinstance(text, str) and text.strip()}
    needs = _table(package, "devDependencies") | _table(package, "dependencies")
    manager, install, program = "npm", "npm install", "npx --no-install"
    for lock, name, command, way in MANAGERS:
        if _is_file(repo / lock):
            manager, install, program = name, command, way
            break
    if manager == "yarn" and _is_file(repo / ".yarnrc.yml"):
        install = "yarn install --immutable"
    lint = None
    if "lint" in scripts:
        lint = Suggestion(
            name="lint", run=f"{manager} run lint", report="exit", because="package.json has a script `lint`.", memory_mb=0,
        )
    tests = _node_tests(scripts.get("test", ""), needs, manager, program)
    setup, keep = ((install,), ("node_modules",)) if needs else ((), ())
    return _Found(kind="node", tests=tests and msgspec.structs.replace(tests, memory_mb=0), lint=lint, setup=setup, keep=keep,
                  registries=("npm",) if setup else ())


def _node_tests(script: str, needs: dict[str, Any], manager: str, program: str) -> Suggestion | None:
    if not script or "no test specified" in script:
        return None
    words = script.split()
    because = f"package.json has a script `test` that runs {words[0]}"
    if words[0] == "vitest":
        more = " ".join(word for word in words[1:] if word not in ("run", "watch", "dev"))
        run = f"{program} vitest run {more}".rstrip() + " --reporter=junit --outputFile={report}"
    elif words[0] == "jest" and "jest-junit" in needs:
        run = f"JEST_JUNIT_OUTPUT_FILE={{report}} {program} {script} --ci --reporters=jest-junit"
    elif words[:2] == ["node", "--test"]:
        run = " ".join(["node --test --test-reporter=junit --test-reporter-destination={report}", *words[2:]])
    else:
        return Suggestion(
            name="tests", run=f"{manager} run test", report="exit",
            because="package.json has a script `test`. Only its exit code is read, so a run of no tests would pass.",
        )
    if any(mark in script for mark in ("&&", "||", ";", "|", "{", "}", "`", "$")):
        return Suggestion(name="tests", run=f"{manager} run test", report="exit", because=f"{because}, among other things.")
    return Suggestion(name="tests", run=run, report="junit", because=f"{because}, which can write a JUnit report.")


# --- Rust, Go, Make --------------------------------------------------------------------------------------------------


def _rust(repo: Path) -> _Found | None:
    if not _is_file(repo / "Cargo.toml"):
        return None
    locked = " --locked" if _is_file(repo / "Cargo.lock") else ""
    because = "Cargo.toml is there. Only the exit code is read, so a run of no tests would pass."
    tests = Suggestion(name="tests", run=f"cargo test{locked}", report="exit", because=because)
    return _Found(kind="rust", tests=tests, keep=("target",), registries=("crates",))


def _go(repo: Path) -> _Found | None:
    if not any(_is_file(repo / name) for name in ("go.mod", "go.work")):
        return None
    because = "go.mod is there. Only the exit code is read, so a run of no tests would pass."
    tests = Suggestion(name="tests", run="go test ./...", report="exit", because=because)
    return _Found(kind="go", tests=tests, registries=("go",))


def _make(repo: Path, *, tests: bool, lint: bool) -> _Found | None:
    """`make test` and `make lint` for what nothing else covers."""
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if _is_file(repo / name)), "")
    if not name:
        return None
    targets = set(re.findall(r"^([\w.-]+(?:[ \t]+[\w.-]+)*)[ \t]*::?(?![:=])", _text(repo / name), re.MULTILINE))
    words = {word for target in targets for word in target.split()}

    def suggest(role: str, wanted: tuple[str, ...]) -> Suggestion | None:
        target = next((each for each in wanted if each in words), "")
        because = f"{name} has the target `{target}`. Only its exit code is read."
        return Suggestion(name=role, run=f"make {target}", report="exit", because=because) if target else None

    return _Found(
        kind="make", tests=suggest("tests", ("test", "tests", "check")) if tests else None,
        lint=suggest("lint", ("lint",)) if lint else None,
    )
