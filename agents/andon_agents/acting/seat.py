"""The sitter: plays a scenario as an interactive agent, in turns, with hooks, permissions and a conversation that outlives it.

Theory of operation. A turn begins with a message and ends at a step `turn_ends`, at the last step, or by Escape. Each deed that
an agent would do by a tool is told to the hooks before and after. Where the scenario stands lies in the transcript after each
step, so a sitter that was killed and is resumed begins the very step again in which it died. A message that comes while it works
joins the turn after the next tool, else it begins the next turn. SIGTERM ends it in order.
"""

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType

import msgspec

from . import scenario as sc
from .diary import Diary
from .hooks import Hooks, decision_of
from .keyboard import Keyboard
from .player import Leave, Player, Stuck
from .scenario import Scenario, Step, holds
from .screen import BOLD, CYAN, DIM, PLAIN, RED, Screen

ENDED = 128 + signal.SIGTERM
RULE = "─" * 60
STATUS = "✻ Working… (esc to interrupt)"
PERMISSION, QUESTION = "1 yes · 2 no · esc to cancel", "1-9 to choose · esc to cancel"
"""The last rows of its menus."""
WORDS_LIMIT = 2_000
"""Characters of last words."""
Deeds = Mapping[type[Step], Callable[[Player, Step], None]]
Tools = Mapping[type[Step], Callable[[Player, Step], tuple[str, dict[str, object]]]]


class Ending(BaseException):
    """Somebody told the process to end."""


class Interrupted(Exception):
    """The person, or the factory, ended the turn."""


class TurnOver(Exception):
    """The turn ends here, with these last words."""

    def __init__(self, text: str, trouble: str = "") -> None:
        super().__init__(text)
        self.text, self.trouble = text, trouble


class SeatScreen(Screen):
    """A terminal whose lines come through the keyboard's own thread."""

    keyboard: Keyboard
    busy = False
    """A turn runs: the last row says so, as with all such programs."""

    def line(self, text: str = "", colour: str = "") -> None:
        """One line, and below it that it works."""
        super().line(text, colour)
        if self.busy and self.live:
            self.write(f"{DIM}{STATUS}{PLAIN}")

    def typed_line(self, wait: float) -> str | None:
        """A message, waiting at most so long."""
        try:
            text = self.keyboard.messages.get(timeout=wait) if wait else self.keyboard.messages.get_nowait()
        except queue.Empty:
            return None
        self.open = self.open and text is not None
        return text.strip() if text is not None else None


class Seat(Player):
    """One sitting of one conversation."""

    def __init__(self, scenario: Scenario, diary: Diary, hooks: Hooks, *, checkout: Path, screen: SeatScreen, tools: Tools,
                 asks: bool = True) -> None:
        super().__init__(scenario, checkout=checkout, screen=screen)
        self.seat = screen
        self.diary, self.hooks, self.tools, self.asks = diary, hooks, tools, asks
        self.keyboard = screen.keyboard = Keyboard(screen, self._wanted)
        self.now = msgspec.structs.replace(self.now, sitting=diary.sitting)
        self.settle(diary.answer)
        self.words, self.prompt = "", ""
        """The last words so far, and the id of the turn's prompt."""
        self._turns = 0
        self._at_work = self._wants = False
        """An interrupt may raise now; one was wanted when it might not."""
        self._asked = 0

    # --- its life --------------------------------------------------------------------------------------------------------

    def sit(self, prompt: str, deeds: Deeds) -> int:
        """From the first message until the terminal is gone or somebody ends it; the exit code."""
        signal.signal(signal.SIGINT, self._stopped)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _end)
        code, because = ENDED, "other"
        try:
            with self.keyboard.opened():
                self.hooks.tell("SessionStart", source="resume" if self.diary.resumed else "startup", model="scripted-1")
                code, because = self._turns_until_left(prompt, deeds), "prompt_input_exit"
        except Ending:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        self.diary.note("end", because=because, code=code)
        self.hooks.tell("SessionEnd", reason=because)
        return code

    def _turns_until_left(self, prompt: str, deeds: Deeds) -> int:
        message: str | None = prompt
        while message is not None:
            try:
                self._turn(message, deeds)
            except Leave as leaving:
                return leaving.code
            self._prompt_box()
            message = self.keyboard.messages.get()
        return 0

    def _prompt_box(self) -> None:
        """The empty input line between two rules, as such programs have it."""
        self.seat.busy = False
        self.screen.still()
        self.screen.line(RULE, DIM)
        self.screen.prompt()

    def _turn(self, message: str, deeds: Deeds) -> None:
        """One turn. Raises Leave when the scenario ends the agent."""
        self._turns += 1
        self.prompt, self.words = f"{self.diary.conversation[:8]}-{self.diary.sitting}-{self._turns}", ""
        self._wants, self.seat.busy = False, True
        self.diary.note("prompt", text=message, turn=self._turns)
        self.diary.user(message, self.prompt)
        self.hooks.tell("UserPromptSubmit", prompt=message, prompt_id=self.prompt)
        self.screen.line(f"> {' '.join(message.split())[:100]}", CYAN)
        trouble = ""
        try:
            self._steps(deeds)
        except TurnOver as over:
            self.words, trouble = over.text, over.trouble
        except (Interrupted, KeyboardInterrupt):
            self._at_work = False
            self.screen.still()
            self.screen.under(["Interrupted · what should I do instead?"], RED)
            self.diary.note("interrupted", turn=self._turns)
            self.diary.user("[Request interrupted by user]", self.prompt)
            return
        except Stuck as stuck:
            self.words = f"I cannot go on: {stuck}"
            self.screen.line(f"✗ {self.words}", RED)
        self._told_over(trouble)

    def _told_over(self, trouble: str) -> None:
        """The turn's end, for the hooks."""
        words = (self.words or "There is nothing left to do.")[:WORDS_LIMIT]
        if trouble:
            self.hooks.tell("StopFailure", prompt_id=self.prompt, error=trouble, last_assistant_message=words)
            return
        self.diary.spoke(words)
        left = [{"id": str(child.pid), "type": "shell"} for child in self.children if child.poll() is None]
        self.hooks.tell("Stop", prompt_id=self.prompt, last_assistant_message=words, background_tasks=left)

    # --- steps -----------------------------------------------------------------------------------------------------------

    def _steps(self, deeds: Deeds) -> None:
        """From where the conversation stands to the end of the turn."""
        while self.diary.next < len(self.scenario.steps):
            step = self.scenario.steps[self.diary.next]
            try:
                if holds(step.when, self.now):
                    self._step(self.filled(step), deeds)
            except (TurnOver, Interrupted, Stuck, Leave, KeyboardInterrupt):
                self.diary.place(self.diary.next + 1, self.now)
                raise
            self.diary.place(self.diary.next + 1, self.now)

    def _step(self, step: Step, deeds: Deeds) -> None:
        """One step: by a tool, or by itself."""
        known = self.tools.get(type(step))
        if known is None:
            if isinstance(step, sc.Say | sc.Finished | sc.Lie):
                self.words = step.text
            with self.interruptible():
                deeds[type(step)](self, step)
            return
        self.tool(*known(self, step), lambda: deeds[type(step)](self, step), permit=step.permit)

    def tool(self, name: str, given: dict[str, object], act: Callable[[], None], *, permit: bool = False) -> None:
        """A deed by a tool, with everything that is told about it. A denied one is not done."""
        call = self.diary.tool(name, given)
        about = {"tool_name": name, "tool_input": given, "tool_use_id": call, "prompt_id": self.prompt}
        self.hooks.tell("PreToolUse", **about)
        if permit and self.asks:
            allowed, words = self.permission(name, given)
            if not allowed:
                self.diary.result(call, words or "The user does not want this.", ok=False)
                self.settle("denied")
                return
        begun = time.monotonic()
        try:
            with self.interruptible():
                act()
        except Interrupted:
            self.diary.result(call, "[Request interrupted by user for tool use]", ok=False)
            raise
        except Stuck as stuck:
            self.hooks.tell("PostToolUseFailure", error=str(stuck), **about)
            self.diary.result(call, str(stuck), ok=False)
            raise
        took = int((time.monotonic() - begun) * 1000)
        self.hooks.tell("PostToolUse", tool_response={"stdout": ""}, duration_ms=took, **about)
        self.diary.result(call, "done")
        self._joined()

    def _joined(self) -> None:
        """Messages that came while it works go into the next model call of the same turn."""
        while True:
            try:
                text = self.keyboard.messages.get_nowait()
            except queue.Empty:
                return
            if text is None:
                self.keyboard.messages.put(None)
                return
            self.diary.note("prompt", text=text, turn=self._turns)
            self.diary.write("attachment", attachment={"type": "queued_command", "prompt": text})
            self.screen.line(f"> {' '.join(text.split())[:100]}", CYAN)

    # --- asking ----------------------------------------------------------------------------------------------------------

    def permission(self, name: str, given: dict[str, object]) -> tuple[bool, str]:
        """Ask for leave by the hook and on the screen at once; the first answer counts. Without either nobody can say yes."""
        subject = str(given.get("command") or given.get("file_path") or "")
        self.screen.line(f"Do you want to proceed with {name}({subject[:60]})?", BOLD)
        return self._decided(name, given, subject, {"1": (True, ""), "y": (True, ""), "2": (False, ""), "n": (False, ""),
                                                    "escape": (False, "")}, ("Yes", "No (esc)"))

    def question(self, text: str, options: tuple[str, ...]) -> tuple[bool, str]:
        """Ask something by the tool for it; the answer in words."""
        labels = [{"label": option, "description": option} for option in options]
        given: dict[str, object] = {"questions": [{"question": text, "header": "Choice", "options": labels, "multiSelect": False}]}
        call = self.diary.tool("AskUserQuestion", given)
        about = {"tool_name": "AskUserQuestion", "tool_input": given, "tool_use_id": call, "prompt_id": self.prompt}
        self.hooks.tell("PreToolUse", **about)
        self.screen.line(f"☐ {text}", BOLD)
        keys = {str(n): (True, option) for n, option in enumerate(options, 1)} | {"escape": (False, "")}
        allowed, answer = self._decided("AskUserQuestion", given, text, keys, options)
        if allowed:
            self.hooks.tell("PostToolUse", tool_response={"answers": {text: answer}}, **about)
        self.diary.result(call, answer, ok=allowed)
        return allowed, answer

    def _decided(self, name: str, given: dict[str, object], subject: str, keys: Mapping[str, tuple[bool, str]],
                 shown: tuple[str, ...]) -> tuple[bool, str]:
        """The first answer from the hook or the keys."""
        self._asked += 1
        number, choices = self._asked, self.keyboard.choices
        self.seat.busy = False
        self.screen.under([f"{n}. {option}" for n, option in enumerate(shown, 1)], CYAN)
        self.screen.line(QUESTION if name == "AskUserQuestion" else PERMISSION, DIM)
        self.screen.title(f"? {self.values['task']}")
        self.diary.note("asked", tool=name, subject=subject)
        self.keyboard.menu = True
        withdraw = self.hooks.ask(lambda printed: choices.put((f"hook {number}", printed.decode(errors="replace"))), tool_name=name,
                                  tool_input=given, prompt_id=self.prompt) if self.hooks.any else lambda: None
        by, decision = "nobody", (False, "")
        while self.hooks.any or self.screen.live:
            source, told = choices.get()
            found = keys.get(told) if source == "key" else decision_of(told.encode()) if source == f"hook {number}" else None
            if found is not None:
                by, decision = source.partition(" ")[0], found
                break
            if source == "gone":
                raise Ending
        self.keyboard.menu, self.seat.busy = False, True
        if by == "key":
            withdraw()
        self.diary.note("told", tool=name, subject=subject, allow=decision[0], text=decision[1], by=by)
        self.screen.under([("allowed" if decision[0] else "denied") + (f": {decision[1]}" if decision[1] else "")])
        return decision

    # --- interrupts ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """In here an interrupt ends the turn; outside of it waits for the next such place of the same turn."""
        try:
            self._at_work = True
            if self._wants:
                self._wants = False
                raise KeyboardInterrupt
            yield
        except KeyboardInterrupt:
            raise Interrupted from None
        finally:
            self._at_work = False

    def _wanted(self) -> None:
        """Escape was pressed: the main thread hears of it wherever it is."""
        signal.pthread_kill(_main_thread(), signal.SIGINT)

    def _stopped(self, _number: int, _frame: FrameType | None) -> None:
        """In the main thread: now, or at the next place where it can be done."""
        if self._at_work:
            self._at_work = False
            raise KeyboardInterrupt
        self._wants = True


def _main_thread() -> int:
    """Its id."""
    found = threading.main_thread().ident
    assert found is not None
    return found


def _end(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM or SIGHUP."""
    raise Ending
