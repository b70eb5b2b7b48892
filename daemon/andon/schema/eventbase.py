"""The base of all events, and the words that several of them use."""

from typing import Literal

import msgspec

Result = Literal["pass", "fail", "unevaluated"]
"""What a check run says. Only `pass` opens anything."""
ClaimStatus = Literal["asserted", "proven", "refuted", "unevaluated"]
FailureClass = Literal["transient", "crash", "contract", "test", "conflict", "unevaluated", "rejected", "limit"]
"""Why an attempt did not lead on. `transient` is no fault of the change and is counted apart."""
Risk = Literal["ship", "review", "stop"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all events."""
