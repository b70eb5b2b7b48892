"""One judgement under way: the facts, the hour, the rules, and the words in which a verdict is given. Decides nothing."""

from functools import cached_property
from typing import Literal

from andon.schema.health import RANK, Cause, Health, Source
from andon.schema.rules import Rules, ScreenRule, Thresholds
from andon.schema.signals import Verdict

from . import process, screens
from .facts import NOTES, Tool, Watch

FRESH: dict[Source, float] = {
    "api": 1800.0, "hook": 1200.0, "stdout": 1200.0, "transcript": 1200.0, "gateway": 900.0, "outbox": 600.0, "process": 60.0,
    "pane": 300.0,
}
"""Seconds for which a source's last word counts, where the rules name none."""
Sure = Literal["certain", "likely", "guess"]
BUSY_MS = 10_000
"""A child that worked so lately is at work: looks are not made all the time, and work has pauses."""
HELPERS_S = 5.0
"""So long after the turn's end a sub-agent counts of which nothing is heard: its end may have been lost."""
LATELY_MS = 5_000
"""What moved so lately still moves."""


class Moment:
    """Facts at one hour, with the questions that all layers ask."""

    def __init__(self, watch: Watch, at: int, rules: Rules, open_task: bool) -> None:
        self.watch, self.at, self.rules, self.open_task = watch, max(at, watch.at), rules, open_task
        self.limits: Thresholds = rules.thresholds

    @cached_property
    def now(self) -> int:
        """The hour up to which silence is known: while nobody looks at processes the machine may sleep."""
        tree, last = self.watch.tree, self.watch.at
        regular = tree.count >= 4 and tree.usual <= 60_000 and last - tree.at < process.allowed(tree)
        return min(self.at, max(last, tree.at) + process.expected(tree)) if regular else self.at

    def silence(self, since: int) -> int:
        """Milliseconds of silence since a moment, sleep of the machine taken out."""
        return max(0, self.now - max(since, self.watch.awake, self.watch.begun))

    def due(self, since: int, seconds: float) -> int:
        """When a silence that began at `since` has lasted for so long."""
        return max(since, self.watch.awake, self.watch.begun) + round(seconds * 1000) + max(0, self.at - self.now)

    def fresh(self, source: Source, at: int) -> bool:
        """Whether a source's word of that moment still counts."""
        return self.silence(at) <= self.rules.freshness.get(source, FRESH.get(source, 600.0)) * 1000

    @cached_property
    def children_work(self) -> bool:
        """A process below the agent uses processor or disk."""
        tree = self.watch.tree
        there = tree.children > 0 and 0 < tree.children_at <= tree.busy
        return there and self.silence(tree.busy) <= max(BUSY_MS, 2 * tree.usual)

    @cached_property
    def flight(self) -> int:
        """When the model calls that are open at the gateway last gave something; 0: none is open."""
        return max((max(one.last, one.sent) for one in self.watch.model.flights), default=0)

    @cached_property
    def running(self) -> tuple[Tool, ...]:
        """Tools that run as far as was told. One after which the model was asked again has ended, told or not."""
        watch = self.watch
        asked = max((one.sent for one in watch.model.flights), default=0)
        if not asked or watch.helpers or (self.children_work and watch.tree.busy > asked):
            return watch.tools
        return tuple(tool for tool in watch.tools if tool.began >= asked)

    @cached_property
    def helpers(self) -> int:
        """Sub-agents of which something was heard lately."""
        watch, turn = self.watch, self.watch.turn
        moved = max(watch.sign, self.flight)
        over = not turn.open and turn.ended and moved <= turn.ended
        seconds = HELPERS_S if over else self.limits.hung_s
        return sum(1 for _, since in watch.helpers if self.silence(max(since, moved)) <= seconds * 1000)

    @cached_property
    def pane(self) -> ScreenRule | None:
        """The rule that the pane matches, when the look is newer than every structured sign and still counts."""
        watch = self.watch
        if not watch.pane.rule:
            return None
        rule = screens.rule_named(self.rules, watch.agent, watch.pane.rule)
        if rule is None or watch.pane.at < watch.sign:
            return None
        if rule.health in ("working", "thinking", "compacting", "starting") and self.silence(watch.pane.at) > 30_000:
            return None
        if rule.health in ("rate-limited", "auth") and watch.model.status == 200 and watch.model.ended > watch.begun:
            return None  # the gateway saw the latest call go well: what the screen shows is old
        return rule

    def steady(self, rule: ScreenRule) -> bool:
        """Whether the pane has matched for as long as the rule wants."""
        return self.silence(self.settled_since) >= self.wants(rule) * 1000

    def wants(self, rule: ScreenRule) -> float:
        """Seconds for which the pane must match: a prompt that the agent's own channel would have told, for longer."""
        doubted = self.watch.tells_asks and rule.health in screens.PROMPTS
        return max(rule.steady_s, screens.DOUBT_MS / 1000) if doubted else rule.steady_s

    @property
    def _doubted(self) -> int:
        """When a prompt on the screen, of which no channel tells, is believed; 0: there is none."""
        rule = self.pane
        return self.due(self.settled_since, self.wants(rule)) if rule is not None and rule.health in screens.PROMPTS else 0

    @property
    def settled_since(self) -> int:
        """Since when the pane matches, counted from the last structured word: a screen is drawn a little after it."""
        return max(self.watch.pane.since, self.watch.sign)

    def seconds(self, since: int) -> str:
        """How long ago, for people."""
        return span(max(0, self.at - since))

    def say(self, health: Health, because: str, source: Source | str, since: int, rule: str, *, cause: Cause = "",
            sure: Sure = "certain", until: int = 0, look: tuple[int, ...] = (), conflict: str = "",
            numbers: tuple[str, ...] = ()) -> Verdict:
        """A verdict in full. `look` are moments at which time alone changes it; those that passed are left out."""
        ahead = [one for one in (*look, self._doubted) if one > self.at]
        notes = tuple(note for _, note in reversed(self.watch.notes))
        return Verdict(
            health=health, because=because, source=source, since=max(0, since), cause=cause, rule=rule,
            evidence=(*numbers, *notes)[:NOTES], confidence=sure, until=until, conflict=conflict, look_at=min(ahead, default=0),
        )

    def commands(self, unnamed: str = "a command") -> str:
        """Names of what runs below the agent."""
        return ", ".join(self.watch.tree.commands) or unnamed

    def children(self, rule: str, *, sure: Sure = "likely", conflict: str = "", look: tuple[int, ...] = ()) -> Verdict:
        """Working, because a process below the agent works (`child-works`) or at least stands (`child-stands`)."""
        tree = self.watch.tree
        if rule == "child-works":
            because = f"{self.commands()} is at work ({tree.rate:.0%} of a core, {tree.children} processes)"
            return self.say("working", because, "process", tree.busy_from or tree.busy, rule, sure=sure, numbers=self.numbers(),
                            look=(self.due(tree.busy, BUSY_MS / 1000) + 1, *look))
        return self.say("working", f"a command of its own runs: {self.commands('unnamed')}", "process", tree.children_at, rule,
                        sure=sure, numbers=self.numbers(), conflict=conflict, look=look)

    def numbers(self) -> tuple[str, ...]:
        """What the process table and the gateway count, as evidence."""
        watch, told = self.watch, []
        if watch.model.flights:
            told.append(f"gateway: {len(watch.model.flights)} call(s) open, last byte {self.seconds(self.flight)} ago")
        if watch.tree.at:
            names = f" ({', '.join(watch.tree.commands)})" if watch.tree.commands else ""
            told.append(f"process: {watch.tree.children} children{names} at {watch.tree.rate:.0%} of a core, "
                        f"looked {self.seconds(watch.tree.at)} ago")
        return tuple(told)


def better(one: Source, two: Source) -> bool:
    """Whether the first source ranks above the second."""
    return RANK.index(one) < RANK.index(two)


def span(milliseconds: int) -> str:
    """`40 s`, `12 min`, `3 h`."""
    seconds = milliseconds // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
