"""What a merge queue proves right now: each proof as a bar of its members, in queue order. Pure drawing; must never decide.

Theory of operation. All bars share one row of columns, a column a change, so that a longer prefix is a longer bar and a change that
is left out is a gap. A member of the smallest failing prefix stands in square brackets, the suspect behind an exclamation mark.
Where the names of one bar do not fit, all bars have one sign a change.
"""

from collections.abc import Sequence
from typing import NamedTuple

from andon.schema.ids import TaskId
from andon.schema.views import ProofView, QueueView
from andon_tui import palette
from andon_tui.clock import Clock, coarse
from andon_tui.draw import Row, Span, between, cells, row
from andon_tui.safe import safe

BAR = 8
"""Cells of a bar of time."""
BRACKET_LIMIT = 6
"""Members of the smallest failing prefix that are named in words."""
LATE = 1.5
"""Times the expected length from which a proof is late."""
CHECKS_LIMIT = 8
"""Checks of a proof that its row tells."""
WHY = {"prefix": "prefix", "confirm": "alone", "without": "without", "apart": "apart"}
"""Why members are proved together, in a word of at most seven cells."""
ALONE = ("confirm", "apart")
"""Proofs without those before: no gap tells of them."""
HEAD = 14
"""Cells before the members."""


class Shape(NamedTuple):
    """How much the rows of proofs tell."""

    by_name: bool
    """Members by name, not a sign each."""
    named: bool
    """Checks by name, not by sign alone."""
    tree: bool
    bar: bool
    """Time also as a bar."""


SHAPES = (
    Shape(True, True, True, True), Shape(True, False, True, True), Shape(True, False, True, False),
    Shape(True, False, False, False), Shape(False, True, True, True), Shape(False, False, True, True),
    Shape(False, False, True, False), Shape(False, False, False, False),
)
"""The richest first. Names of members are worth more than anything beside them."""


def strip(queue: QueueView, order: Sequence[TaskId], clock: Clock, width: int, limit: int) -> list[Row]:
    """All proofs and what is known of the culprit, in at most `limit` rows."""
    told = bracket(queue)
    known = columns_of(queue.proving, order)
    room = max(1, limit - len(told))
    shown = queue.proving if len(queue.proving) <= room else queue.proving[: room - 1]
    shape = _shape(queue, shown, known, clock, width)
    rows = [_proof(queue, proof, known, clock, width, shape) for proof in shown]
    if len(shown) < len(queue.proving):
        rows.append(row(Span(f" + {len(queue.proving) - len(shown)} more proofs", "dim")))
    return [*rows, *told][:limit]


def columns_of(proving: Sequence[ProofView], order: Sequence[TaskId]) -> list[TaskId]:
    """All members of these proofs, a column each: in queue order, then those that the queue no longer names."""
    inside = dict.fromkeys(task for proof in proving for task in proof.members)
    return [*(task for task in order if task in inside), *(task for task in inside if task not in order)]


def bracket(queue: QueueView) -> list[Row]:
    """Who may be the culprit, in words; nothing when nothing fails."""
    if not queue.bracket:
        return []
    shown = " ".join(queue.bracket)
    if len(queue.bracket) > BRACKET_LIMIT:
        shown = f"the {len(queue.bracket)} from {queue.bracket[0]} to {queue.bracket[-1]}"
    one = f"one of {shown} is the culprit" if len(queue.bracket) > 1 else f"{shown} fails"
    confirmed = any(proof.why == "confirm" for proof in queue.proving)
    alone = f" · {queue.suspect} is {'proved once more, alone' if confirmed else 'suspected'}" if queue.suspect else ""
    return [row(Span(" ! ", "asking"), Span(f"{one}{alone}", "ask"))]


def members(queue: QueueView, proof: ProofView, order: Sequence[TaskId], width: int, *, by_name: bool) -> Row:
    """The bar of members: each by name, or by a sign as far as `width` cells reach, and then how many they are."""
    last = _last(proof, order)
    if by_name:
        size = _size(queue, order)
        return row([_cell(queue, proof, task, size) for task in order[:last]])
    inside = [task for task in order if task in proof.members]
    named = Span(f" {inside[0]}…{inside[-1]} {len(inside)}" if inside else "", "dim")
    room = max(1, width - cells((named,)))
    spans = [_sign(queue, proof, task) for task in order[: min(last, room)]]
    return row(_joined(spans), named)


def fits(queue: QueueView, order: Sequence[TaskId], width: int) -> bool:
    """Whether these members fit by name."""
    return _size(queue, order) * len(order) <= width


def _last(proof: ProofView, order: Sequence[TaskId]) -> int:
    """Columns up to its last member."""
    return max((n for n, task in enumerate(order, 1) if task in proof.members), default=0)


def _size(queue: QueueView, order: Sequence[TaskId]) -> int:
    """Cells of a member's name with its brackets."""
    return max((len(task) for task in order), default=2) + (3 if queue.suspect in order else 2)


def _cell(queue: QueueView, proof: ProofView, task: TaskId, size: int) -> Span:
    if task not in proof.members:
        return Span(("" if proof.why in ALONE else "·").center(size))
    suspect, inside = task == queue.suspect, task in queue.bracket
    text = f"{'[' if inside else ' '}{'!' if suspect else ''}{task}{']' if inside else ' '}".ljust(size)
    return Span(text, _ink(suspect, inside), "card")


def _sign(queue: QueueView, proof: ProofView, task: TaskId) -> Span:
    """A member in one cell: `!` the suspect, `□` in the smallest failing prefix, `▪` any other, `·` left out."""
    if task not in proof.members:
        return Span(" " if proof.why in ALONE else "·")
    suspect, inside = task == queue.suspect, task in queue.bracket
    return Span("!" if suspect else "□" if inside else "▪", _ink(suspect, inside))


def _ink(suspect: bool, inside: bool) -> str:
    return "asking" if suspect else "ask" if inside else "run"


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one ink as one span."""
    out: list[Span] = []
    for span in spans:
        if out and out[-1].ink == span.ink:
            out[-1] = out[-1]._replace(text=out[-1].text + span.text)
        else:
            out.append(span)
    return out


def _shape(queue: QueueView, shown: Sequence[ProofView], order: Sequence[TaskId], clock: Clock, width: int) -> Shape:
    """The first shape in which every bar fits: all rows have the same."""
    for shape in SHAPES:
        if all(_wants(queue, proof, order, width, shape) <= _room(proof, clock, width, shape) for proof in shown):
            return shape
    return SHAPES[-1]


def _wants(queue: QueueView, proof: ProofView, order: Sequence[TaskId], width: int, shape: Shape) -> int:
    """Cells that its members take."""
    return cells(members(queue, proof, order, width, by_name=shape.by_name))


def _room(proof: ProofView, clock: Clock, width: int, shape: Shape) -> int:
    """Cells for the members."""
    return width - HEAD - cells(_right(proof, clock, shape)) - 1


def _proof(queue: QueueView, proof: ProofView, order: Sequence[TaskId], clock: Clock, width: int, shape: Shape) -> Row:
    head = row(Span(f" {proof.landing:<4} ", "strong"), Span(f"{WHY[proof.why]:<7} ", "dim"))
    bar = members(queue, proof, order, _room(proof, clock, width, shape), by_name=shape.by_name)
    return between(row(head, bar), _right(proof, clock, shape), width)


def _right(proof: ProofView, clock: Clock, shape: Shape) -> Row:
    """Checks, tree and time."""
    spans: list[Span] = []
    for check, _, state in proof.runs[:CHECKS_LIMIT]:
        look = palette.check(state)
        spans.append(Span(f" {look.glyph} {safe(check)}" if shape.named else f" {look.glyph}", look.ink))
    if shape.tree:
        spans.append(Span(f"  tree {proof.tree[:8]}" if proof.tree else "  merging …", "dim"))
    return row(spans, "  ", time(proof, clock, bar=shape.bar), " ")


def time(proof: ProofView, clock: Clock, *, bar: bool = True) -> Row:
    """How long it runs, of how long it should take; as a bar too."""
    age = clock.age(proof.since)
    if not age:
        return row(Span("starts", "dim"))
    if not proof.expected_s:
        return row(Span(age, "dim"))
    share = (clock.now() - proof.since) / 1000 / proof.expected_s
    full = max(0, min(BAR, int(share * BAR)))
    ink = "ask" if share >= LATE else "run"
    late = " late" if share >= LATE else ""
    drawn = row(Span("━" * full, ink), Span("╌" * (BAR - full), "rule"), " ") if bar else ()
    return row(drawn, Span(f"{age} of ~{coarse(round(proof.expected_s * 1000))}{late}", ink if late else "dim"))
