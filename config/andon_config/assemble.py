"""Layers on top of each other, and the Settings that come out. Knows the model and its sense, not where layers come from.

Theory of operation. Each layer is flattened into leaves (dotted path -> value and source); a later layer replaces leaves
of an earlier one, so a table completes and an array replaces. Some keys choose anew: an agent's `use` or `command`, a check's
`use` or `run`, and a station's `kind` drop what earlier layers said about that choice. What is left is folded back, checked as a
whole, and turned into `andon.schema.settings.Settings`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from andon.schema import settings as schema
from andon.schema.errors import Mistake
from andon.schema.facts import MEANING
from andon_config import catalogue
from andon_config.faults import nearest
from andon_config.model import BudgetTable, SettingsFile, StationTable
from andon_config.positions import Path
from andon_config.source import Source, dotted

NAMED = ("agents", "checks", "claims", "lines", "stations")
"""Sections that hold tables by name."""
CHOICE = ("use", "command", "args")
"""Keys of an agent that belong together: choosing one of the first two drops what lower layers chose."""
COMMANDED = ("command", "acp")
"""What takes a command: any program, or one that speaks the Agent Client Protocol."""
TIED = ("model", "account", "approve", "upstream", "login", "write_back")
"""Keys that only make sense for one adapter: choosing another than lower layers did drops these too."""
STATION_KEYS = {"agent": ("agent",), "checks": ("check", "watch"), "when": ("gate",), "hide": ("agent",), "read_only": ("agent",)}
"""Keys of a station that only some kinds have."""
EXAMPLES = {
    "junit": "pytest --junitxml={report}", "sarif": "ruff check --output-format sarif -o {report}",
    "cobertura": "coverage run -m pytest && coverage xml -o {report}",
    "lcov": "coverage run -m pytest && coverage lcov -o {report}",
}
"""A command that writes a report, by its format."""
_COVERAGE = ('`report = "cobertura"` or `"lcov"`', ("cobertura", "lcov"))
FITTING = {
    "minimum_tests": ('`report = "junit"`', ("junit",)), "baseline": ('`report = "sarif"`', ("sarif",)),
    "fail_on": ('`report = "sarif"`', ("sarif",)), "minimum": _COVERAGE, "minimum_changed": _COVERAGE,
    "allow": ('`use = "secrets"`', ("secrets",)), "max_age_days": ('`use = "dependencies"`', ("dependencies",)),
}
"""Keys of a check that only some reports have, or only some checks that come with the program."""
ORDER = ("default", "person", "repository", "command line")
"""Origins, later ones win."""


class Leaf(msgspec.Struct, frozen=True):
    """A value and the layer that said it. An empty table is a leaf too: its name counts."""

    value: Any
    source: Source


Keys = tuple[str, ...]
Leaves = dict[Keys, Leaf]


def flatten(source: Source) -> Leaves:
    """The leaves of one layer, in its order."""
    return {path: Leaf(value, source) for path, value in _walk(source.tree, ())}


def _walk(value: dict[str, Any], path: Keys) -> Iterator[tuple[Keys, Any]]:
    for key, each in value.items():
        if isinstance(each, dict) and each:
            yield from _walk(each, (*path, key))
        else:
            yield (*path, key), each


def overlay(layers: Iterable[Leaves]) -> Leaves:
    """All layers as one; later ones win."""
    merged: Leaves = {}
    for layer in layers:
        for path in _outdated(layer, merged):
            del merged[path]
        merged |= layer
    return merged


def _outdated(layer: Leaves, below: Leaves) -> list[Keys]:
    """Leaves of lower layers that belong to another choice than this layer makes."""
    gone: list[Keys] = []
    for section, name, key in (path for path in layer if len(path) == 3):
        if section == "agents" and key in CHOICE[:2]:
            here, kept = (section, name), below.get((section, name, "use"))
            other = key != "use" or kept is None or kept.value != layer[section, name, key].value
            keys = (*CHOICE, *TIED) if other else CHOICE
            gone += [path for path in below if path[:2] == here and path[2:] and path[2] in keys]
        elif section == "checks" and key in ("run", "use"):
            other_way = {"run": ("use",), "use": ("run", "report")}[key]
            gone += [path for path in below if path[:2] == (section, name) and path[2:] and path[2] in other_way]
        elif section == "stations" and key == "kind":
            gone += [path for path in below if path[:2] == (section, name)]
    return list(dict.fromkeys(gone))


def fold(leaves: Leaves) -> dict[str, Any]:
    """The tree of these leaves."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        table = tree
        for part in path[:-1]:
            table = table.setdefault(part, {})
        if leaf.value == {} and isinstance(leaf.value, dict):
            table.setdefault(path[-1], {})
        else:
            table[path[-1]] = leaf.value
    return tree


def settings(leaves: Leaves) -> schema.Settings:
    """The settings that these leaves say, completed and checked as a whole. Raises Mistake at the leaf that is to blame."""
    file = msgspec.convert(fold(leaves), SettingsFile)
    agents = {name: schema.AgentSettings(name=name, **_agent(leaves, name, given(table))) for name, table in _named(file.agents)}
    checks = {name: schema.Check(name=name, **_check(leaves, name, given(table))) for name, table in _named(file.checks)}
    stations = {name: _station(leaves, name, table, agents, checks) for name, table in _named(file.stations)}
    lines = {
        name: schema.Line(name=name, **(given(table) | {"stations": _stops(leaves, name, table.stations, stations)}))
        for name, table in _named(file.lines)
    }
    if not lines:
        raise Mistake("no line is configured", where="[lines]", mend="name one: `[lines.build]` with `stations = […]`")
    _hidden(leaves, file, stations)
    tables = [(name, given(table)) for name, table in _named(file.claims)]
    claims = catalogue.assembled(partial(blame, leaves), tables, lines, checks)
    factory = {key: value for key, value in given(file.factory).items() if key in schema.Settings.__struct_fields__}
    return schema.Settings(
        **factory, agents=agents, checks=checks, lines=lines, claims=claims, policy=_policy(given(file.policy)),
        budget=_budget(file.budget), retry=schema.Retry(**given(file.retry)), checkout=schema.Checkout(**given(file.checkout)),
        permissions=schema.Permissions(**given(file.permissions)), queue=_queue(leaves, given(file.queue)),
        sandbox=_sandbox(leaves, given(file.sandbox), given(file.checkout).get("isolation")),
        provenance=schema.ProvenanceSettings(**given(file.provenance)),
    )


def _sandbox(leaves: Leaves, said: dict[str, Any], isolation: object) -> schema.Walls:
    """What jobs may reach. A linked worktree shares the repository's own git directory: walls cannot be demanded around it."""
    if isolation == "worktree" and said.get("level") in ("strict", "partial"):
        what = 'with `isolation = "worktree"` agents share the repository\'s own git directory, which no walls can protect'
        raise blame(leaves, ("sandbox", "level"), what, 'say `isolation = "clone"` under [checkout], or leave `level` out')
    return schema.Walls(**said)


def _hidden(leaves: Leaves, file: SettingsFile, stations: Mapping[str, schema.Station]) -> None:
    """Hiding needs walls, and a git directory of the checkout's own: without them it would be a word and no more."""
    said: list[Path] = [("stations", name, "hide") for name, station in stations.items() if station.hide]
    said += [("sandbox", "hide")] if given(file.sandbox).get("hide") else []
    if not said:
        return
    if given(file.sandbox).get("level") == "none":
        what = "paths are to be hidden, but nothing stands between an agent and your files"
        raise blame(leaves, said[0], what, 'say `level = "strict"` in [sandbox], or remove `hide`')
    if given(file.checkout).get("isolation") == "worktree":
        what = "paths are to be hidden, but a linked worktree shows all of the repository's objects"
        raise blame(leaves, said[0], what, 'say `isolation = "clone"` in [checkout], or remove `hide`')


def factory_settings(leaves: Leaves) -> schema.FactorySettings:
    """What these leaves say for the whole factory. Its ladders are rules, and come from elsewhere."""
    file = msgspec.convert(fold(leaves), SettingsFile)
    said = {key: value for key, value in given(file.factory).items() if key in schema.FactorySettings.__struct_fields__}
    return schema.FactorySettings(
        **said, admission=schema.Admission(**given(file.admission)), operator=_operator(leaves, given(file.operator)),
        operators={} if isinstance(file.operators, msgspec.UnsetType) else dict(file.operators),
        routes=schema.Routes(**given(file.routes)),
    )


def _operator(leaves: Leaves, said: dict[str, Any]) -> schema.Operator:
    """Who signs here: a name and a key, or neither."""
    operator = schema.Operator(**said)
    if bool(operator.name) != bool(operator.key):
        key, example = ("name", "ana") if operator.key else ("key", "~/.ssh/id_ed25519.pub")
        raise blame(leaves, ("operator", key), f"[operator] has no `{key}`", f'give it `{key} = "{example}"`')
    return operator


def _policy(said: dict[str, Any]) -> schema.Policy:
    """Which change ships by itself. Names of owners have no upper and lower case; classes are those that differ from the usual."""
    parts: dict[str, Any] = {"symbols": schema.Symbols, "size": schema.Size, "floors": schema.Floors}
    whole = {key: make(**given(said.pop(key, msgspec.UNSET))) for key, make in parts.items()}
    kinds = {key.replace("_", "-"): value for key, value in given(said.pop("classes", msgspec.UNSET)).items()}
    classes = {kind: value for kind, value in kinds.items() if value != MEANING[kind][0]}
    owners = {owner.lower(): value for owner, value in said.pop("owners", {}).items()}
    return schema.Policy(**said, **whole, classes=classes, owners=owners)


def _budget(table: BudgetTable | msgspec.UnsetType) -> schema.Budget:
    said = given(table)
    task, attempt, day = (given(said.pop(part, msgspec.UNSET)) for part in ("task", "attempt", "day"))
    caps = {f"{name}_usd": part["usd"] for name, part in (("attempt", attempt), ("day", day)) if "usd" in part}
    return schema.Budget(**task, **caps, **said)


def _queue(leaves: Leaves, said: dict[str, Any]) -> schema.Queue:
    """How changes land. Replayed commits stand on the target one by one, and only the last was proven: no green history."""
    if (said.get("land"), said.get("history")) == ("rebase", "green"):
        what = 'with `land = "rebase"` a change\'s own commits stand on the target, and only the last of them is proven: not green'
        later = max(("history", "land"), key=lambda key: _rank(leaves, ("queue", key)))
        raise blame(leaves, ("queue", later), what, 'say `history = "tips"`, or land by merge or squash')
    return schema.Queue(**said)


def given(table: msgspec.Struct | msgspec.UnsetType) -> dict[str, Any]:
    """The fields that somebody said."""
    if isinstance(table, msgspec.UnsetType):
        return {}
    return {key: getattr(table, key) for key in table.__struct_fields__ if getattr(table, key) is not msgspec.UNSET}


def _named(tables: Any) -> Iterable[tuple[str, Any]]:
    return () if tables is msgspec.UNSET else tables.items()


def _rank(leaves: Leaves, keys: Keys) -> int:
    """How high the layer stands that says this."""
    return ORDER.index(leaves[keys].source.origin) if keys in leaves else -1


def blame(leaves: Leaves, path: Path, what: str, mend: str) -> Mistake:
    """A mistake at this path: at its own line, else where the highest layer speaks of its table."""
    for size in range(len(path), 0, -1):
        said = [leaf for key, leaf in leaves.items() if key[:size] == path[:size]]
        if said:
            return max(said, key=lambda leaf: ORDER.index(leaf.source.origin)).source.mistake(path, what, mend)
    return Mistake(what, where=dotted(path), mend=mend)


def _agent(leaves: Leaves, name: str, said: dict[str, Any]) -> dict[str, Any]:
    path: Path = ("agents", name)
    use = said.get("use", "command")
    if use == "command" and not any(word.strip() for word in said.get("command", ())[:1]):
        what = f"agent `{name}` says neither what to use nor which command to run"
        raise blame(leaves, (*path, "command"), what, 'give it `use = "claude"` or `command = ["./my-agent", "{prompt_file}"]`')
    if use not in COMMANDED and said.get("command"):
        what = f"agent `{name}` says both `use = \"{use}\"` and a command of its own"
        raise blame(leaves, (*path, "command"), what, "keep one of the two; arguments for an adapter go into `args`")
    if said.get("write_back") and said.get("login") != "copy":
        what = f"agent `{name}` is to write a login back that it is not given"
        raise blame(leaves, (*path, "write_back"), what, 'give it `login = "copy"`, or remove `write_back`')
    if "prices" in said:
        said["prices"] = {model: _price(leaves, name, model, given(table)) for model, table in said["prices"].items()}
    return {**said, "use": use}


def _price(leaves: Leaves, agent: str, model: str, said: dict[str, Any]) -> schema.Price:
    for key in ("input", "output"):
        if key not in said:
            what = f"the price of `{model}` for agent `{agent}` does not say what {key} costs"
            mend = "give it `input` and `output` in US dollars per million tokens"
            raise blame(leaves, ("agents", agent, "prices", model), what, mend)
    return schema.Price(**said)


def _check(leaves: Leaves, name: str, said: dict[str, Any]) -> dict[str, Any]:
    path: Path = ("checks", name)
    if "use" in said:
        return _bundled(leaves, name, said)
    if "run" not in said:
        raise blame(leaves, path, f"check `{name}` has no command", 'give it `run = "…"`')
    report = said.get("report", "exit")
    _keys_fit(leaves, name, said, report)
    if report != "exit" and "{report}" not in said["run"]:
        example = EXAMPLES[report]
        what = f"check `{name}` is read from a {report} report, but its command never names `{{report}}`"
        raise blame(leaves, (*path, "run"), what, f"let the command write to {{report}}, such as `{example}`")
    return said


def _bundled(leaves: Leaves, name: str, said: dict[str, Any]) -> dict[str, Any]:
    """A check that comes with the program: it has a command and a report of its own."""
    use = said["use"]
    own = ("run", "report", "protect", "own_too", "minimum_tests")
    for key in own:
        if key in said:
            what = f"check `{name}` says both `use = \"{use}\"` and `{key}`, which the check that comes with the program decides"
            raise blame(leaves, ("checks", name, key), what, f"remove `{key}`, or `use`")
    if said.get("baseline") and use == "secrets":
        what = f"check `{name}` looks at changed lines only, so it has no `baseline`"
        raise blame(leaves, ("checks", name, "baseline"), what, "remove `baseline`")
    report = "exit" if use == "rules" else "sarif"
    _keys_fit(leaves, name, said, report)
    return {**said, "run": "", "report": report}


def _keys_fit(leaves: Leaves, name: str, said: dict[str, Any], report: str) -> None:
    """A key that would say nothing is a mistake, not a wish that is passed over."""
    use = said.get("use", "")
    for key, (word, fits) in FITTING.items():
        if key != "minimum_tests" and key in said and report not in fits and use not in fits:
            what = f"check `{name}` has `{key}`, which only counts with {word}"
            raise blame(leaves, ("checks", name, key), what, f"remove `{key}`")
    if "own_too" in said and not said.get("protect"):
        what = f"check `{name}` has `own_too`, which only counts with `protect`"
        raise blame(leaves, ("checks", name, "own_too"), what, "name the protected paths, or remove it")


def _station(
    leaves: Leaves, name: str, table: StationTable, agents: Mapping[str, object], checks: Mapping[str, object],
) -> schema.Station:
    path: Path = ("stations", name)
    said = given(table)
    if "kind" not in said:
        raise blame(leaves, path, f"station `{name}` has no kind", "give it `kind`: agent, check, gate, land or watch")
    for key, kinds in STATION_KEYS.items():
        if key in said and said["kind"] not in kinds:
            what = f"station `{name}` is of kind {said['kind']}, which has no `{key}`"
            raise blame(leaves, (*path, key), what, f"remove `{key}`, or make the kind {' or '.join(kinds)}")
    station = schema.Station(name=name, **said)
    if station.kind == "agent" and station.agent not in agents:
        what = f"station `{name}` names the agent `{station.agent}`, which is not in [agents]"
        raise blame(leaves, (*path, "agent"), what, nearest(station.agent, sorted(agents)))
    for number, check in enumerate(station.checks):
        if check not in checks:
            what = f"station `{name}` names the check `{check}`, which is not in [checks]"
            raise blame(leaves, (*path, "checks", number), what, nearest(check, sorted(checks)))
    return station


def _stops(
    leaves: Leaves, line: str, names: tuple[str, ...] | msgspec.UnsetType, stations: Mapping[str, schema.Station],
) -> tuple[schema.Station, ...]:
    """The stations of a line, in an order that makes sense."""
    path: Path = ("lines", line, "stations")
    if isinstance(names, msgspec.UnsetType):
        raise blame(leaves, path, f"line `{line}` has no stations", "give it `stations = […]`")
    for number, name in enumerate(names):
        here = (*path, number)
        if name not in stations:
            what = f"line `{line}` names the station `{name}`, which is not in [stations]"
            raise blame(leaves, here, what, nearest(name, sorted(stations)))
        if name in names[:number]:
            raise blame(leaves, here, f"line `{line}` names the station `{name}` twice", "make a second station under another name")
        if wrong := _misplaced(line, stations[name], [stations[before].kind for before in names[:number]]):
            raise blame(leaves, here, *wrong)
    return tuple(stations[name] for name in names)


def _misplaced(line: str, station: schema.Station, before: list[str]) -> tuple[str, str] | None:
    """Why a station cannot stand after stations of these kinds, and the mend."""
    name, kind = station.name, station.kind
    if kind == "watch" and "land" not in before:
        return f"line `{line}` has `{name}` before anything has landed", "put it after a station of kind land"
    if kind == "watch" and "watch" in before:
        return f"line `{line}` has a second watch station, `{name}`", "put its checks into the first one"
    if kind != "watch" and "land" in before:
        mend = f"put `{name}` before landing; after it only a station of kind watch may stand"
        return f"line `{line}` goes on with `{name}` after the change has landed", mend
    if kind in ("check", "land") and "agent" not in before:
        return f"line `{line}` has `{name}` before any agent has worked", "put an agent first"
    if kind == "agent" and "agent" in before:
        what = f"line `{line}` has a second agent station, `{name}`; this release works on a change at one station"
        return what, "name one agent station, and put the rest into another line"
    return None
