"""The board: one line of one repository, its tasks as cards, and more about the chosen one. Must never decide anything."""

from collections.abc import Sequence

from textual.app import ComposeResult

from andon.schema.inputs import PullCord, ReleaseCord
from andon.schema.views import ClashView, LineView, TaskView
from andon_tui import actions, palette
from andon_tui.actions import Context
from andon_tui.draw import Row, Span, between, columns, cut, fit, row, wrap
from andon_tui.model import OVER, matches
from andon_tui.safe import safe
from andon_tui.screens import asks
from andon_tui.screens.card import CardFace
from andon_tui.screens.dialogs import Prompt
from andon_tui.widgets import entries
from andon_tui.widgets.bars import Panel
from andon_tui.widgets.board import BoardView
from andon_tui.widgets.cards import claim_cells, status

TALL = 36
"""Rows of a screen from which the panel has more room."""


class Board(CardFace):
    """The home screen while nobody waits."""

    PLACE = "board"
    BINDINGS = actions.bindings_for("board")

    def __init__(self) -> None:
        super().__init__(name="board")
        self._line = ""

    def body(self) -> ComposeResult:
        """Heading, board, panel."""
        yield Panel(id="heading")
        yield BoardView(self.desk.clock, id="board")
        yield Panel(id="about")

    @property
    def view(self) -> BoardView:
        """The board's widget."""
        return self.query_one("#board", BoardView)

    @property
    def line(self) -> LineView | None:
        """The line that is shown: the one asked for, else the first that holds a task, else the first."""
        lines = self.model.lines
        chosen = self.model.line(self._line)
        if chosen is None and lines:
            held = {(task.repo, task.line) for task in self.model.tasks}
            chosen = next((line for line in lines if (line.repo, line.line) in held), lines[0])
            if held:
                self._line = chosen.key
        return chosen

    @property
    def card(self) -> TaskView | None:
        """The chosen task."""
        return self.model.task(self.view.chosen) if self.view.chosen else None

    def context(self) -> Context:
        """What actions act on: the chosen card."""
        task = self.card
        return self.make_context(
            task=task, gate=self.model.gate_of(task.task) if task else None, line=self.line, lines=len(self.model.lines),
            session=self.model.session_of(task.task) if task else None,
            queue=self.model.queue(self.line.repo) if self.line else None,
        )

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Heading, board and panel."""
        line = self.line
        lanes = self.model.lanes(line, self.wanted) if line else []
        empty = f"nothing matches “{safe(self.wanted)}”" if self.wanted else "no task yet: andon add \"…\" puts one on the line"
        if line is None:
            empty = "no repository yet: run andon init in one" if self.desk.connected else "nothing is known yet"
        met: dict[str, list[ClashView]] = {}
        for clash in self.model.clashes(line.repo) if line else ():
            for each in (clash.one, clash.other):
                met.setdefault(each, []).append(clash)
        self.view.fill(lanes, empty=empty, marks={name: entries.marks(clashes) for name, clashes in met.items()})
        heading = self.query_one("#heading", Panel)
        heading.show([self._heading(line, heading.size.width)])
        self._about()

    def _heading(self, line: LineView | None, width: int) -> Row:
        if line is None:
            return ()
        repository = self.model.repository(line.repo)
        left = row(Span(f" {safe(line.repo)}", "strong"), Span(f" / {safe(line.line)}", "accent"))
        if repository is not None:
            left = row(left, Span(f"   {safe(repository.target)} at {repository.trunk[:8]}", "dim"))
            if repository.isolation:
                left = row(left, Span(f" · {safe(repository.isolation)}", "dim"))
        mine = [task for task in self.model.tasks if task.repo == line.repo and task.line == line.line]
        shown = [task for task in mine if matches(task, self.wanted)]
        tail = f"{len(shown)} of {len(mine)} match “{safe(self.wanted)}” · Esc clears " if self.wanted else f"{_tasks(len(mine))} "
        lines = self.model.lines
        if len(lines) > 1:
            at = next((n for n, each in enumerate(lines) if each.key == line.key), 0)
            tail += f"· line {at + 1} of {len(lines)} "
        return between(left, row(Span(tail, "asking" if self.wanted else "dim")), width)

    def _about(self) -> None:
        panel = self.query_one("#about", Panel)
        panel.set_class(self.size.height >= TALL, "tall")
        width, height = panel.size
        task = self.card
        if task is None or not width:
            panel.show([])
            return
        panel.show(_panel(task, self.model.clashes_of(task.task), width - 2, height, self.desk.clock.age(task.since)))

    def banners(self) -> list[tuple[str, str]]:
        """The cord and problems of this line, after what all screens say."""
        told = super().banners()
        line = self.line
        if line is not None and line.cord:
            age = self.desk.clock.age(line.cord_at)
            by = f" · {safe(line.cord_by)}" if line.cord_by else ""
            since = f" · {age}" if age else ""
            told.append(("bad", f"■ line {safe(line.line)} stands still: {safe(line.cord)}{by}{since} · R lets it move"))
        problems = self.model.problems
        if problems:
            more = f" (+{len(problems) - 1} more)" if len(problems) > 1 else ""
            told.append(("bar", f"! {safe(problems[0].what)}{more} · p shows how to mend it"))
        return told

    # --- events ------------------------------------------------------------------------------------------------------

    def on_board_view_moved(self) -> None:
        """Another card: the panel and the keys are about it."""
        self.update()

    def on_board_view_opened(self) -> None:
        """The mouse opened a card."""
        self.action_act("open")

    # --- actions -----------------------------------------------------------------------------------------------------

    def do_up(self) -> None:
        """The card above."""
        self.view.move(-1)

    def do_down(self) -> None:
        """The card below."""
        self.view.move(1)

    def do_left(self) -> None:
        """The lane to the left."""
        self.view.aside(-1)

    def do_right(self) -> None:
        """The lane to the right."""
        self.view.aside(1)

    def do_page_up(self) -> None:
        """A screenful up."""
        self.view.page(-1)

    def do_page_down(self) -> None:
        """A screenful down."""
        self.view.page(1)

    def do_first(self) -> None:
        """The first card of the lane."""
        self.view.edge(last=False)

    def do_last(self) -> None:
        """The last card of the lane."""
        self.view.edge(last=True)

    def do_open(self) -> None:
        """The chosen task's screen."""
        if self.card:
            self.desk.show_task(self.card.task)

    def do_next_waiting(self) -> None:
        """The next card that waits; on another line when none waits here."""
        task = self.card
        self.view.next_waiting()
        if self.card is task and not (task and task.attention):
            found = next((each for each in self.model.tasks if each.attention), None)
            if found:
                self.show_task(found)

    def show_task(self, task: TaskView) -> None:
        """Put the cursor on this task, on whatever line it is."""
        self._line, self.wanted = f"line:{task.repo}/{task.line}", ""
        self.view.chosen = task.task
        self.update()
        self.view.choose(task.task)

    def do_diff(self) -> None:
        """The change as a diff."""
        if self.card:
            self.desk.show_diff(self.card.task)

    def do_session(self) -> None:
        """The live session."""
        session = self.context().session
        if session:
            self.desk.show_session(session.attempt)

    def do_stop(self) -> None:
        """Ask why, then pull the cord."""
        line = self.line
        if line:
            self.app.push_screen(Prompt(
                f"Stop line {line.line} of {line.repo}? Running agents go on; nothing new starts and nothing lands.",
                lambda why: self.desk.command(
                    PullCord(repo=line.repo, line=line.line, because=why), f"line {line.line} stands still"),
                hint="why", needed=True,
            ))

    def do_resume(self) -> None:
        """Let the line move."""
        line = self.line
        if line:
            self.desk.command(ReleaseCord(repo=line.repo, line=line.line), f"line {line.line} moves again")

    def do_forward(self) -> None:
        """Take the person's checkout forward."""
        if queue := self.context().queue:
            asks.forward(self.desk, queue)

    def do_previous_line(self) -> None:
        """The line before."""
        self._turn(-1)

    def do_next_line(self) -> None:
        """The line after."""
        self._turn(1)

    def _turn(self, step: int) -> None:
        keys = [line.key for line in self.model.lines]
        here = self.line
        if here:
            self._line = keys[(keys.index(here.key) + step) % len(keys)]
            self.update()

    def do_layout(self) -> None:
        """Columns, list, or whatever fits."""
        view = self.view
        view.shape = "list" if view.as_columns else "columns"
        view.scroll_to(x=0, animate=False)
        view.redraw()

    def do_filter(self) -> None:
        """Show only cards with these words, while they are typed."""
        self.app.push_screen(Prompt(
            "Show only tasks with", self._filter, hint="words in id, title, state, agent", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted.strip()
        self.update()

    def do_back(self) -> None:
        """Leave the filter."""
        if self.wanted:
            self._filter("")


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def _panel(task: TaskView, clashes: Sequence[ClashView], width: int, height: int, age: str) -> list[Row]:
    """More about one task, most telling first, in at most `height` rows."""
    look = palette.state(task.state)
    head = row(
        Span(f"{look.glyph} {look.word}", look.ink), Span(f" {age} ", "dim"), Span(f" {task.task} ", "strong"), safe(task.title))
    how, what = status(task), _facts(task)
    facts = row(how, Span(" · " if how and what else "", "dim"), Span(what, "dim"))
    out: list[Row] = [between(head, facts, width) if width >= 100 else cut(head, width)]
    if task.attention:
        out.append(row(Span("! ", "asking"), Span(fit(safe(task.attention), width - 2), "asking")))
    out += [entries.warning(task.task, clash, width) for clash in clashes[:2]]
    for why in task.why if task.state not in OVER else ():
        out += [row(Span(line, "dim")) for line in wrap(safe(why), width, 2)]
    out += columns(claim_cells(task.claims), width, "  ")
    if task.says:
        out.append(row(Span(fit(f"the agent says: “{safe(task.says)}”", width), "said")))
    if task.overlaps:
        out.append(row(Span(fit(f"≈ touches the same paths as {', '.join(task.overlaps)}", width), "ask")))
    if width < 100:
        out.append(cut(facts, width))
    return [row(" ", each) for each in out[:height]]


def _facts(task: TaskView) -> str:
    parts = []
    if task.files:
        parts.append(f"{task.files} {'file' if task.files == 1 else 'files'} +{task.insertions} -{task.deletions}")
    if task.risk:
        parts.append(f"risk {task.risk}")
    if task.after:
        parts.append(f"after {', '.join(task.after)}")
    if task.commit:
        parts.append(task.commit[:8])
    return " · ".join(parts)
