"""The app: one source, one model, one clock, a stack of screens. Must never decide: what a person does goes out as a request.

Theory of operation. The Feeder folds the daemon's changes into the model and posts at most fifteen drawings a second to the app,
which asks the screen in sight to draw; a screen builds its rows and only those that differ are painted. The one timer of the app
is armed after a drawing that told ages, for when they are worth drawing again. Nothing else moves by itself.
"""

import contextlib
import signal
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from textual import events, on
from textual.app import App, SuspendNotSupported
from textual.screen import Screen
from textual.timer import Timer  # noqa: TC002 (Textual reads annotations at run time)

from andon.aclient import Feed
from andon.schema.attach import attach_argv
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, Digest, TaskId
from andon.schema.inputs import AnyCommand
from andon.schema.layout import Layout
from andon.schema.wire import AnyReply, AnyRequest, BlobIs, Do, GetBlob, GetTask, TaskIs
from andon_tui import palette
from andon_tui.clock import Clock, wall_ms
from andon_tui.commands import Commands
from andon_tui.feed import Feeder, Source
from andon_tui.messages import FactoryChanged, PaneChanged
from andon_tui.model import Model
from andon_tui.safe import lines, safe
from andon_tui.screens.board import Board
from andon_tui.screens.dialogs import Prompt
from andon_tui.screens.evidence import EvidenceScreen
from andon_tui.screens.face import Face
from andon_tui.screens.floor import Floor
from andon_tui.screens.gates import Gates
from andon_tui.screens.help import Help
from andon_tui.screens.problems import Problems
from andon_tui.screens.queue import Queue
from andon_tui.screens.session import Session
from andon_tui.screens.task import TaskScreen
from andon_tui.screens.viewer import Viewer

BLOBS_LIMIT = 32
"""Texts of blobs that are kept."""
NOTE_LIMIT = 400
"""Characters of a short note."""
DEPTH_LIMIT = 12
"""Screens that may lie over each other."""
HOMES = ("board", "gates", "queue", "floor", "problems")
"""Screens that lie under all others."""


class AndonApp(App[int], inherit_bindings=False):
    """The face of the factory."""

    CSS_PATH = "andon.tcss"
    TITLE = "Andon"
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = False
    COMMANDS = {Commands}  # noqa: RUF012 (Textual's own way to say it)
    NOTIFICATION_TIMEOUT = 4
    ALLOW_SELECT = False

    def __init__(
        self, source: Source, *, layout: Layout | None = None, now: Callable[[], int] = wall_ms, theme: str = palette.DARK,
        until: threading.Event | None = None,
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        for each in palette.THEMES:
            self.register_theme(each)
        self.theme = theme
        self.source, self.layout_of_factory = source, layout
        self.model, self.clock = Model(), Clock(now)
        self.feeder = Feeder(source, self.model, self.post_message, now)
        self._blobs: OrderedDict[Digest, str] = OrderedDict()
        self._ages: Timer | None = None
        self._until = until
        self._settled = False
        """Whether the first home screen was chosen from what the daemon said."""

    # --- life --------------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Show the board and start listening."""
        for name, screen in (
            ("board", Board), ("gates", Gates), ("queue", Queue), ("floor", Floor), ("problems", Problems),
        ):
            self.install_screen(screen(), name)
        self.push_screen("board")
        self.run_worker(self.feeder.run(), group="feed")
        if self._until is not None:
            threading.Thread(target=self._leave, args=(self._until,), daemon=True, name="until").start()

    def _leave(self, until: threading.Event) -> None:
        """In a thread of its own: leave when the event is set."""
        until.wait()
        with contextlib.suppress(RuntimeError):  # the person was quicker
            self.call_from_thread(self.exit, 0)

    def on_factory_changed(self, _: FactoryChanged) -> None:
        """Draw what is in sight."""
        if not self._settled and self.connected:
            self._settled = True
            if self.model.gates and len(self.screen_stack) == 2:
                self.show_home("gates")
        self.draw()

    @on(events.Key)
    def hand_over(self, event: events.Key) -> None:
        """A character that no line of text took, while a prompt stands: it was typed while the prompt was on its way up."""
        if isinstance(self.screen, Prompt):
            self.screen.typed_ahead(event)

    def on_pane_changed(self, message: PaneChanged) -> None:
        """Hand the picture to the screen that watches."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Session):
                screen.show_pane(message)
                return

    def draw(self) -> None:
        """Draw the topmost full screen; what lies below catches up when it is seen again."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Face):
                screen.update()
                return

    def rearm(self) -> None:
        """Wake up when the ages on screen are worth drawing again."""
        if self._ages is not None:
            self._ages.stop()
            self._ages = None
        if self.clock.interval:
            self._ages = self.set_timer(self.clock.interval, self.draw)

    # --- the desk of the screens -------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the daemon is heard right now."""
        return self.source.connected

    @property
    def trouble(self) -> str:
        """Why it is not, and what to do."""
        problem = self.source.problem
        return "" if problem is None else f"{problem.what}{' · ' + problem.mend if problem.mend else ''}"

    @property
    def heard(self) -> int:
        """When it was last heard."""
        return self.feeder.heard

    def say(self, text: str, *, bad: bool = False, title: str = "") -> None:
        """A short note, never read as markup."""
        told = "\n".join(lines(text[:NOTE_LIMIT]))
        self.notify(told, title=safe(title), severity="error" if bad else "information", markup=False, timeout=8 if bad else None)

    def _complain(self, problem: Problem) -> None:
        more = [f"where: {problem.where}"] if problem.where else []
        more += [f"mend: {problem.mend}"] if problem.mend else []
        self.say("\n".join([problem.what, *more]), bad=True)

    def command(self, command: AnyCommand, told: str) -> None:
        """Send a person's command."""
        self.request(Do(command=command), told)

    @contextlib.contextmanager
    def terminal(self) -> Iterator[None]:
        """The terminal, handed over; where there is none (a test, a recording) things go on without.

        Nothing may be raised in there: Textual would not take the terminal back. Ctrl+C is for whoever has it
        meanwhile: a handler of ours is not inherited by them, and asyncio's would end the app.
        """
        before = signal.signal(signal.SIGINT, lambda *_: None) if threading.current_thread() is threading.main_thread() else None
        try:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(SuspendNotSupported):
                    stack.enter_context(self.suspend())
                yield
        finally:
            if before is not None:
                signal.signal(signal.SIGINT, before)
        self.refresh(layout=True)

    def request(self, request: AnyRequest, told: str = "") -> None:
        """Send a request; an error is said, silence is none."""
        if self._exit:
            return
        self._later(self._request(request, told))

    async def _request(self, request: AnyRequest, told: str) -> None:
        try:
            await self.ask(request)
        except Mistake as mistake:
            if told or self.connected:
                self._complain(mistake.problem)
        else:
            if told:
                self.say(told)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        self.run_worker(work, exit_on_error=True)

    async def ask(self, request: AnyRequest) -> AnyReply:
        """The daemon's answer."""
        return await self.source.ask(request)

    async def blob(self, digest: Digest) -> str:
        """The text of a blob, from the cache when it was read before."""
        found = self._blobs.get(digest)
        if found is not None:
            self._blobs.move_to_end(digest)
            return found
        try:
            reply = await self.ask(GetBlob(digest=digest))
        except Mistake as mistake:
            return f"cannot be read: {mistake.problem.what}"
        if not isinstance(reply, BlobIs):
            return "cannot be read: the daemon answered something else"
        text = reply.text + ("\n… the rest is not shown here" if reply.truncated else "")
        self._blobs[digest] = text
        while len(self._blobs) > BLOBS_LIMIT:
            self._blobs.popitem(last=False)
        return text

    # --- places ------------------------------------------------------------------------------------------------------

    def _climb(self) -> None:
        while len(self.screen_stack) > 2:
            self.pop_screen()

    def show_home(self, name: str) -> None:
        """One of the screens that the others lie over."""
        self._climb()
        if self.screen is not self.get_screen(name):
            self.switch_screen(name)

    def _open(self, screen: Screen[None]) -> None:
        if len(self.screen_stack) >= DEPTH_LIMIT:
            self._climb()
        self.push_screen(screen)

    def show_task(self, task: TaskId) -> None:
        """Open a task's screen."""
        self._open(TaskScreen(task))

    def show_session(self, attempt: AttemptId) -> None:
        """Open a session's screen."""
        self._open(Session(attempt))

    def show_text(self, title: str, text: str, *, diff: bool = False) -> None:
        """Open the viewer."""
        self._open(Viewer(title, text, diff=diff))

    def show_evidence(self, task: TaskId, claim: str = "", digest: Digest | None = None) -> None:
        """Open what a claim rests on."""
        self._open(EvidenceScreen(task, claim, digest))

    def show_diff(self, task: TaskId) -> None:
        """Fetch and open the diff of a task's change."""
        self._later(self._show_diff(task))

    async def _show_diff(self, task: TaskId) -> None:
        gate = self.model.gate_of(task)
        digest = gate.diff if gate else Digest("")
        if not digest:
            try:
                reply = await self.ask(GetTask(task=task))
            except Mistake as mistake:
                self._complain(mistake.problem)
                return
            digest = reply.detail.diff if isinstance(reply, TaskIs) else Digest("")
        if digest:
            self.show_text(f"{task} · diff", await self.blob(digest), diff=True)
        else:
            self.say(f"{task} has no change yet")

    def jump(self, place: str) -> None:
        """Go to what a person typed: T3, G1, T3.1, board."""
        word = place.strip()
        name = word.upper().split(" ")[0].rstrip(":")
        homes = [home for home in HOMES if word and home.startswith(word.lower())]
        if self.model.task(name):
            self.show_task(TaskId(name))
        elif gate := self.model.gate(name):
            self.show_home("gates")
            self.call_after_refresh(lambda: self.get_screen("gates", Gates).show_gate(gate))
        elif self.model.session(name):
            self.show_session(AttemptId(name))
        elif homes:
            self.show_home(homes[0])
        elif word.lower() in ("help", "quit"):
            getattr(self, f"do_{word.lower()}")()
        elif word:
            known = f"a task (T3), a gate (G1), a session (T3.1), {', '.join(HOMES)}"
            self.say(f"there is no {safe(word)[:40]} here: try {known}")

    # --- actions of every screen -------------------------------------------------------------------------------------

    def do_board(self) -> None:
        """The board."""
        self.show_home("board")

    def do_gates(self) -> None:
        """The gates."""
        self.show_home("gates")

    def do_queue(self) -> None:
        """The merge queue."""
        self.show_home("queue")

    def do_floor(self) -> None:
        """The floor."""
        self.show_home("floor")

    def do_problems(self) -> None:
        """The problems."""
        self.show_home("problems")

    def do_jump(self) -> None:
        """Ask where to."""
        self.push_screen(Prompt("Go to", self.jump, hint=f"T3, G1, T3.1, {', '.join(HOMES)}"))

    def do_evidence(self) -> None:
        """What the claims of the chosen task rest on, beginning with the one that needs a look."""
        screen = self.screen
        task = screen.context().task if isinstance(screen, Face) else None
        if task is not None:
            self.show_evidence(task.task)

    def do_help(self) -> None:
        """Keys and signs."""
        screen = self.screen
        if isinstance(screen, Face) and not isinstance(screen, Help):
            self._open(Help(screen.PLACE))

    def do_palette(self) -> None:
        """Find an action by its name."""
        self.use_command_palette = True
        self.action_command_palette()

    def do_theme(self) -> None:
        """Dark or light."""
        self.theme = palette.LIGHT if self.theme == palette.DARK else palette.DARK

    def do_quit(self) -> None:
        """Leave the screen; agents go on."""
        self.exit(0)

    def do_attach(self) -> None:
        """Take a session over in this terminal."""
        screen = self.screen
        view = screen.context().session if isinstance(screen, Face) else None
        if view is None or self.layout_of_factory is None:
            self.say("attach needs a session of this machine's own factory")
            return
        with self.suspend():
            done = subprocess.run(attach_argv(self.layout_of_factory, view.session), check=False)
        self.refresh(layout=True)
        if done.returncode:
            self.say(f"tmux could not attach to {view.session} (exit {done.returncode}): the session may have ended", bad=True)

    def action_help_quit(self) -> None:
        """Ctrl+C where no screen is: leave."""
        self.do_quit()


def run(layout: Layout, *, until: threading.Event | None = None) -> int:
    """Show the factory of this layout until the person quits, or the event is set. Returns the exit code."""
    app = AndonApp(Feed(layout), layout=layout, until=until)
    code = app.run()
    if app.return_code == 0 and app.model.sessions:
        print(f"{len(app.model.sessions)} agents go on; `andon` shows them again, `andon down` stops the daemon.")
    return code if isinstance(code, int) else app.return_code or 0


