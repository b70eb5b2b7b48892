"""Which screen rules a pane matches: literal looks, told apart by agent and by place on the screen. Pure; judges nothing by itself."""

import re
from fnmatch import fnmatchcase
from functools import lru_cache

from andon.schema.rules import Rules, ScreenRule

_SGR = re.compile(r"\x1b\[[0-9;:]*m")


def matching(rules: Rules, agent: str, rows: tuple[str, ...], title: str = "") -> tuple[ScreenRule, ...]:
    """The rules for this agent that the rows (or title) match, in the order of the file."""
    plain = tuple(_SGR.sub("", row).rstrip() for row in rows)
    return tuple(
        rule for rule in rules.screens
        if rule.enabled and fnmatchcase(agent, rule.agent) and matches(rule, plain, title)
    )


def matches(rule: ScreenRule, rows: tuple[str, ...], title: str = "") -> bool:
    """Whether plain rows look as a rule says."""
    text = _place(rule.where, rows, title)
    return bool(rule.all) and all(_pattern(one).search(text) for one in rule.all) and not any(
        _pattern(one).search(text) for one in rule.none)


def _place(where: str, rows: tuple[str, ...], title: str) -> str:
    """The text that a rule looks at."""
    if where == "title":
        return title
    kind, _, number = where.partition(":")
    if kind == "first":
        return "\n".join(rows[: int(number)])
    if kind == "last":
        return "\n".join([row for row in rows if row.strip()][-int(number):])
    return "\n".join(rows)


@lru_cache(maxsize=2048)
def _pattern(expression: str) -> "re.Pattern[str]":
    return re.compile(expression, re.MULTILINE)
