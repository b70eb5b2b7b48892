"""How rows that older releases wrote are read for ever: pure steps from one version of an event to the next. Knows no ledger.

Theory of operation. A row names its kind and the version of that kind. When the meaning of an event changes, `events.VERSIONS`
counts its kind up and a step is registered here that turns the data of the version before into the new one. Steps run one
after the other, so a row of version 1 always finds its way. A kind is never taken out of the vocabulary.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, get_args

import msgspec

from andon.schema.errors import Mistake
from andon.schema.events import AnyEvent, kind_of, version_of

Step = Callable[[dict[str, Any]], dict[str, Any]]
"""From the data of one version to the data of the next. Gets a copy, may change and return it."""
STEPS: dict[tuple[str, int], Step] = {}
"""Step that leads on from (kind, version). Filled by `upcasts`."""


def upcasts(kind: str, version: int) -> Callable[[Step], Step]:
    """Register the step that leads from this version of a kind to the next one."""

    def register(step: Step) -> Step:
        assert (kind, version) not in STEPS, f"two upcasts for {kind} version {version}"
        STEPS[kind, version] = step
        return step

    return register


@cache
def kinds() -> frozenset[str]:
    """Every kind that this release knows."""
    return frozenset(str(event.__struct_config__.tag) for event in get_args(AnyEvent))


@cache
def _decoder() -> msgspec.json.Decoder[AnyEvent]:
    return msgspec.json.Decoder(AnyEvent)


def known(kind: str, version: int) -> str:
    """Why this release cannot read this version of this kind; empty when it can."""
    if kind not in kinds():
        return f"its kind `{kind}` is unknown to this release"
    if version > version_of(kind):
        return f"`{kind}` has version {version} here, this release knows it up to version {version_of(kind)}"
    if any((kind, old) not in STEPS for old in range(version, version_of(kind))) or version < 1:
        return f"no way leads from version {version} of `{kind}` to version {version_of(kind)}"
    return ""


def upcast(kind: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
    """The data as this release would write it. Raises Mistake for a kind or version that this release does not know."""
    if why := known(kind, version):
        raise Mistake(f"The event cannot be read: {why}.")
    current = dict(data)
    for old in range(version, version_of(kind)):
        current = STEPS[kind, old](current)
    return current


def decode(kind: str, version: int, data: str) -> AnyEvent:
    """The event of a row. Raises Mistake when this release does not know kind or version, or when data is no such event."""
    try:
        if kind in kinds() and version == version_of(kind):
            event = _decoder().decode(data)
        else:
            event = msgspec.convert(upcast(kind, version, msgspec.json.decode(data, type=dict[str, Any])), AnyEvent)
    except msgspec.MsgspecError as error:
        raise Mistake(f"The event cannot be read: its data is no `{kind}` of version {version}: {error}.") from error
    if kind_of(event) != kind:
        raise Mistake(f"The event cannot be read: its data is a `{kind_of(event)}`, not a `{kind}`.")
    return event
