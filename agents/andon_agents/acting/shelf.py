"""Where scenarios come from: the bundled ones and files. Reads and checks; every error names file, line and mend."""

import difflib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import cast

import msgspec

from andon.schema.errors import Mistake

from .scenario import KINDS, Scenario, Step, valid

SHELF = Path(__file__).parent.parent / "scenarios"
"""The bundled scenarios: always real files, for the program is run from them (importlib.resources would cost its start 10 ms)."""
_TOP = {"about", "seed", "speed", "step"}
_STEP = re.compile(r"^[ \t]*\[\[[ \t]*step[ \t]*\]\]", re.MULTILINE)
_COMMON = {"when", "literal", "permit"}


@cache
def bundled() -> tuple[str, ...]:
    """Names of the bundled scenarios, sorted."""
    return tuple(sorted(path.stem for path in SHELF.glob("*.toml")))


def unknown(name: str, *, where: str) -> Mistake:
    """The error for a scenario that is not bundled, with the nearest name."""
    near = difflib.get_close_matches(name, bundled(), n=1, cutoff=0.4)
    hint = f"did you mean `{near[0]}`? " if near else ""
    mend = f"{hint}give a path, or one of: {', '.join(bundled())}"
    return Mistake(f"there is no bundled scenario `{name}`", where=where, mend=mend)


def opened(name: str) -> Scenario:
    """The scenario of this bundled name or path. Raises Mistake."""
    path = Path(name) if "/" in name or name.endswith(".toml") else SHELF / f"{name}.toml"
    if path.parent == SHELF and path.stem not in bundled():
        raise unknown(name, where="the scenario's name")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"the scenario {path} cannot be read: {error}", where=str(path), mend="give an existing TOML file") from error
    return parsed(text, name=path.stem, where=str(path))


def parsed(text: str, *, name: str, where: str) -> Scenario:
    """The scenario in this text. Raises Mistake with the line of the step that is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Mistake(f"the scenario is not TOML: {error}", where=where, mend="correct it at that line") from error
    _known(set(data), _TOP, "a scenario", where)
    tables = data.get("step", [])
    if not isinstance(tables, list) or not tables:
        raise Mistake("the scenario has no [[step]]", where=where, mend='add one: [[step]] and below it think = "Reading"')
    lines = [text.count("\n", 0, match.start()) + 1 for match in _STEP.finditer(text)]
    places = [f"{where}:{lines[i]}" if len(lines) == len(tables) else f"{where}, step {i + 1}" for i in range(len(tables))]
    steps = tuple(_step(table, place) for table, place in zip(tables, places, strict=True))
    try:
        head: dict[str, object] = {key: data[key] for key in ("about", "seed", "speed") if key in data}
        scenario = msgspec.convert({"name": name, **head}, Scenario)
    except msgspec.ValidationError as error:
        raise Mistake(f"a scenario is wrong: {error}", where=where, mend="about is text, seed and speed are numbers") from error
    if scenario.speed <= 0:
        raise Mistake("speed must be above 0", where=where, mend="1.0 is natural, 2.0 twice as fast")
    return msgspec.structs.replace(scenario, steps=steps)


def _step(table: object, where: str) -> Step:
    """One step of its own kind."""
    if not isinstance(table, dict):
        raise Mistake("a step is not a table", where=where, mend='write [[step]] and below it one verb, e.g. say = "Hello"')
    first = next(iter(table), "")
    verb = next((key for key in table if key in KINDS), "")
    if not verb:
        near = difflib.get_close_matches(first, KINDS, n=1, cutoff=0.5)
        what = f"a step has no verb among its keys: {', '.join(table) or 'it is empty'}"
        raise Mistake(what, where=where, mend=f"did you mean `{near[0]}`?" if near else f"one of: {', '.join(KINDS)}")
    kind = KINDS[verb]
    _known(set(table), {f.encode_name for f in msgspec.structs.fields(kind)} | _COMMON, f"the step `{verb}`", where)
    try:
        step = msgspec.convert({**cast("dict[str, object]", table), "verb": verb}, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(f.encode_name for f in msgspec.structs.fields(kind))
        raise Mistake(f"the step `{verb}` is wrong: {error}", where=where, mend=f"its keys are: {fields}") from error
    _judged(step, where)
    return step


def _judged(step: Step, where: str) -> None:
    """What types cannot say."""
    from .scenario import Dirty, Hang

    if not valid(step.when):
        raise Mistake(f"`when` cannot be read: {step.when}", where=where, mend='write attempt >= 2 and answer == "yes"')
    if isinstance(step, Hang) and step.how not in ("silent", "spinner"):
        raise Mistake(f"an agent cannot hang `{step.how}`", where=where, mend="silent or spinner")
    if isinstance(step, Dirty) and not set(step.kinds) <= {"untracked", "unstaged", "staged", "detached"}:
        raise Mistake(f"work cannot be left {', '.join(step.kinds)}", where=where, mend="untracked, unstaged, staged, detached")


def _known(keys: set[str], allowed: set[str], what: str, where: str) -> None:
    """Refuse a key that nobody reads, with the nearest one."""
    for key in sorted(keys - allowed):
        near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
        mend = f"did you mean `{near[0]}`?" if near else f"it may have: {', '.join(sorted(allowed))}"
        raise Mistake(f"{what} has an unknown key `{key}`", where=where, mend=mend)
