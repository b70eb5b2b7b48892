"""Each guard of isolation counts: the table of them is whole, and of a few it is shown here that their tests miss them.

`make guards` takes away every one of them.
"""

import ast
from pathlib import Path

import pytest

from andon.edges import bubblewrap, git, seccomp
from andon.schema import redact
from fault import guards
from fault.guards_table import ROOT, Unclear, all_guards, each, mutated, take

SAMPLE = ("no climbing and no absolute names",)
TESTS = ROOT / "tests"


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_guard_is_still_in_the_code_and_names_tests_that_exist() -> None:
    found = all_guards()
    assert len(found) >= 300 and len({(guard.area, guard.name, guard.new) for guard in found}) == len(found)
    for guard in found:
        assert guard.tests, guard
        for test in guard.tests:
            file, _, function = test.partition("::")
            assert (TESTS / file).exists() and (not function or function in functions(TESTS / file)), f"{guard.name}: {test}"
    assert sum(bool(guard.why) for guard in found) <= 12, "a guard that no test can miss is an exception"


def test_what_is_added_to_a_table_of_the_code_is_a_guard_by_itself() -> None:
    names = {guard.name for guard in all_guards()}
    for table, entries in (("NEVER", seccomp.NEVER), ("ABSENT", seccomp.ABSENT), ("MOUNTING", seccomp.MOUNTING)):
        assert {f'{table}: "{one}"' for one in entries} <= names
    assert {f'_STRICT: ("{key}", "{value}")' for key, value in git._STRICT} <= names
    assert sum(name.startswith("FORMATS: ") for name in names) == len({form for form in redact.FORMATS})
    words = " ".join(guard.old for guard in all_guards() if guard.area == "bubblewrap")
    assert all(f'"{word}"' in words for word in bubblewrap.ALWAYS)


def test_a_mutation_that_cannot_be_carried_out_is_said_and_not_counted() -> None:
    file = "daemon/andon/edges/seccomp.py"
    with pytest.raises(Unclear, match="stands 0 times"):
        mutated(take("x", "gone", file, "no such text", "", "x"))
    with pytest.raises(Unclear, match="no Python"):
        mutated(take("x", "broken", file, "import errno\n", "import (\n", "x"))
    with pytest.raises(Unclear, match="no NOTHING"):
        each("x", file, "NOTHING", ("x",))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_guard_that_is_taken_away_is_missed_and_a_change_of_nothing_is_not() -> None:
    chosen = [guard for guard in all_guards() if guard.name in SAMPLE]
    file, tests = "daemon/andon/edges/beneath.py", chosen[0].tests
    nothing = take("control", "nothing", file, "import stat\n", "import stat  # the same\n", *tests)
    seen = guards.try_all([*chosen, nothing], 1)
    assert {guard.name: guards.word(guard, outcome) for guard, outcome in seen.items()} == {
        **dict.fromkeys((guard.name for guard in chosen), "missed"), "nothing": "NOT MISSED"}
    assert len(chosen) == len(SAMPLE)
