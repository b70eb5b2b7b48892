"""What the claims of a station ask for, from the settings alone: their order and who produces them. Pure; it knows no task."""

from collections.abc import Iterator

from andon.schema.settings import ClaimType, Settings, Station

CHECKS, STATION, DAEMON = "checks.", "station:", "daemon"
WORK, SCOPE, MERGE = "daemon:work", "daemon:scope", "daemon:merge"


def needs(settings: Settings, station: Station) -> tuple[ClaimType, ...]:
    """The claims that a station asks for, each after what it requires, each once."""
    found: dict[str, ClaimType] = {}
    for name in station.claims:
        for claim in _resting(settings, name, ()):
            found.setdefault(claim.name, claim)
    return tuple(found.values())


def _resting(settings: Settings, name: str, above: tuple[str, ...]) -> Iterator[ClaimType]:
    """A claim after all that it rests on. The settings were checked: a circle was refused, and is not walked here either."""
    claim = settings.claims.get(name)
    if claim is None or name in above:
        return
    for below in claim.requires:
        yield from _resting(settings, below, (*above, name))
    yield claim


def by_landing(claim: ClaimType) -> bool:
    """Whether landing itself proves it: only there is a tree made that holds the target as it is."""
    return claim.fresh == "target" or claim.producer == MERGE


def check_of(claim: ClaimType) -> str:
    """The check that produces it; empty when none does."""
    return claim.producer.removeprefix(CHECKS) if claim.producer.startswith(CHECKS) else ""


def station_of_claim(claim: ClaimType) -> str:
    """The station that produces it; empty when none does."""
    return claim.producer.removeprefix(STATION) if claim.producer.startswith(STATION) else ""


def producing(settings: Settings, station: Station) -> tuple[str, ...]:
    """The checks that produce what a station asks for."""
    if not station.claims:
        return ()
    return tuple(dict.fromkeys(check for claim in needs(settings, station) if (check := check_of(claim))))
