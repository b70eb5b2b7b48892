"""Deeds that ask before they are done: answer, retry, cancel. What a person saw travels with what they decided."""

from typing import Any

import msgspec
from textual.app import App

from andon import signing
from andon.schema.errors import Mistake
from andon.schema.gate_inputs import SNOOZE_LIMIT_S, DelegateGate, SnoozeGate
from andon.schema.inputs import AnswerGate, CancelTask, ForwardTarget, RetryTask, RevertLanding
from andon.schema.views import GateView, QueueView, TaskView
from andon_tui.desk import Desk
from andon_tui.safe import safe
from andon_tui.screens.dialogs import Confirm, Prompt

WORDS = {"reject": "what should be different?", "answer": "your answer in words"}
"""Options that are sent with words, and what is asked for."""
UNITS = {"m": 60, "h": 3600, "d": 86_400}


def send(desk: Desk, gate: GateView, option: str, because: str = "") -> None:
    """Answer the gate as it was on screen: `gate.bound` is what the person saw."""
    label = next((each.label for each in gate.options if each.key == option), option)
    command = AnswerGate(gate=gate.gate, option=option, because=because, bound=gate.bound)
    factory = desk.model.factory
    if factory is not None and signing.signs(factory.operator, gate):
        signature, left = None, ""
        with desk.terminal():  # nothing may be raised out of it: the screen would not come back
            try:
                signature = signing.sign(factory.operator, factory.operators, gate, option)
            except Mistake as mistake:
                left = str(mistake)
        if signature is None:
            desk.say(left, bad=True)
            return
        command = msgspec.structs.replace(command, signature=signature)
    desk.command(command, f"{gate.gate} answered: {safe(label)}")


def send_all(app: App[Any], desk: Desk, gates: list[GateView], option: str) -> None:
    """Show all, ask once, then answer each as it was on screen; each is signed, and told, on its own."""
    offering = [gate for gate in gates if any(each.key == option for each in gate.options)]
    without = [gate.gate for gate in gates if gate not in offering]
    details = [f"{gate.gate} {safe(gate.task)} {safe(gate.title)} · risk {gate.risk} · {gate.bound[:12] or 'unbound'}"
               for gate in offering]
    details += [f"not offered by {', '.join(without)}"] if without else []

    def go() -> None:
        for gate in offering:
            send(desk, gate, option)

    if offering:
        app.push_screen(Confirm(f"{option} {len(offering)} gates?", details, go))
    else:
        desk.say(f"no marked gate offers {option}", bad=True)


def snooze(app: App[Any], desk: Desk, gate: GateView, napping: bool) -> None:
    """Ask how long, then put it off; a gate that is put off comes back."""
    if napping:
        desk.command(SnoozeGate(gate=gate.gate, seconds=0), f"{gate.gate} is back")
        return

    def put_off(text: str) -> None:
        number, unit = text.strip()[:-1], text.strip()[-1:]
        if not number.isdigit() or unit not in UNITS:
            desk.say(f"`{safe(text)}` is no length of time: write 90m, 2h or 1d", bad=True)
            return
        desk.command(SnoozeGate(gate=gate.gate, seconds=int(number) * UNITS[unit]), f"{gate.gate} is put off for {text.strip()}")

    app.push_screen(Prompt(f"Hear of {gate.gate} again in", put_off, hint=f"90m, 2h, 1d; at most {SNOOZE_LIMIT_S // 3600}h",
                           value="2h", needed=True))


def delegate(app: App[Any], desk: Desk, gate: GateView) -> None:
    """Ask for whom and why: `ana: she knows the parser`."""

    def leave(text: str) -> None:
        to, colon, why = text.partition(":")
        if not colon or not why.strip():
            desk.say("say who it is for and why: ana: she knows the parser", bad=True)
            return
        desk.command(DelegateGate(gate=gate.gate, to=to.strip(), because=why.strip()), f"{gate.gate} is left to {safe(to.strip())}")

    app.push_screen(Prompt(f"Who is {gate.gate} for, and why?", leave, hint="ana: she knows the parser", needed=True))


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
