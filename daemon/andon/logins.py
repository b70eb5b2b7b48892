"""Brings logins that agents refreshed in their private homes back to the person, with consent, and into the other homes.

Theory of operation. Refresh tokens rotate: of several copies of one login, the first that is refreshed invalidates the others. So
all copies of one file of the person's are one *login*, looked at together whenever the kernel says that one of them, or their
own, has changed; nothing polls. The newest valid one wins. It goes back into the person's file only where `write_back = true` of
the agent's settings was trusted, by compare and swap, and is then handed into the other homes; what the person's own programs
refreshed is handed in as well. What is no refresh of the person's login is left alone and told. Done twice, it finds nothing to do:
so a daemon that was killed in the middle looks once more at its start. Digests and moments are all that is ever shown of a login.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from andon.core.state import Attempt
from andon.edges import login_files as files
from andon.edges.login_shape import OLDER, TOKENS, expiry, leaves, names_account, parse, plain, why_not
from andon.edges.watch import Watch
from andon.loop import Loop
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId
from andon.schema.layout import Layout

MOVES, WINDOW_S = 30, 3_600.0
"""So often in so many seconds is a login moved for one session; one that goes on changing its copy is left alone then, and told."""
AGAIN_S = 0.25
"""After so long is looked again at what seems to be no login: a program may have been in the middle of writing it."""
ROUNDS = 3
"""So often is one login looked at again when the person's file changed in between; the next change of it wakes us anyway."""
log = logging.getLogger("andon.logins")


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a login in the home of a live session."""

    attempt: AttemptId
    agent: str
    home: Path
    name: str
    consent: bool
    """It may be written back."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of looking at one login."""

    told: str = ""
    """What a person should know; empty: all is well."""
    mend: str = ""
    lost: bool = False
    """A refresh could not come back: that stays so when the session has ended."""
    mine: str = ""
    """Digest of the person's file."""
    moved: tuple[i.LoginMoved, ...] = ()


class Logins:
    """The logins that live sessions of one daemon were lent."""

    def __init__(self, layout: Layout, loop: Loop) -> None:
        self._layout, self._loop = layout, loop
        self._watch = Watch()
        self._folders: dict[Path, set[AttemptId]] = {}
        self._lent: dict[AttemptId, dict[Path, list[str]]] = {}
        self._moved: set[AttemptId] = set()
        self._news = asyncio.Event()
        self._told: dict[str, str | None] = {}
        """Problems that stand: by the digest of the person's file where a refresh was lost (None: as it is at the next look)."""
        self._moves: dict[AttemptId, deque[float]] = {}
        self.looks = 0
        """Logins looked at, for tests that count."""

    async def run(self) -> None:
        """Until cancelled."""
        self._told = {key: None if "lost" in one.what else "" for key, one in self._loop.state.problems.items()
                      if key.startswith("login:")}
        self._moved |= {one.attempt for one in self._loop.state.attempts.values() if one.phase == "running"}
        self._news.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(), name="logins changed")
            group.create_task(self._live(), name="logins lent")

    def recorded(self, events: Iterable[e.Event]) -> None:
        """What became durable: sessions that began or ended."""
        found = {event.attempt for event in events if isinstance(event, e.AttemptStarted | e.AttemptExited | e.AttemptLost)}
        if found:
            self._moved |= found
            self._news.set()

    async def _hear(self) -> None:
        """A file changed: look at the logins that it may belong to."""
        async for changed in self._watch.paths():
            for place in self._concerned(changed):
                await self.look(place)

    async def _live(self) -> None:
        """A session began or ended."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._moved:
                await self.moved(self._moved.pop())

    async def moved(self, attempt: AttemptId) -> None:
        """A session began or ended: follow its copies, or look at them one last time and let them go."""
        known = self._loop.state.attempts.get(attempt)
        if known is not None and known.phase == "running":
            await self._follow(attempt)
            return
        for place in list(self._lent.get(attempt, {})):
            await self.look(place)
        self._lent.pop(attempt, None)
        self._moves.pop(attempt, None)
        for folder, who in list(self._folders.items()):
            who.discard(attempt)
            if not who:
                del self._folders[folder]
                self._watch.drop([folder])

    async def look(self, place: Path) -> None:
        """Look at one login: the person's file and every copy of it."""
        self.looks += 1
        copies = [self._copy(attempt, name) for attempt, lent in self._lent.items() for name in lent.get(place, ())]
        wanted = [copy for copy in copies if copy is not None]
        calm = [copy for copy in wanted if not self._restless(copy.attempt)]
        try:
            found = await asyncio.to_thread(settle, self._layout, place, calm)
            if found.told and not found.lost and not found.moved:  # it may have been half written
                await asyncio.sleep(AGAIN_S)
                found = await asyncio.to_thread(settle, self._layout, place, calm)
        except OSError as error:
            found = Found(told=f"the login {place} cannot be kept up to date: {error.strerror}", mend="see to that file's folder")
        for moved in found.moved:
            log.info("%s: login %s, %s to %s", moved.attempt, moved.how, moved.before[:12], moved.after[:12])
            self._moves.setdefault(moved.attempt, deque(maxlen=MOVES)).append(time.monotonic())
            self._loop.give(moved)
        if not found.told and len(calm) < len(wanted):
            found = Found(told="a session changes its copy of your login again and again: it is not followed for now",
                          mend=f"look at the session: andon attach {next(one.attempt for one in wanted if one not in calm)}")
        self._tell(place, found)

    def _restless(self, attempt: AttemptId) -> bool:
        """Whether a session's copies were moved as often as they may be."""
        moves = self._moves.get(attempt)
        return moves is not None and len(moves) == MOVES and time.monotonic() - moves[0] < WINDOW_S

    def _tell(self, place: Path, found: Found) -> None:
        """The problem that stands, or its end. A lost refresh is mended by another login of the person's alone."""
        key = f"login:{place}"
        if found.told:
            self._told[key] = found.mine if found.lost else ""
            self._loop.give(i.TroubleSeen(key=key, problem=Problem(what=found.told, where=str(place), mend=found.mend)))
        elif key in self._told:
            known = self._told[key]
            self._told[key] = found.mine if known is None else known
            if known is not None and known != found.mine:
                del self._told[key]
                self._loop.give(i.TroubleGone(key=key))

    async def _follow(self, attempt: AttemptId) -> None:
        """Watch the copies of a session and the files that they were made of."""
        job, home = self._layout.job(attempt), self._layout.session_home(attempt)
        lent: dict[Path, list[str]] = {}
        for copy in await asyncio.to_thread(files.noted, job):
            lent.setdefault(Path(copy.source), []).append(copy.path)
        self._lent[attempt] = lent
        for place, names in lent.items():
            real = await asyncio.to_thread(place.resolve)
            for folder in (real.parent, *((home / name).parent for name in names)):
                self._folders.setdefault(folder, set()).add(attempt)
                self._watch.add(folder)
            await self.look(place)

    def _concerned(self, changed: set[Path]) -> list[Path]:
        """The logins that these files belong to; all of them for an empty set."""
        found: dict[Path, None] = {}
        for attempt, lent in self._lent.items():
            home = self._layout.session_home(attempt)
            for place, names in lent.items():
                real = place.resolve()
                near = {place, real, *(home / name for name in names), *((home / name).parent for name in names)}
                if not changed or near & changed:
                    found[place] = None
        return list(found)

    def _copy(self, attempt: AttemptId, name: str) -> Copy | None:
        known = self._loop.state.attempts.get(attempt)
        if known is None:
            return None
        return Copy(attempt=attempt, agent=known.agent, home=self._layout.session_home(attempt), name=name,
                    consent=self._consent(known))

    def _consent(self, attempt: Attempt) -> bool:
        """Whether the person lets this agent's login be written back, now."""
        repo = self._loop.state.repos.get(attempt.repo)
        agent = repo.settings.agents.get(attempt.agent) if repo is not None and repo.is_trusted else None
        return agent is not None and agent.login == "copy" and agent.write_back


def settle(layout: Layout, place: Path, copies: list[Copy]) -> Found:
    """Make the person's file and its copies one login again, as far as that is allowed. Raises OSError."""
    real = place.resolve()
    moved: list[i.LoginMoved] = []
    with files.locked(real):
        for _ in range(ROUNDS):
            mine = files.own(real)
            login = parse(mine) if mine is not None else None
            if mine is None or login is None or not any(plain(name[-1]) in TOKENS for name in leaves(login) or {}):
                return Found(moved=tuple(moved))  # logged out, or nothing that is refreshed: their own business
            seen = [(copy, *_refresh(login, mine, copy)) for copy in copies]
            newer = [(expiry(new), copy, data) for copy, data, new, fault in seen if new is not None and data and not fault]
            told = _refused([(copy, fault) for copy, data, new, fault in seen if fault and new is not None
                             and not (data and files.remembered(layout, place, files.digest(data)))])
            winner = max((one for one in newer if one[1].consent), key=lambda one: one[0], default=None)
            if winner is None or not _may_replace(layout, place, login, mine):
                moved += _handed(layout, place, login, mine, seen)
                what, mend = told or _lost(newer, winner is not None)
                lost = not told and bool(what)
                return Found(told=what, mend=mend, lost=lost, mine=files.digest(mine), moved=tuple(moved))
            ends, copy, data = winner
            files.remember(layout, place, files.digest(data))
            if files.swap(real, files.digest(mine), data):
                moved.append(i.LoginMoved(attempt=copy.attempt, file=str(place), how="written-back", before=files.digest(mine),
                                          after=files.digest(data), until=ends))
    return Found(moved=tuple(moved))


MEND = ("log in again with that agent's own program if it asks you to; with write_back = true beside "
        "login = \"copy\" the next one comes back to you")


def _refresh(login: dict[str, Any], mine: bytes, copy: Copy) -> tuple[bytes | None, dict[str, Any] | None, str]:
    """A copy's content, what it says when it is another one than the person's, and why that is no refresh of it."""
    data = files.lent(copy.home, copy.name)
    if data is None:
        return None, ({} if files.strange(copy.home, copy.name) else None), "it is no plain file of a sensible size"
    if data == mine:
        return data, None, ""
    new = parse(data)
    if new is None:
        return data, {}, "it is not built like a login"
    return data, new, why_not(login, new, int(time.time() * 1000))


def _older(login: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the copy is an older one of the same login: the person's own is a refresh of it."""
    return bool(new) and not why_not(new, login, int(time.time() * 1000))


def _may_replace(layout: Layout, place: Path, login: dict[str, Any], mine: bytes) -> bool:
    """Only the login that was lent, or one that says itself that it is the same account's."""
    return names_account(login) or files.remembered(layout, place, files.digest(mine))


def _handed(layout: Layout, place: Path, login: dict[str, Any], mine: bytes, seen: list[Any]) -> list[i.LoginMoved]:
    """Put the person's login into the homes that hold an older one."""
    done = []
    for copy, data, new, _ in seen:
        if data is None or new is None or not _older(login, new):
            continue
        files.remember(layout, place, files.digest(mine))
        if files.hand_in(copy.home, copy.name, mine):
            done.append(i.LoginMoved(attempt=copy.attempt, file=str(place), how="handed-in", before=files.digest(data),
                                     after=files.digest(mine), until=expiry(login)))
    return done


def _refused(faults: list[tuple[Copy, str]]) -> tuple[str, str] | None:
    """What is told of copies that are no refresh, and its mend; None of those that are merely older."""
    for copy, fault in faults:
        if fault != OLDER:
            return (f"{copy.attempt} changed its copy of your login, and it is not taken over: {fault}",
                    f"look at the session: andon attach {copy.attempt}; your own login was not touched")
    return None


def _lost(newer: list[tuple[int, Copy, bytes]], other: bool) -> tuple[str, str]:
    """What is told of refreshes that may not come back, and its mend."""
    if not newer:
        return "", ""
    name = newer[0][1].attempt
    if other:
        return f"{name} refreshed its copy of your login, but you have logged in anew since: yours is left as it is", MEND
    return f"{name} refreshed its copy of your login: the new one is lost with the attempt, and yours may have ended with it", MEND
