"""Globs on paths: what they cover, and when two of them could name one path."""

import pytest
from hypothesis import given, settings, strategies as st

from andon.core.globs import matches, may_overlap


@pytest.mark.parametrize(("glob", "path", "covered"), [
    ("a.py", "a.py", True), ("a.py", "b/a.py", False), ("./a.py", "a.py", True), ("*.py", "a.py", True), ("*.py", "b/a.py", False),
    ("**/*.py", "a.py", True), ("**/*.py", "b/c/a.py", True), ("**", "b/c/a.py", True), ("b/**", "b/c/a.py", True),
    ("b/**", "bc/a.py", False), ("b/**/a.py", "b/a.py", True), ("b/**/a.py", "b/c/d/a.py", True), ("b", "b/c/a.py", True),
    ("b/", "b/c/a.py", True), ("b", "bc", False), ("?.py", "a.py", True), ("?.py", "ab.py", False), ("?", "/", False),
    ("a+b.py", "a+b.py", True), ("a.py", "axpy", False), ("**/auth/**", "auth/key", True), ("**/auth/**", "src/auth/key", True),
    ("**/auth/**", "src/authority/key", False), ("a[1].py", "a[1].py", True), ("*", "línea\nx", True), ("", "a", False),
    ("src/*/a.py", "src/x/a.py", True), ("src/*/a.py", "src/x/y/a.py", False), ("docs/**", "docs", False),
])
def test_a_glob_covers_exactly_its_paths(glob: str, path: str, covered: bool) -> None:
    assert matches(path, (glob,)) is covered


def test_one_of_several_globs_is_enough_and_none_covers_nothing() -> None:
    assert matches("a", ("b", "a"))
    assert not matches("a", ())


@pytest.mark.parametrize(("left", "right", "overlap"), [
    (("src/a.py",), ("src/a.py",), True), (("src/a.py",), ("src/b.py",), False), (("src/**",), ("src/a.py",), True),
    (("src/a.py",), ("src/**",), True), (("src/**",), ("docs/**",), False), (("src/**",), ("src/core/**",), True),
    (("src/core/**",), ("src/**",), True), (("**",), ("docs/a",), True), (("**/*.py",), ("docs/**",), True), ((), ("**",), False),
    (("**",), (), False), (("a", "docs/**"), ("b", "docs/x"), True), (("./src/**",), ("src/a",), True),
    (("src/core",), ("src/core/a",), True), (("*.md",), ("src/**",), False), (("*.md",), ("?.md",), True),
    (("a",), ("?/core",), True),
    (("src/*.py",), ("src/core/**",), False), (("a**/b",), ("c",), True), (("a/**/b/**/c",), ("a/x/b/y/d",), True),
    (("src",), ("srcs/**",), False),
])
def test_overlap_is_said_when_one_path_could_be_named_by_both(left: tuple[str, ...], right: tuple[str, ...], overlap: bool) -> None:
    assert may_overlap(left, right) is overlap


def test_overlap_of_many_folders_is_found_quickly() -> None:
    deep = "/".join(["**", "a"] * 30)
    assert may_overlap((deep,), (deep,))


FOLDERS = st.lists(st.sampled_from(["a", "b", "core", "x.py"]), min_size=1, max_size=4).map("/".join)
GLOBS = st.lists(st.sampled_from(["a", "b", "core", "*", "**", "x.py", "?"]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=400)
@given(FOLDERS, GLOBS, GLOBS)
def test_two_globs_that_cover_one_path_are_never_called_apart(path: str, left: str, right: str) -> None:
    if matches(path, (left,)) and matches(path, (right,)):
        assert may_overlap((left,), (right,))
        assert may_overlap((right,), (left,))


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_may_stand_where_a_glob_or_a_path_is_expected(glob: str, path: str) -> None:
    assert matches(path, (glob,)) in (True, False)
    assert may_overlap((glob,), (path,)) in (True, False)
