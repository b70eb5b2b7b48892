"""Deeds that ask before they are done: answer, retry, cancel. What a person saw travels with what they decided."""

from typing import Any

from textual.app import App

from andon.schema.inputs import AnswerGate, CancelTask, ForwardTarget, RetryTask, RevertLanding
from andon.schema.views import GateView, QueueView, TaskView
from andon_tui.desk import Desk
from andon_tui.safe import safe
from andon_tui.screens.dialogs import Confirm, Prompt

WORDS = {"reject": "what should be different?", "answer": "your answer in words"}
"""Options that are sent with words, and what is asked for."""


def send(desk: Desk, gate: GateView, option: str, because: str = "") -> None:
    """Answer the gate as it was on screen: `gate.bound` is what the person saw."""
    label = next((each.label for each in gate.options if each.key == option), option)
    command = AnswerGate(gate=gate.gate, option=option, because=because, bound=gate.bound)
    desk.command(command, f"{gate.gate} answered: {safe(label)}")


def answer(app: App[Any], desk: Desk, gate: GateView, option: str) -> None:
    """Ask for the reason or for a yes, then answer the gate."""
    if option in WORDS:
        app.push_screen(Prompt(
            f"{option} {gate.task or gate.gate}: {WORDS[option]}", lambda why: send(desk, gate, option, why),
            hint="told to the agent and kept", needed=True,
        ))
        return
    chosen = next((each for each in gate.options if each.key == option), None)
    size = f"{gate.files} files, +{gate.insertions} -{gate.deletions}, " if gate.files else ""
    details = [gate.title, f"{size}risk {gate.risk}"]
    if chosen and chosen.consequence:
        details.append(chosen.consequence)
    if gate.commit:
        details.append(f"bound to commit {gate.commit[:12]}; a change to it voids this answer")
    question = f"{chosen.label if chosen else option} {gate.task or gate.gate}?"
    app.push_screen(Confirm(question, details, lambda: send(desk, gate, option)))


def retry(app: App[Any], desk: Desk, task: TaskView) -> None:
    """Ask for a note to the next attempt, then retry."""
    app.push_screen(Prompt(
        f"Another attempt for {task.task}: anything it should know?",
        lambda note: desk.command(RetryTask(task=task.task, note=note), f"{task.task} gets another attempt"), hint="may be empty",
    ))


def cancel(app: App[Any], desk: Desk, task: TaskView) -> None:
    """Ask, then cancel."""
    app.push_screen(Confirm(
        f"Cancel {task.task}?", [task.title, "its session ends; everything it wrote is kept and andon undo brings it back"],
        lambda: desk.command(CancelTask(task=task.task, because="cancelled on the board"), f"{task.task} is cancelled"),
    ))


def revert(app: App[Any], desk: Desk, task: TaskView) -> None:
    """Ask why, then have a landed change taken back."""
    app.push_screen(Prompt(
        f"Take {task.task} back? A new commit without it is proved and lands like any other.",
        lambda why: desk.command(RevertLanding(task=task.task, because=why), f"{task.task} is taken back once that is proven"),
        hint="why", needed=True,
    ))


def forward(desk: Desk, queue: QueueView) -> None:
    """Take the person's own checkout forward: only ever a fast-forward, so it needs no yes."""
    desk.command(ForwardTarget(repo=queue.repo), f"your {safe(queue.target)} is taken forward")
