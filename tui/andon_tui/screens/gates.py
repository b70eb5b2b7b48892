"""The inbox: what waits for a person, and all that is needed to decide. Must never send another digest than was on screen."""

from textual.app import ComposeResult
from textual.containers import Container

from andon.schema.events import Option
from andon.schema.ids import Digest, GateId
from andon.schema.views import GateView
from andon_tui import actions, palette
from andon_tui.actions import Context
from andon_tui.draw import Row, Span, between, cut, pad, paragraph, row, wrap
from andon_tui.safe import safe
from andon_tui.screens import asks
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.face import Face
from andon_tui.widgets.cards import claim_cells
from andon_tui.widgets.diff import diff_rows
from andon_tui.widgets.listing import GUTTER, Item, Listing, prose

SIDE_BY_SIDE = 100
"""Columns from which list and detail stand beside each other."""


class Gates(Face):
    """The home screen while somebody waits."""

    PLACE = "gates"
    BINDINGS = actions.bindings_for("gates")

    def __init__(self) -> None:
        super().__init__(name="gates")
        self.armed = ""
        """The chosen option, until it is sent or left."""
        self._seen: GateView | None = None
        """The gate as it was on screen when the option was chosen."""
        self.marked: dict[GateId, GateView] = {}
        """Gates as they were on screen when they were marked: one choice answers all of them."""
        self._diffs: dict[Digest, list[str]] = {}
        self._asked: set[Digest] = set()
        self._drawn_diffs: dict[tuple[Digest, int], tuple[Row, ...]] = {}

    def body(self) -> ComposeResult:
        """List and detail."""
        with Container(id="split"):
            yield Listing(id="list")
            yield Listing(id="detail", wide=True)

    @property
    def gates(self) -> list[GateView]:
        """The gates that the filter lets through; those that are put off come last."""
        words = self.wanted.lower().split()
        found = [gate for gate in self.model.gates
                 if all(word in f"{gate.gate} {gate.task} {gate.title} {gate.question} {gate.kind} {gate.to}".lower()
                        for word in words)]
        return sorted(found, key=self._napping)

    @property
    def gate(self) -> GateView | None:
        """The gate under the cursor."""
        return self.model.gate(self.query_one("#list", Listing).cursor)

    def context(self) -> Context:
        """What actions act on: the gate under the cursor and its task."""
        gate = self.gate
        task = self.model.task(gate.task) if gate else None
        return self.make_context(gate=gate, task=task, armed=self.armed, session=self.model.session_of(gate.task) if gate else None)

    def show_gate(self, gate: GateView) -> None:
        """Put the cursor on this gate."""
        self.wanted = ""
        self.update()
        self.query_one("#list", Listing).to(gate.gate)

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """List and detail."""
        side = self.size.width >= SIDE_BY_SIDE
        self.query_one("#split").set_class(not side, "stacked")
        listing, detail = self.query_one("#list", Listing), self.query_one("#detail", Listing)
        width = listing.size.width or 30
        items: list[Item] = []
        for each in self.gates:
            items += [Item(each.gate, self._entry(each, width, short=not side)), *(prose([()]) if side else ())]
        if not items:
            said = "no gate matches" if self.wanted else "nobody waits for you"
            items = prose([(), row(GUTTER, Span(f"✓ {said}", "dim"))])
        listing.fill(items)
        self._check_armed()
        gate = self.gate
        if gate is None:
            detail.fill([])
            return
        width = max(30, (detail.size.width or 60) - 2)
        detail.fill([*prose(self._detail(gate, width)), Item("", self._diff(gate, width), pick=False)])

    def _entry(self, gate: GateView, width: int, *, short: bool) -> tuple[Row, ...]:
        look = palette.risk(gate.risk)
        age = Span(f"{self.desk.clock.age(gate.opened_at)} ", "dim")
        name = Span(gate.task or gate.gate, "strong")
        mark = Span("✓ ", "accent") if gate.gate in self.marked else Span("")
        head = row(GUTTER, mark, Span(f"{look.glyph} ", look.ink), name, Span(f" {gate.kind}", look.ink))
        told = " · ".join(self._notes(gate))
        if short:
            noted = Span(f"  {told}", "ask") if told else Span("")
            return (between(row(head, "  ", safe(gate.title), noted), row(age), width),)
        notes = paragraph(told, width - 1, "ask", "  ", 3) if told else []
        return (between(head, row(age), width), *paragraph(safe(gate.title), width - 1, "", "  ", 2), *notes)

    def _napping(self, gate: GateView) -> bool:
        """Whether the gate is put off now."""
        return gate.snoozed_until > self.desk.clock.now()

    def _notes(self, gate: GateView) -> list[str]:
        """What else is to be known of a gate in the list, in words: a nap, who it is for, that it rose, whose keys are there."""
        told = [f"z put off by {safe(gate.snoozed_by) or 'somebody'}"] if self._napping(gate) else []
        told += [f"{len(gate.approvals)} of {gate.keys} {'key' if gate.keys == 1 else 'keys'}"] if gate.keys else []
        told += ["cannot be approved"] if gate.blocked else []
        told += [f"told again {gate.raised}x"] if gate.raised else []
        return [*told, *([f"for {safe(gate.to)}"] if gate.to else [])]

    def _check_armed(self) -> None:
        """What was chosen or marked holds only for what was seen."""
        for marked in [*self.marked.values()]:
            known = self.model.gate(marked.gate)
            if known is None or known.bound != marked.bound:
                del self.marked[marked.gate]
        seen = self._seen
        if not self.armed or seen is None:
            return
        now = self.model.gate(seen.gate)
        if now is None or self.gate is None or self.gate.gate != seen.gate:
            self._disarm()
        elif now.bound != seen.bound:
            self._disarm()
            self.desk.say("the change moved while you looked: read it again before you answer", bad=True)

    def _detail(self, gate: GateView, width: int) -> list[Row]:
        look = palette.risk(gate.risk)
        waits = f"waits {self.desk.clock.age(gate.opened_at)}"
        risk = (Span(f"{look.glyph} risk {look.word}", look.ink), Span(" · ", "dim")) if gate.kind == "review" else ()
        rows: list[Row] = [
            between(row(Span(f" {gate.gate}", "strong"), Span(f" · {gate.kind} · {gate.task}", "dim")),
                    row(*risk, Span(waits, "dim")), width),
            (),
            *(row(" ", Span(line, "strong")) for line in wrap(safe(gate.question), width - 1)),
        ]
        if gate.because:
            rows += paragraph(safe(gate.because), width, "dim", " ")
        if gate.recommendation and not any(option.key == gate.recommendation for option in gate.options):
            rows += [(), *paragraph(f"recommended: {safe(gate.recommendation)}", width, "accent", " ")]
        rows += [(), *self._options(gate, width), ()]
        rows += self._standing(gate, width)
        if gate.claims:
            rows += [*_claims(gate, width), ()]
        if gate.files:
            short = f" commit {gate.commit[:12]}" if gate.commit else ""
            tries = f" · try {gate.attempts}" if gate.attempts > 1 else ""
            files = f" {gate.files} {'file' if gate.files == 1 else 'files'} "
            rows.append(row(files, Span(f"+{gate.insertions} ", "add"), Span(f"-{gate.deletions}", "remove"),
                            Span(f"{short}{tries}", "dim")))
        if gate.walls:
            rows.append(row(Span(f" walls: {gate.walls}", "dim" if gate.walls == "strict" else "ask")))
        return [cut(each, width) for each in rows]

    def _standing(self, gate: GateView, width: int) -> list[Row]:
        """Who has said yes and who is still needed, who it is for, and what it cost so far."""
        told: list[Row] = []
        for one in gate.approvals:
            role = f" as {safe(one.role)}" if one.role else ""
            told.append(row(Span(f" ✓ {safe(one.name)}{role} signed", "strong"), Span(f" with {one.key[:17]}…", "dim")))
        if gate.missing:
            told += paragraph(f"still needed: {safe(', '.join(gate.missing))}", width, "ask", " ")
        if gate.blocked:
            told += paragraph(f"{safe(gate.blocked)}: {safe(gate.blocked_mend)}", width, "ask", " ")
        if gate.to_because:
            told += paragraph(f"left to {safe(gate.to)}: {safe(gate.to_because)}", width, "", " ")
        spent = f"{'' if gate.metered else 'at least '}${gate.usd:.2f}, {gate.tokens:,} tokens so far"
        told += [row(Span(f" cost: {spent}", "dim"))] if gate.tokens or gate.usd else []
        return [*told, ()] if told else []

    def _options(self, gate: GateView, width: int) -> list[Row]:
        rows = []
        for n, option in enumerate(gate.options, 1):
            rows += self._option(gate, n, option, width)
        return rows

    def _option(self, gate: GateView, n: int, option: Option, width: int) -> list[Row]:
        keys = {"approve": "a", "reject": "x", "answer": "e"}.get(option.key, "")
        chosen = self.armed == option.key
        mark = Span("▸", "accent") if chosen else Span(" ")
        best = Span(" ★ recommended", "accent") if option.key == gate.recommendation else Span("")
        digit = str(n) if n <= 9 else " "
        label = row(mark, Span(f" {digit} {keys:<1} ", "key"), Span(safe(option.label), "strong" if chosen else ""), best)
        rest = f"  {safe(option.consequence)}" if option.consequence else ""
        rows = [row(label, Span(rest, "dim"))]
        if chosen:
            bound = f", bound to {gate.bound[:12]}" if gate.bound else ""
            rows.append(row("      ", Span(f" Enter or y sends it{bound} · Esc leaves it ", "on-ask", "ask")))
        return rows

    def _diff(self, gate: GateView, width: int) -> tuple[Row, ...]:
        """The same object for the same diff and width: it is measured and compared by identity."""
        if not gate.diff:
            return ()
        lines = self._diffs.get(gate.diff)
        if lines is None:
            if gate.diff not in self._asked:
                self._asked.add(gate.diff)
                self.run_worker(self._fetch(gate.diff), exit_on_error=False)
            return (row(Span(" reading the diff …", "dim")),)
        if (gate.diff, width) not in self._drawn_diffs:
            self._drawn_diffs = {(gate.diff, width): tuple(diff_rows(lines, width))}
        return self._drawn_diffs[gate.diff, width]

    async def _fetch(self, digest: Digest) -> None:
        text = await self.desk.blob(digest)
        if len(self._diffs) > 16:
            self._diffs.clear()
        self._diffs[digest] = text.split("\n")
        self._asked.discard(digest)
        self.update()

    # --- events ------------------------------------------------------------------------------------------------------

    def on_listing_moved(self, event: Listing.Moved) -> None:
        """Another gate: read it from the top."""
        if event.listing.id == "list":
            self._disarm()
            self.query_one("#detail", Listing).scroll_to(x=0, y=0, animate=False)
            self.update()

    def on_listing_opened(self, event: Listing.Opened) -> None:
        """The mouse opened a gate."""
        self.action_act("open")

    # --- actions -----------------------------------------------------------------------------------------------------

    def _disarm(self) -> None:
        self.armed, self._seen = "", None

    def choose(self, option: str) -> None:
        """Choose an option; it is sent by a second key."""
        gate = self.gate
        if gate is None:
            return
        if self.marked and option not in asks.WORDS:
            asks.send_all(self.app, self.desk, list(self.marked.values()), option)
            return
        if option in asks.WORDS:
            asks.answer(self.app, self.desk, gate, option)
            return
        self.armed, self._seen = option, gate
        self.update()

    def do_approve(self) -> None:
        """Choose approve."""
        self.choose("approve")

    def do_reject(self) -> None:
        """Ask why, then reject."""
        self.choose("reject")

    def do_answer(self) -> None:
        """Ask for words, then answer with them."""
        self.choose("answer")

    def do_mark(self) -> None:
        """Mark the gate as it is on screen, or take the mark off."""
        gate = self.gate
        if gate is not None and self.marked.pop(gate.gate, None) is None:
            self.marked[gate.gate] = gate
        self._disarm()
        self.update()

    def do_snooze(self) -> None:
        """Put it off, or take it back."""
        gate = self.gate
        if gate is not None:
            asks.snooze(self.app, self.desk, gate, self._napping(gate))

    def do_delegate(self) -> None:
        """Leave it to somebody."""
        gate = self.gate
        if gate is not None:
            asks.delegate(self.app, self.desk, gate)

    def do_confirm(self) -> None:
        """Send the chosen answer with the digest that was on screen."""
        if self.armed and self._seen:
            asks.send(self.desk, self._seen, self.armed)
            self._disarm()
            self.update()

    def do_open(self) -> None:
        """Send what is chosen; else open the task."""
        gate = self.gate
        if self.armed:
            self.do_confirm()
        elif gate and gate.task:
            self.desk.show_task(gate.task)

    def do_details(self) -> None:
        """The task of this gate."""
        gate = self.gate
        if gate:
            self.desk.show_task(gate.task)

    def do_diff(self) -> None:
        """The diff on a screen of its own."""
        gate = self.gate
        if gate and gate.diff in self._diffs:
            self.desk.show_text(f"{gate.task} · diff", "\n".join(self._diffs[gate.diff]), diff=True)
        elif gate:
            self.desk.show_diff(gate.task)

    def do_session(self) -> None:
        """The live session."""
        session = self.context().session
        if session:
            self.desk.show_session(session.attempt)

    def do_page_down(self) -> None:
        """The detail scrolls, wherever the focus is."""
        self.query_one("#detail", Listing).page(1)

    def do_page_up(self) -> None:
        """The detail scrolls, wherever the focus is."""
        self.query_one("#detail", Listing).page(-1)

    def do_filter(self) -> None:
        """Show only gates with these words."""
        self.app.push_screen(Prompt("Show only gates with", self._filter, hint="words", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted.strip()
        self.update()

    def do_back(self) -> None:
        """Leave the chosen answer, then the marks, then the filter."""
        if self.armed or self.marked:
            if not self.armed:
                self.marked.clear()
            self._disarm()
            self.update()
        elif self.wanted:
            self._filter("")


def _number(n: int) -> str:
    return f"do_option_{n}"


def _choose_nth(n: int) -> object:
    def carry_out(self: Gates) -> None:
        gate = self.gate
        if gate and len(gate.options) >= n:
            self.choose(gate.options[n - 1].key)

    carry_out.__doc__ = f"Choose option {n}."
    return carry_out


for _n in range(1, 10):
    setattr(Gates, _number(_n), _choose_nth(_n))


def _claims(gate: GateView, width: int) -> list[Row]:
    rows = []
    room = max([8, *(len(safe(each.claim)) for each in gate.claims)])
    for each, cell in zip(gate.claims, claim_cells(gate.claims), strict=True):
        look = palette.claim(each.status)
        rows.append(row(" ", pad(cell, room + 2), Span(f" {look.word:<12}", look.ink), Span(safe(each.because), "dim")))
    return [cut(each, width) for each in rows]
