"""Changes of a merge queue in rows: in the list, on a page, and the pairs that will collide. Pure drawing; must never decide."""

from collections.abc import Sequence

from andon.schema.ids import TaskId
from andon.schema.landing_events import Hunk
from andon.schema.views import ClashView, EntryView, QueueView, TaskView
from andon_tui import palette
from andon_tui.clock import Clock
from andon_tui.draw import Row, Span, between, cells, columns, cut, paragraph, row, wrap
from andon_tui.safe import safe
from andon_tui.widgets import proofs
from andon_tui.widgets.cards import claim_cells
from andon_tui.widgets.listing import GUTTER

HUNKS_LIMIT = 20
"""Places of one clash that a page shows: as many as a clash holds."""
MINUTE = 60_000
MEANING = {
    "hot": "they do not merge: whoever lands second has to be done again on top of the other",
    "soft": "they merge, and change the same file or the same contract: each may be right only without the other",
}


def marks(clashes: Sequence[ClashView]) -> Row:
    """With how many others a change will collide, by the worse kind; nothing when with none."""
    if not clashes:
        return ()
    look = palette.clash("hot" if any(clash.kind == "hot" for clash in clashes) else "soft")
    return row(Span(f"{look.glyph}{len(clashes) if len(clashes) > 1 else ''}", look.ink))


def warning(task: str, clash: ClashView, width: int) -> Row:
    """With whom a change will collide, and where first, in one row."""
    look = palette.clash(clash.kind)
    other = clash.other if clash.one == task else clash.one
    more = f" +{len(clash.hunks) - 1}" if len(clash.hunks) > 1 else ""
    head = f"{look.glyph} meets {other}: {look.word}"
    where = f" · {place(clash.hunks[0], max(16, width - len(head) - 8))}{more}" if clash.hunks else ""
    return cut(row(Span(head, look.ink), Span(where, "dim")), width)


def expected(entry: EntryView, clock: Clock) -> str:
    """When it may land: to the minute, as nobody knows better."""
    if not entry.expected_at:
        return ""
    clock.age(clock.now() - MINUTE)  # told times are drawn again like ages
    minutes = -(-max(0, entry.expected_at - clock.now()) // MINUTE)
    return "soon" if not minutes else f"~{minutes}m" if minutes < 90 else f"~{round(minutes / 60)}h"


def line(entry: EntryView, clashes: Sequence[ClashView], clock: Clock, width: int, *, tall: bool) -> tuple[Row, ...]:
    """A change in the list: one row, and with `tall` another with its reason."""
    look = palette.entry(entry.state)
    place = f"{entry.position:>2}" if entry.position else " -"
    undone = Span(f"takes {entry.reverts} back: ", "ask") if entry.reverts else Span("")
    head = row(GUTTER, Span(f"{place} ", "dim"), Span(f"{look.glyph} {look.word:<10} ", look.ink),
               Span(f"{entry.task:<4} ", "strong"), undone, safe(entry.title))
    meets = marks(clashes)
    lands = Span(f" {expected(entry, clock):>5}", "accent")
    right = row(" " * max(0, 2 - cells(meets)), meets, lands, Span(f" {clock.age(entry.since):>4} ", "dim"))
    first = between(head, right, width)
    if not tall:
        return (first,)
    agent = row(Span(f"{safe(entry.agent)} ", "dim"))
    return first, between(row(GUTTER, " " * 5, Span(safe(entry.why), "dim")), agent, width)


def landed(task: TaskView, clock: Clock, width: int, *, suspect: bool) -> tuple[Row, ...]:
    """A change that has landed lately."""
    look = palette.state("landed")
    named = Span("✗ likely broke it  ", "bad") if suspect else Span("")
    head = row(GUTTER, Span("   "), Span(f"{look.glyph} {look.word:<10} ", look.ink), Span(f"{task.task:<4} ", "strong"),
               named, Span(safe(task.title), "dim"))
    right = row(Span(f"{task.landed[:8]} ", "dim"), Span(f"{clock.age(task.since):>4} ", "dim"))
    return (between(head, right, width),)


def pair(clash: ClashView, clock: Clock, width: int) -> tuple[Row, ...]:
    """Two that meet, in the list of all pairs."""
    look = palette.clash(clash.kind)
    more = f" +{len(clash.hunks) - 1}" if len(clash.hunks) > 1 else ""
    where = f"{place(clash.hunks[0], max(16, width - 46))}{more}" if clash.hunks else ""
    head = row(GUTTER, Span(f"{look.glyph} ", look.ink), Span(f"{clash.one} {clash.other}", "strong"),
               Span(f"  {look.word}", look.ink), Span(f"  {where}", "dim"))
    titles = " · ".join(safe(title) for title in clash.titles if title)
    return between(head, row(Span(f"{clock.age(clash.since)} ", "dim")), width), cut(row(GUTTER, "  ", Span(titles, "dim")), width)


def place(hunk: Hunk, width: int = 10_000) -> str:
    """`path:line-line`, in at most about `width` cells: of a long path the end is kept."""
    span = f"-{hunk.line + hunk.count - 1}" if hunk.count > 1 else ""
    tail = f":{hunk.line}{span}" if hunk.line else ""
    tail += "" if hunk.kind == "content" else f" ({safe(hunk.kind)})"
    path = safe(hunk.path)
    room = max(4, width - len(tail))
    return (path if len(path) <= room else f"…{path[-(room - 1):]}") + tail


def about(
    entry: EntryView, queue: QueueView, task: TaskView | None, clashes: Sequence[ClashView], order: Sequence[EntryView],
    clock: Clock, width: int,
) -> list[Row]:
    """A change of the queue on a page."""
    look = palette.entry(entry.state)
    stands = f"{entry.position} of {sum(bool(each.position) for each in order)}" if entry.position else "not in line"
    lands = expected(entry, clock)
    right = stands + (f" · lands {'in ' if '~' in lands else ''}{lands}" if lands else "")
    head = row(Span(f" {entry.task} ", "strong"), Span(f" {look.glyph} {look.word}", look.ink))
    rows: list[Row] = [
        between(head, row(Span(right, "dim")), width),
        *(row(" ", Span(each, "strong")) for each in wrap(safe(entry.title), width - 1, 3)),
        *paragraph(safe(entry.why), width, "", " "),
    ]
    rows += [*_change(entry), *paragraph(_facts(entry, queue, clock), width, "dim", " ")]
    rows += _proved(entry, queue, [each.task for each in order], clock, width)
    rows += collisions(entry.task, clashes, width)
    if task is not None and task.claims:
        rows += [(), _head("claims"), *(row(" ", each) for each in columns(claim_cells(task.claims), width - 1, "  "))]
    return [cut(each, width) for each in rows]


def about_landed(task: TaskView, queue: QueueView, clock: Clock, width: int) -> list[Row]:
    """A landed change on a page."""
    head = row(Span(f" {task.task} ", "strong"), Span(" ✓ landed", "good"))
    rows = [
        between(head, row(Span(f"{clock.age(task.since)} ago", "dim")), width),
        *(row(" ", Span(each, "strong")) for each in wrap(safe(task.title), width - 1, 3)),
        row(Span(f" as {task.landed[:12]} on {safe(queue.target)}", "dim")),
        *(row(Span(f" ✗ named for {safe(red.check)}, which fails on {safe(queue.target)}", "bad"))
          for red in queue.red if task.task in red.suspects),
        (), *paragraph("U takes it back: as a new commit that is proved and lands like any other.", width, "accent", " "),
    ]
    return [cut(each, width) for each in rows]


def about_pair(clash: ClashView, clock: Clock, width: int) -> list[Row]:
    """A clash on a page."""
    look = palette.clash(clash.kind)
    rows: list[Row] = [
        between(row(Span(f" {look.glyph} {clash.one} {clash.other}", "strong"), Span(f"  {look.word}", look.ink)),
                row(Span(f"for {clock.age(clash.since)}", "dim")), width),
        *paragraph(MEANING[clash.kind], width, "dim", " "),
    ]
    for task, title in zip((clash.one, clash.other), clash.titles, strict=True):
        told = Span(" · its agent was told", "good") if task in clash.told else Span("")
        rows.append(row(Span(f" {task} ", "strong"), safe(title), told))
    rows += [(), _head("where"), *_hunks(clash, width)]
    return [cut(each, width) for each in rows]


def collisions(task: str, clashes: Sequence[ClashView], width: int) -> list[Row]:
    """With whom a change will collide, and where."""
    rows: list[Row] = [(), _head("will collide with")] if clashes else []
    for clash in clashes:
        look = palette.clash(clash.kind)
        first = clash.one == task
        other, title = (clash.other, clash.titles[1]) if first else (clash.one, clash.titles[0])
        told = "".join(f" · {each}'s agent was told" for each in clash.told)
        name = row(Span(f" {look.glyph} {other}", "strong"), Span(f" {look.word}", look.ink))
        rows.append(row(name, Span(f" {safe(title)}{told}", "dim")))
        rows += _hunks(clash, width)
    return rows


def _hunks(clash: ClashView, width: int) -> list[Row]:
    return [row("   ", Span(place(hunk, width - 4), "hunk")) for hunk in clash.hunks[:HUNKS_LIMIT]]


def _head(text: str) -> Row:
    return row(" ", Span(text, "accent"))


def _facts(entry: EntryView, queue: QueueView, clock: Clock) -> str:
    parts = [f"waits {clock.age(entry.since)}"] if entry.since else []
    parts += [f"by {safe(entry.agent)}"] if entry.agent else []
    parts += [f"takes {entry.reverts} back"] if entry.reverts else []
    parts += [f"priority {entry.priority}"] if entry.priority else []
    parts += [f"overtaken {entry.overtaken} times" if entry.overtaken > 1 else "overtaken once"] if entry.overtaken else []
    parts += [f"fails by itself in {entry.risk:.0%} of cases, by the record"] if entry.risk > queue.flow.failing else []
    return " · ".join(parts)


def _change(entry: EntryView) -> list[Row]:
    if not entry.files:
        return []
    files = f" {entry.files} {'file' if entry.files == 1 else 'files'} "
    return [row(files, Span(f"+{entry.insertions} ", "add"), Span(f"-{entry.deletions}", "remove"),
                Span(f" · commit {entry.commit[:12]}", "dim"))]


def _proved(entry: EntryView, queue: QueueView, order: Sequence[TaskId], clock: Clock, width: int) -> list[Row]:
    """The proofs that it is a member of, with their trees."""
    mine = [proof for proof in queue.proving if entry.task in proof.members]
    rows: list[Row] = [(), _head("proved now")] if mine else []
    for proof in mine:
        what = {"prefix": "with those before it", "confirm": "alone, once more", "without": f"without {proof.suspect}",
                "apart": "apart from the queue"}[proof.why]
        tree = f"tree {proof.tree[:12]}" if proof.tree else "being merged"
        name = row(Span(f" {proof.landing} ", "strong"), Span(f"{tree} · {what}", "dim"))
        rows.append(between(name, proofs.time(proof, clock), width))
        inside = proofs.columns_of((proof,), order)
        by_name = proofs.fits(queue, inside, width - 4)
        rows.append(row("   ", proofs.members(queue, proof, inside, width - 4, by_name=by_name)))
        cells_of = []
        for check, _, state in proof.runs:
            each = palette.check(state)
            cells_of.append(row(Span(f"{each.glyph} {safe(check)} {each.word}", each.ink)))
        rows += [row("   ", each) for each in columns(cells_of, width - 4, "  ")]
    return rows
