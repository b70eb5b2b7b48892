"""What a person should mend: each problem with its place and its mend. Must never mend anything itself."""

from textual.app import ComposeResult

from andon.schema.inputs import DismissProblem
from andon.schema.views import ProblemView
from andon_tui import actions
from andon_tui.actions import Context
from andon_tui.draw import Span, paragraph, row, wrap
from andon_tui.safe import safe
from andon_tui.screens import asks
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.face import Face
from andon_tui.widgets.listing import GUTTER, Item, Listing, prose


class Problems(Face):
    """All problems, the newest first."""

    PLACE = "problems"
    BINDINGS = actions.bindings_for("problems")

    def __init__(self) -> None:
        super().__init__(name="problems")

    def body(self) -> ComposeResult:
        """The list."""
        yield Listing(id="list")

    @property
    def problem(self) -> ProblemView | None:
        """The problem under the cursor."""
        cursor = self.query_one("#list", Listing).cursor
        return next((problem for problem in self.model.problems if problem.problem == cursor), None)

    def context(self) -> Context:
        """What actions act on: the problem's task."""
        problem = self.problem
        task = self.model.task(problem.task) if problem and problem.task else None
        return self.make_context(
            problem=problem, task=task, session=self.model.session_of(task.task) if task else None,
            queue=self.model.queue(problem.repo) if problem else None,
        )

    def draw(self) -> None:
        """The list."""
        listing = self.query_one("#list", Listing)
        width = max(20, listing.size.width - 2)
        words = self.wanted.lower().split()
        shown = [each for each in self.model.problems
                 if all(word in f"{each.what} {each.where} {each.mend}".lower() for word in words)]
        if not shown:
            said = "no problem matches" if words else "nothing to mend"
            listing.fill(prose([(), row(GUTTER, Span(f"✓ {said}", "dim"))]))
            return
        items: list[Item] = []
        for problem in shown:
            items += [self._item(problem, width), *prose([()])]
        listing.fill(items)

    def _item(self, problem: ProblemView, width: int) -> Item:
        often = f"{problem.times:,} times or more" if problem.times > 1 else ""
        whose = problem.attempt if problem.attempt.startswith(f"{problem.task}.") else f"{problem.task} {problem.attempt}".strip()
        told = (whose, problem.repo, often, self.desk.clock.age(problem.since))
        about = " · ".join(each for each in told if each)
        rows = [row(GUTTER, Span("! " if not n else "  ", "asking"), Span(line, "strong"))
                for n, line in enumerate(wrap(safe(problem.what), width - 4))]
        if problem.where:
            place = "rule " if problem.attempt else "where"
            rows += [row(GUTTER, Span(f"  {place}  {line}" if not n else f"         {line}", "dim"))
                     for n, line in enumerate(wrap(safe(problem.where), width - 12))]
        if problem.mend:
            rows += [row(GUTTER, Span("  mend   " if not n else "         ", "accent"), line)
                     for n, line in enumerate(wrap(safe(problem.mend), width - 12))]
        if about:
            rows += paragraph(safe(about), width, "dim", "    ", 1)
        return Item(problem.problem, tuple(rows))

    def on_listing_moved(self) -> None:
        """The keys may be different here."""
        self.frame_keys()

    def on_listing_opened(self) -> None:
        """The mouse opened a problem."""
        self.action_act("open")

    def do_open(self) -> None:
        """What an attempt was refused opens its list; else the task that the problem is about."""
        problem = self.problem
        if problem and problem.attempt:
            self.show_access(problem.attempt)
        else:
            self.do_details()

    def do_details(self) -> None:
        """The task that it is about."""
        problem = self.problem
        if problem and problem.task:
            self.desk.show_task(problem.task)

    def do_dismiss(self) -> None:
        """A person has seen what was refused."""
        problem = self.problem
        if problem and problem.attempt:
            self.desk.command(DismissProblem(problem=problem.problem), "put away; the list stays")

    def do_session(self) -> None:
        """The live session of that task."""
        session = self.context().session
        if session:
            self.desk.show_session(session.attempt)

    def do_forward(self) -> None:
        """Take the person's checkout forward."""
        if queue := self.context().queue:
            asks.forward(self.desk, queue)

    def do_filter(self) -> None:
        """Show only problems with these words."""
        self.app.push_screen(Prompt("Show only problems with", self._filter, hint="words", value=self.wanted, watch=self._filter))

    def _filter(self, wanted: str) -> None:
        self.wanted = wanted.strip()
        self.update()

    def do_back(self) -> None:
        """Leave the filter."""
        if self.wanted:
            self._filter("")
