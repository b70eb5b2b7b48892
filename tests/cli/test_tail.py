"""What `andon tail` prints of a pane that changes."""

import pytest

from andon.cli.tail import fresh, shown


@pytest.mark.parametrize(("before", "now", "printed"), [
    ([], ["a", "b"], ["a", "b"]),
    (["a", "b"], ["a", "b"], []),
    (["a", "b"], ["b", "c"], ["c"]),
    (["test 1 ok", "test 2 ok"], ["test 2 ok", "test 3 ok"], ["test 3 ok"]),
    (["a", "⠙ Reading (0s)"], ["a", "⠹ Reading (1s)"], []),
    (["a", "b", "⠙ Reading (0s)"], ["b", "c", "⠹ Reading (1s)"], ["c"]),
    (["a", "⠙ Reading (0s)"], ["a", "● Read(x)", "⠙ Writing (0s)"], ["● Read(x)", "⠙ Writing (0s)"]),
    (["a", "b"], ["x", "y"], ["x", "y"]),
    (["-----"], ["====="], ["====="]),
])
def test_tail_prints_what_is_new_and_no_spinner_twice(before: list[str], now: list[str], printed: list[str]) -> None:
    assert fresh(before, now) == printed


def test_rows_are_harmless_and_end_with_the_last_that_is_not_blank() -> None:
    assert shown(["\x1b[1mone\x1b[0m", "two\x1b]0;x\x07 ", "", " "]) == ["one", "two"]
