"""A line for each merge queue: where its trunk is, whether it lands, how fast. Must never know the app."""

from collections.abc import Sequence

from textual import events
from textual.message import Message

from andon.schema.views import QueueView
from andon_tui.clock import coarse
from andon_tui.draw import Row, Span, between, cut, on, pad, row
from andon_tui.safe import safe
from andon_tui.widgets.painted import Rows

ROOMY = 100
"""Cells from which a line spells out its words."""
LIMIT = 4
"""Queues that have a line of their own; the others are a key away."""


def tall(widget: Rows, height: int) -> None:
    """Give a line widget this height, 0 hides it; costs nothing when it has it."""
    if widget.styles.height is None or widget.styles.height.value != height or widget.display != bool(height):
        widget.styles.height = height
        widget.display = bool(height)


def titled(widget: Rows, title: str) -> None:
    """Give a line widget this title; costs nothing when it has it. The title may hold anything: it is not read as markup."""
    plain = safe(title).replace("[", "(").replace("]", ")")
    if widget.border_title != plain:
        widget.border_title = plain


class Heads(Rows, can_focus=False):
    """The queues, the shown one marked."""

    class Chosen(Message):
        """A queue was clicked."""

        def __init__(self, repo: str) -> None:
            super().__init__()
            self.repo = repo

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._repos: list[str] = []

    def tell(self, queues: Sequence[QueueView], chosen: QueueView | None) -> None:
        """Show these."""
        at = next((n for n, queue in enumerate(queues) if chosen and queue.repo == chosen.repo), 0)
        start = max(0, min(at - LIMIT // 2, len(queues) - LIMIT))
        shown = queues[start : start + LIMIT]
        self._repos = [queue.repo for queue in shown]
        width = self.size.width
        rows = [head(queue, width, chosen=len(queues) > 1 and queue is chosen, others=len(queues) - len(shown)) for queue in shown]
        if chosen is not None:
            rows.append(cut(figures(chosen), width))
        tall(self, len(rows))
        self.show(rows)

    def on_click(self, event: events.Click) -> None:
        """A click on a line shows that queue."""
        if event.y < len(self._repos):
            self.post_message(self.Chosen(self._repos[event.y]))


def head(queue: QueueView, width: int, *, chosen: bool, others: int) -> Row:
    """One queue in one row."""
    mark = Span("▸", "accent") if chosen else Span(" ")
    if queue.held:
        state = Span("■ held", "failing")
    elif queue.red:
        state = Span("✗ target is red", "failing")
    elif queue.bracket:
        state = Span("! looks for a culprit", "ask")
    else:
        state = Span("● proves" if queue.proving else "○ rests", "run" if queue.proving else "dim")
    left = row(mark, Span(safe(queue.repo), "strong"), Span(f"  {safe(queue.target)} at {queue.trunk[:8]}  ", "dim"), state)
    waits = f"{queue.entries} {'waits' if queue.entries == 1 else 'wait'} · " if queue.entries else "none waits · "
    slots = f"{queue.slots} {'slot' if queue.slots == 1 else 'slots'} · "
    hour = f"{queue.flow.landed_hour} landed this hour" if width >= ROOMY else f"{queue.flow.landed_hour}/h"
    more = Span(f"+{others} queues ", "accent") if others else Span("")
    right = row(Span(f"{waits}{slots}{hour} ", "dim"), more)
    spans = pad(between(left, right, width), width)
    return on(spans, "selected") if chosen else spans


def figures(queue: QueueView) -> Row:
    """How the shown queue does; what is not known is not told."""
    flow = queue.flow
    parts = [f"lands by {safe(queue.land)}, {safe(queue.history)}", f"{flow.landed} landed, {flow.sent_back} sent back"]
    parts += [f"{flow.per_landed:.2f} proofs a change"] if flow.per_landed else []
    parts += [f"a proof takes {coarse(round(flow.proof_s * 1000))}"] if flow.proof_s else []
    parts += [f"{flow.failing:.1%} fail, {flow.flaking:.1%} flake"] if flow.failing or flow.flaking else []
    parts += [f"{flow.wasted} of {flow.proofs} proofs wasted"] if flow.wasted else []
    parts += [f"{len(queue.flaky)} flaky {'test' if len(queue.flaky) == 1 else 'tests'} excused"] if queue.flaky else []
    parts += [safe(queue.published)] if queue.published else []
    return row(Span(f" {' · '.join(parts)}", "dim"))
