"""Repetition that means something: the same call with the same result, short cycles, edits that go back, endless compaction.

Knows nothing of time but how long a call took: a call that takes long waits for something, and waiting is no loop.
"""

import re

from andon.schema.rules import Thresholds

from .facts import Loop, Shortening, Tool

WAITS_MS = 10_000
"""A call that takes longer than this waits for something outside: a build, a queue."""
LOST = "lost"
"""Stands for the result of a call whose end was never told."""
NEAR = 6
"""An edit this many calls ago is still what the agent is about."""
PATIENCE = 10
"""Such calls may be repeated this many times more often."""
BLIND = 4
"""So many times more repetitions are wanted where results differ or are not told."""
_EDITS = re.compile(r"edit|write|patch|replace|create|update", re.IGNORECASE)


def repeated(calls: tuple[Tool, ...], limits: Thresholds, helpers: int) -> Loop | None:
    """The loop in which the latest calls are, if any. With helpers at work, equal calls may be theirs, side by side."""
    if not calls or not calls[-1].digest:
        return None
    return _same(calls, limits, helpers) or _cycle(calls, limits, helpers) or _reverts(calls, limits)


def _same(calls: tuple[Tool, ...], limits: Thresholds, helpers: int) -> Loop | None:
    last = calls[-1]
    row = alike = 0
    equal = bool(last.result) and last.result != LOST
    slow = False
    for call in reversed(calls):
        if call.digest != last.digest:
            break
        row += 1
        equal = equal and alike_results(call, last)
        alike += equal
        slow = slow or call.ended - call.began >= WAITS_MS
    wanted = max(2, limits.same_calls) * (1 + helpers) * (PATIENCE if slow else 1)
    if alike >= wanted:
        return _loop(calls[-alike:], "same-calls", f"{_named(last)} ran {alike} times in a row with the same result")
    if row >= min(wanted * BLIND, len(calls)) and row >= min(wanted * BLIND, 40) and not slow:
        return _loop(calls[-row:], "same-calls-blind", f"{_named(last)} ran {row} times in a row")
    return None


def _cycle(calls: tuple[Tool, ...], limits: Thresholds, helpers: int) -> Loop | None:
    rounds = max(2, limits.same_cycle) * (1 + helpers)
    for period in (2, 3, 4):
        size = period * rounds
        if len(calls) < size:
            return None
        tail = calls[-size:]
        steady = all(one.digest == two.digest and alike_results(one, two) and one.result and one.digest
                     for one, two in zip(tail, tail[period:], strict=False))
        if steady and len({one.digest for one in tail[:period]}) > 1 and not any(one.ended - one.began >= WAITS_MS for one in tail):
            names = ", ".join(_named(one) for one in tail[:period])
            if edited(tail[:period]):
                return Loop(kind="thrash", rule="edits-revert", because=f"{rounds} rounds of the same edits: {names}",
                            since=tail[-1].ended, digests=tuple(one.digest for one in tail[:period]))
            return _loop(tail, "same-cycle", f"{rounds} rounds of the same {period} calls: {names}", period)
    return None


def alike_results(one: Tool, two: Tool) -> bool:
    """Whether two calls came to the same; of one whose end was never told, nobody knows otherwise."""
    return one.result == two.result or LOST in (one.result, two.result)


def edited(calls: tuple[Tool, ...]) -> bool:
    """Whether two different edits of one file are among them: each takes back the other."""
    seen = [(one.target, one.digest) for one in calls if one.target and _EDITS.search(one.name)]
    return len({target for target, _ in seen}) < len(set(seen))


def _reverts(calls: tuple[Tool, ...], limits: Thresholds) -> Loop | None:
    """Edits of the latest file that had been made before, with another edit of it in between."""
    last = next((one for one in reversed(calls[-NEAR:]) if one.target and _EDITS.search(one.name)), None)
    if last is None:
        return None
    past = [one for one in calls if one.target == last.target and one.ok and one.digest and _EDITS.search(one.name)]
    seen: set[str] = set()
    before, back = "", 0
    for one in past:
        back += one.digest in seen and one.digest != before
        seen.add(one.digest)
        before = one.digest
    if back < max(1, limits.reverts):
        return None
    return Loop(kind="thrash", rule="edits-revert", because=f"{last.target} went back {back} times to what it had been",
                since=last.ended, digests=())


def compactions(short: Shortening, limits: Thresholds, at: int) -> Loop | None:
    """Endless compaction: several of them in a while, and no tool in between."""
    row = [one for one in short.at if at - one <= limits.compaction_s * 1000]
    wanted = max(2, limits.compactions) * (1 if short.done else 3)
    if len(row) < wanted:
        return None
    return Loop(kind="compaction-loop", rule="compactions", since=row[-1],
                because=f"compacted {len(row)} times in {max(1, (row[-1] - row[0]) // 1000)} s without a tool call in between")


def requests(row: tuple[tuple[str, int], ...], limits: Thresholds) -> Loop | None:
    """The same model call again and again, for agents whose tools are not told."""
    if not row or not row[-1][0]:
        return None
    count = 0
    for digest, _ in reversed(row):
        if digest != row[-1][0]:
            break
        count += 1
    wanted = max(2, limits.same_calls) + 2
    if count < wanted or row[-1][1] - row[-count][1] > count * WAITS_MS:
        return None
    return Loop(kind="tool-loop", rule="same-requests", since=row[-1][1], because=f"the same model call {count} times in a row")


def _loop(calls: tuple[Tool, ...], rule: str, because: str, period: int = 1) -> Loop:
    return Loop(kind="tool-loop", rule=rule, because=because, since=calls[-1].ended,
                digests=tuple(one.digest for one in calls[-period:]))


def _named(tool: Tool) -> str:
    return f"{tool.name or 'a tool'}({tool.target[:60]})" if tool.target else tool.name or "a tool"
