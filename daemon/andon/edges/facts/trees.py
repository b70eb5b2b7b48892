"""Says of two versions of a tool's settings whether the second judges less, more, or nobody knows. Pure; knows no tool by name."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Sense = Literal["less", "more", "unclear"]
"""What a difference does to what is judged."""
LETTING = re.compile(
    r"ignore|exclude|omit|skip|disable|allow|deselect|suppress|baseline|exempt|except(ion)?s?\b|xfail|nofail|no[-_]verify|optional"
    r"|soft[-_]?fail|quiet|mute|unsafe|whitelist|warn[-_]only|noqa|tolerat|blocklist_except|pragma",
    re.I,
)
"""Names under which more gets through the more there is."""
HOLDING = re.compile(
    r"select|enable|strict|fail|error|warn|disallow|check|require|rules?|testpaths|testmatch|testregex|python_files|python_functions"
    r"|python_classes|plugins|include|source|files|branch|hooks?|repos?|cover|lint|deny|forbid|denied|level|severity|no_implicit|extra_checks|paths|id\b",
    re.I,
)
"""Names under which less gets through the more there is."""
FLOOR = re.compile(r"fail[-_]under|min|threshold|floor|statements|branches|functions|lines|target|confidence|precision", re.I)
CEILING = re.compile(r"max|limit|complexity|timeout|retries|reruns|length|budget|tolerance", re.I)


def leaves(tree: Any, path: tuple[str, ...] = (), deep: int = 0) -> dict[tuple[str, ...], Any]:
    """Values by the names that lead to them; lists are values."""
    if deep > 12:
        raise ValueError("it is nested too deeply")
    if not isinstance(tree, Mapping):
        return {path: tree}
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        found |= leaves(value, (*path, str(key)), deep + 1)
    return found


def differences(before: Any, after: Any) -> Iterator[tuple[Sense, str]]:
    """What differs, with what that does."""
    old, new = leaves(before), leaves(after)
    for path in dict.fromkeys((*old, *new)):
        if path in old and path in new and old[path] == new[path]:
            continue
        sense = sense_of(".".join(path), old.get(path), new.get(path))
        yield sense, f"{'.'.join(path)}: {told(old, path)} -> {told(new, path)}"


def told(side: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    """A value in a few characters."""
    return str(side[path])[:60] if path in side else "(absent)"


def sense_of(name: str, old: Any, new: Any) -> Sense:
    """What a value that came, went or changed does."""
    letting, holding = bool(LETTING.search(name)), bool(HOLDING.search(name))
    if _number(old) and _number(new) and (FLOOR.search(name) or CEILING.search(name)):
        up = float(new) > float(old)
        return "less" if up is not bool(FLOOR.search(name)) else "more"
    if new is None and FLOOR.search(name):
        return "less"
    if letting:
        return _grown(old, new)
    if holding:
        return {"less": "more", "more": "less", "unclear": "unclear"}[_grown(old, new)]  # type: ignore[return-value]  # a table of Sense
    return "unclear"


def _grown(old: Any, new: Any) -> Sense:
    """For a name that lets through: `less` is judged when there is more of it."""
    mine, theirs = _items(old), _items(new)
    if mine is None or theirs is None:
        return "unclear"
    if mine < theirs:
        return "less"
    return "more" if theirs < mine else "less"


def _items(value: Any) -> set[str] | None:
    if value is None or value is False or str(value).strip().lower() in ("false", "no", "off", "0", ""):
        return set()
    if value is True or str(value).strip().lower() in ("true", "yes", "on", "1"):
        return {"yes"}
    if isinstance(value, list):
        return {str(each) for each in value}
    if isinstance(value, str):
        return {word for word in re.split(r"[\s,]+", value) if word}
    return None if isinstance(value, Mapping) else {str(value)}


def _number(value: Any) -> bool:
    try:
        return value is not None and not isinstance(value, bool | list | dict) and float(value) is not None
    except ValueError:
        return False
