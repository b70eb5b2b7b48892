"""The fault table points at tests that exist, and at each test that has a long form."""

import ast
from functools import lru_cache
from pathlib import Path

from fault.faults import TABLE

TESTS = Path(__file__).resolve().parents[1]


@lru_cache
def functions(name: str) -> set[str]:
    path = TESTS / name
    if not path.exists():
        return set()
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_names_tests_that_exist_or_says_why_there_is_none() -> None:
    named = [test for row in TABLE for test in row.tests]
    assert [test for test in named if test.rpartition("::")[2] not in functions(test.rpartition("::")[0])] == []
    assert [row.fault for row in TABLE if bool(row.tests) == bool(row.why)] == []
    assert len({row.fault for row in TABLE}) == len(TABLE) >= 28 and len(set(named)) >= 35


def test_every_test_with_a_long_form_is_in_the_table() -> None:
    named = {test.rpartition("::")[0] for row in TABLE for test in row.tests}
    asks = 'environ.get("ANDON_FAULTS")'
    long = [str(path.relative_to(TESTS)) for path in sorted(TESTS.rglob("test_*.py")) if asks in path.read_text()]
    assert len(long) >= 5 and set(long) - {"fault/test_fault_table.py"} <= named


def test_a_test_that_is_not_there_would_be_missed() -> None:
    assert "test_nothing" not in functions("fault/test_fault_table.py") and functions("fault/no_such_file.py") == set()
