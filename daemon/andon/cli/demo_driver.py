"""Sits beside the demo: tells what happens in plain lines, and answers the gates that the person leaves open."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from andon import signing
from andon.cli.out import clean, state_word
from andon.client import Client, connect
from andon.schema import inputs, wire
from andon.schema.errors import Mistake
from andon.schema.layout import Layout
from andon.schema.views import FactoryView, GateView, TaskView

if TYPE_CHECKING:
    from andon.schema.ids import GateId, TaskId

POLL_S = 0.5
"""How often the driver looks; it is a guest of the demo, not a part of the factory."""
LIMIT_S = 600.0
ANSWERS = {
    "review": ("approve", ""), "question": ("answer", "The first is fine."),
    "failure": ("cancel", "it says done and commits nothing"), "permission": ("allow", ""),
}
"""What the demo answers by kind of gate. A question that offers options gets its first."""


class Driver:
    """Watches one factory until all its tasks are over."""

    def __init__(self, home: Layout, *, patience: float, tell: Callable[[str], None] | None) -> None:
        self.tasks: dict[TaskId, str] = {}
        """Role of each task."""
        self.answered: list[tuple[GateView, str]] = []
        """Gates that the demo answered, and how."""
        self.seen: dict[TaskId, TaskView] = {}
        self.held: set[TaskId] = set()
        """Tasks that waited for a person."""
        self.left = threading.Event()
        """The person closed the screen."""
        self._home, self._patience, self._tell = home, patience, tell or (lambda text: None)
        self._gates: dict[GateId, float] = {}

    def run(self) -> None:
        """Until every task is over, the person left, or ten minutes have gone."""
        end = time.monotonic() + LIMIT_S
        try:
            with connect(self._home) as client:
                while not self.left.is_set() and time.monotonic() < end:
                    views = client.views()
                    self._tasks([view for view in views if isinstance(view, TaskView)])
                    factory = next((view for view in views if isinstance(view, FactoryView)), None)
                    self._answer(client, [view for view in views if isinstance(view, GateView)], factory)
                    if self.over():
                        return
                    self.left.wait(POLL_S)
        except Mistake as mistake:
            self._tell(f"the daemon is gone: {mistake.problem.what}")

    def over(self) -> bool:
        """Whether nothing is left to do."""
        return all(task in self.seen and self.seen[task].state in ("done", "failed", "stopped") for task in self.tasks)

    def _tasks(self, tasks: list[TaskView]) -> None:
        """Tell what changed."""
        for task in tasks:
            before = self.seen.get(task.task)
            if before is None or (before.state, before.attempts) != (task.state, task.attempts):
                self._tell(line_of(task))
            self.seen[task.task] = task

    def _answer(self, client: Client, gates: list[GateView], factory: FactoryView | None) -> None:
        """Answer gates that have waited long enough, as shown, signed by the demo's own person."""
        now = time.monotonic()
        for gate in gates:
            if gate.gate not in self._gates:
                self._gates[gate.gate] = now
                self.held.add(gate.task)
                self._tell(f"     ? {gate.gate} ({gate.kind}, {gate.risk}): {clean(gate.question)}")
                self._tell(f"       {clean(gate.because)}")
            if now - self._gates[gate.gate] < self._patience:
                continue
            option, because = answer_for(gate)
            try:
                signature = signing.sign(factory.operator, factory.operators, gate, option) \
                    if factory and signing.signs(factory.operator, gate) else None
                client.ask(wire.Do(command=inputs.AnswerGate(
                    gate=gate.gate, option=option, because=because, bound=gate.bound, signature=signature)))
            except Mistake:
                continue  # the person was quicker, or the change is another one now: the next look tells
            self.answered.append((gate, option))
            self._tell(f"     ! {gate.gate}: nobody answered for {self._patience:.0f} s, so the demo says {option}")


def answer_for(gate: GateView) -> tuple[str, str]:
    """Option and words."""
    option, because = ANSWERS.get(gate.kind, ("cancel", "the demo gives it up"))
    if gate.kind == "question" and gate.options[0].key != "answer":
        return gate.options[0].key, ""
    return option, because


def line_of(task: TaskView) -> str:
    """One task as one line."""
    claims = " ".join(f"{cell.claim}={cell.status}" for cell in task.claims)
    attempt = f"attempt {task.attempts}" if task.attempts > 1 else ""
    parts = (f"{task.task:<4}", f"{state_word(task.state):<12}", clean(task.title), attempt, claims)
    return "  ".join(part for part in parts if part)
