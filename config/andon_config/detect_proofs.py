"""Proofs that would fit a repository, from what lies in it; proposed, never switched on. Runs nothing and imports nothing of it."""

import json
import shlex
import tomllib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from andon_config.detect import Suggestion

MANY = 200
"""Matches looked at in one place."""
LOOK_BYTES = 256 * 1024
LEFT_OUT = ("tests", "test", "docs", "examples", "build", "dist", "node_modules", "benchmarks")
REQUIREMENTS = ("docs/requirements.toml", "requirements.toml", "docs/requirements.md", "REQUIREMENTS.md", "docs/REQUIREMENTS.md")
SCHEMAS = ("openapi.yaml", "openapi.yml", "openapi.json", "api/openapi.yaml", "docs/openapi.yaml", "schemas/*.json",
           "schema/*.json", "proto/**/*.proto", "*.proto", "migrations/*.sql", "db/migrations/*.sql", "schema.sql", "db/schema.sql")
"""Files that `andon prove schema` reads, where they usually lie."""


def proofs(repo: Path) -> tuple[Suggestion, ...]:
    """Checks by `andon prove` that fit, cheap ones first."""
    return tuple(one for look in (_api, _cli, _schema, _matrix, _build, _journey) for one in look(repo))


def _any(repo: Path, pattern: str) -> bool:
    try:
        return any(path.is_file() for path in islice(repo.glob(pattern), MANY))
    except (OSError, ValueError):
        return False


def _project(repo: Path) -> dict[str, Any]:
    """What pyproject.toml says; nothing when it cannot be read."""
    try:
        with (repo / "pyproject.toml").open("rb") as file:
            return tomllib.loads(file.read(LOOK_BYTES).decode(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}


def _packages(repo: Path) -> tuple[str, list[str]]:
    """The folder that packages lie in, and their names."""
    for source in ("src", "."):
        try:
            found = sorted(path.parent.name for path in islice((repo / source).glob("*/__init__.py"), MANY))
        except OSError:
            continue
        names = [name for name in found if name.isidentifier() and name not in LEFT_OUT]
        if names:
            return source, names
    return ".", []


def _api(repo: Path) -> Iterator[Suggestion]:
    source, names = _packages(repo)
    if names:
        because = f"{', '.join(names[:3])} can be imported: a public name or parameter that goes missing fails by name."
        run = f"andon prove api {' '.join(names[:20])} --source {source} --report {{report}}"
        yield Suggestion(name="api", run=run, report="junit", because=because)


def _cli(repo: Path) -> Iterator[Suggestion]:
    source, names = _packages(repo)
    runnable = [name for name in names if (repo / source / name / "__main__.py").is_file()]
    if runnable:
        programs = " ".join(shlex.quote(f"python3 -m {name}") for name in runnable[:5])
        because = f"{runnable[0]} runs as a program: an option or a subcommand that goes missing from its --help fails by name."
        yield Suggestion(name="cli", run=f"PYTHONPATH={source} andon prove cli {programs} --report {{report}}", report="junit",
                         because=because)


def _schema(repo: Path) -> Iterator[Suggestion]:
    found = [pattern for pattern in SCHEMAS if _any(repo, pattern)]
    if found:
        files = " ".join(shlex.quote(pattern) for pattern in found)
        yield Suggestion(name="schema", run=f"andon prove schema {files} --report {{report}}", report="junit",
                         because=f"{found[0]} is there: a field, a column or a route that goes missing fails by name.")


def _matrix(repo: Path) -> Iterator[Suggestion]:
    file = next((name for name in REQUIREMENTS if (repo / name).is_file()), "")
    if file:
        path = "PYTHONPATH=src " if (repo / "src").is_dir() else ""
        run = f"{path}andon prove matrix --requirements {file} --report {{report}} -- python3 -m pytest -q --junitxml={{junit}}"
        because = f"{file} is there: each requirement wants a test of what it promises and one of its limits."
        yield Suggestion(name="matrix", run=run, report="junit", because=because)


def _build(repo: Path) -> Iterator[Suggestion]:
    project, found = _project(repo), ""
    if "build-system" in project or (repo / "setup.py").is_file():
        found = "pyproject.toml" if "build-system" in project else "setup.py"
    elif (repo / "package.json").is_file():
        try:
            package = json.loads((repo / "package.json").read_text(errors="replace")[:LOOK_BYTES])
        except (OSError, ValueError, RecursionError):
            package = {}
        found = "package.json" if isinstance(package, dict) and package.get("name") and not package.get("private") else ""
    if found:
        because = f"{found} says how it is built: it is built cleanly, installed from the artifact, and run. Takes a while."
        yield Suggestion(name="build", run="andon prove build --report {report}", report="junit", because=because)


def _journey(repo: Path) -> Iterator[Suggestion]:
    if _any(repo, "journeys/*.toml"):
        yield Suggestion(name="journey", run='andon prove journey "journeys/*.toml" --report {report}', report="junit",
                         because="journeys/ is there: the real application is started and driven. Takes a while.")
