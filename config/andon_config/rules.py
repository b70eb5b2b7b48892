"""The rules by which sessions are judged: ours with a person's own on top. Reads two files at most; judges nothing.

Theory of operation. Each file is checked alone (keys, types, ranges, expressions) so that a fault names its own line. Then screens
go on top of each other by name, thresholds and freshness by key, ladders by cause, builders as one list. Screens of a person that
have a name of their own are tried before ours.
"""

import re
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from andon.schema.rules import Rules
from andon_config.faults import Fault, faults
from andon_config.positions import Path as Dotted
from andon_config.source import Source, dotted, read_file, read_text

FAULT_LIMIT = 100
"""Faults of one file that are counted."""
SCREENS = 1_000
"""Screens of one file."""
WHERE = re.compile(r"all|title|(?:first|last):[1-9]\d{0,2}")
ANSWERS = ("allow", "deny", "dismiss")
"""What keys of a screen may be for."""


def load_rules(person: Path | None) -> Rules:
    """The rules that hold. `person` is the person's own file, which need not exist.

    Raises Mistake for the first thing that is wrong in it, with its line; never answers with half of a file.
    """
    ours, theirs = packaged(), checked(read_file(person, origin="person"))
    return assembled(ours, theirs.tree if theirs else {})


@cache
def packaged() -> dict[str, Any]:
    """The rules that come with the program."""
    text = resources.files("andon_config").joinpath("rules.toml").read_text(encoding="utf-8")
    source = checked(read_text(text, origin="default", name="rules.toml"))
    assert source is not None, "there is always a file of our own"
    return source.tree


@cache
def shape() -> inspect.StructType:
    """The shape of a rules file, as data."""
    kind = inspect.type_info(Rules)
    assert isinstance(kind, inspect.StructType)
    return kind


def checked(source: Source | None) -> Source | None:
    """The source when everything in it is right. Raises Mistake at its first fault."""
    found = list(islice(faults(source.tree, shape()), FAULT_LIMIT)) if source else []
    if source and not found:
        found = senseless(source.tree)
    if source and found:
        first = min(found, key=lambda fault: source.lines.get(fault.path, 0))
        more = f" ({len(found) - 1} more in this file)" if len(found) > 1 else ""
        raise source.mistake(first.path, first.what + more, first.mend)
    return source


def assembled(ours: dict[str, Any], theirs: dict[str, Any]) -> Rules:
    """Both files as one."""
    said = {screen["name"]: screen for screen in theirs.get("screens", ())}
    known = {screen["name"] for screen in ours.get("screens", ())}
    screens = [screen for name, screen in said.items() if name not in known]
    screens += [said.get(screen["name"], screen) for screen in ours.get("screens", ())]
    return msgspec.convert({
        "screens": [screen for screen in screens if screen.get("enabled", True)],
        "builders": [*dict.fromkeys((*theirs.get("builders", ()), *ours.get("builders", ())))],
        **{part: {**ours.get(part, {}), **theirs.get(part, {})} for part in ("thresholds", "freshness", "ladders")},
    }, Rules)


# --- what a type does not say ----------------------------------------------------------------------------------------


def senseless(tree: dict[str, Any]) -> list[Fault]:
    """What is wrong although every key and type is right."""
    found: list[Fault] = []
    for part in ("thresholds", "freshness"):
        found += [negative((part, key)) for key, value in tree.get(part, {}).items() if value < 0]
    for cause, steps in tree.get("ladders", {}).items():
        for n, step in enumerate(steps):
            found += rung(("ladders", cause, n), step)
    screens = tree.get("screens", [])
    if len(screens) > SCREENS:
        found.append(Fault(path=("screens", SCREENS), what=f"there are {len(screens)} screens", mend=f"at most {SCREENS}"))
    names: set[str] = set()
    for n, screen in enumerate(screens):
        found += looks(("screens", n), screen, names)
        names.add(str(screen.get("name", "")))
    return found


def negative(path: Dotted) -> Fault:
    """A number below nothing."""
    return Fault(path=path, what=f"`{dotted(path)}` is less than 0", mend="make it 0 or more")


def rung(path: Dotted, step: dict[str, Any]) -> list[Fault]:
    """What is wrong with one step of a ladder."""
    if "do" not in step:
        return [Fault(path=path, what=f"`{dotted(path)}` does not say what to do", mend='give it `do = "nudge"` or another rung')]
    found = [negative((*path, "after_s"))] if step.get("after_s", 0) < 0 else []
    if step.get("times", 1) < 1:
        what = f"`{dotted((*path, 'times'))}` is less than 1"
        found.append(Fault(path=(*path, "times"), what=what, mend="remove the step, or say 1"))
    return found


def looks(path: Dotted, screen: dict[str, Any], names: set[str]) -> list[Fault]:
    """What is wrong with one screen."""
    name = screen.get("name", "")
    if not name.strip():
        return [Fault(path=path, what=f"`{dotted(path)}` has no name", mend='give it `name = "…"`')]
    if name in names:
        return [Fault(path=(*path, "name"), what=f"there are two screens `{name}` in this file", mend="give one another name")]
    if not screen.get("enabled", True):
        return []
    found = []
    if "health" not in screen:
        found.append(Fault(path=path, what=f"screen `{name}` does not say what it means", mend='give it `health = "…"`'))
    if not screen.get("all"):
        mend = "give it `all = ['…']`: what must be found"
        found.append(Fault(path=path, what=f"screen `{name}` would match anything", mend=mend))
    if not WHERE.fullmatch(screen.get("where", "all")):
        what = f"screen `{name}` looks at `{screen['where']}`"
        found.append(Fault(path=(*path, "where"), what=what, mend="make it all, title, first:N or last:N"))
    for key in set(screen.get("keys", {})) - set(ANSWERS):
        what = f"screen `{name}` has keys for `{key}`"
        found.append(Fault(path=(*path, "keys", key), what=what, mend=f"keys are for {', '.join(ANSWERS)}"))
    if screen.get("steady_s", 0) < 0:
        found.append(negative((*path, "steady_s")))
    return found + expressions(path, screen)


def expressions(path: Dotted, screen: dict[str, Any]) -> list[Fault]:
    """Regular expressions that are none."""
    places: list[tuple[Dotted, str]] = [
        ((*path, part, n), text) for part in ("all", "none") for n, text in enumerate(screen.get(part, ()))
    ]
    places += [((*path, "until"), screen["until"])] if screen.get("until") else []
    found = []
    for place, text in places:
        try:
            groups = re.compile(text, re.MULTILINE).groups
        except (re.error, RecursionError, OverflowError) as error:
            what = f"`{dotted(place)}` is no regular expression: {error}"
            found.append(Fault(path=place, what=what, mend="correct it; in TOML write it in single quotes: 'a\\.b'"))
            continue
        if place[-1] == "until" and not groups:
            found.append(Fault(path=place, what=f"`{dotted(place)}` has no group", mend=r"put the seconds into one: `(\d+)s`"))
    return found
