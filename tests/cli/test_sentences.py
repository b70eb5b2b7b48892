"""Every kind of event has a sentence of its own."""

import typing

import msgspec
import pytest

from andon.schema import events as e
from andon.schema.ids import AttemptId
from andon.schema.sentences import sentence

KINDS: tuple[type[e.Event], ...] = typing.get_args(e.AnyEvent)


def sample(kind: type[msgspec.Struct], word: str = "x") -> e.AnyEvent:
    """An event of this kind with every field filled in from its type."""
    raw = {field.encode_name: _value(field.type, word) for field in msgspec.structs.fields(kind)}
    raw["type"] = kind.__struct_config__.tag
    event: e.AnyEvent = msgspec.convert(raw, type=e.AnyEvent)
    return event


def _value(kind: object, word: str) -> object:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    supertype = getattr(kind, "__supertype__", None)
    if supertype is not None:
        return _value(supertype, word)
    if origin is typing.Literal:
        return args[0]
    if origin is tuple:
        return [] if isinstance(args[0], type) and issubclass(args[0], msgspec.Struct) else [_value(args[0], word)]
    if args and type(None) in args:
        return _value(args[0], word)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {}
    simple: dict[object, object] = {str: word, int: 7, float: 1.5, bool: True}
    return simple[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__struct_config__.tag))
def test_each_kind_of_event_has_a_sentence_that_is_more_than_its_name(kind: type[e.Event]) -> None:
    event = sample(kind)
    told = sentence(event)
    assert told != e.kind_of(event) and " " in told


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__struct_config__.tag))
def test_a_sentence_is_one_bounded_line_whatever_the_words_in_it(kind: type[e.Event]) -> None:
    told = sentence(sample(kind, "two\nlines\r\n" + "long " * 2000))
    assert "\n" not in told and "\r" not in told


def test_words_of_an_agent_are_quoted_and_cut() -> None:
    told = sentence(e.AttemptSaid(attempt=AttemptId("T7.1"), n=1, kind="progress", text="word " * 100))
    assert "“word" in told and "…”" in told and len(told) < 200


def test_finished_is_told_as_asserted_and_never_as_a_fact() -> None:
    told = sentence(e.AttemptSaid(attempt=AttemptId("T7.1"), n=1, kind="finished", text="all green"))
    assert "asserted" in told and "proven" not in told
