"""Where an opencode session is reached: port and password of its server, in its private home. Knows no connection."""

from pathlib import Path

import msgspec

from .loopback import read_note

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
            return msgspec.json.decode(read_note(home / SEAT), type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
