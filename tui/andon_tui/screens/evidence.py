"""What one claim rests on: the statement, its files, the command, and how to run it again. Must never judge it."""

from textual.app import ComposeResult

from andon.schema.errors import Mistake
from andon.schema.evidence_views import Evidence, sized
from andon.schema.ids import Digest, TaskId
from andon.schema.views import ClaimCell, TaskView
from andon.schema.wire import EvidenceIs, GetEvidence
from andon_tui import actions, palette
from andon_tui.actions import Context
from andon_tui.clock import Clock
from andon_tui.draw import Row, Span, between, paragraph, row, wrap
from andon_tui.safe import safe
from andon_tui.screens.face import Face
from andon_tui.widgets.listing import GUTTER, Item, Listing, prose

LABEL_ROOM = 13
NAMES_SHOWN = 50
FIRST = ("refuted", "unevaluated", "running", "proven", "asserted", "planned")
"""Which claim is opened first when none was named: what needs a look."""


class EvidenceScreen(Face):
    """One claim; the keys for the next one go round the claims of its task."""

    PLACE = "evidence"
    BINDINGS = actions.bindings_for("evidence")

    def __init__(self, task: TaskId, claim: str = "", digest: Digest | None = None) -> None:
        super().__init__(name=f"evidence-{task}")
        self.id_of_task, self.claim, self.digest = task, claim, digest or Digest("")
        self.told: Evidence | None = None
        self._trouble = ""
        self._asked: tuple[str, Digest, ClaimCell | None] | None = None

    def body(self) -> ComposeResult:
        """One list: prose, and files to open."""
        yield Listing(id="text")

    @property
    def card(self) -> TaskView | None:
        """The task as the feed tells it."""
        return self.model.task(self.id_of_task)

    def trail(self) -> list[str]:
        """Task and claim."""
        name = self.told.claim if self.told else self.claim
        return [self.id_of_task, *([name] if name else [])]

    def context(self) -> Context:
        """Its task."""
        return self.make_context(task=self.card, evidence=True)

    # --- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """What is known; asks anew when another claim is wanted or its cell changed."""
        if not self.claim and not self.digest:
            self.claim = self._first()
        cell = next((each for each in self._claims() if each.claim == self.claim), None)
        wanted = (self.claim, self.digest, cell)
        if wanted != self._asked and self.desk.connected and (self.claim or self.digest):
            self._asked = wanted
            self.run_worker(self._fetch(), exclusive=True, exit_on_error=False)
        listing = self.query_one("#text", Listing)
        width = max(30, listing.size.width - 2)
        if self.told is None:
            listing.fill(prose([row(GUTTER, Span(safe(self._trouble) or "reading the evidence …", "dim"))]))
            return
        listing.fill(items_of(self.told, width, self.desk.clock))

    async def _fetch(self) -> None:
        try:
            reply = await self.desk.ask(GetEvidence(task=self.id_of_task, claim=self.claim, digest=self.digest))
        except Mistake as mistake:
            self.told, self._trouble = None, str(mistake.problem)
        else:
            if isinstance(reply, EvidenceIs):
                self.told, self._trouble = reply.evidence, ""
        self.update()

    def _claims(self) -> tuple[ClaimCell, ...]:
        return self.card.claims if self.card else ()

    def _first(self) -> str:
        ranked = sorted(self._claims(), key=lambda cell: FIRST.index(cell.status) if cell.status in FIRST else len(FIRST))
        return ranked[0].claim if ranked else ""

    # --- actions -----------------------------------------------------------------------------------------------------

    def on_listing_opened(self) -> None:
        """The mouse opened a file."""
        self.action_act("open")

    def do_open(self) -> None:
        """The file under the cursor, or the command as a text to copy."""
        key = self.query_one("#text", Listing).cursor
        if self.told is None or not key:
            self.desk.say("there is no file to open here")
        elif key == "again":
            self.desk.show_text(f"{self.id_of_task} · {self.told.claim} · again", self.told.again)
        else:
            found = next(file for file in self.told.files if file.name == key)
            self.run_worker(self._open(found.name, found.digest), exit_on_error=False)

    async def _open(self, name: str, digest: Digest) -> None:
        text = await self.desk.blob(digest)
        self.desk.show_text(f"{self.id_of_task} · {name}", text, diff=name == "diff")

    def do_previous_claim(self) -> None:
        """The claim before."""
        self._turn(-1)

    def do_next_claim(self) -> None:
        """The next claim."""
        self._turn(1)

    def _turn(self, step: int) -> None:
        names = [cell.claim for cell in self._claims()]
        if names:
            at = names.index(self.claim) if self.claim in names else 0
            self.claim, self.digest = names[(at + step) % len(names)], Digest("")
            self.told, self._trouble = None, ""
            self.update()


def items_of(told: Evidence, width: int, clock: Clock) -> list[Item]:
    """The evidence as a list: prose that scrolls, files and the command to open."""
    look = palette.claim(told.status)
    head = [row(GUTTER, Span(safe(told.claim), "strong"), Span(f"  {look.glyph} {look.word}", look.ink),
                Span(f"  of {told.task}", "dim"))]
    head += paragraph(safe(told.because), width, "", "  ") if told.because else []
    items = prose([*head, (), *_facts(told, width, clock), *_tests(told, width)])
    if told.files:
        items += prose([(), _title("files: Enter opens one")])
        for file in told.files:
            name = row(GUTTER, Span(f"↳ {safe(file.name):<11}", "accent"), f"{sized(file.size):>16}")
            items.append(Item(file.name, (between(name, row(Span(f"sha256:{_digest(file.digest, width)} ", "dim")), width),)))
    if told.again:
        items += prose([(), _title("to run it again: Enter shows the command to copy")])
        lines = [each for line in told.again.split("\n") for each in wrap(safe(line), width - 4)]
        items.append(Item("again", tuple(row(GUTTER, each) for each in lines)))
    notes = [line for note in told.notes for line in paragraph(f"· {safe(note)}", width, "dim", "  ")]
    return [*items, *prose([(), _title("to know"), *notes])] if notes else items


def _facts(told: Evidence, width: int, clock: Clock) -> list[Row]:
    took = f", took {told.milliseconds / 1000:.2f} s" if told.milliseconds is not None else ""
    counted = ((told.passed, "passed"), (told.failed, "failed"), (told.skipped, "skipped"))
    asked = f" · asked for: {told.asked}" if told.asked else ""
    lines = [
        ("commit", told.commit), ("tree", told.tree), ("statement", f"{told.kind} says {told.result}" if told.kind else ""),
        ("run", told.run), ("tests", ", ".join(f"{count} {word}" for count, word in counted if count)),
        ("when", f"{clock.time(told.at)}, {clock.age(told.at)} ago{took}" if told.at else ""),
        ("command", told.command), ("exit", "" if told.exit is None else str(told.exit)),
        ("definition", f"sha256:{told.definition}" if told.definition else ""),
        ("walls", f"{told.isolation or 'not known'}{asked}" if told.run else ""), ("checkout", told.checkout),
        ("produced by", _produced(told)), *told.environment,
    ]
    return [each for label, value in lines if value for each in _fact(label, value, width)]


def _produced(told: Evidence) -> str:
    if not told.kind:
        return "" if told.run else "the daemon, from git"
    if not told.keys:
        return "the daemon's own run · not signed"
    return f"the daemon's own run · signed as {told.role} by {', '.join(told.keys)}: andon verify checks the signature"


def _fact(label: str, value: str, width: int) -> list[Row]:
    body = wrap(safe(value), max(10, width - LABEL_ROOM - 2))
    name = f"{safe(label)[:LABEL_ROOM - 1]:<{LABEL_ROOM}}"
    return [row(GUTTER, Span(name if not n else " " * LABEL_ROOM, "dim"), line) for n, line in enumerate(body)]


def _tests(told: Evidence, width: int) -> list[Row]:
    rows: list[Row] = []
    for title, names in (("failing tests", told.failing), ("lost tests: they pass on the base", told.lost)):
        if names:
            rows += [(), _title(f"{title} ({len(names)})")]
            rows += [row(GUTTER, Span(f"✗ {line}" if not n else f"  {line}")) for name in names[:NAMES_SHOWN]
                     for n, line in enumerate(wrap(safe(name), width - 4))]
            if len(names) > NAMES_SHOWN:
                rows.append(row(GUTTER, Span(f"… {len(names) - NAMES_SHOWN} more: andon show {told.task} --claim … --json", "dim")))
    return rows


def _title(text: str) -> Row:
    return row(GUTTER, Span(text, "accent"))


def _digest(digest: Digest, width: int) -> str:
    return digest if width >= 112 else f"{digest[:12]}…"
