"""Spending: the later word about a key replaces the earlier, the sum is what counts. Knows no price."""

import msgspec

from andon.schema.signals import Usage

from .facts import KEYS, Meter, Total, Watch


def spend(meter: Meter, usage: Usage) -> Meter:
    """With one more word about spending. The oldest keys over the bound are summed up and cannot change any more."""
    keys = {**meter.keys, usage.key: usage}
    rest, folded = meter.rest, meter.folded
    while len(keys) > KEYS:
        oldest = next(key for key in keys if key != "total")
        rest, folded = _plus(rest, keys.pop(oldest)), folded + 1
    context = usage.context if usage.context is not None else meter.context
    return Meter(keys=keys, rest=rest, folded=folded, context=context)


def total(watch: Watch) -> Total:
    """The session's spending: `total` where the agent keeps one, else the sum of its calls, else what the gateway saw."""
    for meter, word in ((watch.reported, "reported"), (watch.gateway, "gateway")):
        if meter.keys:
            running = meter.keys.get("total")
            parts = [running] if running else [*([meter.rest] if meter.rest else []), *meter.keys.values()]
            return _sum(parts, word, watch.model.calls or len(meter.keys) + meter.folded)
    return Total(requests=watch.model.calls)


def _sum(parts: list[Usage], word: str, requests: int) -> Total:
    priced = [part.usd for part in parts if part.usd is not None]
    by_model: dict[str, Usage] = {}
    for part in parts:
        by_model[part.model] = _plus(by_model.get(part.model), part)
    return Total(
        input=sum(part.input for part in parts), output=sum(part.output for part in parts),
        cache_read=sum(part.cache_read for part in parts), cache_write=sum(part.cache_write for part in parts),
        usd=sum(priced) if priced else None, requests=requests, metered=word, models=tuple(by_model.values()),
    )


def _plus(rest: Usage | None, more: Usage) -> Usage:
    if rest is None:
        return msgspec.structs.replace(more, key="rest", note="")
    usd = None if rest.usd is None and more.usd is None else (rest.usd or 0.0) + (more.usd or 0.0)
    return Usage(
        at=max(rest.at, more.at), source=more.source, key="rest", model=more.model, input=rest.input + more.input,
        output=rest.output + more.output, cache_read=rest.cache_read + more.cache_read,
        cache_write=rest.cache_write + more.cache_write, usd=usd,
    )
