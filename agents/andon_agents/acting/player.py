"""Plays a scenario: one step after the other, with Ctrl-C, fillings and pace. Knows when; what each step does lies in the deeds.

Theory of operation. Steps run in order in one thread. Ctrl-C interrupts the step that runs, as agents do: the agent then
sits at its prompt, and any typed line lets it go on with the next step; a second Ctrl-C, or no terminal, ends it with 130.
Everything random comes from `seed` and the attempt's name, so an attempt always plays alike.
"""

import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from andon.schema.mailbox import Kind, leave, read_answer

from .scenario import Moment, Scenario, Step, holds
from .screen import BOLD, CYAN, INPUT, RED, Screen

if TYPE_CHECKING:
    import subprocess

_NAME = re.compile(r"\{(task|attempt|number|title|answer|python|checkout|job)\}")


class Leave(Exception):
    """A step ends the agent with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Stuck(Exception):
    """A step cannot be done; the agent gives up."""


class Player:
    """One run of one scenario in one checkout."""

    def __init__(self, scenario: Scenario, *, checkout: Path, screen: Screen, environ: Mapping[str, str] = os.environ) -> None:
        attempt = environ.get("ANDON_ATTEMPT", "T0.1")
        tail = attempt.rpartition(".")[2]
        self.scenario, self.checkout, self.screen = scenario, checkout, screen
        self.now = Moment(attempt=int(tail) if tail.isdigit() else 1)
        self.job = Path(environ["ANDON_JOB"]) if environ.get("ANDON_JOB") else None
        self.chance = random.Random(f"{scenario.seed}/{attempt}")
        self.speed = scenario.speed * _number(environ.get("ANDON_SCRIPTED_SPEED", ""))
        self.values = {
            "task": environ.get("ANDON_TASK") or attempt.rpartition(".")[0], "attempt": attempt, "number": str(self.now.attempt),
            "title": environ.get("ANDON_TITLE", ""), "answer": "",
            "python": sys.executable, "checkout": str(checkout), "job": str(self.job or ""),
        }
        self.children: list[subprocess.Popen[bytes]] = []
        """Processes that were started and are not waited for."""

    def fill(self, text: str) -> str:
        """The text with the names of this attempt in it."""
        return _NAME.sub(lambda name: self.values[name[1]], text)

    def path(self, name: str) -> Path:
        """A path of the checkout."""
        return self.checkout / name

    def pause(self, label: str, seconds: float) -> None:
        """Work for so many scenario seconds, a little more or less by chance."""
        self.screen.pause(label, seconds * self.chance.uniform(0.85, 1.15) / self.speed)

    def tell(self, kind: Kind, text: str, *, options: tuple[str, ...] = (), commit: str = "") -> int:
        """Leave a message for the daemon and give its number; without a job directory only the screen hears it (0)."""
        return leave(self.job, kind, text, options=options, commit=commit).n if self.job else 0

    def answer(self, number: int) -> str | None:
        """Wait for the answer to question `number`: from the inbox, or a line typed here. None when neither can ever come."""
        self.screen.title(f"? {self.values['task']}")
        self.screen.prompt()
        while self.screen.open or self.job:
            if self.job and (given := read_answer(self.job, number)):
                return given.text
            if text := self.screen.typed_line(0.2):
                return text
        return None

    def settle(self, answer: str) -> None:
        """This is the answer from here on, for `{answer}` and for conditions."""
        self.now = msgspec.structs.replace(self.now, answer=answer)
        self.values["answer"] = answer

    def play(self, deeds: Mapping[type[Step], Callable[["Player", Step], None]]) -> int:
        """Play all steps; the exit code is that of the agent."""
        for step in self.scenario.steps:
            if not holds(step.when, self.now):
                continue
            try:
                deeds[type(step)](self, self.filled(step))
            except Leave as leaving:
                return leaving.code
            except Stuck as stuck:
                self.screen.line(f"✗ {stuck}", RED)
                self.screen.line("I cannot go on.", RED)
                return 1
            except KeyboardInterrupt:
                if not self._interrupted():
                    return 130
            self._noted()
        self.screen.still()
        return 0

    def filled(self, step: Step) -> Step:
        """The step with its texts filled in."""
        if step.literal:
            return step
        texts = {f.name: self.fill(value) for f in msgspec.structs.fields(step)
                 if isinstance(value := getattr(step, f.name), str) and f.name != "when"}
        return msgspec.structs.replace(step, **texts)

    def _noted(self) -> None:
        """Lines that were typed while a step ran are acknowledged, as agents queue them."""
        while self.screen.live and (line := self.screen.typed_line(0)) is not None:
            if line:
                self.screen.line(f"{INPUT} {line}", CYAN)
                self.screen.line("● Noted.", BOLD)

    def _interrupted(self) -> bool:
        """Sit at the prompt after Ctrl-C; False when the agent is to end."""
        self.screen.still()
        self.screen.under(["Interrupted · what should I do instead?"], RED)
        try:
            self.screen.prompt()
            while self.screen.live and self.screen.open:
                if self.screen.typed_line(0.2):
                    return True
        except KeyboardInterrupt:
            pass
        return False


def until(started: float, seconds: float) -> Callable[[], bool]:
    """Whether so many real seconds have passed since; 0 is never."""
    return lambda: bool(seconds) and time.monotonic() - started >= seconds


def _number(text: str) -> float:
    """A factor above 0, or 1."""
    try:
        return max(float(text), 0.001)
    except ValueError:
        return 1.0
