"""What the signals of one session come to as Inputs, each given once. It knows what the core was told; it decides nothing.

Theory of operation. The state is the reference: what it holds was told, by whichever daemon. What is on its way to it is
remembered in `Told`, which dies with the daemon and is not needed again.
"""

from collections.abc import Iterator

import msgspec

from andon.core.judging.facts import Total, Watch
from andon.core.ladder import NO_LADDER
from andon.core.state import Attempt, Spending
from andon.schema import inputs as i
from andon.schema.settings import AgentSettings, Price
from andon.schema.signals import Usage, Verdict

STEP_USD, STEP_TOKENS = 0.01, 2_000
"""Spending is told at the end of a turn, and when so much is new; the core records less often."""
RECEIPT_CHARACTERS = 200
"""So much of a message's beginning must stand in a prompt, in the same words."""
UNTIL_MS = 2_000
"""A limit whose end moved by less is the same limit."""


class Told(msgspec.Struct):
    """What was given to the core in this life of the daemon and may not be in the state yet."""

    turn: int = 0
    asks: set[str] = set()
    gone: set[str] = set()
    receipts: set[str] = set()
    prompts: set[int] = set()
    """Moments of prompts that were the receipt of a message."""
    conversation: str = ""
    cause: str | None = None
    until: int = 0
    spent: Spending = Spending()


def inputs(watch: Watch, verdict: Verdict, attempt: Attempt, agent: AgentSettings, told: Told) -> Iterator[i.Input]:
    """What the core does not know yet of this session."""
    yield from _conversation(watch, attempt, told)
    turn_over = list(_turn(watch, verdict, attempt, told))
    yield from _usage(watch, attempt, agent, told, whole=bool(turn_over))
    yield from turn_over
    yield from _asks(watch, attempt, told)
    yield from _receipts(watch, attempt, told)
    yield from _health(verdict, attempt, told)


def _conversation(watch: Watch, attempt: Attempt, told: Told) -> Iterator[i.Input]:
    """The conversation's name, once the core knows of which kind the session is: what is told here repeats that."""
    name = watch.conversation
    if name and attempt.channel and name not in (attempt.conversation, told.conversation):
        told.conversation = name
        yield i.ConversationSeen(attempt=attempt.attempt, conversation=name, channel=attempt.channel,
                                 interactive=attempt.interactive, metered=attempt.metered)


def _turn(watch: Watch, verdict: Verdict, attempt: Attempt, told: Told) -> Iterator[i.Input]:
    """A turn is over when what it left running in the background is over too."""
    turn = watch.turn
    if not attempt.interactive or turn.open or turn.number <= max(attempt.turns, told.turn):
        return
    if turn.background and verdict.health == "background":
        return
    told.turn = turn.number
    yield i.TurnOver(attempt=attempt.attempt, turn=turn.number, text=turn.text, trouble=turn.trouble, until=turn.until)


def _asks(watch: Watch, attempt: Attempt, told: Told) -> Iterator[i.Input]:
    known = {ask.ask for ask in attempt.open_asks}
    standing = {ask.ask for ask in watch.asks}
    for ask in watch.asks:
        if ask.ask not in told.asks:
            told.asks.add(ask.ask)
            if ask.ask not in known:
                yield i.AskSeen(
                    attempt=attempt.attempt, ask=ask.ask, tool=ask.tool, deed=ask.deed, target=ask.target, paths=ask.paths,
                    text=(ask.text or "it asks something that its channel does not tell") if ask.question else "",
                    options=ask.options, answerable=ask.answerable,
                )
    how = dict(watch.settled)
    for name in (told.asks | set(how)) - standing - told.gone:
        if name in known or name in told.asks:
            told.gone.add(name)
            yield i.AskGone(attempt=attempt.attempt, ask=name, how=how.get(name, ""))


def _receipts(watch: Watch, attempt: Attempt, told: Told) -> Iterator[i.Input]:
    """A prompt that begins with a message's words, and came after it, is its receipt: one prompt for one message."""
    for message in attempt.outbox:
        if message.message in told.receipts:
            continue
        words = " ".join(message.text.split())[:RECEIPT_CHARACTERS]
        for at, prompt in watch.turn.prompts:
            if at >= message.at and at not in told.prompts and words and _begins(" ".join(prompt.split()), words):
                told.prompts.add(at)
                told.receipts.add(message.message)
                yield i.ReceiptSeen(attempt=attempt.attempt, message=message.message, how=watch.turn.source)
                break


def _begins(prompt: str, words: str) -> bool:
    """Whether they are the same words, as far as both were kept."""
    kept = min(len(prompt), len(words))
    return (kept == len(words) or kept >= 60) and prompt[:kept] == words[:kept]


def _health(verdict: Verdict, attempt: Attempt, told: Told) -> Iterator[i.Input]:
    """That a cause began to stand, went, or ends at another time. An ask is told as an ask."""
    cause = "" if verdict.cause in NO_LADDER else verdict.cause
    known = attempt.stuck.cause if attempt.stuck else ""
    before = known if told.cause is None else told.cause
    until = told.until if told.cause is not None else (attempt.stuck.until if attempt.stuck else 0)
    if cause != before or (cause and abs(verdict.until - until) > UNTIL_MS):
        told.cause, told.until = cause, verdict.until
        yield i.HealthSeen(attempt=attempt.attempt, verdict=verdict)


# --- spending --------------------------------------------------------------------------------------------------------


def _usage(watch: Watch, attempt: Attempt, agent: AgentSettings, told: Told, *, whole: bool) -> Iterator[i.Input]:
    total = watch.usage
    if not total.metered:
        return
    now, before = sitting_total(total, agent, attempt.spent_before), attempt.spent_before
    known = max(attempt.spent, told.spent, before, key=lambda one: (one.tokens, one.usd, one.requests))
    new = now.usd - known.usd >= STEP_USD or now.tokens - known.tokens >= STEP_TOKENS
    if new or (whole and (now.tokens, now.usd, now.requests) > (known.tokens, known.usd, known.requests)):
        told.spent = now
        yield i.UsageSeen(attempt=attempt.attempt, input=now.input, output=now.output, cache_read=now.cache_read,
                          cache_write=now.cache_write, usd=now.usd, metered=now.metered, requests=now.requests)


def last_usage(watch: Watch, attempt: Attempt, agent: AgentSettings, told: Told) -> Iterator[i.Input]:
    """What is left to tell when the session is over."""
    return _usage(watch, attempt, agent, told, whole=True)


def sitting_total(total: Total, agent: AgentSettings, before: Spending) -> Spending:
    """The spending over all sittings; dollars are the agent's own figure, else counted by the settings' prices."""
    usd = sum(priced(one, agent) for one in total.models) if total.models else total.usd or 0.0
    return Spending(
        input=before.input + total.input, output=before.output + total.output, cache_read=before.cache_read + total.cache_read,
        cache_write=before.cache_write + total.cache_write, usd=before.usd + usd, metered=total.metered,
        requests=before.requests + total.requests,
    )


def priced(usage: Usage, agent: AgentSettings) -> float:
    """Dollars for these tokens: as told, else by the price of the model whose name begins so; 0 where no price is known."""
    if usage.usd is not None:
        return usage.usd
    names = [name for name in agent.prices if usage.model.startswith(name)]
    if not names:
        return 0.0
    price: Price = agent.prices[max(names, key=len)]
    return (usage.input * price.input + usage.output * price.output + usage.cache_read * price.cache_read
            + usage.cache_write * price.cache_write) / 1_000_000
