"""Messages, fields, values and calls of a protobuf file as facts; it reads one file, and follows no import."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from andon.proofs.fact import Fact, Unevaluated

if TYPE_CHECKING:
    from proto_schema_parser import ast


class _Wrong(Exception):
    """What the parser complained of."""


class _Listener:
    """The parser tells what it does not understand to listeners, and goes on: we do not."""

    def syntaxError(self, recognizer: Any, symbol: Any, line: int, column: int, what: str, error: Any) -> None:
        """Called at the first fault."""
        raise _Wrong(f"line {line}: {what[:200]}")

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def fields(name: str, text: str) -> Iterator[Fact]:
    """A fact for each part of the file, by its full name and number: what is sent on the wire."""
    from proto_schema_parser import ast
    from proto_schema_parser.parser import Parser

    def listen(machine: Any) -> None:
        machine.removeErrorListeners()
        machine.addErrorListener(_Listener())

    try:
        file = Parser(setup_lexer=listen, setup_parser=listen).parse(text)
    except (_Wrong, ValueError, RecursionError) as error:
        raise Unevaluated(f"{name} cannot be read as protobuf: {error}") from None
    package = next((one.name for one in file.file_elements if isinstance(one, ast.Package)), "")
    group = f"schema proto {package or name}"
    for one in file.file_elements:
        yield from _part(group, "", one)


def _part(group: str, above: str, one: "ast.FileElement | ast.MessageElement | ast.OneOfElement | Any") -> Iterator[Fact]:
    from proto_schema_parser import ast

    path = f"{above}{getattr(one, 'name', '')}"
    if isinstance(one, ast.Message):
        yield Fact(group=group, name=f"message {path}")
        for inner in one.elements:
            yield from _part(group, f"{path}.", inner)
    elif isinstance(one, ast.OneOf):
        for inner in one.elements:
            yield from _part(group, above, inner)
            if isinstance(inner, ast.Field):
                yield Fact(group=group, name=f"field {above}{inner.name} is one of {one.name}")
    elif isinstance(one, ast.MapField):
        yield Fact(group=group, name=f"field {path} = {one.number}: map<{one.key_type}, {one.value_type}>")
    elif isinstance(one, ast.Field):
        how = f"{one.cardinality.value.lower()} " if one.cardinality else ""
        yield Fact(group=group, name=f"field {path} = {one.number}: {how}{one.type}")
    elif isinstance(one, ast.Enum):
        yield Fact(group=group, name=f"enum {path}")
        yield from (Fact(group=group, name=f"value {path}.{value.name} = {value.number}")
                    for value in one.elements if isinstance(value, ast.EnumValue))
    elif isinstance(one, ast.Service):
        yield Fact(group=group, name=f"service {path}")
        for call in one.elements:
            if isinstance(call, ast.Method):
                sent, got = (f"{'stream ' if way.stream else ''}{way.type}" for way in (call.input_type, call.output_type))
                yield Fact(group=group, name=f"call {path}.{call.name}({sent}) returns ({got})")
