"""What is taken from an agent's last words: only what can be compared, and nothing that is hoped, asked or denied."""

import pytest
from hypothesis import given, strategies as st

from andon.core.assertions import LIMIT, asks_something, asserted, claims_tests


def test_a_commit_that_is_named_is_taken_and_a_hex_word_elsewhere_is_not() -> None:
    assert asserted("Committed as `1a2b3c4d`. The colour is #deadbeef.").commits == ("1a2b3c4d",)
    assert asserted("commit: 0123456789abcdef0123456789abcdef01234567").commits == ("0123456789abcdef0123456789abcdef01234567",)
    assert asserted("deadbeef is a famous number").commits == ()


def test_files_that_it_says_it_made_are_taken_by_their_quoted_names() -> None:
    assert asserted("I created `src/a.py` and wrote the file 'docs/b.md'.").files == ("src/a.py", "docs/b.md")
    assert asserted("See `src/a.py` for the rest.").files == ()


@pytest.mark.parametrize("words", [
    "I did not create `a.py`.", "Tests would pass if I had created `a.py`.", "I never wrote 'b.md', commit 1234567 failed.",
])
def test_what_is_denied_or_conditional_is_no_assertion(words: str) -> None:
    told = asserted(words)
    assert (told.commits, told.files, told.tests) == ((), (), False)


@pytest.mark.parametrize(("words", "says"), [
    ("All tests pass.", True), ("The tests are passing now", True), ("tests passed", True), ("Tests do not pass.", False),
    ("Make sure all tests pass", False), ("Run it until tests pass", False), ("Two tests failed", False), ("", False),
])
def test_that_tests_pass_is_heard_only_without_reserve(words: str, says: bool) -> None:
    assert claims_tests(words) is says


@pytest.mark.parametrize(("words", "asks"), [
    ("Shall I go on?", True),
    ("Before I start: should I use tabs or spaces? Please answer.", True),
    ("Done.\n\nWhich option do you prefer: A or B", True), ("Let me know which one you want.", True),
    ("Is it done? Yes, it is committed.", False), ("Done. Let me know if you need anything else!", False), ("", False),
    ("Should I delete it?**", True), ("What changed? I did.\n\nEverything is committed.", False),
])
def test_a_question_to_a_person_is_told_from_politeness(words: str, asks: bool) -> None:
    assert asks_something(words) is asks


@given(st.text(max_size=2000))
def test_any_text_gives_bounded_assertions(text: str) -> None:
    told = asserted(text)
    assert len(told.commits) <= LIMIT and len(told.files) <= LIMIT
    asks_something(text)
