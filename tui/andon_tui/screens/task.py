"""One task, whole: what it is, where it stands, its timeline with evidence. Must never judge evidence."""

from textual.app import ComposeResult
from textual.containers import Container

from andon.schema.errors import Mistake
from andon.schema.evidence import readable
from andon.schema.ids import Digest, TaskId
from andon.schema.views import AttemptDetail, Moment, TaskDetail, TaskView
from andon.schema.wire import GetTask, TaskIs
from andon_tui import actions, palette
from andon_tui.actions import Context
from andon_tui.draw import Row, Span, between, cut, paragraph, row, wrap
from andon_tui.model import OVER
from andon_tui.safe import lines, safe
from andon_tui.screens.card import CardFace
from andon_tui.widgets import entries
from andon_tui.widgets.cards import status
from andon_tui.widgets.listing import GUTTER, Item, Listing, prose

SIDE_BY_SIDE = 100


class TaskScreen(CardFace):
    """Spec, timeline, attempts, why."""

    PLACE = "task"
    BINDINGS = actions.bindings_for("task")

    def __init__(self, task: TaskId) -> None:
        super().__init__(name=f"task-{task}")
        self.id_of_task = task
        self.detail: TaskDetail | None = None
        """What the daemon told; the timeline comes from here."""
        self._trouble = ""
        self._asked: TaskView | None = None
        self._evidence: dict[str, tuple[str, Digest]] = {}

    def body(self) -> ComposeResult:
        """Facts and timeline."""
        with Container(id="split", classes="wide-left"):
            yield Listing(id="facts")
            yield Listing(id="timeline")

    @property
    def card(self) -> TaskView | None:
        """The latest view of the task."""
        return self.model.task(self.id_of_task) or (self.detail.task if self.detail else None)

    def trail(self) -> list[str]:
        """The task's id."""
        return [self.id_of_task]

    def context(self) -> Context:
        """What actions act on: this task."""
        task = self.card
        return self.make_context(
            task=task, gate=self.model.gate_of(self.id_of_task), session=self.model.session_of(self.id_of_task),
            evidence=bool(self._evidence.get(self.query_one("#timeline", Listing).cursor)),
        )

    def panes(self) -> list[Listing]:
        """The timeline first: the cursor is there."""
        return [self.query_one("#timeline", Listing), self.query_one("#facts", Listing)]

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Facts and timeline; asks for the whole task again when its view changed."""
        task = self.card
        self.query_one("#split").set_class(self.size.width < SIDE_BY_SIDE, "stacked")
        if task is None:
            return
        if task is not self._asked and self.desk.connected:
            self._asked = task
            self.run_worker(self._fetch(), exclusive=True, exit_on_error=False)
        facts, timeline = self.query_one("#facts", Listing), self.query_one("#timeline", Listing)
        facts.fill(prose(self._facts(task, max(20, facts.size.width - 2))))
        timeline.fill(self._timeline(max(20, timeline.size.width - 1)))

    async def _fetch(self) -> None:
        try:
            reply = await self.desk.ask(GetTask(task=self.id_of_task))
        except Mistake as mistake:
            self._trouble = mistake.problem.what
        else:
            if isinstance(reply, TaskIs):
                self.detail, self._trouble = reply.detail, ""
        self.update()

    def _facts(self, task: TaskView, width: int) -> list[Row]:
        look = palette.state(task.state)
        rows: list[Row] = [row(" ", Span(line, "strong")) for line in wrap(safe(task.title), width)]
        age = self.desk.clock.age(task.since)
        rows += [(), row(" ", Span(f"{look.glyph} {look.word}", look.ink), Span(f" for {age} · at {safe(task.station)}", "dim"))]
        if task.health or task.agent:
            rows.append(row(" ", status(task)))
        if task.attention:
            rows += [row(" ", Span(line, "asking")) for line in wrap(f"! {safe(task.attention)}", width)]
        if task.why and task.state not in OVER:
            rows += [(), _head("why it does not run")]
            for why in task.why:
                rows += paragraph(f"· {safe(why)}", width, "", " ")
        rows += _claims(task, width)
        rows += _change(task)
        if self.detail is not None:
            rows += [(), _head("attempts")] if self.detail.attempts else []
            for attempt in reversed(self.detail.attempts):
                rows += self._attempt(attempt, width)
            if self.detail.packet:
                rows += [(), _head("what the next attempt is told")]
                rows += [row(" ", Span(each, "dim")) for line in lines(self.detail.packet) for each in wrap(line, width)]
            rows += [(), _head("spec")]
            rows += [row(" ", each) for line in lines(self.detail.spec) for each in wrap(line, width)]
        rows += entries.collisions(task.task, self.model.clashes_of(task.task), width)
        if task.says:
            rows += [(), _head("the agent's latest words, asserted"), *paragraph(f"“{safe(task.says)}”", width, "said", " ")]
        return [cut(each, width + 1) for each in rows]

    def _attempt(self, attempt: AttemptDetail, width: int) -> list[Row]:
        ended = attempt.ended or 0
        when = f"{self.desk.clock.age(attempt.started)} ago" if attempt.started else ""
        took = f", {max(0, ended - attempt.started) // 1000}s" if ended and attempt.started else ""
        what = f" {safe(attempt.agent)} · {safe(attempt.state)}"
        head = row(" ", Span(attempt.attempt, "strong"), what, Span(f" {when}{took}", "dim"))
        rows: list[Row] = [head]
        if attempt.outcome:
            rows += paragraph(safe(attempt.outcome), width, "dim", "   ", 2)
        if attempt.path:
            rows += paragraph(f"{safe(attempt.path)} · {safe(attempt.isolation)}", width, "dim", "   ", 2)
        if attempt.salvage:
            rows += paragraph(f"kept in {safe(attempt.salvage)}", width, "dim", "   ", 2)
        return rows

    def _timeline(self, width: int) -> list[Item]:
        self._evidence = {}
        if self.detail is None:
            said = safe(self._trouble) or "reading the timeline …"
            return prose([row(GUTTER, Span(said, "dim"))])
        items = []
        for moment in reversed(self.detail.timeline):
            items += self._moment(moment, width)
        return items

    def _moment(self, moment: Moment, width: int) -> list[Item]:
        age = Span(f"{self.desk.clock.age(moment.at):>4} ", "dim")
        body = wrap(safe(moment.text), width - 9)
        rows = [row(GUTTER, age if not n else Span(" " * 5), line) for n, line in enumerate(body)]
        items = [Item(str(moment.seq), tuple(rows))]
        if moment.blobs:
            self._evidence[str(moment.seq)] = moment.blobs[0]
        for name, digest in moment.blobs:
            key = f"{moment.seq}/{name}"
            self._evidence[key] = (name, digest)
            named = row(GUTTER, " " * 5, Span(f"↳ {safe(name)}", "accent"))
            items.append(Item(key, (between(named, row(Span(digest[:8] + " ", "dim")), width),)))
        return items

    # --- actions -----------------------------------------------------------------------------------------------------

    def on_listing_moved(self) -> None:
        """The keys may be different here."""
        self.frame_keys()

    def on_listing_opened(self) -> None:
        """The mouse opened a moment."""
        self.action_act("open")

    def do_open(self) -> None:
        """The evidence under the cursor."""
        found = self._evidence.get(self.query_one("#timeline", Listing).cursor)
        if found is None:
            self.desk.say("this moment has no evidence to open")
        else:
            self.run_worker(self._open(*found), exit_on_error=False)

    async def _open(self, name: str, digest: Digest) -> None:
        text = readable(await self.desk.blob(digest))
        self.desk.show_text(f"{self.id_of_task} · {name}", text, diff=name == "diff")

    def do_diff(self) -> None:
        """The change as a diff."""
        self.desk.show_diff(self.id_of_task)

    def do_session(self) -> None:
        """The live session."""
        session = self.context().session
        if session:
            self.desk.show_session(session.attempt)

    def do_next_waiting(self) -> None:
        """The next task that waits for a person."""
        waits = [task.task for task in self.model.tasks if task.attention]
        if waits:
            at = waits.index(self.id_of_task) + 1 if self.id_of_task in waits else 0
            task = waits[at % len(waits)]
            if task != self.id_of_task:
                self.app.pop_screen()
                self.desk.show_task(task)


def _head(text: str) -> Row:
    return row(" ", Span(text, "accent"))


def _claims(task: TaskView, width: int) -> list[Row]:
    rows: list[Row] = [(), _head("claims")] if task.claims else []
    room = max([8, *(len(safe(each.claim)) for each in task.claims)])
    for each in task.claims:
        look = palette.claim(each.status)
        rows.append(row(" ", Span(f"{look.glyph} {safe(each.claim):<{room}}", look.ink), Span(f" {look.word}", look.ink)))
        if each.because:
            rows += paragraph(safe(each.because), width, "dim", "   ", 2)
    return rows


def _change(task: TaskView) -> list[Row]:
    rows: list[Row] = []
    if task.files:
        rows.append(row(" ", f"{task.files} {'file' if task.files == 1 else 'files'} ", Span(f"+{task.insertions} ", "add"),
                        Span(f"-{task.deletions}", "remove"), Span(f" · risk {task.risk}" if task.risk else "", "dim")))
    if task.walls:
        rows.append(row(" ", Span(f"walls: {task.walls}", "dim" if task.walls == "strict" else "ask")))
    if task.commit:
        landed = f" · landed as {task.landed[:12]}" if task.landed else ""
        rows.append(row(" ", Span(f"commit {task.commit[:12]}", "dim"), Span(landed, "good")))
    if task.after:
        rows.append(row(" ", Span(f"after {', '.join(task.after)}", "dim")))
    if task.paths:
        rows.append(row(" ", Span(f"may touch {safe(', '.join(task.paths))}", "dim")))
    if task.overlaps:
        rows.append(row(" ", Span(f"≈ overlaps {', '.join(task.overlaps)}", "ask")))
    return [(), _head("change"), *rows] if rows else []
