"""A daemon with one protection off, to show that the sweep can fail: `python tests/fault/naive.py NAME`. No part of the product."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from andon import loop, main, perform, steering
from andon.core import asks, decide
from andon.core.queue import policy, proving, standing
from andon.core.queue.look import Want
from andon.core.stations import land
from andon.edges import jobs, landing, merging, mirror, repository, salvage, three_way
from andon.edges.check import Checks
from andon.edges.git import git
from andon.edges.repository import trunk_ref
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.faults import point
from andon.schema.ids import Oid, session_name
from andon.schema.jobs import ASKS, Decision
from andon.schema.layout import layout

PROTECTIONS: dict[str, Callable[[], None]] = {}


def protection(switch_off: Callable[[], None]) -> Callable[[], None]:
    """Enter a switch under its own name."""
    PROTECTIONS[switch_off.__name__] = switch_off
    return switch_off


def put(owner: Any, name: str, value: Any) -> None:
    """Replace a part of the product."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: this protection must be switched off anew"
    setattr(owner, name, value)


@protection
def token() -> None:
    """A start token that is there counts nothing: the agent is always started, in a session of its own."""

    async def start(self: perform.Performer, effect: f.StartSession) -> i.Input:
        folder = self._layout.job(effect.attempt)
        for name in ("start", "exit.json"):
            (folder / name).unlink(missing_ok=True)
        await self._write_job(effect, folder)
        await self._tmux.ensure()
        name = f"{session_name(effect.attempt)}_{os.getpid()}"
        await self._tmux.new_session(name, jobs.shim_argv(folder), effect.path, {})
        seen = await jobs.await_start(folder)
        assert not isinstance(seen, jobs.NotStarted) and seen.started is not None
        begun = seen.started
        return i.SessionStarted(attempt=effect.attempt, pid=begun.pid, ticks=begun.ticks, boot=begun.boot, session=name)

    put(perform.Performer, "start", start)


@protection
def probe() -> None:
    """Nobody looks whether the agent is there already before its session is made anew."""

    async def start(self: perform.Performer, effect: f.StartSession) -> i.Input:
        folder, name = self._layout.job(effect.attempt), session_name(effect.attempt)
        await self._write_job(effect, folder)
        await self._tmux.ensure()
        await self._tmux.kill_session(name)
        await self._tmux.new_session(name, jobs.shim_argv(folder), effect.path, {})
        seen = await jobs.await_start(folder)
        assert not isinstance(seen, jobs.NotStarted) and seen.started is not None
        begun = seen.started
        return i.SessionStarted(attempt=effect.attempt, pid=begun.pid, ticks=begun.ticks, boot=begun.boot, session=name)

    put(perform.Performer, "start", start)


@protection
def swap() -> None:
    """The target is set to the candidate, wherever it stands by now."""

    async def anyway(effect: f.MoveTarget, hold: int) -> str:
        await git("update-ref", trunk_ref(effect.target), effect.new, git_dir=effect.git_dir, hold=hold)
        point("move-target.swapped")
        return ""

    async def proven(effect: f.MoveTarget) -> str:
        return ""

    put(landing, "_swap", anyway)
    put(landing, "prove", proven)


@protection
def proof() -> None:
    """A merged tree lands without having been proven."""

    def believed(state: Any, repo: Any, known: Any) -> list[Any]:
        wanted = known.candidate and not known.passed
        return [e.LandingJudged(landing=known.landing, result="pass", because="it will do")] if wanted else []

    put(proving, "advance", believed)


@protection
def confirmation() -> None:
    """Who fails once is sent back."""
    put(standing, "confirmations", lambda repo: 0)


@protection
def holding() -> None:
    """Who is held lands all the same."""
    for module in (standing, land):
        put(module, "may_land", lambda state, task: True)


@protection
def arrival() -> None:
    """The newest change lands first, one by one."""
    in_order = standing.in_order
    put(standing, "in_order", lambda state, repo: in_order(state, repo)[::-1])
    put(policy, "LONGEST", 1)


@protection
def halving() -> None:
    """In a queue that fails the culprit is looked for from the front, one by one."""
    wants = policy.Field.wants

    def in_turn(self: policy.Field) -> Iterator[Want]:
        for want in wants(self):
            yield msgspec.structs.replace(want, members=self.scene.keys[: self.scene.low + 1]) if self.scene.failing else want

    put(policy.Field, "wants", in_turn)


@protection
def bases() -> None:
    """A change lands with the tree that it has by itself, as if nothing had landed since it was begun, and nobody looks again."""

    async def alone(git_dir: Path | str, ours: str, theirs: str, drivers: Any = None) -> three_way.Merged:
        return three_way.Merged(clean=True, tree=await repository.tree_of(git_dir, theirs))

    async def nothing(effect: f.MoveTarget) -> str:
        return ""

    put(merging, "merge_one", alone)
    put(landing, "prove", nothing)


@protection
def checked_out() -> None:
    """The person's branch is moved by itself, whoever has it checked out."""

    async def bare(effect: f.MirrorTarget, common: Path, place: Path, branch: Oid, take: str, hold: int) -> None:
        await git("update-ref", f"refs/heads/{effect.target}", effect.oid, git_dir=common, hold=hold)

    put(mirror, "_forward", bare)


@protection
def in_hand() -> None:
    """The person's checkout is set to what landed, whatever they have in hand."""

    async def hard(effect: f.MirrorTarget, common: Path, place: Path, branch: Oid, take: str, hold: int) -> None:
        await git("reset", "-q", "--hard", effect.oid, cwd=place, trusted=True, hold=hold)

    put(mirror, "_forward", hard)


@protection
def snapshot() -> None:
    """A checkout is removed without a snapshot."""

    async def nothing(git_dir: object, path: Path, attempt: str, base: Oid, place: object) -> salvage.Salvaged:
        return salvage.Salvaged(ref="", oid=base, dirty=False)

    put(salvage, "snapshot", nothing)


@protection
def durable() -> None:
    """Act, then append: state counts, answers go out and effects start before the ledger has the events."""

    async def take(self: loop.Loop, items: list[loop.Item]) -> None:
        at = max(self.clock.now(), self.state.at)
        self.state, told = self._decide(items, at)
        for item, problem, events in told:
            self._answer(item, problem, events)
        self._publish_soon()
        self._start_owed(answered=[item.effect for item in items if item.effect is not None])
        await asyncio.sleep(0.15)
        recorded = [event for _, _, events in told for event in events]
        if recorded:
            point("append.before")
            await self.store.append(recorded, at)
            point("append.after")
        if self.on_recorded is not None:
            self.on_recorded(recorded)

    put(loop.Loop, "_take", take)


@protection
def sweeping() -> None:
    """What a killed daemon left half-done stays as it is."""

    async def nothing(place: object) -> None:
        return None

    async def none(self: Checks) -> int:
        return 0

    put(salvage, "sweep", nothing)
    put(Checks, "sweep", none)


@protection
def order() -> None:
    """A target that was read slowly is told late, after a landing has moved it."""
    read = repository.read_target

    async def slowly(git_dir: Path | str, target: str) -> repository.Target | repository.Diverged:
        seen = await read(git_dir, target)
        await asyncio.sleep(0.8)
        return seen

    put(repository, "read_target", slowly)
    put(loop.Loop, "target_lock", lambda self, repo: asyncio.Lock())


@protection
def adoption() -> None:
    """A session that a former daemon started is taken for lost, and the task is given to a new attempt."""
    known: set[str] = set()
    start, watch = perform.Performer.start, perform.Performer.watch

    async def started(self: perform.Performer, effect: f.StartSession) -> i.Input:
        known.add(effect.attempt)
        return await start(self, effect)

    async def watched(self: perform.Performer, effect: f.WatchSession) -> i.Input:
        if effect.attempt not in known:
            return i.SessionEnded(attempt=effect.attempt, because="I did not start it")
        return await watch(self, effect)

    put(perform.Performer, "start", started)
    put(perform.Performer, "watch", watched)


@protection
def mark() -> None:
    """Words are pasted without a mark on disk before: who comes after does not know that they may be there."""

    async def nothing(self: steering.Steering, mark: Path) -> None:
        return None

    put(steering.Steering, "_mark", nothing)


@protection
def rotation() -> None:
    """A new sitting sets the directory aside whatever runs in it, and whoever began it."""

    def anyway(folder: Path, sitting: int) -> None:
        if sitting > 1 and folder.is_dir():
            folder.rename(folder.with_name(f"{folder.name}~{sitting - 1}-{os.getpid()}"))
        folder.mkdir(parents=True, exist_ok=True)

    put(jobs, "begin_sitting", anyway)


@protection
def conversation() -> None:
    """A session that is started again begins a new conversation, whatever the ledger says."""
    start = perform.Performer.start

    async def forgetful(self: perform.Performer, effect: f.StartSession) -> i.Input:
        return await start(self, msgspec.structs.replace(effect, resume=""))

    put(perform.Performer, "start", forgetful)


@protection
def decision() -> None:
    """A hook that waits is told yes before anybody has decided."""
    seen = asks.seen

    def hasty(state: Any, given: i.AskSeen, at: int) -> list[Any]:
        folder = layout().job(given.attempt) / ASKS
        if folder.is_dir():
            (folder / f"{given.ask}.json").write_bytes(msgspec.json.encode(Decision(ask=given.ask, allow=True)))
        return seen(state, given, at)

    decide.HANDLERS[i.AskSeen] = hasty


if __name__ == "__main__":
    PROTECTIONS[sys.argv[1]]()
    sys.exit(main.run_daemon(layout()))
