"""Speaks to running sessions: answers, messages, interrupts, orderly ends, looks. It knows how, never why, like the performer.

Theory of operation. Each deed takes the best way there is: the agent's own API, else the file that its hook waits for, else
keys on a screen that was read a moment before and matches a rule literally. A message that goes in over the screen leaves a
mark on disk before its first byte: a daemon that finds the mark without a receipt does not know whether the agent has it, says
so, and never sends it twice.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from andon.core.assertions import asserted
from andon.core.judging.screens import matches, rules_for
from andon.edges import beneath, checkout, jobs, keyboard, shim_files
from andon.edges.tmux import Tmux
from andon.schema import effects as f, inputs as i
from andon.schema.agent import SERVED, Channel
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.ids import AttemptId, session_name
from andon.schema.jobs import ASKS, CHANNEL, FACTS, HOOKS, MESSAGES, Decision, Facts
from andon.schema.layout import Layout
from andon.schema.rules import Rules, ScreenRule

API_S = 10.0
"""An agent's API that says nothing for so long did not take it."""
TAKEN_S = 5.0
"""At most this long until a waiting hook must have read its decision."""
SETTLE_S = 3.0
"""At most this long until a screen that was answered must look otherwise."""
POLITE_S = 5.0
"""An interactive agent that is told to end has this long before the whole tree is killed."""
FACTS_BYTES = 64 * 1024
RECEIPT_BYTES = 256 * 1024
"""Read of the end of a session's raw lines when a message's receipt is looked for."""
ASKING = ("waiting-permission", "waiting-answer")
"""Health of a screen that takes keys as its answer: nothing else may be typed into it."""


class Channels(Protocol):
    """The live connections to agents that have an API."""

    def of(self, attempt: AttemptId) -> Channel | None:
        """The connection to this one, when it stands."""
        ...


class Steering:
    """The voice of one daemon."""

    def __init__(self, layout: Layout, tmux: Tmux, channels: Channels, rules: Callable[[], Rules],
                 adapter_of: Callable[[AttemptId], str]) -> None:
        self._layout, self._tmux, self._channels, self._rules, self._adapter_of = layout, tmux, channels, rules, adapter_of

    # --- looks and ends ----------------------------------------------------------------------------------------------

    async def look(self, effect: f.LookAtWork) -> i.Input:
        """What the checkout holds at the end of a turn, and what of the last words it contradicts."""
        told = asserted(effect.text)
        seen = await checkout.look_at(Path(effect.git_dir), Path(effect.path), effect.base, self._layout, told.files)
        wrong: list[tuple[str, str]] = []
        head = seen.head or effect.base
        for name in told.commits[-1:]:
            if not head.startswith(name):
                wrong.append((f"it committed {name[:12]}", f"its head is {head[:12]}"))
        missing = (name for name in told.files if name not in seen.there)
        wrong += [(f"it made the file {name}", "there is no such file in its checkout") for name in missing]
        committed = seen.head is not None and seen.head != effect.base
        return i.WorkSeen(attempt=effect.attempt, n=effect.n, committed=committed, dirty=seen.dirty, contradictions=tuple(wrong))

    async def end(self, effect: f.EndSession) -> i.Input:
        """The whole tree, with time for the agent to leave in order. What it wrote stays."""
        folder = self._layout.job(effect.attempt)
        if isinstance(jobs.probe(folder), jobs.Running):
            point("end-session.asked")
            await jobs.stop(folder, POLITE_S)
        return i.FinishDone(attempt=effect.attempt)

    # --- asks --------------------------------------------------------------------------------------------------------

    async def answer(self, effect: f.AnswerAsk) -> i.Input:
        """By the agent's API, else by the hook that waits, else by keys on its prompt. The receipt says which."""
        if effect.by_keys:
            how = await self._answer_by_keys(effect)
        elif (channel := self._channels.of(effect.attempt)) is not None:
            async with within(API_S, f"the answer to {effect.ask}"):
                taken = await channel.answer(effect.ask, allow=effect.allow, text=effect.text)
            how = "api" if taken else "no longer wanted"
        elif self._served(effect.attempt):
            raise Mistake("the agent's own server is not reached yet", where=effect.attempt, mend="it is tried again")
        else:
            how = await self._answer_by_hook(effect)
        return i.AskAnswered(attempt=effect.attempt, ask=effect.ask, how=how)

    def _served(self, attempt: AttemptId) -> bool:
        """Whether its asks come over a connection, by what was laid down at its start."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(beneath.read(self._layout.job(attempt), FACTS, FACTS_BYTES), type=Facts).channel in SERVED
        return False

    async def _answer_by_hook(self, effect: f.AnswerAsk) -> str:
        """The decision where the waiting hook reads it; `no longer wanted` when no hook takes it."""
        folder = self._layout.job(effect.attempt) / ASKS
        name = Path(effect.ask).name
        if name != effect.ask or not folder.is_dir():
            return "no longer wanted"
        decision, taken = folder / f"{name}.json", folder / f"{name}.taken"
        if not taken.exists():
            data = msgspec.json.encode(Decision(ask=effect.ask, allow=effect.allow, text=effect.text))
            await asyncio.to_thread(beneath.write_whole, folder, decision.name, data)  # the agent writes there too: follow nothing
            point("answer-ask.written")
        end = time.monotonic() + TAKEN_S
        while not taken.exists():
            if not (folder / f"{name}.wait").exists():
                await asyncio.sleep(0.1)  # who takes the mark away leaves the receipt a moment later
                return "hook" if taken.exists() else "no longer wanted"
            if time.monotonic() >= end:
                raise Mistake("the hook that waits did not take its decision", where=str(decision), mend="it is tried again")
            await asyncio.sleep(0.02)
        return "hook"

    async def _answer_by_keys(self, effect: f.AnswerAsk) -> str:
        """Keys on the prompt that is on the screen now, if a rule knows it; seen to be gone afterwards."""
        rule = await self._prompt(effect.attempt)
        word = "allow" if effect.allow else "deny"
        if rule is None:
            return "no longer wanted"
        if word not in rule.keys:
            raise Mistake(f"no keys are known that {word} this prompt", where=f"rule {rule.name}",
                          mend=f"answer at its own screen: andon attach {effect.attempt}")
        attempt, name = effect.attempt, rule.name
        if not await keyboard.press(self._tmux, attempt, rule.keys[word], lambda rows: self._shows(attempt, rows, name)):
            return "no longer wanted"
        point("answer-ask.pressed")
        if not await keyboard.until(self._tmux, attempt, lambda rows: not self._shows(attempt, rows, name), SETTLE_S):
            raise Mistake("the prompt is still on the screen after the keys", where=effect.attempt, mend="it is tried again")
        return "keys"

    async def _prompt(self, attempt: AttemptId) -> ScreenRule | None:
        """The rule of the prompt that the pane shows now; None when it shows none."""
        rows = await keyboard.rows(self._tmux, attempt)
        return next((rule for rule in self._known(attempt) if rule.health in ASKING and matches(rule, rows)), None)

    def _known(self, attempt: AttemptId) -> tuple[ScreenRule, ...]:
        """The screen rules of this session's agent."""
        return rules_for(self._rules().screens, self._adapter_of(attempt))

    def _shows(self, attempt: AttemptId, rows: tuple[str, ...], name: str) -> bool:
        return any(rule.name == name and matches(rule, rows) for rule in self._known(attempt))

    # --- messages ----------------------------------------------------------------------------------------------------

    async def deliver(self, effect: f.DeliverMessage) -> i.Input:
        """Once: by API with its receipt, else pasted. Pasted words whose receipt is still to come answer without `how`."""
        folder, attempt = self._layout.job(effect.attempt), effect.attempt
        mark = folder / MESSAGES / effect.message
        if mark.exists():
            return await self._resolve(effect, folder)
        channel = self._channels.of(attempt)
        if channel is not None:
            await self._mark(mark)
            async with within(API_S, f"message {effect.message}"):
                taken = await channel.send(effect.text)
            if taken:
                return i.MessageSent(attempt=attempt, message=effect.message, how="api")
            return i.MessageRefused(attempt=attempt, message=effect.message, because="the agent's own API did not take it")
        if isinstance(jobs.probe(folder), jobs.Ended | jobs.Lost):
            return i.MessageRefused(attempt=attempt, message=effect.message, because="its session has ended")
        await self._see_no_prompt(attempt)
        await self._mark(mark)
        point("deliver-message.marked")
        try:
            await self._see_no_prompt(attempt)  # again: to leave a mark durably takes a disk its time
        except Mistake:
            await asyncio.to_thread(mark.unlink)  # nothing went in: it is not begun
            raise
        try:
            await self._tmux.send_text(session_name(attempt), effect.text)
        except Mistake as mistake:
            return i.MessageRefused(attempt=attempt, message=effect.message, because=mistake.problem.what)
        return i.MessageSent(attempt=attempt, message=effect.message)

    async def _see_no_prompt(self, attempt: AttemptId) -> None:
        """Raises Mistake while its screen asks something. What is drawn in the few milliseconds after this look is not seen."""
        rule = await self._prompt(attempt)
        if rule is not None:
            raise Mistake(f"its screen waits for an answer ({rule.name}): a message would be taken for it", where=attempt,
                          mend="answer that first; the message waits")

    async def _mark(self, mark: Path) -> None:
        """Leave the mark, durably, before the first byte goes in."""
        mark.parent.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(shim_files.write_whole, str(mark), b"")

    async def _resolve(self, effect: f.DeliverMessage, folder: Path) -> i.Input:
        """It was begun once before: what the session itself says of it decides; when it says nothing, nobody knows."""
        seen = await asyncio.to_thread(_told, folder, effect.text)
        if seen:
            return i.MessageSent(attempt=effect.attempt, message=effect.message, how=seen)
        because = "the daemon ended while it was being delivered, and the session does not show it"
        return i.MessageRefused(attempt=effect.attempt, message=effect.message, because=because, unsure=True)

    # --- interrupts --------------------------------------------------------------------------------------------------

    async def interrupt(self, effect: f.InterruptTurn) -> i.Input:
        """By API, else by the Escape key on a screen that offers it."""
        channel = self._channels.of(effect.attempt)
        how = ""
        if channel is not None:
            async with within(API_S, "the interrupt"):
                how = "api" if await channel.interrupt() else ""
        if not how:
            pressed = await keyboard.press(self._tmux, effect.attempt, ("Escape",), self._offers(effect.attempt))
            how = "keys" if pressed else "not at work"
        return i.Interrupted(attempt=effect.attempt, n=effect.n, how=how)

    def _offers(self, attempt: AttemptId) -> keyboard.Looks:
        """Whether the screen is one of an agent at work: Escape at a prompt would answer it."""
        at_work = [rule for rule in self._known(attempt) if rule.health in ("working", "thinking")]
        return lambda rows: any(matches(rule, rows) for rule in at_work)


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """A bound on what another program takes its time for; past it a Mistake, and the deed is tried again."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Mistake(f"the agent did not answer within {seconds:.0f} s: {what}", mend="it is tried again") from error


def _told(folder: Path, text: str) -> str:
    """By which raw lines of the session these words are seen to have arrived; empty when by none."""
    wanted = msgspec.json.encode(text[:400])[1:-1]
    for name, how in ((CHANNEL, "api"), (HOOKS, "hook")):
        with contextlib.suppress(OSError):
            if wanted in beneath.tail(folder, name, RECEIPT_BYTES):
                return how
    return ""
