"""Matches what a pane shows against rules that are data. The weakest source: it only speaks where nothing better does."""

import re
from functools import lru_cache

from msgspec.structs import replace

from andon.schema.rules import Rules, ScreenRule
from andon.schema.signals import Screen

from . import asks
from .facts import Ask, Pane, Watch

ROWS, WIDTH = 200, 500
"""So much of a screen is looked at."""
PROMPTS = ("waiting-permission", "waiting-answer")
DOUBT_MS = 3_000
"""So long must a prompt stand on the screen of an agent whose channel tells its asks, with no other word from it, to be one of its
own: a prompt that was answered through the channel stays drawn for a moment."""


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError):
        return None


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


_KEPT: dict[tuple[int, str], tuple[tuple[ScreenRule, ...], tuple[ScreenRule, ...]]] = {}


def rules_for(screens: tuple[ScreenRule, ...], agent: str) -> tuple[ScreenRule, ...]:
    """The rules of one agent, in their order. Kept for as long as the same tuple is given."""
    held = _KEPT.get((id(screens), agent))
    if held and held[0] is screens:
        return held[1]
    if len(_KEPT) > 64:
        _KEPT.clear()
    mine = tuple(rule for rule in screens if rule.enabled and _glob(rule.agent).fullmatch(agent))
    _KEPT[(id(screens), agent)] = (screens, mine)
    return mine


def where(rule: ScreenRule, rows: tuple[str, ...], title: str) -> str:
    """The part of the screen that a rule looks at, as one text. Blank rows are left out of `first` and `last`."""
    if rule.where == "title":
        return title[:WIDTH]
    kind, _, count = rule.where.partition(":")
    cut = [row[:WIDTH] for row in rows[-ROWS:]]
    if kind in ("first", "last") and count.isdecimal():
        drawn = [row for row in cut if row.strip()]
        number = max(1, min(int(count[:4]), ROWS))
        cut = drawn[:number] if kind == "first" else drawn[-number:]
    return "\n".join(cut)


def matches(rule: ScreenRule, rows: tuple[str, ...], title: str = "") -> bool:
    """Whether all of its expressions are found and none of those that must not be. A rule without expressions matches nothing."""
    text = where(rule, rows, title)
    wanted = [_compiled(pattern) for pattern in rule.all]
    unwanted = [_compiled(pattern) for pattern in rule.none]
    if not wanted or None in wanted or None in unwanted:
        return False
    return all(one.search(text) for one in wanted if one) and not any(one.search(text) for one in unwanted if one)


def broken(rule: ScreenRule) -> str:
    """The first of its expressions that is none; empty when all can be used."""
    patterns = (*rule.all, *rule.none, *((rule.until,) if rule.until else ()))
    return next((pattern for pattern in patterns if _compiled(pattern) is None), "")


def seen(rules: Rules, agent: str, rows: tuple[str, ...], title: str = "") -> ScreenRule | None:
    """The first rule of this agent that matches."""
    return next((rule for rule in rules_for(rules.screens, agent) if matches(rule, rows, title)), None)


def until(rule: ScreenRule, rows: tuple[str, ...], at: int) -> int:
    """When the limit that a screen tells of ends; 0 when it does not say."""
    pattern = _compiled(rule.until) if rule.until else None
    found = pattern.search("\n".join(row[:WIDTH] for row in rows[-ROWS:])) if pattern else None
    if not found or not found.groups() or not found[1]:
        return 0
    try:
        return at + round(max(0.0, min(float(found[1]), 1e7)) * 1000)
    except ValueError:
        return 0


def row_of(rule: ScreenRule, rows: tuple[str, ...], title: str) -> str:
    """The row in which its first expression was found."""
    text = where(rule, rows, title)
    pattern = _compiled(rule.all[0]) if rule.all else None
    found = pattern.search(text) if pattern else None
    if not found:
        return ""
    start = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.start())
    return text[start:end if end >= 0 else len(text)].strip()[:200]


def rule_named(rules: Rules, agent: str, name: str) -> ScreenRule | None:
    """A rule by its name."""
    return next((rule for rule in rules_for(rules.screens, agent) if rule.name == name), None)


def shown(watch: Watch, screen: Screen, rules: Rules) -> Watch:
    """After one look at the pane."""
    old = watch.pane
    if screen.at < old.at:
        return watch
    rule = seen(rules, watch.agent, screen.rows, screen.title)
    name = rule.name if rule else ""
    look = hash((screen.rows, screen.title))
    drew = look != old.print or screen.activity > old.activity > 0
    pane = Pane(
        at=screen.at, changed=screen.at if drew or not old.at else old.changed, print=look, activity=screen.activity,
        rule=name,
        health=rule.health if rule else "unknown", since=old.since if name == old.rule and old.since else screen.at,
        until=(until(rule, screen.rows, screen.at) if look != old.print or name != old.rule else old.until) if rule else 0,
        row=row_of(rule, screen.rows, screen.title) if rule else "",
        prompted=screen.at if rule is not None and rule.health in PROMPTS else old.prompted,
        worked=old.worked or (rule is not None and rule.health == "working"),
    )
    return _prompts(replace(watch, pane=pane), rule, screen)


def _prompts(watch: Watch, rule: ScreenRule | None, screen: Screen) -> Watch:
    """A prompt that only the pane shows is an ask too; it goes with its screen. A spinner settles what a source left open."""
    name = _name(watch.pane) if rule else ""
    watch = asks.drop(watch, lambda ask: ask.source == "pane" and ask.ask != name, "gone from the screen")
    if rule and rule.health in PROMPTS:
        return prompted(watch, screen.at)
    if rule and rule.health in ("working", "idle-at-prompt") and not watch.helpers:
        pane = watch.pane  # an ask that was never drawn is held by its hook, behind a spinner
        return asks.drop(watch, lambda ask: ask.source != "api" and pane.since - 1_500 > ask.at and pane.prompted >= ask.at,
                         "gone from the screen")
    return watch


def prompted(watch: Watch, at: int) -> Watch:
    """With the ask that only the pane shows, once it has stood for long enough at this moment."""
    pane = watch.pane
    if pane.health not in PROMPTS or watch.asks or pane.at < watch.sign or any(told == _name(pane) for told, _ in watch.settled):
        return watch
    if watch.tells_asks and at - max(pane.since, watch.sign) < DOUBT_MS:
        return watch
    question = pane.health == "waiting-answer"
    ask = Ask(ask=_name(pane), question=question, tool="" if question else "screen", target=pane.row,
              text=pane.row if question else "", answerable=False, at=pane.since, source="pane", rule=pane.rule)
    return replace(watch, asks=(ask,))


def _name(pane: Pane) -> str:
    return f"pane:{pane.rule}:{pane.since}"
