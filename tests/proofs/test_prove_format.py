"""Evidence has the form that it names, in its own version, and a format that asks for less is missed by name."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from andon.proofs.fact import Fact, Unevaluated
from provekit import facts, lay, names

ONE: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:shop:speed:1", "type": "object",
                       "required": ["seconds"], "properties": {"seconds": {"type": "number"}}}
TWO: dict[str, Any] = {**ONE, "$id": "urn:shop:speed:2", "required": ["seconds", "machine"],
                       "properties": {**ONE["properties"], "machine": {"type": "string"}}}


def held(root: Path, *documents: dict[str, Any], schemas: tuple[dict[str, Any], ...] = (ONE, TWO)) -> list[Fact]:
    """The facts of these documents against these formats."""
    lay(root, {f"f/{n}.json": json.dumps(one) for n, one in enumerate(schemas)})
    lay(root, {f"d/{n}.json": json.dumps(one) for n, one in enumerate(documents)})
    return facts("format", root, "--schemas", "f/*.json", "d/*.json")


def test_old_evidence_stays_valid_under_its_own_version(tmp_path: Path) -> None:
    found = held(tmp_path, {"predicateType": "urn:shop:speed:1", "seconds": 1.5},
                 {"format": "urn:shop:speed:2", "seconds": 2, "machine": "a"})
    assert names(found) == {"format: format urn:shop:speed:1", "format: format urn:shop:speed:2",
                            "format: d/0.json is urn:shop:speed:1", "format: d/1.json is urn:shop:speed:2"}


@pytest.mark.parametrize(("document", "told"), [
    ({"format": "urn:shop:speed:2", "seconds": 2}, "'machine' is a required property"),
    ({"format": "urn:shop:speed:1", "seconds": "fast"}, "$.seconds"),
    ({"format": "urn:shop:speed:3"}, "no schema has as `$id`"),
    ({"seconds": 1}, "names no format"),
])
def test_a_document_without_the_form_that_it_names_fails(tmp_path: Path, document: dict[str, Any], told: str) -> None:
    [fact] = [fact for fact in held(tmp_path, document) if fact.state == "fails"]
    assert told in fact.told


@pytest.mark.parametrize(("schema", "told"), [
    ({"type": "object"}, "no `$id`"), ({**ONE, "$id": 7}, "no JSON Schema"), ({**ONE, "type": "thing"}, "no JSON Schema"),
    ({**TWO, "$id": "urn:shop:speed:1"}, "give each version its own"),
    ({**TWO, "$schema": "http://json-schema.org/draft-07/schema#"}, "2020-12"),
])
def test_a_schema_that_is_no_format_fails(tmp_path: Path, schema: dict[str, Any], told: str) -> None:
    found = held(tmp_path, {"format": "urn:shop:speed:1", "seconds": 1}, schemas=(ONE, schema))
    assert [fact for fact in found if fact.state == "fails" and told in fact.told]


def test_a_format_that_asks_for_less_is_missed_by_name(tmp_path: Path) -> None:
    held(tmp_path, {"format": "urn:shop:speed:1", "seconds": 1})
    before = names(facts("schema", tmp_path, "f/*.json"))
    lay(tmp_path, {"f/1.json": json.dumps({**TWO, "required": ["seconds"]})})
    assert before - names(facts("schema", tmp_path, "f/*.json")) == {"schema urn:shop:speed:2: document requires machine, seconds"}


def test_a_command_may_make_the_documents_first_and_one_that_fails_leaves_nothing_evaluated(tmp_path: Path) -> None:
    lay(tmp_path, {"f/1.json": json.dumps(ONE)})
    code = "import json; open('made.json', 'w').write(json.dumps({'format': 'urn:shop:speed:1', 'seconds': 1}))"
    found = facts("format", tmp_path, "--schemas", "f/*.json", "made.json", command=(sys.executable, "-c", code))
    assert names(found, "fails") == set() and len(found) == 2
    with pytest.raises(Unevaluated, match="exit code 3"):
        facts("format", tmp_path, "--schemas", "f/*.json", "made.json", command=(sys.executable, "-c", "raise SystemExit(3)"))
