"""One task as a card: a few rows that say what it is, how it goes and why. Pure drawing; must never decide anything."""

from collections.abc import Sequence

from andon.schema.views import ClaimCell, TaskView
from andon_tui import palette
from andon_tui.draw import Row, Span, between, cells, columns, cut, fit, on, pad, row, wrap
from andon_tui.model import OVER
from andon_tui.safe import safe

ROOMY = 22
"""Cells from which a card has a margin on the right."""
LEAST_WORDS = 10
"""Fewer cells than this tell nothing."""


def claim_cells(claims: Sequence[ClaimCell]) -> list[Row]:
    """Claims as cells: a glyph and the claim's name."""
    cellsrow = []
    for each in claims:
        look = palette.claim(each.status)
        cellsrow.append(row(Span(f"{look.glyph} {safe(each.claim)}", look.ink)))
    return cellsrow


def glyphs(claims: Sequence[ClaimCell]) -> Row:
    """Claims as glyphs alone, in their order: for one-line cards, where the panel below tells the words."""
    return row([Span(palette.claim(each.status).glyph, palette.claim(each.status).ink) for each in claims[:6]])


def status(task: TaskView) -> Row:
    """How the attempt goes: health, agent, attempt; walls that are weaker than strict."""
    parts: list[Span] = []
    if task.health:
        look = palette.health(task.health)
        parts.append(Span(f"{look.glyph} {look.word}", look.ink))
    if task.agent and task.attempts:
        parts.append(Span(safe(task.agent), "dim"))
    if task.attempts > 1:
        parts.append(Span(f"try {task.attempts}", "ask"))
    if task.walls not in ("", "strict"):
        parts.append(Span(f"walls: {task.walls}", "ask"))
    spans: list[Span] = []
    for part in parts:
        spans += [Span(" · ", "dim"), part] if spans else [part]
    return row(spans)


def reason(task: TaskView) -> Row:
    """Why it stands, in one line: what it wants of a person first."""
    if task.attention:
        return row(Span("! ", "asking"), Span(safe(task.attention), "asking"))
    if task.why and task.state not in OVER:
        return row(Span(safe(task.why[0]), "dim"))
    return ()


def _mark(task: TaskView, chosen: bool) -> Span:
    if chosen:
        return Span("█", "accent")
    return Span("┃", "ask") if task.attention else Span("│", "rule")


def card(task: TaskView, age: str, width: int, *, chosen: bool, tall: bool, mark: Row = ()) -> tuple[Row, ...]:
    """The rows of a card, each exactly `width` cells, `mark` before its age. `tall`: with status, claims, words; else two rows."""
    margin = 1 if width >= ROOMY else 0
    inner = width - 2 - margin
    look = palette.state(task.state)
    name = row(Span(look.glyph, look.ink), " ", Span(task.task, "strong"), " ", Span(look.word, look.ink))
    body: list[Row] = [between(name, row(mark, " " if mark else "", Span(age, "dim")), inner)]
    ink = "strong" if chosen else ""
    body += [row(Span(line, ink)) for line in wrap(safe(task.title), inner, 2 if tall else 1)]
    why = reason(task)
    if tall:
        body += [each for each in (status(task),) if each]
        body += [row(Span(line, why[-1].ink)) for line in wrap("".join(span.text for span in why), inner, 2)] if why else []
        body += columns(claim_cells(task.claims), inner, "  ")
        if task.says and not task.attention and task.state not in OVER:
            body.append(row(Span(fit(f"“{safe(task.says)}”", inner), "said")))
    elif why:
        body.append(why)
    ground = "selected" if chosen else "card"
    return tuple(on(row(_mark(task, chosen), " ", pad(cut(each, inner), inner), " " * margin), ground) for each in body)


def line(task: TaskView, station: str, age: str, width: int, *, chosen: bool, mark: Row = ()) -> tuple[Row, ...]:
    """A card of one row for narrow screens: the station stands before it."""
    look = palette.state(task.state)
    cursor = Span("▸", "accent") if chosen else Span("!", "asking") if task.attention else Span(" ")
    head = row(cursor, " ", Span(f"{fit(station, 7):<7} ", "dim"), Span(look.glyph, look.ink), " ",
               Span(f"{task.task:<4} ", "strong"), Span(f"{look.word:<9} ", look.ink))
    marks = glyphs(task.claims)
    tail = row(mark, " " if mark else "", marks, " " * max(0, 7 - cells(marks)), Span(f"{age:>4} ", "dim"))
    title = Span(safe(task.title), "strong" if chosen else "")
    room = width - cells((*head, title)) - cells(tail) - 3
    words = row("  ", Span(fit(safe(task.attention), room), "asking")) if task.attention and room >= LEAST_WORDS else ()
    body = between(row(head, title, words), tail, width)
    return (on(body, "selected") if chosen else body,)
