"""Folds model calls as the gateway saw them, refusals and retries. Knows no provider."""

from msgspec.structs import replace

from andon.schema.health import Trouble
from andon.schema.rules import Thresholds
from andon.schema.signals import Call, Retrying, Usage

from . import asks, loops
from .facts import CALLS, OPEN, Flight, Limit, Watch
from .meter import spend

_BY_STATUS: dict[int, Trouble] = {401: "auth", 403: "auth", 402: "quota", 429: "rate-limit", 529: "overloaded", 503: "overloaded"}
_NOT_LIMITS = ("cut", "gone", "refused")


def trouble_of(status: int, error: str) -> Trouble | None:
    """What a call that ended so means; None when it is none of the provider's refusals."""
    word = error.lower()
    if "quota" in word or "billing" in word or "credit" in word:
        return "quota"
    if status == 400 or status == 413:
        return "context" if "context" in word or "too long" in word or "too large" in word else None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if "overloaded" in word:
        return "overloaded"
    if "rate_limit" in word:
        return "rate-limit"
    if status >= 500:
        return "server"
    return "network" if word in ("refused", "cut") else None


def called(watch: Watch, call: Call, limits: Thresholds) -> Watch:
    """One word about a model call."""
    if call.request in watch.model.done:
        return watch
    if call.phase == "ended":
        return _ended(watch, call, limits)
    known = next((one for one in watch.model.flights if one.request == call.request), None)
    flowing = call.phase in ("first", "flowing")
    flight = Flight(request=call.request, sent=known.sent if known else call.at, last=max(known.last if known else 0, call.at),
                    flowing=flowing or (known.flowing if known else False))
    others = tuple(one for one in watch.model.flights if one.request != call.request)
    watch = replace(watch, model=replace(watch.model, flights=(*others, flight)[-OPEN:], asked=max(watch.model.asked, flight.sent)))
    if not (flowing and call.status < 400):
        return watch
    watch = _moved(watch, flight)
    return _lifted(watch, call, flight.sent)


def _lifted(watch: Watch, call: Call, sent: int) -> Watch:
    """A call of the conversation that goes well, sent after the refusal, lifts it. One beside it (a title) says nothing."""
    limit = watch.limit
    if limit is None or call.at < limit.at or (sent and sent < limit.at) or not (call.digest or sent):
        return watch
    return replace(watch, limit=None)


def _moved(watch: Watch, flight: Flight) -> Watch:
    """A new model call of its own says that the agent no longer waits, unless a helper or an older call is at work."""
    if watch.asks and not watch.helpers and len(watch.model.flights) == 1:
        return asks.moved_on(watch, flight.sent - asks.LATE_MS, "it asked the model again")
    return watch


def _ended(watch: Watch, call: Call, limits: Thresholds) -> Watch:
    trouble = trouble_of(call.status, call.error)
    failed = call.status >= 400 or trouble is not None
    old = watch.model
    requests = old.requests if failed or not call.digest else (*old.requests, (call.digest, call.at))[-CALLS:]
    model = replace(
        old, flights=tuple(one for one in old.flights if one.request != call.request), ended=max(old.ended, call.at),
        status=call.status, error=call.error, failures=old.failures + 1 if failed else 0, calls=old.calls + 1, requests=requests,
        done=(*old.done, call.request)[-CALLS:],
    )
    sent = next((one.sent for one in old.flights if one.request == call.request), 0)
    watch = replace(watch, model=model)
    if call.usage is not None:
        watch = used(watch, call.usage if call.usage.source == "gateway" else replace(call.usage, source="gateway"))
    if trouble is not None and trouble != "context":
        wait = call.retry_after if call.retry_after is not None and call.retry_after >= 0 else None  # nan is no number of seconds
        until = call.at + round(min(wait, 1e7) * 1000) if wait is not None else 0
        return refused(watch, Retrying(at=call.at, source="gateway", trouble=trouble, until=until, tries=model.failures))
    if not failed and call.error not in _NOT_LIMITS:
        watch = _lifted(watch, call, sent)
    if not failed and call.digest and not watch.calls and not watch.tools:
        loop = loops.requests(model.requests, limits)
        keep = watch.loop if watch.loop and watch.loop.rule != "same-requests" else None
        watch = replace(watch, loop=loop or keep)
    return watch


def refused(watch: Watch, signal: Retrying) -> Watch:
    """A call failed and the agent tries again. Told by two sources it is one; the told moment counts."""
    old = watch.limit
    if old and old.at > signal.at:
        return watch
    same = old is not None and old.trouble == signal.trouble
    until = signal.until or (old.until if old and same and old.until > signal.at else 0)
    limit = Limit(trouble=signal.trouble, at=signal.at, since=old.since if old and same else signal.at, until=until,
                  tries=max(signal.tries, old.tries if old and same else 0), source=signal.source)
    if old and signal.source == "gateway" and old.source != "gateway" and old.trouble != signal.trouble and signal.trouble in (
            "server", "network"):
        return watch
    return replace(watch, limit=limit)


def used(watch: Watch, usage: Usage) -> Watch:
    """One word about spending."""
    if usage.source == "gateway":
        return replace(watch, gateway=spend(watch.gateway, usage))
    return replace(watch, reported=spend(watch.reported, usage))
