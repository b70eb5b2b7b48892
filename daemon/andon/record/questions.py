"""Saved questions: data files of ours and of the person. Asks nobody; only finds, reads and fills in parameters."""

import datetime
import difflib
import re
import time
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from andon.record.guarded import Value
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

FILE_BYTES = 64 * 1024
"""A larger question is refused."""
MOST = 500
"""A person's own that are listed, at most."""
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Param(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that a question takes, `:name` in its SQL."""

    type: Literal["text", "integer", "moment"] = "text"
    """`moment`: Unix milliseconds; written as `now`, a date, a date with time (UTC unless it says otherwise), or `7d` ago."""
    default: str | int | None = None
    """Without one it must be given."""
    about: str = ""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question that can be asked by name."""

    title: str
    sql: str
    about: str = ""
    params: dict[str, Param] = {}
    name: str = ""
    where: str = ""
    """Its file; empty: shipped with Andon."""
    hidden: str = ""
    """Why it is not asked; empty: it is."""


def folder(layout: Layout) -> Path:
    """Where a person's own lie: `NAME.toml` like the shipped ones, or `NAME.sql` with the question alone."""
    return layout.config / "questions"


def listed(layout: Layout) -> list[Question]:
    """All that can be asked by name, shipped ones first. A file that is no question is listed with what is wrong with it."""
    ours = [_shipped(name) for name in shipped()]
    theirs: list[Question] = []
    known = {one.name for one in ours}
    for path in _files(layout)[:MOST]:
        name = path.stem
        try:
            one = _read(path)
            hidden = "its name is that of a shipped question" if name in known else ""
        except Mistake as mistake:
            one, hidden = Question(title="", sql="", name=name, where=str(path)), mistake.problem.what
        theirs.append(msgspec.structs.replace(one, hidden=hidden))
    return [*ours, *theirs]


def shipped() -> list[str]:
    """Names of those that come with Andon."""
    return sorted(entry.name.removesuffix(".toml") for entry in files("andon.record").joinpath("questions").iterdir()
                  if entry.name.endswith(".toml"))


def named(layout: Layout, name: str) -> Question:
    """The question of this name. A shipped one is never replaced by a file of the same name. Mistake when there is none."""
    if name in shipped():
        return _shipped(name)
    paths = {path.stem: path for path in _files(layout)}
    if name in paths:
        return _read(paths[name])
    near = difflib.get_close_matches(name, [*shipped(), *paths], n=1, cutoff=0.5)
    raise Mistake(f"There is no saved question `{name}`.", where=str(folder(layout)),
                  mend=f"Did you mean `{near[0]}`?" if near else "`andon query --list` lists them; SQL begins with SELECT or WITH.")


def filled(question: Question, given: Mapping[str, str], now: float | None = None) -> dict[str, Value]:
    """The values of its parameters. Mistake for one that it does not have, that is missing, or that cannot be read."""
    for name in given:
        if name not in question.params:
            known = ", ".join(question.params) or "none"
            raise Mistake(f"`{question.name}` has no parameter `{name}`.", where="--param", mend=f"Its parameters: {known}.")
    values: dict[str, Value] = {}
    for name, param in question.params.items():
        told = given.get(name, param.default)
        if told is None:
            raise Mistake(f"`{question.name}` needs a value for `{name}`: {param.about or param.type}.", where="--param",
                          mend=f"Add --param {name}=…")
        values[name] = _value(name, param.type, str(told), time.time() if now is None else now)
    return values


def plain(given: Mapping[str, str]) -> dict[str, Value]:
    """Parameters of a question that was typed: whole numbers are numbers, all else is text."""
    return {name: int(text) if re.fullmatch(r"-?\d{1,18}", text) else text for name, text in given.items()}


def _value(name: str, kind: str, text: str, now: float) -> Value:
    if kind == "text":
        return text
    if kind == "integer":
        if not re.fullmatch(r"-?\d{1,18}", text):
            raise Mistake(f"`{text}` is no whole number.", where=f"--param {name}", mend=f"Write it like {name}=30.")
        return int(text)
    if text == "now":
        return int(now * 1000)
    if ago := _AGO.fullmatch(text):
        return int((now - int(ago[1]) * _UNITS[ago[2]]) * 1000)
    try:
        moment = datetime.datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Mistake(f"`{text}` is no moment.", where=f"--param {name}",
                      mend=f"Write a date ({name}=2026-01-31), a time (2026-01-31T14:00), an age (7d, 12h) or `now`.") from error


def _shipped(name: str) -> Question:
    text = files("andon.record").joinpath("questions", f"{name}.toml").read_text()
    return msgspec.structs.replace(msgspec.convert(tomllib.loads(text), Question), name=name)


def _files(layout: Layout) -> list[Path]:
    place = folder(layout)
    found = sorted(path for path in place.iterdir() if path.suffix in (".toml", ".sql")) if place.is_dir() else []
    return [path for path in found if NAME.fullmatch(path.stem)]


def _read(path: Path) -> Question:
    """A person's own. Mistake for a file that is none."""
    mend = 'A question has `title` and `sql`, and may have `about` and `[params.NAME]`; a .sql file is the question alone.'
    try:
        if path.stat().st_size > FILE_BYTES:
            raise Mistake(f"The file is larger than {FILE_BYTES // 1024} KiB.", where=str(path), mend=mend)
        text = path.read_text()
        if path.suffix == ".sql":
            said = re.match(r"\s*--\s*(.*)", text)
            return Question(title=said[1].strip() if said else path.stem, sql=text, name=path.stem, where=str(path))
        made = msgspec.convert(tomllib.loads(text), Question)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Mistake(f"The file is no question: {error}.", where=str(path), mend=mend) from error
    return msgspec.structs.replace(made, name=path.stem, where=str(path), hidden="")
