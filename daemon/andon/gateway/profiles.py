"""Composes a job's list of hosts from a person's own and from named profiles. Data, no decisions: must never touch the network."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Literal

from andon.schema.errors import Mistake
from andon.schema.sandbox import Egress

from .allow import pattern_of

Kind = Literal["registry", "provider"]
_SETTING = {"registry": "[sandbox] registries in andon.toml", "provider": "the agent's provider"}


@cache
def profiles(kind: Kind) -> dict[str, tuple[str, ...]]:
    """The hosts of every profile by its name."""
    read = tomllib.loads(files("andon.gateway").joinpath("profiles.toml").read_text(encoding="utf-8"))
    return {name: tuple(hosts) for name, hosts in read[kind].items()}


def allowed(hosts: Iterable[str], registries: Iterable[str] = (), providers: Iterable[str] = ()) -> Egress:
    """Where a job may go: each host once, with where it comes from; a person's own word comes first.

    Raises Mistake for a host that is no host, and for a profile that nobody knows.
    """
    rules: dict[str, str] = {}
    for host in hosts:
        if pattern_of(host) is None:
            raise Mistake(f'"{host}" names no host.', where="[sandbox] hosts in andon.toml",
                          mend='Write "example.org", "*.example.org" for those below it, "example.org:8443" for another port, '
                               'or an address.')
        rules.setdefault(host.strip(), "andon.toml")
    for kind, names in (("registry", registries), ("provider", providers)):
        known = profiles("registry" if kind == "registry" else "provider")
        for name in names:
            if name not in known:
                raise Mistake(f'No {kind} is called "{name}".', where=_SETTING[kind],
                              mend=f"Known are {', '.join(known)}; name any other's hosts in [sandbox] hosts.")
            for host in known[name]:
                rules.setdefault(host, f"{kind} {name}")
    return Egress(hosts=tuple(rules), rules=tuple(rules.items()))
