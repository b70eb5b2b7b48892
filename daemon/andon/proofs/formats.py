"""Documents of evidence against the JSON Schemas that a repository keeps for them, as facts; it knows no meaning of any.

Theory of operation. A format is a JSON Schema (2020-12) with an `$id` that holds its version. A document names its format
(`predicateType`, `$schema` or `format`) and is held against that one, so old evidence stays valid under its own version however the
newest looks. The schemas themselves are facts of `andon prove schema`: one that loosens what must be there is missed by name.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from andon.proofs.fact import Fact, Unevaluated
from andon.proofs.golden import named
from andon.proofs.schemas import text_of

HELP = "documents of evidence against the schemas that the repository keeps"
EXAMPLES = """\
examples:
  andon prove format --schemas ".andon/evidence/*.json" "evidence/*.json"
  andon prove format --schemas ".andon/evidence/*.json" "out/*.json" -- ./measure --out out    runs a command first
"""
KEYS = ("predicateType", "$schema", "format")
"""Where a document names its format."""
LATEST = "https://json-schema.org/draft/2020-12/schema"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which documents, which formats."""
    parser.add_argument("documents", nargs="+", metavar="GLOB", help="JSON documents")
    parser.add_argument("--schemas", action="append", required=True, metavar="GLOB", help="JSON Schemas, each with an `$id`")
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long a command after `--` may take")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each format that is sound, and for each document that has its form."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    known: dict[str, dict[str, Any]] = {}
    for path, pattern in named(args.schemas, root):
        name = path.relative_to(root).as_posix() if path else pattern
        schema = _json(path) if path else "no file is named by this"
        wrong = schema if isinstance(schema, str) else ""
        if not wrong and isinstance(schema, dict):
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                wrong = f"it is no JSON Schema: {error.message[:300]}"
            wrong = wrong or _flaw(schema, known)
        if wrong or not isinstance(schema, dict):
            yield Fact(group="format", name=name, state="fails", told=wrong or "it is no table")
            continue
        known[str(schema["$id"])] = schema
        yield Fact(group="format", name=f"format {schema['$id']}")
    if args.command:
        _run(args.command, root, args.seconds)
    for path, pattern in named(args.documents, root):
        name = path.relative_to(root).as_posix() if path else pattern
        yield _held(name, _json(path) if path else "no file is named by this", known)


def _run(command: list[str], root: Path, seconds: float) -> None:
    from andon.proofs import running

    ran = running.run(command, cwd=root, seconds=seconds)
    if ran.code != 0:
        raise Unevaluated(f"the command before the documents failed (exit code {ran.code})\n{ran.told[-2000:]}")


def _json(path: Path) -> Any:
    """A document; why not, as a text, when it is none."""
    try:
        return json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {str(error)[:200]}"


def _flaw(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """What keeps a schema from being a format."""
    if not isinstance(schema.get("$id"), str):
        return "it has no `$id`: no document can name it"
    if schema["$id"] in known:
        return f"another file has the `$id` {schema['$id']}: give each version its own"
    if schema.get("$schema", LATEST) != LATEST:
        return f"it is written for {schema['$schema']}, and {LATEST} is what is read"
    return ""


def _held(name: str, document: Any, known: dict[str, dict[str, Any]]) -> Fact:
    """Whether a document has the form that it names."""
    from jsonschema import Draft202012Validator

    if not isinstance(document, dict):
        told = document if isinstance(document, str) else "it is no table of keys, so it names no format"
        return Fact(group="format", name=name, state="fails", told=told)
    said = next((document[key] for key in KEYS if isinstance(document.get(key), str)), "")
    if said not in known:
        told = f"it names the format {said}, which no schema has as `$id`" if said else f"it names no format by {', '.join(KEYS)}"
        return Fact(group="format", name=name, state="fails", told=told)
    faults = sorted(Draft202012Validator(known[said]).iter_errors(document), key=lambda fault: fault.json_path)
    told = "; ".join(f"{fault.json_path}: {fault.message[:200]}" for fault in faults[:10])
    return Fact(group="format", name=f"{name} is {said}", state="fails" if faults else "holds", told=told)
