"""The published schema and the loader agree: what one accepts the other accepts, and both refuse unknown keys."""

import json
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.schema.errors import Mistake
from andon_config.faults import faults
from andon_config.load import load_repository
from andon_config.model import SettingsFile
from andon_config.schema import json_schema
from andon_config.source import defaults, dotted, toml

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

text = st.sampled_from(["x", "make test", "pytest --junitxml={report}", "ü ✓", "a\nb", "docs/**"])
names = st.sampled_from(["default", "tests", "build", "a-1", "B_2"])
few = st.integers(1, 60)
minutes = st.floats(0.5, 300) | few
words = st.lists(text, max_size=3)
models = st.sampled_from(["opus", "gpt-5.1", "claude-opus-4-8[1m]"])
patterns = st.lists(st.sampled_from(["read", "edit(src/**)", "shell(git status*)", "fetch(docs.x.org)", "mcp(a.b)"]), max_size=3)
price = st.fixed_dictionaries({}, optional={"input": minutes, "output": minutes, "cache_read": few})
TABLES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "factory": {"target": st.sampled_from(["main", "dev/2"]), "wip": few, "proving": few | st.just(0), "overlap_minutes": minutes,
                "day_usd": minutes, "breaker": few, "restarts": few},
    "agents": {
        "use": names, "command": words, "args": words, "minutes": minutes,
        "env": st.dictionaries(st.sampled_from(["A", "_b1"]), text, max_size=2),
        "model": models, "account": models, "approve": st.sampled_from(["policy", "all"]), "usd_day": minutes,
        "reserve_usd": minutes,
        "gateway": st.sampled_from(["auto", "on", "off"]), "login": st.sampled_from(["none", "copy"]),
        "upstream": st.sampled_from(["", "https://api.example.com", "http://127.0.0.1:8080/v1"]),
        "prices": st.dictionaries(models, price, max_size=2),
    },
    "checks": {
        "run": text, "report": st.sampled_from(["junit", "sarif", "exit", "cobertura", "lcov"]), "minutes": minutes,
        "memory_mb": few, "output_mb": few, "minimum_tests": few, "use": st.sampled_from(["secrets", "dependencies", "rules"]),
        "stage": st.integers(1, 9), "baseline": st.booleans(), "fail_on": st.sampled_from(["error", "warning", "note"]),
        "minimum": st.sampled_from([0, 50.5, 100]), "inputs": words, "protect": words, "own_too": st.booleans(),
        "max_age_days": few,
    },
    "lines": {"stations": st.lists(names, min_size=1, max_size=4), "wip": few, "usd_day": minutes},
    "stations": {
        "kind": st.sampled_from(["agent", "check", "gate", "land", "watch"]), "wip": few, "agent": names,
        "checks": st.lists(names, max_size=2), "when": st.sampled_from(["always", "policy", "never"]),
    },
    "policy": {"ship": words, "review": words, "stop": words},
    "budget": {
        "task": st.fixed_dictionaries({}, optional={"attempts": few, "minutes": minutes, "usd": minutes, "tokens": few}),
        "attempt": st.fixed_dictionaries({}, optional={"usd": minutes}), "reserve_usd": minutes,
        "day": st.fixed_dictionaries({}, optional={"usd": minutes}),
    },
    "retry": {"same_failure": few, "transient": few, "backoff_s": minutes.filter(lambda each: each <= 300)},
    "checkout": {
        "isolation": st.sampled_from(["clone", "worktree"]), "setup": words, "teardown": words, "ports": few,
        "keep": st.lists(st.sampled_from(["node_modules", "target/deps"]), max_size=2),
    },
}
TABLES |= {
    "permissions": {"default": st.sampled_from(["allow", "ask", "deny"]), **dict.fromkeys(("allow", "ask", "deny"), patterns)},
    "queue": {
        "land": st.sampled_from(["merge", "squash", "rebase"]), "history": st.sampled_from(["tips", "green"]),
        "confirm": st.integers(1, 9), "overtake": few, "flaky": few, "revert": st.sampled_from(["ask", "auto"]),
        "publish": st.sampled_from(["none", "push", "pr"]), "remote": st.sampled_from(["origin", "my/fork.2", "+x"]),
        "drivers": st.lists(st.sampled_from(["npm-merge-driver", "ours", "X.2+a"]), max_size=2),
        "structured": st.sampled_from(["off", "propose"]),
        "contracts": st.dictionaries(names, st.lists(st.sampled_from(["docs/**", "api.yaml"]), max_size=2), max_size=2),
    },
    "admission": {"load_per_core": minutes, "free_memory_mb": few, "free_disk_mb": few, "ramp_s": few},
}
NAMED = ("agents", "checks", "lines", "stations")


def table(section: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.fixed_dictionaries({}, optional=TABLES[section])
    return st.dictionaries(names, keys, max_size=2) if section in NAMED else keys


right = st.fixed_dictionaries({}, optional={section: table(section) for section in TABLES})
"""Files that are right, key by key; whether their parts fit together is another matter."""
junk = st.sampled_from([0, -1, 10**30, 1.5, float("inf"), True, "", " ", "a\0b", "nonsense", [], [1], ["a"], {}, {"x": 1}, [[]]])


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A right file with something strange at one place."""
    tree = draw(right)
    where: Any = tree
    while isinstance(where, dict) and where and draw(st.booleans()):
        inside = where[draw(st.sampled_from(sorted(where)))]
        if not isinstance(inside, dict):
            break
        where = inside
    key = draw(st.sampled_from([*where, "wip", "kind", "run", "nonsense", "a.b", ""]))
    where[key] = draw(junk)
    return tree


def written(tree: dict[str, Any]) -> str:
    return "".join(f"{dotted((key,))} = {toml(value)}\n" for key, value in tree.items())


def loads(tree: dict[str, Any]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "andon.toml"
        file.write_text(written(tree), newline="")
        try:
            load_repository(work=file, base=None, person=None)
        except Mistake:
            return False
        return True


def test_the_schema_is_a_valid_schema_and_survives_json() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


def test_every_table_refuses_unknown_keys_and_every_key_has_a_description() -> None:
    for name, part in json_schema()["$defs"].items():
        assert part["additionalProperties"] is False, name
        assert part["description"], name
        for key, value in part["properties"].items():
            assert len(value.get("description", "")) > 10, f"{name}.{key}"


def test_the_shipped_defaults_fit_the_schema_and_say_only_known_keys() -> None:
    VALIDATOR.validate(defaults().tree)
    assert not list(faults(defaults().tree))
    assert "andon.toml" in resources.files("andon_config").joinpath("defaults.toml").read_text()


@settings(deadline=None)
@given(right)
def test_every_right_file_is_accepted_by_schema_and_loader_alike(tree: dict[str, Any]) -> None:
    VALIDATOR.validate(tree)
    assert not list(faults(tree))
    msgspec.convert(tree, SettingsFile)


@settings(max_examples=200, deadline=None)
@given(spoilt())
def test_what_the_loader_accepts_the_schema_accepts_too(tree: dict[str, Any]) -> None:
    wrong = list(faults(tree))
    if not wrong:
        msgspec.convert(tree, SettingsFile)
        assert VALIDATOR.is_valid(tree)
    if wrong or not VALIDATOR.is_valid(tree):
        assert not loads(tree)


@settings(deadline=None)
@given(st.one_of(right, spoilt()))
def test_loading_answers_or_makes_one_mistake_and_never_breaks(tree: dict[str, Any]) -> None:
    loads(tree)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "andon.toml"
        file.write_text("[factory]\nwip = 2\n")
        try:
            load_repository(work=file, base=written(tree), person=None)
        except Mistake as mistake:
            assert mistake.problem.where and mistake.problem.mend


@settings(deadline=None)
@given(right, st.data())
def test_an_unknown_key_anywhere_is_refused_by_both(tree: dict[str, Any], data: st.DataObject) -> None:
    where: Any = tree
    section = data.draw(st.sampled_from(sorted(TABLES)))
    path = [section, *(["default"] if section in NAMED else [])]
    path = data.draw(st.sampled_from([[], path]))
    for word in path:
        where = where.setdefault(word, {})
    where["colour"] = data.draw(junk)
    assert not VALIDATOR.is_valid(tree)
    assert any(fault.what == f"unknown key `{'.'.join([*path, 'colour'])}`" for fault in faults(tree))
    assert not loads(tree)


@pytest.mark.parametrize("tree", [{"factory": {"wip": 0}}, {"stations": {"s": {"kind": "verify"}}}, {"checks": {"a.b": {}}}])
def test_the_schema_can_say_no_for_itself(tree: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(tree)
    assert list(faults(tree))
