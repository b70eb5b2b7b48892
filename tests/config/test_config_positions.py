"""Lines of keys: what the scanner says agrees with what tomllib parsed, for any valid text."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from andon_config.positions import Path, positions, tokens
from andon_config.source import dotted, toml


def paths(value: Any, path: Path = ()) -> set[Path]:
    """Every table, key and array item of a parsed text."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path for path in [path] if path}.union(*(paths(each, (*path, key)) for key, each in items))


EXAMPLES = [
    ("a = 1\nb = 2\n", ("b",), 2),
    ("[t]\n# [u]\nx = \"# no = comment\"\ny = 1", ("t", "y"), 4),
    ('a = """\nb = 1\n"""\nb = 2\n', ("b",), 4),
    ("a = '''\n''''\nb = 2\n", ("b",), 3),
    ('a = """x\\"""""\nb = 2\n', ("b",), 2),
    ('a = """"quoted""""\nb = 2\n', ("b",), 2),
    ("a = '''it''s '''\nb = 2\n", ("b",), 2),
    ("a = [\n  'x', # one\n  [1,\n 2],\n]\nb = 1", ("a", 1, 1), 4),
    ("a = [\n  'x', # one\n  [1,\n 2],\n]\nb = 1", ("b",), 6),
    ("t = { k.v = 1, 'q q' = { z = [ { y = 1 } ] } }", ("t", "q q", "z", 0, "y"), 1),
    ("[a.\"b.c\"]\nd . e = 1979-05-27 07:32:00\nf=-1.5e+3", ("a", "b.c", "f"), 3),
    ("[[s]]\nx = 1\n[[s]]\nx = 2\n[s.t]\ny = 3", ("s", 1, "t", "y"), 6),
    ("a = 1\r\n\r\n[b]\r\nc = 2\r\n", ("b", "c"), 4),
    ('"\\u0061" = 1\nb = 2', ("a",), 1),
    ("[empty]\n[next]\nx = {}\ny = []", ("next", "y"), 4),
    ("[b.c]\n[b]\nx = 1", ("b",), 1),
]


@pytest.mark.parametrize(("text", "path", "line"), EXAMPLES)
def test_a_key_stands_on_the_line_where_a_person_sees_it(text: str, path: Path, line: int) -> None:
    found = positions(tokens(text))
    assert found[path] == line
    assert set(found) == paths(tomllib.loads(text))


keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=8)
scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(st.characters(exclude_categories=["Cs"])),
    st.datetimes(), st.dates(),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8)
trees = st.dictionaries(keys, values, max_size=4)


@settings(deadline=None)
@given(st.dictionaries(keys, trees, max_size=4), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "# [no] = 1 \"", "   "]))
def test_every_key_of_any_document_has_its_line_and_nothing_else_has(tree: dict[str, Any], end: str, between: str) -> None:
    lines = []
    for name, table in tree.items():
        lines += [f"[{dotted((name,))}]", between, *(f"{dotted((key,))} = {toml(value)}" for key, value in table.items())]
    text = end.join(lines)
    parsed = tomllib.loads(text)
    assert parsed == tree
    found = positions(tokens(text))
    assert set(found) == paths(parsed)
    for name, table in tree.items():
        assert lines[found[(name,)] - 1] == f"[{dotted((name,))}]"
        assert all(lines[found[(name, key)] - 1].startswith(f"{dotted((key,))} = ") for key in table)


@settings(deadline=None)
@given(values)
def test_a_value_written_as_toml_is_read_back_the_same(value: Any) -> None:
    assert tomllib.loads(f"v = {toml(value)}")["v"] == value
