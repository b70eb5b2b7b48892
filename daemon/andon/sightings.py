"""Turns what tmux pushes into the health of sessions. Says working only for what was seen lately; the rest is unknown."""

import asyncio

from andon.edges.tmux import News, PanesChanged, PaneSeen
from andon.loop import Loop
from andon.schema import events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, attempt_of_session
from andon.schema.signals import Verdict

QUIET_S = 60.0
"""A pane without output for this long is no longer called working."""
SERVER = "tmux"


class Sightings:
    """Follows the panes of one tmux server."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._timers: dict[AttemptId, asyncio.TimerHandle] = {}
        self._activity: dict[AttemptId, int] = {}

    def news(self, news: News) -> None:
        """What changed, as the server pushed it."""
        if not isinstance(news, PanesChanged):
            mend = "its sessions are gone with it; attempts go back to the queue by themselves"
            self._loop.give(i.TroubleSeen(key=SERVER, problem=Problem(what=f"the tmux server ended: {news.because}", mend=mend)))
            return
        if SERVER in self._loop.state.problems:
            self._loop.give(i.TroubleGone(key=SERVER))
        for pane in news.panes:
            self._seen(attempt_of_session(pane.name), pane)
        for name in news.gone:
            self._forget(attempt_of_session(name))

    def recorded(self, events: list[e.Event]) -> None:
        """A session was seen to start, so there is a server again, whatever was said before."""
        if SERVER in self._loop.state.problems and any(isinstance(event, e.AttemptStarted) for event in events):
            self._loop.give(i.TroubleGone(key=SERVER))

    def _seen(self, attempt: AttemptId, pane: PaneSeen) -> None:
        """A pane changed: its agent works, until it has been quiet for a while."""
        if pane.dead:
            self._forget(attempt)
            return
        if self._activity.get(attempt) == pane.activity:
            return
        self._activity[attempt] = pane.activity
        now = self._loop.clock.now()
        self._loop.see(attempt, Verdict(health="working", because="its screen changes", source="pane", since=now))
        self._disarm(attempt)
        self._timers[attempt] = asyncio.get_running_loop().call_later(QUIET_S, self._quiet, attempt)

    def _quiet(self, attempt: AttemptId) -> None:
        """Nothing was drawn for a while. That is a fact; what it means is not known."""
        self._timers.pop(attempt, None)
        because = f"its process is there, its screen has not changed for {QUIET_S:.0f} s"
        self._loop.see(attempt, Verdict(health="unknown", because=because, source="pane", since=self._loop.clock.now()))

    def _disarm(self, attempt: AttemptId) -> None:
        """Stop waiting for quiet."""
        timer = self._timers.pop(attempt, None)
        if timer is not None:
            timer.cancel()

    def _forget(self, attempt: AttemptId) -> None:
        """The session is over."""
        self._disarm(attempt)
        self._activity.pop(attempt, None)
        self._loop.see(attempt, None)
