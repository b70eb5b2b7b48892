"""The house keeps its shape: rooms, doors, sizes, and words that do not belong here."""

import ast
import os
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"daemon": "andon", "tui": "andon_tui", "agents": "andon_agents", "config": "andon_config"}
TOP = {
    "pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "ARCHITECTURE.md", "BENCHMARKS.md", "requirements.lock",
    "tests", *ROOMS,
}
DATA = {"andon_agents/demo/pocket"}
"""Folders inside rooms that hold other people's kind of code: sample projects, not parts of the house."""
FILE_LIMIT, FUNCTION_LIMIT = 600, 70


def tracked() -> list[Path]:
    """Files that belong to the repository."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


def shipped() -> list[Path]:
    """Python files of the four rooms."""
    rooms = tuple(str(ROOT / room) + os.sep for room in ROOMS)
    return [path for path in tracked() if path.suffix == ".py" and str(path).startswith(rooms)
            and not any(f"/{folder}/" in str(path) for folder in DATA)]


def functions(path: Path) -> list[tuple[str, int]]:
    """Names and lengths of a file's functions, in lines of code: docstrings are not counted."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant) else None
            length = (node.end_lineno or 0) - node.lineno + 1 - ((doc.end_lineno or 0) - doc.lineno + 1 if doc else 0)
            found.append((f"{path.relative_to(ROOT)}:{node.name}", length))
    return found


def test_the_top_level_holds_only_what_it_should() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_one_package_and_no_stray_module(room: str) -> None:
    inside = {path.relative_to(ROOT / room).parts[0] for path in tracked() if path.is_relative_to(ROOT / room)}
    assert inside == {ROOMS[room]}


def test_package_doors_hold_one_docstring_and_import_nothing() -> None:
    for path in shipped():
        if path.name == "__init__.py":
            body = ast.parse(path.read_text()).body
            assert len(body) == 1 and isinstance(body[0], ast.Expr), path


def test_every_module_opens_with_a_sentence() -> None:
    for path in shipped():
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_files_and_functions_stay_small() -> None:
    files = {path: len(path.read_text().splitlines()) for path in shipped()}
    assert {str(path): length for path, length in files.items() if length > FILE_LIMIT} == {}
    lengths = sorted(length for length in files.values() if length > 1)
    assert statistics.median(lengths) <= 150
    assert lengths[int(len(lengths) * 0.9)] <= 400
    sizes = [size for path in shipped() for size in functions(path)]
    assert [name for name, length in sizes if length > FUNCTION_LIMIT] == []
    assert sorted(length for _, length in sizes)[int(len(sizes) * 0.9)] <= 30


def test_shipped_code_has_no_leftovers_and_no_silenced_checks() -> None:
    pattern = re.compile(r"TODO|FIXME|XXX|pragma: no cover|# type: ignore(?!\[)")
    lines = [(path, line) for path in shipped() for line in path.read_text().splitlines()]
    found = [f"{path.relative_to(ROOT)}: {line}" for path, line in lines if pattern.search(line)]
    assert found == []


def test_nothing_speaks_of_a_machine_or_a_workplace() -> None:
    words = re.compile(r"/(?:work|root)/[a-z]+/|\bpip\.conf\b")
    kinds = (".py", ".md", ".toml", ".tcss", ".yml", "")
    texts = [path for path in tracked() if path.suffix in kinds and "tests/house" not in str(path)]
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in texts if path.name != "LICENSE"
             and (match := words.search(path.read_text(errors="replace")))]
    assert found == []


def test_each_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    for name in wanted:
        line = next(line for line in text.splitlines() if f'"{name}"' in line)
        assert re.search(r"#\s+\w.{8,}", line), line


def test_the_core_loads_without_any_edge() -> None:
    code = (
        "import sys, andon.core.decide, andon.core.pending, andon.core.project\n"
        "bad = [name for name in sys.modules if name.startswith('andon.edges') or name in "
        "('asyncio', 'sqlite3', 'subprocess', 'socket', 'textual')]\n"
        "print(bad); sys.exit(bool(bad))"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_bare_pickle_anywhere() -> None:
    assert [path for path in shipped() if re.search(r"^\s*(import|from) (pickle|marshal|shelve)\b", path.read_text(), re.M)] == []
