"""Judges where a request may go: names, ports and addresses against one job's list. Pure; must never resolve or connect.

Theory of operation. Three judgements, each able to say no: the target as it was named (`Rules.find`), the address that its name
leads to (`unreachable`), and the server name that the client says inside TLS (`Rules.find` again). A name on the list never opens
the person's own network: an address that is not of the open Internet must be listed itself, as that literal.
"""

import ipaddress
import re
from collections.abc import Iterable

import idna
import msgspec

from andon.schema.sandbox import BY_ITSELF, UNLISTED, Egress

PORTS = (443, 80)
"""Of a pattern that names none."""
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[^\s:/?#@\[\]\\%]{1,254}))(?::(?P<port>[0-9]{1,5}))?")
_NAT64, _OLD_FOUR = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Target(msgspec.Struct, frozen=True):
    """A host and a port."""

    host: str
    """Normal (`host_of`): lower case, A-labels, no trailing dot, no brackets."""
    port: int
    """1 to 65535."""

    @property
    def literal(self) -> Address | None:
        """The address, when the host is one."""
        return address_of(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(host: str) -> Address | None:
    """The host as an address; None when it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def host_of(text: str) -> str | None:
    """The one way to write this host; None when it is none, or an address in disguise (`0177.0.0.1`, `2130706433`, `127.1`)."""
    literal = address_of(text)
    if literal is not None:
        return None if getattr(literal, "scope_id", None) else str(literal)
    name = text[:-1] if text.endswith(".") else text
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            return None
    name = name.lower()
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
        return None
    return name


def target_of(authority: str, port: int | None = None) -> Target | None:
    """Host and port of `host:port`; None when it is malformed, or names no port and none is given."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    host = host_of(found["six"] or found["name"])
    number = int(found["port"]) if found["port"] else port
    if host is None or (found["six"] is not None) != (":" in host) or number is None or not 0 < number < 65536:
        return None
    return Target(host, number)


def pattern_of(pattern: str) -> tuple[str, tuple[int, ...]] | None:
    """What a pattern means: a host, or `.suffix` for those below it, and its ports; None when it means nothing."""
    text = pattern.strip()
    if text.startswith("*."):
        known = target_of(text[2:], 443)
        if known is None or known.literal is not None:
            return None
        return f".{known.host}", (known.port,) if ":" in text else PORTS
    if ":" in text and address_of(text) is not None:
        text = f"[{text}]"
    known = target_of(text, 443)
    if known is None:
        return None
    return known.host, (known.port,) if ":" in text.rpartition("]")[2] else PORTS


class Rules:
    """A job's list, made ready for asking."""

    def __init__(self, egress: Egress) -> None:
        self.everything = egress.everything
        self._own = {one for pattern in egress.own for one in (pattern_of(pattern),) if one}
        self._told = {pattern: source for pattern, source in egress.rules}
        self._known: dict[tuple[str, int], str] = {}
        for pattern in egress.hosts:
            host, ports = pattern_of(pattern) or ("", ())
            for port in ports:
                self._known.setdefault((host, port), pattern)

    def find(self, target: Target) -> str | None:
        """The pattern that lets this through, with where it comes from; None when nothing does. An exact one comes first."""
        pattern = self._known.get((target.host, target.port))
        if pattern is None and target.literal is None:
            labels = target.host.split(".")
            below = ((f".{'.'.join(labels[n:])}", target.port) for n in range(1, len(labels)))
            pattern = next((self._known[one] for one in below if one in self._known), None)
        if pattern is None:
            return "everything" if self.everything else None
        source = self._told.get(pattern)
        return f"{pattern} ({source})" if source else pattern

    def refusal(self, target: Target) -> str:
        """By which rule this is refused, when nothing lets it through."""
        return BY_ITSELF if any(target.host == host and target.port in ports for host, ports in self._own) else UNLISTED

    def names(self, address: Address, port: int) -> bool:
        """Whether this very address is listed for this port."""
        return (str(address), port) in self._known


NOTHING = Rules(Egress())
"""Of a job whose list is not there or cannot be read."""


def unreachable(address: Address, own: Iterable[Address]) -> str:
    """Why a name may not lead to this address, as a word for people; empty: it is of the open Internet. `own`: this machine's."""
    inner = within(address)
    if inner is not None:
        return unreachable(inner, own)
    if address.is_loopback or address.is_unspecified or address in own:
        return "this machine"
    if address.is_link_local:
        return "a link-local address"
    if isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in _OLD_FOUR):
        return "a private address"
    if address.is_multicast:
        return "a multicast address"
    return "" if address.is_global else "a private address"


def within(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address carries, where the two lead to the same place."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def barred(rules: Rules, target: Target, address: Address, own: Iterable[Address]) -> str:
    """Why a connection for this target may not go to this address; empty: it may. With `everything`, private networks are open,
    and what is of this machine or of its link stays closed unless it is listed."""
    if rules.names(address, target.port):
        return ""
    why = unreachable(address, own)
    if rules.everything and why in ("a private address", "a multicast address"):
        return ""
    return why
