"""Reaches a target that the list allows: resolves it here, judges every address, and connects to one that passed.

What was judged is what is connected to: a name is asked for once, so an answer that changes in between changes nothing. Must
never decide which targets are listed.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import aiohappyeyeballs
import psutil
from aiohttp.resolver import ThreadedResolver

from .allow import PORTS, Address, Rules, Target, address_of, barred
from .beyond import Beyond, beyond, through
from .limits import CHUNK, CONNECT_S, LOOKUPS, RESOLVE_S

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a name. Raises OSError."""
Connect = Callable[[Sequence[Address], int], Awaitable[socket.socket]]
"""A connected socket to one of these, never blocking. Raises OSError."""
Own = Callable[[], Iterable[Address]]
"""The addresses of this machine."""


class Refused(Exception):
    """No, and why: `status` and `words` go to the client, `rule` and `what` to the record."""

    def __init__(self, status: int, words: str, rule: str = "", what: str = "*") -> None:
        super().__init__(words)
        self.status, self.words = status, words
        self.rule, self.what = rule, what
        """What refused it, shortly, and its target. No rule: the list let it through, and the world did not."""


class Dial:
    """The way out of this process. The three callables are the world's; a test may put its own in their place."""

    def __init__(self, resolve: Resolve | None = None, connect: Connect | None = None, own: Own | None = None,
                 beyond: Callable[[Target], Beyond | None] = beyond) -> None:
        self._resolve, self._connect, self._own = resolve or _resolve, connect or _connect, own or own_addresses
        self._beyond = beyond

    async def reach(
        self, rules: Rules, target: Target, turn: asyncio.Semaphore,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the target, which is listed. `turn`: the job's for lookups. Raises Refused."""
        on = self._beyond(target)
        try:
            addresses = await self._addresses(target, turn)
        except Refused:
            if on is None:
                raise
            addresses = ()  # where a proxy leads out, names of the open Internet are often unknown
        free = self._free(rules, target, addresses)
        try:
            async with asyncio.timeout(CONNECT_S):
                if on is None:
                    return await streams(await self._connect(free, target.port))
                proxy, auth = on
                known = [proxy.literal] if proxy.literal else await _resolve(proxy.host, proxy.port)
                return await _through(await streams(await self._connect(known, proxy.port)), target, auth)
        except TimeoutError:
            raise Refused(504, f"{target} did not answer within {CONNECT_S:.0f} s.") from None
        except OSError as error:
            raise Refused(502, f"{target} cannot be reached: {error.strerror or 'no connection'}.") from None

    def _free(self, rules: Rules, target: Target, addresses: Sequence[Address]) -> list[Address]:
        """Those of the target's addresses that it may go to. Raises Refused when there are some and it may go to none."""
        own = frozenset(self._own())
        reasons = {address: barred(rules, target, address, own) for address in addresses}
        free = [address for address, why in reasons.items() if not why]
        if reasons and not free:
            address, why = next(iter(reasons.items()))
            lead = f"{target} is {why}" if target.literal else f"{target.host} leads to {address}, {why}"
            listed = str(address) if target.port in PORTS else str(Target(str(address), target.port))
            raise Refused(403, f"{lead}. A person can allow that by adding {listed} to [sandbox] hosts in andon.toml.",
                          f"leads to {why}", str(target))
        return free

    async def _addresses(self, target: Target, turn: asyncio.Semaphore) -> Sequence[Address]:
        if target.literal is not None:
            return [target.literal]
        try:
            async with asyncio.timeout(RESOLVE_S), turn:
                found = await self._resolve(target.host, target.port)
        except TimeoutError:
            raise Refused(504, f"The name {target.host} was not found within {RESOLVE_S:.0f} s.") from None
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise Refused(502, f"The name {target.host} is not known.")
        return found


def lookups() -> asyncio.Semaphore:
    """A job's turns for lookups."""
    return asyncio.Semaphore(LOOKUPS)


async def streams(one: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Reader and writer of a connected socket."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, one)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def own_addresses() -> frozenset[Address]:
    """The addresses that this machine has now."""
    texts = (one.address.partition("%")[0] for several in psutil.net_if_addrs().values() for one in several)
    return frozenset(address for address in map(address_of, texts) if address is not None)


async def _through(
    to: tuple[asyncio.StreamReader, asyncio.StreamWriter], target: Target, auth: str,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The same connection, led on to the target by the proxy at its end."""
    try:
        await through(*to, target, auth)
    except OSError:
        to[1].transport.abort()
        raise
    return to


async def _resolve(host: str, port: int) -> Sequence[Address]:
    found = await ThreadedResolver().resolve(host, port, family=socket.AF_UNSPEC)
    addresses = [address_of(one["host"].partition("%")[0]) for one in found]
    return list(dict.fromkeys(address for address in addresses if address is not None))


async def _connect(addresses: Sequence[Address], port: int) -> socket.socket:
    """The first that answers (RFC 8305)."""
    resolver = ThreadedResolver()  # of a literal it only says the family
    found = [one for address in addresses for one in await resolver.resolve(str(address), port, family=socket.AF_UNSPEC)]
    infos = [(one["family"], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one["host"], port)) for one in found]
    one = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=0.25)
    with contextlib.suppress(OSError):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one
