"""The JSON Schema of a settings file, made from the model for `andon config schema`. Knows the model only."""

import ast
import inspect
from functools import cache
from typing import Any

import msgspec

from andon_config import model


def json_schema() -> dict[str, Any]:
    """The schema that editors complete andon.toml by: draft 2020-12, unknown keys refused, a description for each key.

    It accepts whatever the loader accepts of one file; the loader is stricter where keys speak of each other.
    """
    (root,), parts = msgspec.json.schema_components([model.SettingsFile], ref_template="#/$defs/{name}")
    told = _descriptions()
    for name, part in parts.items():
        for key, value in part.get("properties", {}).items():
            if key in told.get(name, {}):
                part["properties"][key] = _described(value, told[name][key])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "andon.toml",
        "description": (model.SettingsFile.__doc__ or "").strip(),
        **root,
        "$defs": parts,
    }


def _described(value: dict[str, Any], text: str) -> dict[str, Any]:
    """A reference keeps its own words, so it is wrapped."""
    return {"description": text, "allOf": [value]} if "$ref" in value else {"description": text, **value}


@cache
def _descriptions() -> dict[str, dict[str, str]]:
    """Docstrings of fields, by table and field, read from the model's source."""
    told: dict[str, dict[str, str]] = {}
    for each in ast.parse(inspect.getsource(model)).body:
        if not isinstance(each, ast.ClassDef):
            continue
        fields = told.setdefault(each.name, {})
        for field, text in zip(each.body, each.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                fields[field.target.id] = str(ast.literal_eval(text.value))
    return told
