"""The base of all inputs and of a person's commands."""

import msgspec


class Input(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all inputs. The loop stamps the time; inputs carry none."""


class Command(Input, frozen=True, kw_only=True):
    """Base of what a person may ask for. `by` is the person's login name, filled in by the daemon from the socket."""

    by: str = ""
