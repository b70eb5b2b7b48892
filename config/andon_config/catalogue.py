"""The claims that stations ask for, checked as a whole: producers that exist, no circle, every name known. Knows no task.

Theory of operation. A claim that no station asks for is data: its producer need not exist. What stations ask for, and all that it
requires, has to be produced by somebody, before or at the station that asks.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from andon.schema import settings as schema
from andon.schema.errors import Mistake
from andon_config.faults import nearest

Blame = Callable[[tuple[str | int, ...], str, str], Mistake]
"""A mistake at a path of the settings: what is wrong, and its mend."""
KINDS_THAT_CLOSE = ("agent", "check", "gate", "land")


def assembled(
    blame: Blame, tables: Iterable[tuple[str, dict[str, Any]]], lines: Mapping[str, schema.Line], checks: Mapping[str, object],
) -> dict[str, schema.ClaimType]:
    """The claims that stations ask for, with what they rest on. Raises Mistake at the leaf that is to blame."""
    known = {name: _claim(blame, name, said) for name, said in tables}
    for claim in known.values():
        _sound(blame, claim, known)
    wanted: dict[str, schema.ClaimType] = {}
    for line in lines.values():
        for place, station in enumerate(line.stations):
            for number, name in enumerate(station.claims):
                path = ("stations", station.name, "claims", number)
                if name not in known:
                    what = f"station `{station.name}` asks for the claim `{name}`, which is not in [claims]"
                    raise blame(path, what, nearest(name, sorted(known)))
                for claim in _with_below(known, name):
                    _produced(blame, path, claim, line, place, checks)
                    wanted[claim.name] = claim
    return wanted


def _claim(blame: Blame, name: str, said: dict[str, Any]) -> schema.ClaimType:
    if "producer" not in said:
        mend = 'give it `producer = "checks.NAME"`, `"station:NAME"` or `"daemon:work"`'
        raise blame(("claims", name), f"claim `{name}` has no producer", mend)
    fresh, hours = said.pop("fresh", "tree"), 0.0
    if not isinstance(fresh, str):
        fresh, hours = "hours", float(fresh)
    producer = "daemon:work" if said["producer"] == "daemon" else said["producer"]
    claim = schema.ClaimType(name=name, **{**said, "producer": producer}, fresh=fresh, hours=hours)
    if fresh != "tree" and not producer.startswith("checks."):
        what = f"claim `{name}` is to be fresh by {'hours' if hours else fresh}, but only a check can be run again"
        raise blame(("claims", name, "fresh"), what, "remove `fresh`, or name a check as its producer")
    return claim


def _sound(blame: Blame, claim: schema.ClaimType, known: Mapping[str, schema.ClaimType]) -> None:
    """What it requires is known, and leads to no circle."""
    for number, name in enumerate(claim.requires):
        if name not in known:
            what = f"claim `{claim.name}` requires `{name}`, which is not in [claims]"
            raise blame(("claims", claim.name, "requires", number), what, nearest(name, sorted(known)))
    way = _circle(known, claim.name, ())
    if way:
        what = f"claim `{claim.name}` requires itself: {' → '.join(way)}"
        raise blame(("claims", claim.name, "requires"), what, "take one of them out of `requires`")


def _circle(known: Mapping[str, schema.ClaimType], name: str, above: tuple[str, ...]) -> tuple[str, ...]:
    """The way from a claim back to where it began; empty when there is none."""
    if name in above:
        return (*above, name) if name == above[0] else ()
    below = known[name].requires if name in known else ()
    return next((way for each in below if (way := _circle(known, each, (*above, name)))), ())


def _with_below(known: Mapping[str, schema.ClaimType], name: str) -> list[schema.ClaimType]:
    """A claim after all that it rests on."""
    found: dict[str, schema.ClaimType] = {}

    def walk(each: str) -> None:
        if each in found:
            return
        for below in known[each].requires:
            walk(below)
        found[each] = known[each]

    walk(name)
    return list(found.values())


def _produced(
    blame: Blame, asked: tuple[str | int, ...], claim: schema.ClaimType, line: schema.Line, place: int,
    checks: Mapping[str, object],
) -> None:
    """Somebody produces it in time for the station at this place of a line."""
    station, path = line.stations[place], ("claims", claim.name, "producer")
    if station.kind not in KINDS_THAT_CLOSE:
        what = f"station `{station.name}` is of kind {station.kind}: the change has landed before it, and no claim can keep it"
        raise blame(asked, what, "let an earlier station ask for it")
    if claim.producer.startswith("checks."):
        name = claim.producer.removeprefix("checks.")
        if name not in checks:
            what = f"claim `{claim.name}` is produced by the check `{name}`, which is not in [checks]"
            raise blame(path, f"{what}; station `{station.name}` asks for it", nearest(name, sorted(checks)))
    if (claim.producer == "daemon:merge" or claim.fresh == "target") and station.kind != "land":
        what = f"station `{station.name}` asks for `{claim.name}`, which only landing proves"
        raise blame(asked, what, "let the station of kind land ask for it")
    if claim.producer.startswith("station:"):
        _by_station(blame, path, claim, line, place)


def _by_station(blame: Blame, path: tuple[str | int, ...], claim: schema.ClaimType, line: schema.Line, place: int) -> None:
    """The station that produces it stands at or before the one that asks, and does so for every change."""
    name, names = claim.producer.removeprefix("station:"), [station.name for station in line.stations]
    asks = line.stations[place].name
    if name not in names:
        what = f"claim `{claim.name}` is produced by the station `{name}`, which line `{line.name}` has not; `{asks}` asks for it"
        raise blame(path, what, nearest(name, sorted(names)))
    if names.index(name) > place:
        what = f"station `{asks}` asks for `{claim.name}`, which `{name}` produces later on line `{line.name}`"
        raise blame(path, what, f"let `{name}`, or one after it, ask for it")
    station = line.stations[names.index(name)]
    if station.kind == "gate" and station.when != "always":
        what = f"claim `{claim.name}` is produced by station `{name}`, which lets some changes by without asking anybody"
        raise blame(path, what, f'say `when = "always"` under [stations.{name}]')
