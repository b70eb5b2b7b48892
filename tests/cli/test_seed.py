"""Seeds: what a text says a task is."""

import pytest

from andon.cli.seed import TITLE_LIMIT, parse
from andon.schema.errors import Mistake


@pytest.mark.parametrize(("text", "title"), [
    ("fix the bug", "fix the bug"),
    ("intro\n\n## The heading ##\nmore", "The heading ##"),
    ("\n\n  first line \nsecond", "first line"),
    ("---\ntitle: 'Named: so'\n---\n# Heading\n", "Named: so"),
    ("---\nno end of the block\n", "---"),
    ("#hashtag is no heading\n", "#hashtag is no heading"),
])
def test_the_title_is_front_matter_then_heading_then_first_line(text: str, title: str) -> None:
    assert parse(text, "x").title == title


def test_a_long_title_is_cut_and_the_spec_keeps_it_whole() -> None:
    seed = parse("word " * 100, "x")
    assert len(seed.title) == TITLE_LIMIT and seed.title.endswith("…") and seed.spec.count("word") == 100


@pytest.mark.parametrize(("text", "where"), [
    ("---\nafterr: T1\n---\nx", "spec.md:2"), ("---\ntitle: x\n  - nested\n---\nx", "spec.md:3"),
    ("---\npaths:\n  - a\n---\nx", "spec.md:3"), ("---\npriority: high\n---\nx", "spec.md"),
])
def test_front_matter_that_is_not_understood_names_its_line(text: str, where: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse(text, "spec.md")
    assert caught.value.problem.where == where and caught.value.problem.mend


def test_a_sentence_on_the_command_line_has_no_front_matter() -> None:
    assert parse("---\nafter: T1\n---\nx", "x", front=False).after == ()
