"""Judges what was done to sessions: messages, permissions, sittings, by the ledger and by what the sitters noted outside of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fault.world import Row, Scene, of

NOTES = "notes"
QUESTION = "AskUserQuestion"
Judge = Callable[[Scene, list[Row]], Iterator[str]]
JUDGES: dict[str, Judge] = {}


def promise(name: str) -> Callable[[Judge], Judge]:
    """Enter a judge into the table."""

    def enter(judge: Judge) -> Judge:
        JUDGES[name] = judge
        return judge

    return enter


def notes(scene: Scene, *kinds: str) -> list[dict[str, Any]]:
    """What the sitters lived through, in order."""
    path = scene.outside / NOTES
    text = path.read_text() if path.exists() else ""
    return [row for line in text.splitlines() if (row := json.loads(line))["what"] in kinds]


@promise("message-once")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """No message twice in a session, none lost without a report, none in it that was called undelivered."""
    seen = Counter((row["attempt"], row["text"].strip()) for row in notes(scene, "prompt"))
    delivered = {row["message"] for row in of(told, "message.delivered")}
    returned = {row["message"]: row["unsure"] for row in of(told, "message.returned")}
    for row in of(told, "message.queued"):
        name, count = row["message"], seen[row["attempt"], row["text"].strip()]
        if count > 1:
            yield f"{name} is {count} times in {row['attempt']}"
        if name in delivered and not count:
            yield f"{name} is called delivered and {row['attempt']} never saw it"
        if returned.get(name) is False and count:
            yield f"{name} is called undelivered and {row['attempt']} has it"
        if name not in delivered and name not in returned:
            yield f"nobody knows what became of {name}"
        if name in delivered and returned.get(name) is False:
            yield f"{name} was delivered and returned"


@promise("permission-once")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """Each permission is decided once, and what an agent was told was decided before it was told."""
    asked = {(row["attempt"], row["ask"]): row["target"] for row in of(told, "permission.asked")}
    decided = of(told, "permission.decided")
    for (attempt, ask), count in Counter((row["attempt"], row["ask"]) for row in decided).items():
        if count > 1:
            yield f"{ask} of {attempt} was decided {count} times"
    left = Counter((row["attempt"], asked.get((row["attempt"], row["ask"]), "?"), bool(row["allow"])) for row in decided)
    at = {(row["attempt"], asked.get((row["attempt"], row["ask"]), "?"), bool(row["allow"])): row.at for row in reversed(decided)}
    task_of = {row["attempt"]: row["task"] for row in of(told, "attempt.claimed")}
    questions = {row["gate"]: row["task"] for row in of(told, "gate.opened") if row["kind"] == "question"}
    answers = Counter(questions.get(row["gate"], "") for row in of(told, "gate.answered"))
    for note in notes(scene, "told"):
        if note["by"] != "hook":
            continue
        if note["tool"] == QUESTION:
            answers[task_of[note["attempt"]]] -= 1
            if answers[task_of[note["attempt"]]] < 0:
                yield f"{note['attempt']} got an answer to {note['subject']!r} that nobody gave"
            continue
        key = (note["attempt"], note["subject"], note["allow"])
        left[key] -= 1
        if left[key] < 0:
            yield f"{note['attempt']} was told {note['allow']} about {note['subject']!r}, which nobody decided"
        elif note["at"] < at[key]:
            yield f"{note['attempt']} was told {note['allow']} about {note['subject']!r} before it was decided"


@promise("interrupted-once")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """No turn was ended that nobody wanted to end."""
    asked = Counter(row["attempt"] for row in of(told, "session.interrupt-asked"))
    for attempt, count in Counter(row["attempt"] for row in notes(scene, "interrupted")).items():
        if count > asked[attempt]:
            yield f"{attempt} was interrupted {count} times, {asked[attempt]} were asked for"


@promise("sitting-once")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """As many starts as sittings, by the agents' own notes, the ledger and the tokens; none while another ran."""
    begun = of(told, "attempt.started")
    sittings = Counter(row["attempt"] for row in begun)
    resumed = Counter(row["attempt"] for row in of(told, "session.resumed"))
    noted = Counter(row["attempt"] for row in notes(scene, "start"))
    killed = Counter(row["attempt"] for row in of(told, "attempt.exited") if row["signal"])  # perhaps before it could note anything
    stopped = {row["attempt"] for row in of(told, "attempt.stop-asked")}
    for attempt, count in noted.items():
        if count > sittings[attempt] and attempt not in stopped:
            yield f"{attempt} was started {count} times, the ledger knows {sittings[attempt]} sittings"
    for attempt, count in sittings.items():
        if count > 1 + resumed[attempt]:
            yield f"{attempt} has {count} sittings, {resumed[attempt]} of them resumed"
        if attempt in noted and count > noted[attempt] + killed[attempt]:
            yield f"{attempt} has {count} sittings and began {noted[attempt]} times"
    for (attempt, sitting), count in Counter((row["attempt"], row["sitting"]) for row in of(told, "session.resumed")).items():
        if count > 1:
            yield f"sitting {sitting} of {attempt} was planned {count} times"
    numbers: Counter[str] = Counter()
    for row in begun:
        attempt = row["attempt"]
        numbers[attempt] += 1
        folder = scene.home / "jobs" / (attempt if numbers[attempt] == sittings[attempt] else f"{attempt}~{numbers[attempt]}")
        token = read(folder / "start")
        if (token.get("pid"), token.get("ticks")) != (row["pid"], row["ticks"]):
            yield f"sitting {numbers[attempt]} of {attempt}: the token says {token}, the ledger pid {row['pid']}"


@promise("sitting-after-sitting")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """Between two starts of an attempt lies the end of the first."""
    running: set[str] = set()
    for row in told:
        if row.kind == "attempt.started":
            if row["attempt"] in running:
                yield f"{row['attempt']} was started while it ran"
            running.add(row["attempt"])
        elif row.kind in ("attempt.exited", "attempt.lost"):
            running.discard(row["attempt"])


@promise("conversation-kept")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """A sitting that is to go on with a conversation does, with all that was in it."""
    planned = {(row["attempt"], row["sitting"]): row["conversation"] for row in of(told, "session.resumed")}
    last: dict[str, dict[str, Any]] = {}
    for note in notes(scene, "start"):
        before, wanted = last.get(note["attempt"]), planned.get((note["attempt"], note["sitting"]))
        if before is not None and wanted and (note["conversation"] != wanted or not note["resumed"]):
            yield f"sitting {note['sitting']} of {note['attempt']} began {note['conversation']} instead of {wanted}"
        if before is not None and wanted and wanted != before["conversation"]:
            yield f"{note['attempt']} was in {before['conversation']} and is resumed as {wanted}"
        last[note["attempt"]] = note


@promise("ended-with-snapshot")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """No checkout is taken away, and no session is stopped by force, without a snapshot."""
    begun, saved = {row["attempt"]: row.seq for row in of(told, "attempt.started")}, dict[str, int]()
    stop: dict[str, int] = {}
    for row in told:
        if row.kind == "work.salvaged":
            saved[row["attempt"]] = row.seq
        elif row.kind == "attempt.stop-asked" and row["attempt"] in begun:
            stop[row["attempt"]] = row.seq
        elif row.kind == "checkout.removed" and row["attempt"] in begun and row["attempt"] not in saved:
            yield f"the checkout of {row['attempt']} was taken away without a snapshot"
    for attempt, seq in stop.items():
        if saved.get(attempt, 0) < seq:
            yield f"{attempt} was stopped without a snapshot"


@promise("limit-held")
def _(scene: Scene, told: list[Row]) -> Iterator[str]:
    """While an account is at its limit nothing of it starts; an attempt that reached its cap is paused or asks."""
    limited: dict[str, int] = {}
    for row in told:
        if row.kind == "account.limited":
            limited[row["account"]] = row["until"]
        elif row.kind == "account.freed":
            limited.pop(row["account"], None)
        elif row.kind == "attempt.claimed" and row["account"] in limited and row.at < (limited[row["account"]] or row.at + 1):
            yield f"{row['attempt']} was claimed while its account {row['account']} was at its limit"
    for attempt, count in Counter(row["attempt"] for row in of(told, "budget.reached")).items():
        raised = len([row for row in of(told, "budget.raised") if row["attempt"] == attempt])
        if count > 1 + raised:
            yield f"{attempt} was told {count} times that its budget is spent"


def read(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
