"""What is wrong in one layer: unknown keys, wrong types, values out of range, in words. Knows the model, no file.

Says no to exactly what `msgspec.convert` would say no to, but names the key, its line and the nearest known one.
"""

import datetime
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from andon_config.model import SettingsFile
from andon_config.positions import Path
from andon_config.source import dotted, toml

TOLD_LIMIT = 20
"""Known words that an advice lists."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong at one path."""

    path: Path
    what: str
    mend: str


@cache
def shape() -> inspect.StructType:
    """The model, as data."""
    kind = inspect.type_info(SettingsFile)
    assert isinstance(kind, inspect.StructType)
    return kind


def faults(tree: dict[str, Any], kind: inspect.StructType | None = None) -> Iterator[Fault]:
    """Everything that is wrong in a tree, in the tree's order. `kind` is another file's shape than that of settings."""
    yield from _value(tree, kind or shape(), ())


def type_at(path: Path) -> inspect.Type | None:
    """What the model wants at a dotted path; None when it knows no such key."""
    kind: inspect.Type = shape()
    for part in path:
        fields = {field.encode_name: field.type for field in kind.fields} if isinstance(kind, inspect.StructType) else {}
        if part in fields:
            kind = fields[str(part)]
        elif isinstance(kind, inspect.DictType):
            kind = kind.value_type
        else:
            return None
    return _bare(kind)[0]


def nearest(word: str, known: list[str]) -> str:
    """The advice for a word that is none of the known: `did you mean …? (known: …)`."""
    close = get_close_matches(word, known, n=1, cutoff=0.6) or get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    told = ", ".join(known[:TOLD_LIMIT]) + (", …" if len(known) > TOLD_LIMIT else "") if known else "none"
    return f"did you mean `{close[0]}`? (known here: {told})" if close else f"known here: {told}"


def _bare(kind: inspect.Type) -> tuple[inspect.Type, str]:
    """The type without its wrapper, and the words that the model has for it."""
    if isinstance(kind, inspect.Metadata):
        return kind.type, str((kind.extra or {}).get("words", ""))
    return kind, ""


def _value(value: object, kind: inspect.Type, path: Path) -> Iterator[Fault]:
    kind, words = _bare(kind)
    if isinstance(kind, inspect.StructType):
        yield from _table(value, kind, path)
    elif isinstance(kind, inspect.DictType):
        yield from _named(value, kind, path)
    elif isinstance(kind, inspect.VarTupleType):
        yield from _list(value, kind, path)
    elif isinstance(kind, inspect.UnionType):  # words or a number
        fitting = next(one for one in kind.types if isinstance(one, inspect.LiteralType) == isinstance(value, str))
        yield from _value(value, fitting, path)
    elif isinstance(kind, inspect.LiteralType):
        known = [str(each) for each in kind.values]
        if not isinstance(value, str) or value not in known:
            yield _wrong(path, value, f"one of {', '.join(known)}", nearest(str(value), known))
    else:
        yield from _scalar(value, kind, words, path)


def _table(value: object, kind: inspect.StructType, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield _wrong(path, value, "a table")
        return
    fields = {field.encode_name: field.type for field in kind.fields}
    for key, each in value.items():
        if key in fields:
            yield from _value(each, fields[key], (*path, key))
        else:
            yield Fault(path=(*path, key), what=f"unknown key `{dotted((*path, key))}`", mend=_advice(key, list(fields)))


def _advice(key: str, known: list[str]) -> str:
    """The nearest key here, else a place where exactly this key exists."""
    elsewhere = [dotted((*path, key)) for path in _homes(key)]
    if elsewhere and not get_close_matches(key, known, n=1, cutoff=0.6):
        return f"did you mean `{elsewhere[0]}`?"
    return nearest(key, known)


def _homes(key: str) -> Iterator[Path]:
    """The sections that know this key."""
    path: Path
    for section in shape().fields:
        inner, path = section.type, (section.name,)
        if isinstance(inner, inspect.DictType):
            inner, path = _bare(inner.value_type)[0], (section.name, "NAME")
        if isinstance(inner, inspect.StructType) and any(field.name == key for field in inner.fields):
            yield path


def _named(value: object, kind: inspect.DictType, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield _wrong(path, value, "a table of names")
        return
    for key, each in value.items():
        bad = list(_value(key, kind.key_type, (*path, key)))
        if bad and isinstance(kind.key_type, inspect.LiteralType):
            known = [str(word) for word in kind.key_type.values if word]
            yield Fault(path=(*path, key), what=f"unknown key `{dotted((*path, key))}`", mend=nearest(key, known))
        elif bad:
            words = _bare(kind.key_type)[1]
            yield Fault(path=(*path, key), what=f"`{dotted((*path, key))}` is no valid name", mend=f"use {words}")
        yield from _value(each, kind.value_type, (*path, key))


def _list(value: object, kind: inspect.VarTupleType, path: Path) -> Iterator[Fault]:
    if not isinstance(value, list | tuple):
        yield _wrong(path, value, "an array", f"write [{toml(value)}]" if isinstance(value, str) else "")
        return
    if len(value) < (kind.min_length or 0):
        yield Fault(path=path, what=f"`{dotted(path)}` is empty", mend=f"name at least {kind.min_length}")
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Fault(path=path, what=f"`{dotted(path)}` has {len(value)} entries", mend=f"at most {kind.max_length}")
    for number, each in enumerate(value):
        yield from _value(each, kind.item_type, (*path, number))


def _scalar(value: object, kind: inspect.Type, words: str, path: Path) -> Iterator[Fault]:
    if isinstance(kind, inspect.IntType):
        if type(value) is not int:
            yield _wrong(path, value, "a whole number")
        else:
            yield from _range(value, kind, path)
    elif isinstance(kind, inspect.FloatType):
        if type(value) not in (int, float):
            yield _wrong(path, value, "a number")
        else:
            yield from _range(value, kind, path)
    elif isinstance(kind, inspect.StrType):
        if not isinstance(value, str):
            yield _wrong(path, value, words or "a string", f"write {toml(str(value))}" if type(value) in (int, float) else "")
        elif kind.pattern and not re.search(kind.pattern, value):
            yield _wrong(path, value, words)
        elif kind.max_length is not None and len(value) > kind.max_length:
            yield Fault(path=path, what=f"`{dotted(path)}` has {len(value)} characters", mend=f"at most {kind.max_length}")
    elif isinstance(kind, inspect.BoolType):
        if not isinstance(value, bool):
            yield _wrong(path, value, "true or false")
    else:
        raise AssertionError(f"the model has a type that has no words: {kind}")


def _range(value: Any, kind: inspect.IntType | inspect.FloatType, path: Path) -> Iterator[Fault]:
    if kind.ge is not None and not value >= kind.ge:
        yield _wrong(path, value, f"at least {kind.ge}")
    elif kind.gt is not None and not value > kind.gt:
        yield _wrong(path, value, f"more than {kind.gt}")
    elif kind.le is not None and not value <= kind.le:
        yield _wrong(path, value, f"at most {kind.le}")


def _wrong(path: Path, value: object, wanted: str, mend: str = "") -> Fault:
    return Fault(path=path, what=f"`{dotted(path)}` is {_told(value)}, but must be {wanted}", mend=mend or f"make it {wanted}")


def _told(value: object) -> str:
    """A value in few words."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, datetime.date | datetime.time):
        return "a date or time"
    text = toml(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
