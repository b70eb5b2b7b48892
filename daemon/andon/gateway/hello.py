"""Reads the server name in the first bytes of a TLS connection. Pure; must never change or keep what it reads."""

import msgspec

HELLO_BYTES = 64 * 1024
"""A longer greeting is none."""
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0
DENIED = bytes((21, 3, 3, 0, 2, 2, 49))
"""The alert `access_denied`, fatal: what a client is told whose greeting is refused."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A greeting."""

    tls: bool
    """False: these bytes are no TLS."""
    name: str = ""
    """The server name; empty: it says none."""
    broken: bool = False
    """It begins as TLS and cannot be read on, or says more than one name: nobody may guess what a server would make of it."""


NO_TLS, BROKEN = Hello(tls=False), Hello(tls=True, broken=True)


def read(data: bytes) -> Hello | None:
    """What a connection's first bytes are; None: more of them are needed to say."""
    if not data:
        return None
    if data[0] != _HANDSHAKE:
        return NO_TLS
    if len(data) >= 2 and data[1] != 3:
        return NO_TLS
    body, place = b"", 0
    while len(data) >= place + 5:
        size = int.from_bytes(data[place + 3:place + 5], "big")
        if data[place] != _HANDSHAKE or data[place + 1] != 3 or not 0 < size <= 2**14 + 256:
            return BROKEN
        body += data[place + 5:place + 5 + size]
        if body[0:1] and body[0] != _CLIENT_HELLO:
            return BROKEN
        if len(body) >= 4 and len(body) >= 4 + (whole := int.from_bytes(body[1:4], "big")):
            return _named(body[4:4 + whole])
        place += 5 + size
    return BROKEN if len(data) > HELLO_BYTES else None


def _named(hello: bytes) -> Hello:
    """The server name of a whole ClientHello (RFC 8446 4.1.2, RFC 6066 3)."""
    try:
        cut = _Cut(hello)
        cut.take(2 + 32)
        cut.sized(1)
        cut.sized(2)
        cut.sized(1)
        if cut.over:
            return Hello(tls=True)
        extensions, names = _Cut(cut.sized(2)), []
        while not extensions.over:
            kind, content = extensions.number(2), extensions.sized(2)
            if kind == _SERVER_NAME:
                listed = _Cut(_Cut(content).sized(2))
                while not listed.over:
                    of, name = listed.number(1), listed.sized(2)
                    names.append(name.decode("ascii") if of == _HOST_NAME else "?")
    except ValueError:  # too short, or not ASCII
        return BROKEN
    return Hello(tls=True, name=names[0] if names else "", broken=len(names) > 1 or names == [""])


class _Cut:
    """Bytes that are taken from the front. Raises ValueError when there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        part = self._data[self._at:self._at + count]
        if len(part) < count:
            raise ValueError("cut")
        self._at += count
        return part

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def sized(self, width: int) -> bytes:
        return self.take(self.number(width))
