"""The merge queue of one repository: what is proved right now, what lands when and why, what will collide. Must never order it."""

from textual.app import ComposeResult
from textual.containers import Container

from andon.schema import inputs as i
from andon.schema.ids import TaskId
from andon.schema.views import ClashView, EntryView, QueueView, TaskView
from andon_tui import actions
from andon_tui.actions import Context
from andon_tui.draw import Row, Span, paragraph, row
from andon_tui.safe import safe
from andon_tui.screens import asks
from andon_tui.screens.card import CardFace
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.steer import SteeringFace
from andon_tui.widgets import entries, proofs
from andon_tui.widgets.bars import Panel
from andon_tui.widgets.heads import Heads, tall, titled
from andon_tui.widgets.listing import GUTTER, Item, Listing, prose

SIDE_BY_SIDE = 120
"""Columns from which list and page stand beside each other."""
TALL = 30
"""Rows from which an entry has a second row with its reason, where there is room beside."""


class Queue(CardFace, SteeringFace):
    """Queues, proofs, entries, and more about the chosen one."""

    PLACE = "queue"
    BINDINGS = actions.bindings_for("queue")

    def __init__(self) -> None:
        super().__init__(name="queue")
        self._repo = ""
        self.pairs = False
        """Whether the list shows the pairs that will collide instead of the entries."""

    def body(self) -> ComposeResult:
        """Queues, proofs, list, page."""
        yield Heads(id="heads")
        yield Panel(id="strip")
        with Container(id="split", classes="queue"):
            yield Listing(id="list")
            yield Listing(id="detail")

    # --- what is chosen ----------------------------------------------------------------------------------------------

    @property
    def queue(self) -> QueueView | None:
        """The queue that is shown: the one asked for, else the first that holds something, else the first."""
        chosen = self.model.queue(self._repo)
        if chosen is None and (queues := self.model.queues):
            chosen = next((queue for queue in queues if queue.entries), queues[0])
            if chosen.entries:
                self._repo = chosen.repo
        return chosen

    @property
    def entries(self) -> list[EntryView]:
        """The entries that the filter lets through."""
        queue = self.queue
        return [each for each in self.model.entries(queue.repo) if _has(_text(each), self.wanted)] if queue else []

    @property
    def clashes(self) -> list[ClashView]:
        """The clashes that the filter lets through."""
        queue = self.queue
        return [each for each in self.model.clashes(queue.repo) if _has(_pair(each), self.wanted)] if queue else []

    @property
    def clash(self) -> ClashView | None:
        """The pair under the cursor, while pairs are shown."""
        return self.model.clash(self.query_one("#list", Listing).cursor) if self.pairs else None

    @property
    def entry(self) -> EntryView | None:
        """The change under the cursor; of a pair the one that lands later, as far as it is in the queue."""
        if clash := self.clash:
            found = [entry for task in (clash.one, clash.other) if (entry := self.model.entry(task))]
            return max(found, key=lambda entry: (not entry.position, entry.position), default=None)
        return None if self.pairs else self.model.entry(self.query_one("#list", Listing).cursor)

    @property
    def card(self) -> TaskView | None:
        """The task that is meant: an entry's, a landed one, or of a pair the one that can be spoken to."""
        if clash := self.clash:
            live = next((task for task in (clash.other, clash.one) if self.model.session_of(task)), None)
            return self.model.task(live or (self.entry.task if self.entry else clash.other))
        return None if self.pairs else self.model.task(self.query_one("#list", Listing).cursor)

    def context(self) -> Context:
        """What actions act on: the change under the cursor, its task, the queue."""
        task, entry, queue = self.card, self.entry, self.queue
        before, after = self._neighbours(entry)
        return self.make_context(
            task=task, entry=entry, queue=queue, queues=len(self.model.queues), before=before, after=after,
            gate=self.model.gate_of(task.task) if task else None, session=self.model.session_of(task.task) if task else None,
        )

    def grounds(self) -> dict[str, object]:
        """From the pairs one climbs back to the entries."""
        known = super().grounds()
        return known | {"below": known["below"] or self.pairs}

    def _neighbours(self, entry: EntryView | None) -> tuple[TaskId, TaskId]:
        """Who lands directly before and directly after."""
        none = TaskId("")
        if entry is None or not entry.position:
            return none, none
        line = [each.task for each in self.model.entries(entry.repo) if each.position]
        at = line.index(entry.task)
        return line[at - 1] if at else none, line[at + 1] if at + 1 < len(line) else none

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Everything, top to bottom."""
        queue = self.queue
        side = self.size.width >= SIDE_BY_SIDE
        self.query_one("#split").set_class(not side, "stacked")
        self.query_one("#heads", Heads).tell(self.model.queues, queue)
        self._strip(queue)
        listing, detail = self.query_one("#list", Listing), self.query_one("#detail", Listing)
        width = max(30, listing.size.width - 1)
        items = self._pairs(width) if self.pairs else self._items(queue, width, full=side and self.size.height >= TALL)
        titled(listing, self._title(queue))
        listing.fill(items)
        detail.fill(prose(self._about(queue, max(30, detail.size.width - 1))))

    def _title(self, queue: QueueView | None) -> str:
        if queue is None:
            return ""
        shown = len(self.clashes) if self.pairs else len(self.entries)
        what = "pairs that will collide" if self.pairs else "changes to land"
        matching = f" with “{safe(self.wanted)}” · Esc clears" if self.wanted else ""
        other = len(self.model.clashes(queue.repo))
        hint = " · v shows the entries" if self.pairs else f" · v shows {other} that will collide" if other else ""
        return f" {shown} {what}{matching}{hint} "

    def _strip(self, queue: QueueView | None) -> None:
        panel = self.query_one("#strip", Panel)
        if queue is None or not queue.proving:
            tall(panel, 0)
            return
        order = [entry.task for entry in self.model.entries(queue.repo)]
        rows = proofs.strip(queue, order, self.desk.clock, panel.size.width or self.size.width, max(3, self.size.height // 5))
        tall(panel, len(rows) + 1)
        titled(panel, " proved now ")
        panel.show(rows)

    def _items(self, queue: QueueView | None, width: int, *, full: bool) -> list[Item]:
        clock = self.desk.clock
        items = [Item(entry.task, entries.line(entry, self.model.clashes_of(entry.task), clock, width, tall=full))
                 for entry in self.entries]
        if not items:
            items = prose(self._empty(queue, width))
        if queue is None:
            return items
        blamed = {task for red in queue.red for task in red.suspects}
        done = [task for task in self.model.landed(queue.repo)
                if self.model.entry(task.task) is None and _has(f"{task.task} {task.title}", self.wanted)]
        if done:
            items += prose([(), row(GUTTER, Span("landed lately", "accent"))])
        return items + [Item(task.task, entries.landed(task, clock, width, suspect=task.task in blamed)) for task in done]

    def _empty(self, queue: QueueView | None, width: int) -> list[Row]:
        if queue is None:
            if not self.desk.connected or self.model.repositories:
                return [(), row(GUTTER, Span("○ nothing is known of a queue yet", "dim"))]
            return [(), row(GUTTER, Span("○ no repository yet", "dim")), row(GUTTER, Span("  run andon init in one", "dim"))]
        if self.wanted:
            return [(), row(GUTTER, Span(f"○ no change matches “{safe(self.wanted)}”", "dim"))]
        told = "what is built, checked and approved comes here by itself: b shows what is on its way"
        return [(), row(GUTTER, Span("○ nothing waits to land", "dim")), *paragraph(told, width, "dim", "    ")]

    def _pairs(self, width: int) -> list[Item]:
        items = [Item(clash.key, entries.pair(clash, self.desk.clock, width)) for clash in self.clashes]
        said = f"no pair matches “{safe(self.wanted)}”" if self.wanted else "no live changes meet, as far as was compared"
        return items or prose([(), row(GUTTER, Span(f"○ {said}", "dim"))])

    def _about(self, queue: QueueView | None, width: int) -> list[Row]:
        clock = self.desk.clock
        if queue is None:
            return []
        if self.pairs:
            return entries.about_pair(self.clash, clock, width) if self.clash else []
        if entry := self.entry:
            order = self.model.entries(entry.repo)
            return entries.about(entry, queue, self.card, self.model.clashes_of(entry.task), order, clock, width)
        return entries.about_landed(self.card, queue, clock, width) if self.card else []

    def banners(self) -> list[tuple[str, str]]:
        """Why nothing lands, a red target and a checkout that stays behind, after what all screens say."""
        told = super().banners()
        queue = self.queue
        if queue is None:
            return told
        age = self.desk.clock.age
        if queue.held:
            by = " · ".join(each for each in (safe(queue.held_by), age(queue.held_at)) if each)
            told.append(("bad", f"■ nothing lands in {safe(queue.repo)}: {safe(queue.held)}{' · ' + by if by else ''} · R lets it"))
        for red in queue.red:
            blamed = f" · likeliest {', '.join(red.suspects)}: U takes one back" if red.suspects else ""
            told.append(("bad", f"✗ {safe(red.check)} fails on {safe(queue.target)} at {red.commit[:8]} · {age(red.since)}{blamed}"
                                f" · {safe(red.because)}"))
        if queue.behind:
            mend = f" · {safe(queue.mend)}" if queue.mend else ""
            told.append(("ask", f"↓ your {safe(queue.target)} does not follow: {safe(queue.behind)} · F tries now{mend}"))
        return told

    # --- events ------------------------------------------------------------------------------------------------------

    def on_listing_moved(self, event: Listing.Moved) -> None:
        """Another change: the page is about it."""
        if event.listing.id == "list":
            self.query_one("#detail", Listing).scroll_to(y=0, animate=False)
            self.update()

    def on_listing_opened(self) -> None:
        """The mouse opened a change."""
        self.action_act("open")

    def on_heads_chosen(self, event: Heads.Chosen) -> None:
        """The mouse chose a queue."""
        self._show(event.repo)

    # --- actions -----------------------------------------------------------------------------------------------------

    def do_open(self) -> None:
        """The task."""
        if card := self.card:
            self.desk.show_task(card.task)

    def do_diff(self) -> None:
        """The change as a diff."""
        if card := self.card:
            self.desk.show_diff(card.task)

    def do_session(self) -> None:
        """The live session."""
        if view := self.session:
            self.desk.show_session(view.attempt)

    def do_clashes(self) -> None:
        """Pairs, or entries again."""
        self.pairs = not self.pairs
        self.update()

    def do_earlier(self) -> None:
        """One place earlier: before the one that lands before it."""
        context = self.context()
        if context.entry and context.before:
            self.desk.command(i.OrderQueue(task=context.entry.task, before=context.before),
                              f"{context.entry.task} goes before {context.before}")

    def do_later(self) -> None:
        """One place later: the one that lands after it goes before it."""
        context = self.context()
        if context.entry and context.after:
            self.desk.command(i.OrderQueue(task=context.after, before=context.entry.task),
                              f"{context.entry.task} goes after {context.after}")

    def do_land_next(self) -> None:
        """To the front."""
        if entry := self.entry:
            self.desk.command(i.OrderQueue(task=entry.task), f"{entry.task} is to land next")

    def do_hold(self) -> None:
        """Hold it, asking why; or release it."""
        entry = self.entry
        if entry is None:
            return
        card = self.model.task(entry.task)
        line = self.model.line(f"line:{entry.repo}/{card.line}") if card else None
        if entry.state == "held" and not entry.position and not (line and line.cord):
            self.desk.command(i.ReleaseEntry(task=entry.task), f"{entry.task} may land again")
            return
        self.app.push_screen(Prompt(
            f"Hold {entry.task}? It does not land until you release it.",
            lambda why: self.desk.command(i.HoldEntry(task=entry.task, because=why), f"{entry.task} is held"),
            hint="why; may be empty",
        ))

    def do_drop(self) -> None:
        """Ask for words, then take it out."""
        if entry := self.entry:
            self.app.push_screen(Prompt(
                f"Take {entry.task} out of the queue: what should be different?",
                lambda why: self.desk.command(i.DropEntry(task=entry.task, because=why), f"{entry.task} goes back to its agent"),
                hint="told to the agent and kept", needed=True,
            ))

    def do_stop_queue(self) -> None:
        """Ask why, then stop it."""
        if queue := self.queue:
            self.app.push_screen(Prompt(
                f"Stop the queue of {queue.repo}? Agents go on; nothing lands.",
                lambda why: self.desk.command(i.HoldQueue(repo=queue.repo, because=why), f"nothing lands in {queue.repo}"),
                hint="why", needed=True,
            ))

    def do_resume_queue(self) -> None:
        """Land again."""
        if queue := self.queue:
            self.desk.command(i.ResumeQueue(repo=queue.repo), f"changes land in {queue.repo} again")

    def do_forward(self) -> None:
        """Take the person's checkout forward."""
        if queue := self.queue:
            asks.forward(self.desk, queue)

    def do_previous_queue(self) -> None:
        """The repository before."""
        self._turn(-1)

    def do_next_queue(self) -> None:
        """The repository after."""
        self._turn(1)

    def _turn(self, step: int) -> None:
        repos = [queue.repo for queue in self.model.queues]
        if queue := self.queue:
            self._show(repos[(repos.index(queue.repo) + step) % len(repos)])

    def _show(self, repo: str) -> None:
        self._repo = repo
        self.update()

    def do_filter(self) -> None:
        """Show only changes with these words."""
        self.app.push_screen(Prompt("Show only changes with", self._filter, hint="words", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted.strip()
        self.update()

    def do_back(self) -> None:
        """Leave the filter, then the pairs."""
        if self.wanted:
            self._filter("")
        elif self.pairs:
            self.do_clashes()


def _has(text: str, wanted: str) -> bool:
    """Whether every word of the filter is in the text."""
    return all(word in text.lower() for word in wanted.lower().split())


def _text(entry: EntryView) -> str:
    return f"{entry.task} {entry.title} {entry.state} {entry.why} {entry.agent}"


def _pair(clash: ClashView) -> str:
    return f"{clash.one} {clash.other} {clash.kind} {' '.join(clash.titles)} {' '.join(hunk.path for hunk in clash.hunks)}"
