"""Scores verdicts against labels: share of time, of spans, confusion, false kills, waiting while work runs, time to detect."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean

from andon.schema.signals import Label, Recording

GRACE_MS = 1_000
"""A verdict may be so late after what it judges."""
WORKS = {"working", "thinking", "background", "compacting", "starting", "looping", "thrashing"}
STILL = {"waiting-permission", "waiting-answer", "finished"}
KILLS = {"tool-loop", "compaction-loop", "thrash", "hung-stream", "crashed", "agent-gone", "context"}
"""Causes for which a session may be started again."""


@dataclass
class Moment:
    """One verdict, ours or a peer's."""

    at: int
    health: str
    cause: str = ""


@dataclass
class Card:
    """The score of one judge over many streams."""

    name: str
    time: list[float] = field(default_factory=list)
    """Share of labelled time that was right, by stream."""
    spans: list[float] = field(default_factory=list)
    """The same by span."""
    confusion: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    false_kills: list[str] = field(default_factory=list)
    idle_lies: list[str] = field(default_factory=list)
    """Streams in which it said waiting or finished for over two seconds while work ran."""
    detect: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a label's beginning to the first right state, by true cause or state; infinite when it never came."""
    stuck: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds until a cause was named, by cause; infinite when it never was."""
    wrong: list[str] = field(default_factory=list)

    def add(self, recording: Recording, verdicts: Iterable[Moment], name: str = "") -> None:
        """Count one stream."""
        timeline = sorted(verdicts, key=lambda verdict: verdict.at)
        name = name or f"{recording.agent}/{recording.scenario}"
        weights, rights = 0, 0
        for label in recording.labels:
            start = label.start + GRACE_MS
            if label.end <= start:
                continue
            shares = _shares(timeline, start, label.end)
            right = sum(length for health, length in shares.items() if health in label.health)
            weights, rights = weights + label.end - start, rights + right
            self.spans.append(right / (label.end - start))
            for health, length in shares.items():
                word = label.health[0] if health in label.health else health
                self.confusion[label.health[0]][word] += length / (label.end - start)
            if right / (label.end - start) < 0.98:
                said = max((health for health in shares if health not in label.health), key=lambda health: shares[health])
                self.wrong.append(f"{name}: {'/'.join(label.health)} at {(label.start - recording.labels[0].start) / 1000:.0f} s, "
                                  f"said {said} for {shares[said] / 1000:.0f} s")
            self._span(recording, label, timeline, name)
        self.time.append(rights / weights if weights else 1.0)

    def _span(self, recording: Recording, label: Label, timeline: list[Moment], name: str) -> None:
        first = _first(timeline, label, lambda moment: moment.health in label.health)
        self.detect[label.cause or label.health[0]].append(float("inf") if first is None else first)
        if label.cause:
            found = _first(timeline, label, lambda moment: moment.cause == label.cause)
            self.stuck[label.cause].append(float("inf") if found is None else found)
        if set(label.health) & WORKS and not set(label.health) & STILL:
            for health, start, end in _runs(timeline, label.start, label.end):
                if health in STILL and end - max(start, label.start) > 2_000:
                    self.idle_lies.append(f"{name}: {health} at {(start - recording.labels[0].start) / 1000:.0f} s")
        due = {other.cause for other in recording.labels} if recording.stuck or recording.dead else {label.cause}
        for moment in timeline:
            kills = (moment.cause in KILLS or moment.health == "crashed") and moment.cause not in due
            if label.start <= moment.at < label.end and kills and moment.health not in label.health:
                after = (moment.at - recording.labels[0].start) / 1000
                self.false_kills.append(f"{name}: {moment.health}/{moment.cause} at {after:.0f} s")

    @property
    def accuracy(self) -> float:
        """Time that was right, each stream counting the same."""
        return mean(self.time) if self.time else 0.0

    @property
    def by_span(self) -> float:
        """Spans' time that was right, each span counting the same."""
        return mean(self.spans) if self.spans else 0.0


def _runs(timeline: list[Moment], start: int, end: int) -> Iterable[tuple[str, int, int]]:
    """(health, from, to) of equal verdicts within a span."""
    before: Moment | None = None
    since = start
    for moment in timeline:
        if moment.at >= end:
            break
        if before is not None and moment.health != before.health and moment.at > start:
            yield before.health, since, moment.at
            since = moment.at
        before = moment
    yield before.health if before else "unknown", since, end


def _shares(timeline: list[Moment], start: int, end: int) -> dict[str, int]:
    shares: dict[str, int] = defaultdict(int)
    for health, since, until in _runs(timeline, start, end):
        shares[health] += until - max(since, start)
    return dict(shares)


def _first(timeline: list[Moment], label: Label, right: "object") -> float | None:
    before: Moment | None = None
    assert callable(right)
    for moment in timeline:
        if moment.at >= label.end:
            break
        if moment.at > label.start:
            if before is not None and before.at <= label.start and right(before):
                return 0.0
            if right(moment):
                return (moment.at - label.start) / 1000
        before = moment
    return 0.0 if before is not None and before.at <= label.start and right(before) else None
