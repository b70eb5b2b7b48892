"""Goes on through the proxy of the person's own network, where their environment names one; must never decide what is allowed.

Behind such a proxy the last word on where a name leads is its own; what this machine knows of the name was judged before.
"""

import asyncio

import h11
from aiohttp.helpers import get_env_proxy_for_url
from yarl import URL

from .allow import PORTS, Target
from .wire import Wire

Beyond = tuple[Target, str]
"""A proxy, and what it is told to let us through: the value of `Proxy-Authorization`, or nothing."""


def beyond(target: Target) -> Beyond | None:
    """The proxy for this target, by the usual variables of the environment; None: it is reached straight, as every literal is."""
    if target.literal is not None:
        return None
    scheme = "http" if target.port == PORTS[1] else "https"
    try:
        proxy, auth = get_env_proxy_for_url(URL.build(scheme=scheme, host=target.host, port=target.port))
    except LookupError:
        return None
    if proxy.host is None or proxy.port is None:
        return None
    return Target(proxy.host, proxy.port), auth.encode() if auth else ""


async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target, auth: str) -> None:
    """Have the proxy at the other end of this connection open a tunnel to the target. Raises OSError when it does not."""
    wire = Wire(h11.CLIENT, reader, writer)
    headers = [("Host", str(target)), *([("Proxy-Authorization", auth)] if auth else [])]
    await wire.send(h11.Request(method="CONNECT", target=str(target), headers=headers))
    try:
        while isinstance(answer := await wire.event(), h11.InformationalResponse):
            continue
    except h11.ProtocolError:
        raise ConnectionResetError(0, "the network's proxy makes no sense") from None
    if not isinstance(answer, h11.Response) or not 200 <= answer.status_code < 300:
        status = answer.status_code if isinstance(answer, h11.Response) else "nothing"
        raise ConnectionRefusedError(0, f"the network's proxy answered {status}")
    if early := wire.http.trailing_data[0]:
        reader.feed_data(early)
