"""One HTTP request of a journey to this machine; no proxy, no redirect followed, no other machine ever."""

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from andon.proofs.journey_screen import Broken

BODY_BYTES = 4 * 1024 * 1024
HERE = ("127.0.0.1", "localhost", "::1")


class NoAnswer(Exception):
    """Nobody answered, or not in HTTP."""


def ask(method: str, address: str, send: str, headers: Mapping[str, str], within: float) -> tuple[int, bytes]:
    """Status and body, within so many seconds. Raises NoAnswer, and Broken for an address that is not of this machine."""
    place = urlsplit(address)
    if place.scheme != "http" or place.hostname not in HERE:
        raise Broken(f"{address} is not on this machine: a journey asks 127.0.0.1 alone")
    connection = http.client.HTTPConnection("127.0.0.1" if place.hostname == "localhost" else place.hostname, place.port or 80,
                                            timeout=within)
    try:
        path = f"{place.path or '/'}{'?' + place.query if place.query else ''}"
        kind = {"Content-Type": "application/json"} if send else {}
        connection.request(method, path, body=send.encode() if send else None, headers={**kind, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(BODY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(str(error) or type(error).__name__) from None
    finally:
        connection.close()
