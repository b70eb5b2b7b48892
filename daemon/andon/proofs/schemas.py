"""Schemas of a repository as facts, one a field, column or route; knows which reader a file wants, and no runner."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from andon.proofs.fact import Fact, Unevaluated
from andon.proofs.golden import named

HELP = "fields, columns and routes of JSON Schema, OpenAPI, SQL and protobuf files"
EXAMPLES = """\
examples:
  andon prove schema openapi.yaml "schemas/*.json" "proto/**/*.proto"
  andon prove schema "migrations/*.sql" --dialect postgres     the tables that stand after all of them, in order of their names
"""
FILE_BYTES = 16 * 1024 * 1024
DEPTH = 20
SIGNS = {"$schema", "$id", "properties", "$defs", "definitions", "type", "oneOf", "anyOf", "allOf", "enum", "$ref"}
"""Keys of which a JSON Schema has one."""
LIMITS = ("const", "pattern", "minimum", "maximum", "minLength", "maxLength")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
Found = Iterator[Fact]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which files."""
    parser.add_argument("files", nargs="+", metavar="GLOB", help="*.json, *.yaml, *.yml, *.sql, *.ddl or *.proto")
    parser.add_argument("--dialect", default="", help="of SQL: postgres, mysql, sqlite, … (default: what most have in common)")


def facts(args: argparse.Namespace, root: Path) -> Found:
    """A fact for each part of each schema."""
    sql: list[tuple[str, str]] = []
    for path, pattern in named(args.files, root):
        if path is None:
            yield Fact(group="schema", name=pattern, state="fails", told="no file is named by this")
            continue
        name, text = path.relative_to(root).as_posix(), text_of(path)
        if path.suffix in (".sql", ".ddl"):
            sql.append((name, text))
        elif path.suffix == ".proto":
            from andon.proofs.protobuf import fields

            yield from fields(name, text)
        elif path.suffix in (".json", ".yaml", ".yml"):
            yield from _document(name, tree_of(name, text))
        else:
            raise Unevaluated(f"{name} is of no kind that is read: JSON, YAML, SQL or protobuf")
    if sql:
        from andon.proofs.tables import columns

        yield from columns(sql, args.dialect)


def text_of(path: Path) -> str:
    """The file's text. Raises Unevaluated when it is too long or no text."""
    if path.stat().st_size > FILE_BYTES:
        raise Unevaluated(f"{path} has more than {FILE_BYTES >> 20} MB: it is not read")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unevaluated(f"{path} cannot be read: {error}") from None


def tree_of(name: str, text: str) -> dict[str, Any]:
    """A JSON or YAML document. Raises Unevaluated when it is no table of keys."""
    import yaml

    try:
        tree = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise Unevaluated(f"{name} cannot be read: {str(error)[:300]}") from None
    if not isinstance(tree, dict):
        raise Unevaluated(f"{name} is no schema: its top is no table of keys")
    return tree


def _document(name: str, tree: dict[str, Any]) -> Found:
    if "openapi" in tree or "swagger" in tree:
        return openapi(name, tree)
    if not SIGNS & tree.keys():
        raise Unevaluated(f"{name} is neither a JSON Schema nor an OpenAPI document")
    return parts(f"schema {tree.get('$id') or name}", "", tree, DEPTH)


# --- JSON Schema -----------------------------------------------------------------------------------------------------


def parts(group: str, path: str, schema: Any, depth: int) -> Found:
    """A fact for each field with its type, for what must be there, and for each value of a choice."""
    if not isinstance(schema, dict) or depth == 0:
        return
    here = path or "document"
    yield Fact(group=group, name=f"{here}: {kind_of(schema)}")
    if "properties" in schema or "required" in schema:
        required = sorted(str(one) for one in _list(schema.get("required")))
        yield Fact(group=group, name=f"{here} requires {', '.join(required) or 'nothing'}")
    for value in _list(schema.get("enum")):
        yield Fact(group=group, name=f"{here} may be {json.dumps(value, sort_keys=True, default=str)}")
    if schema.get("additionalProperties") is False:
        yield Fact(group=group, name=f"{here} takes no other field")
    for key in ("properties", "patternProperties", "$defs", "definitions"):
        mark = {"properties": ".", "patternProperties": "~"}.get(key, "#")
        for name, inner in sorted(_table(schema.get(key)).items(), key=lambda item: str(item[0])):
            yield from parts(group, f"{path}{mark}{name}".removeprefix("."), inner, depth - 1)
    if isinstance(schema.get("items"), dict):
        yield from parts(group, f"{path}[]", schema["items"], depth - 1)
    for key in ("oneOf", "anyOf", "allOf"):
        for number, inner in enumerate(_list(schema.get(key))):
            yield from parts(group, f"{path}|{key}{number}", inner, depth - 1)


def kind_of(schema: dict[str, Any]) -> str:
    """What a value is, in few words."""
    if "$ref" in schema:
        return str(schema["$ref"])
    said = schema.get("type", "any")
    words = "|".join(sorted(str(one) for one in said)) if isinstance(said, list) else str(said)
    shown = f" {schema['format']}" if schema.get("format") else ""
    limits = [f"{key} {schema[key]}" for key in LIMITS if key in schema]
    return f"{words}{shown}{' nullable' if schema.get('nullable') else ''}{''.join(f', {limit}' for limit in limits)}"


def _table(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- OpenAPI ---------------------------------------------------------------------------------------------------------


def openapi(name: str, tree: dict[str, Any]) -> Found:
    """A fact for each route, what it takes, what it answers, and each part of the schemas that it names."""
    for path, item in sorted(_table(tree.get("paths")).items(), key=lambda pair: str(pair[0])):
        shared = _list(_table(item).get("parameters"))
        for method in METHODS:
            if isinstance(_table(item).get(method), dict):
                yield from _route(f"schema {name} {method.upper()} {path}", item[method], shared)
    schemas = _table(_table(tree.get("components")).get("schemas")) or _table(tree.get("definitions"))
    for key, schema in sorted(schemas.items(), key=lambda pair: str(pair[0])):
        yield from parts(f"schema {name} {key}", "", schema, DEPTH)


def _route(group: str, route: dict[str, Any], shared: Iterable[Any]) -> Found:
    yield Fact(group=group, name="route")
    needed = []
    for one in [*shared, *_list(route.get("parameters"))]:
        said = _table(one)
        label = str(said.get("$ref") or f"{said.get('in', '?')} {said.get('name', '?')}")
        schema = _table(said.get("schema")) or said
        yield Fact(group=group, name=f"takes {label}: {kind_of(schema) if '$ref' not in said else 'as named'}")
        needed += [label] if said.get("required") else []
    yield Fact(group=group, name=f"needs {', '.join(sorted(needed)) or 'nothing'}")
    body = _table(route.get("requestBody"))
    if body:
        yield Fact(group=group, name=f"body {'is needed' if body.get('required') else 'may be left out'}")
    for kind, media in sorted(_table(body.get("content")).items()):
        yield from parts(group, f"body {kind}", _table(media).get("schema"), DEPTH)
    for status, answer in sorted(_table(route.get("responses")).items(), key=lambda pair: str(pair[0])):
        yield Fact(group=group, name=f"answers {status}")
        for kind, media in sorted(_table(_table(answer).get("content")).items()):
            yield from parts(group, f"{status} {kind}", _table(media).get("schema"), DEPTH)
