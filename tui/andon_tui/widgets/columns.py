"""Lays lanes of cards side by side into one screenful of rows, and says what lies where. Pure; must never know a mouse."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from andon.schema.views import TaskView
from andon_tui.draw import Row, Span, between, fit, pad, row
from andon_tui.model import DONE, QUEUED, Lane

GAP = 1
LEAST = 18
"""Cells that a lane with tasks needs."""
EMPTY = 11
"""Cells of a lane without tasks."""
HEAD = 2
"""Rows of a lane's head."""

Draw = Callable[[TaskView, int, bool, bool], tuple[Row, ...]]
"""The rows of a task's card: task, width, chosen, dense."""


class Spot(NamedTuple):
    """Where a card lies."""

    left: int
    right: int
    top: int
    bottom: int
    task: str
    lane: int


class Column(NamedTuple):
    """One lane, drawn."""

    rows: list[Row]
    spots: list[tuple[int, int, str]]
    """(top, bottom, task)"""
    offset: int
    """The first card that is shown."""


class Drawn(NamedTuple):
    """A screenful."""

    rows: list[Row]
    spots: list[Spot]
    offsets: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    """Left and right edge of each lane."""


def wants(lanes: Sequence[Lane]) -> int:
    """Cells that these lanes need side by side."""
    return sum(LEAST if lane.tasks else EMPTY for lane in lanes) + GAP * (len(lanes) - 1)


def widths(lanes: Sequence[Lane], width: int) -> list[int]:
    """Cells of each lane: empty lanes stay slim, the others share what is left."""
    full = [n for n, lane in enumerate(lanes) if lane.tasks]
    if not full:
        return [(width - GAP * (len(lanes) - 1)) // len(lanes)] * len(lanes)
    out = [LEAST if lane.tasks else EMPTY for lane in lanes]
    spare = max(0, width - GAP * (len(lanes) - 1) - sum(out))
    weights = {n: 2 if lanes[n].name in (QUEUED, DONE) else 3 for n in full}
    total = sum(weights.values())
    for n in full:
        out[n] += spare * weights[n] // total
    left = max(0, width - GAP * (len(lanes) - 1) - sum(out))
    for n in full[:left]:
        out[n] += 1
    return out


def column(lane: Lane, width: int, height: int, chosen: str, offset: int, follow: bool, draw: Draw, gap: bool) -> Column:
    """One lane in `height` rows. `follow`: scroll so that the chosen card is in sight."""
    drawn = _draw(lane, width, height, chosen, draw, gap)
    offset = max(0, min(offset, len(drawn) - 1))
    at = next((n for n, (task, _) in enumerate(drawn) if task == chosen), -1)
    if follow and at >= 0:
        offset = min(offset, at)
        while offset < at and _last(drawn, offset, height, gap) < at:
            offset += 1
    while offset > 0 and _last(drawn, offset - 1, height, gap) == len(drawn) - 1:
        offset -= 1
    last = _last(drawn, offset, height, gap)
    rows: list[Row] = []
    spots: list[tuple[int, int, str]] = []
    if offset:
        rows.append(pad(row(Span(f"↑ {offset} more", "dim")), width))
    for task, lines in drawn[offset : last + 1]:
        spots.append((len(rows), len(rows) + len(lines), task))
        rows += lines
        if gap:
            rows.append(pad((), width))
    rows = rows[: height - 1] if last < len(drawn) - 1 else rows[:height]
    rows += [pad((), width)] * (height - len(rows))
    if last < len(drawn) - 1:
        rows[height - 1] = pad(row(Span(f"+{len(drawn) - 1 - last} more", "dim")), width)
    return Column(rows, spots, offset)


def _draw(lane: Lane, width: int, height: int, chosen: str, draw: Draw, gap: bool) -> list[tuple[str, tuple[Row, ...]]]:
    """All cards, in full when they fit; else dense."""
    full: list[tuple[str, tuple[Row, ...]]] = []
    used = 0
    for task in lane.tasks:
        rows = draw(task, width, task.task == chosen, False)
        used += len(rows) + gap
        if used - gap > height:
            return [(str(each.task), draw(each, width, each.task == chosen, True)) for each in lane.tasks]
        full.append((str(task.task), rows))
    return full


def _last(drawn: list[tuple[str, tuple[Row, ...]]], offset: int, height: int, gap: bool) -> int:
    """The last card that is shown whole when the first is `offset`; at least that one."""
    used = 1 if offset else 0
    for n in range(offset, len(drawn)):
        used += len(drawn[n][1])
        foot = 1 if n < len(drawn) - 1 else 0
        if used + foot > height:
            return max(offset, n - 1)
        used += 1 if gap else 0
    return len(drawn) - 1


def head(lane: Lane, width: int, *, current: bool) -> list[Row]:
    """Name and number of a lane over a rule."""
    count = f"{len(lane.tasks)}/{lane.wip}" if lane.wip else str(len(lane.tasks))
    waits = sum(1 for task in lane.tasks if task.attention)
    right = row(Span(f"!{waits} ", "asking") if waits else "", Span(count, "" if lane.tasks else "dim"))
    name = Span(fit(lane.name, max(3, width - 5)), "strong" if current else "" if lane.tasks else "dim")
    rule = Span("━" * width, "accent") if current else Span("─" * width, "rule")
    return [pad(between(row(name), right, width), width), row(rule)]


def screenful(
    lanes: Sequence[Lane], width: int, height: int, *, chosen: str, offsets: Sequence[int], follow: bool, draw: Draw,
) -> Drawn:
    """All lanes side by side in exactly `height` rows."""
    sizes = widths(lanes, width)
    rows: list[list[Span]] = [[] for _ in range(height)]
    spots: list[Spot] = []
    kept: list[int] = []
    bounds: list[tuple[int, int]] = []
    left = 0
    for n, (lane, size) in enumerate(zip(lanes, sizes, strict=True)):
        current = any(task.task == chosen for task in lane.tasks)
        body = column(lane, size, max(1, height - HEAD), chosen, offsets[n] if n < len(offsets) else 0, follow, draw, gap=True)
        for y, spans in enumerate([*head(lane, size, current=current), *body.rows][:height]):
            rows[y] += [Span(" " * GAP), *spans] if n else spans
        spots += [Spot(left, left + size, top + HEAD, bottom + HEAD, task, n) for top, bottom, task in body.spots]
        kept.append(body.offset)
        bounds.append((left, left + size))
        left += size + GAP
    return Drawn([tuple(each) for each in rows], spots, tuple(kept), tuple(bounds))
