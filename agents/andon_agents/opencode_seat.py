"""Where an opencode session is reached: port and password of its server, in its private home. Knows no connection."""

import socket
from pathlib import Path

import msgspec

SEAT = "opencode-seat.json"
"""The file's name in the private home; written anew at each start, 0600."""


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """The content of that file."""

    port: int
    password: str
    conversation: str = ""
    prompt: str = ""
    """For a resumed conversation: what is to be said to it once it is up. opencode takes no prompt together with a session."""

    @classmethod
    def read(cls, home: Path) -> "Seat | None":
        """The seat of this home; None while there is none."""
        try:
            return msgspec.json.decode((home / SEAT).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None


def free_port() -> int:
    """A loopback port that nobody held a moment ago. Somebody may take it before opencode does: the channel says so."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        found: int = asked.getsockname()[1]
        return found
