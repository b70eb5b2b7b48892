"""Settings of a repository and of a person, with the origin of each value. Reads two files at most; decides nothing."""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import inspect

from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.settings import Check, FactorySettings, Loaded, Origin, Settings
from andon_config import assemble
from andon_config.assemble import FITTING, Keys, Leaf, Leaves
from andon_config.faults import faults, type_at
from andon_config.model import JUDGING, PERSONAL
from andon_config.positions import Path as Dotted
from andon_config.rules import load_rules
from andon_config.source import Source, defaults, dotted, read_file, read_text, toml

FAULT_LIMIT = 100
"""Faults of one file that are counted."""
RULES = "rules.toml"
"""A person's own rules of judging, beside their settings."""
NOTHING: Mapping[str, str] = MappingProxyType({})


def load_repository(
    *, work: Path | None, base: str | None, base_where: str = "", person: Path | None, overrides: Mapping[str, str] = NOTHING,
) -> Loaded:
    """The settings of one repository: default < person < repository < command line.

    `work` is the andon.toml in the person's checkout, `base` the text of the one in the target commit (None: it has none),
    named `base_where` in errors. What judges (`JUDGING`) comes from `base` when that is given, everything else from `work`;
    without a `work` file, all comes from `base`. `overrides` are dotted keys with values as TOML, or plain text for strings.
    Raises Mistake for the first thing that is wrong; never answers with half of a file.
    """
    mine = _without_personal(_checked(read_file(work, origin="repository")))
    theirs = _base(base, base_where, alone=mine is None)
    theirs = _without_personal(theirs) if mine is None else theirs
    below = [assemble.flatten(each) for each in (defaults(), _checked(read_file(person, origin="person"))) if each]
    above = assemble.flatten(_overrides(overrides))
    if mine and theirs:
        assemble.settings(assemble.overlay([*below, assemble.flatten(mine)]))  # what is edited has to be sound too
    leaves = assemble.overlay([*below, _repository(mine, theirs), above])
    settings = assemble.settings(leaves)
    return Loaded(
        settings=settings,
        digest=_digest(msgspec.json.encode(settings, order="deterministic")),
        commands=_digest("\n".join(settings.commands()).encode()),
        origins=tuple(_origins(leaves, settings)),
        notes=tuple(_notes(mine, theirs, settings)),
    )


def load_person(path: Path | None) -> FactorySettings:
    """The person's own settings that hold for every repository; defaults when there is no such file.

    The ladders are those of the rules: ours, with the person's `rules.toml` beside this file on top.
    """
    own = _checked(read_file(path, origin="person"))
    leaves = assemble.overlay(assemble.flatten(each) for each in (defaults(), own) if each)
    assemble.settings(leaves)  # what is said for repositories has to be sound too
    rules = load_rules(path.with_name(RULES) if path else None)
    return msgspec.structs.replace(assemble.factory_settings(leaves), ladders=rules.ladders)


def _digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def _checked(source: Source | None, only: tuple[str, ...] = ()) -> Source | None:
    """The source when every key, type and range in it is right; with `only`, faults elsewhere in known sections are let by."""
    wrong = (fault for fault in faults(source.tree) if not only or _counts(fault.path, only)) if source else iter(())
    found = list(islice(wrong, FAULT_LIMIT))
    if source and found:
        first = min(found, key=lambda fault: source.lines.get(fault.path, 0))
        some = "at least " if len(found) == FAULT_LIMIT else ""
        more = f" ({some}{len(found) - 1} more in this file)" if len(found) > 1 else ""
        raise source.mistake(first.path, first.what + more, first.mend)
    return source


def _without_personal(source: Source | None) -> Source | None:
    """The source when it says nothing that holds for the whole factory: that is for each person's own file."""
    for path in assemble.flatten(source) if source else ():
        if source and any(_covers(each, path) for each in PERSONAL):
            mend = "say it in the andon.toml of your own settings directory instead"
            raise source.mistake(path, f"`{dotted(path)}` holds for the whole factory, so no repository can say it", mend)
    return source


def _counts(path: Dotted, only: tuple[str, ...]) -> bool:
    known = type_at(path[:1]) is not None
    return not known or any(_covers(section, path) or _covers(dotted(path), section.split(".")) for section in only)


def _covers(section: str, path: Iterable[str | int]) -> bool:
    words = tuple(section.split("."))
    return tuple(path)[: len(words)] == words


def _base(text: str | None, where: str, *, alone: bool) -> Source | None:
    if text is None:
        return None
    source = read_text(text, origin="repository", name=where or "andon.toml of the target commit", committed=True)
    return _checked(source, () if alone else JUDGING)


def _repository(mine: Source | None, theirs: Source | None) -> Leaves:
    """The repository's layer: judging leaves from the commit, the rest from the file that the person edits.

    An agent that a committed station names stays known until the commit changes, also when the file has it no longer.
    """
    if mine is None or theirs is None:
        only = mine or theirs
        return assemble.flatten(only) if only else {}
    edited, committed = assemble.flatten(mine), assemble.flatten(theirs)
    judging = {path: leaf for path, leaf in committed.items() if _judges(path)}
    named = {leaf.value for path, leaf in judging.items() if path[0] == "stations" and path[2:] == ("agent",)}
    sound = not any(fault.path[0] == "agents" for fault in faults(theirs.tree))
    absent = named - {path[1] for path in edited if path[0] == "agents" and path[1:]} if sound else set()
    agents = {path: leaf for path, leaf in committed.items() if path[0] == "agents" and path[1:] and path[1] in absent}
    return {path: leaf for path, leaf in edited.items() if not _judges(path)} | agents | judging


def _judges(path: Dotted) -> bool:
    return any(_covers(section, path) for section in JUDGING)


def _overrides(overrides: Mapping[str, str]) -> Source:
    """The command line as a layer. Raises Mistake when a key is unknown or a value is wrong."""
    tree: dict[str, Any] = {}
    for key, text in overrides.items():
        path = tuple(key.strip().split("."))
        table = tree
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise Mistake(f"`{key}` is given below another value", where=f"command line: {key}", mend="give one of the two")
        table[path[-1]] = _override(path, text)
    source = Source(origin="command line", name="command line", tree=tree, lines={})
    _checked(source)
    return source


def _override(path: Dotted, text: str) -> Any:
    """A value as TOML; a string may come without quotes."""
    try:
        value = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    plain = isinstance(type_at(path), inspect.StrType | inspect.LiteralType) and not isinstance(value["value"], str)
    return text if plain or set(value) != {"value"} else value["value"]


def _origins(leaves: Leaves, settings: Settings) -> Iterator[Origin]:
    """Each leaf with where it comes from, in the order of the sections."""
    order = list(Settings.__struct_fields__)
    said = {path: leaf for path, leaf in leaves.items() if leaf.value != {} or isinstance(leaf.value, list)}
    full: dict[Keys, Origin] = {path: _origin(path, leaf) for path, leaf in said.items()}
    for path, value in _implied(settings):
        full.setdefault(path, Origin(key=dotted(path), value=toml(value), origin="default"))
    sections = ["factory", "admission", "operator", "operators", "routes", *order]
    yield from (full[path] for path in sorted(full, key=lambda path: (sections.index(_section(path, sections)), path[:2])))


def _section(path: Keys, sections: list[str]) -> str:
    return str(path[0]) if path[0] in sections else "lines"


def _origin(path: Keys, leaf: Leaf) -> Origin:
    return Origin(key=dotted(path), value=toml(leaf.value), origin=leaf.source.origin, where=leaf.source.where(path))


def _implied(settings: Settings) -> Iterator[tuple[Keys, Any]]:
    """Values that no layer says, because the vocabulary has a default for them."""
    for agent in settings.agents.values():
        for key in _fields(agent, () if agent.use == "command" else ("command",)):
            if not isinstance(getattr(agent, key), dict):
                yield ("agents", agent.name, key), getattr(agent, key)
    for check in settings.checks.values():
        for key in _fields(check, _idle(check)):
            yield ("checks", check.name, key), getattr(check, key)
    for line in settings.lines.values():
        yield ("lines", line.name, "wip"), line.wip
        yield ("lines", line.name, "usd_day"), line.usd_day
        for station in line.stations:
            yield ("stations", station.name, "wip"), station.wip
            own = {"agent": "agent", "check": "checks", "watch": "checks", "gate": "when"}.get(station.kind)
            if own:
                yield ("stations", station.name, own), getattr(station, own)


def _idle(check: Check) -> tuple[str, ...]:
    """Keys of a check that say nothing of it."""
    idle = [key for key, (_, fits) in FITTING.items() if check.report not in fits and check.use not in fits]
    return (*idle, *(() if check.protect else ("own_too",)), *(("run", "report", "protect") if check.use else ("use",)))


def _fields(value: msgspec.Struct, without: tuple[str, ...]) -> Iterator[str]:
    return (key for key in value.__struct_fields__ if key != "name" and key not in without)


def _notes(mine: Source | None, theirs: Source | None, settings: Settings) -> Iterator[str]:
    """What a person should know although nothing is wrong."""
    if mine and theirs:
        for section in JUDGING:
            if _part(mine, section) != _part(theirs, section):
                yield f"[{section}] edited in andon.toml takes effect once it is committed on {settings.target}"
    elif mine and any(_part(mine, section) for section in JUDGING):
        yield f"andon.toml is not committed on {settings.target} yet: until it is, what judges is taken from {mine.name}"
    elif theirs:
        yield f"there is no andon.toml in your checkout: the one committed on {settings.target} holds"
    if not settings.checks:
        yield "no [checks] are configured: nothing can be proven about a change"


def _part(source: Source, section: str) -> Any:
    value: Any = source.tree
    for word in section.split("."):
        value = value.get(word, {}) if isinstance(value, dict) else {}
    return value or None
