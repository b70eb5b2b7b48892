"""The work of the sitters for the sweep, and what a person does to them meanwhile: words, an interrupt. Knows no daemon."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from andon.schema import inputs as i
from andon.schema.ids import AttemptId, TaskId
from fault.world import Row, of, rows

KEEP = """
[[step]]
run = 'git add -A && git commit -q -m "work of $ANDON_ATTEMPT" && echo "$ANDON_ATTEMPT $(git rev-parse HEAD)" >> "$OUTSIDE/commits"'
must = true
"""
SCENARIOS = {
    "permit": f"""about = "Asks by policy, asks a person, asks a question, forgets to commit, is nudged"
[[step]]
write = "notes/{{task}}.txt"
text = "{{attempt}}"
permit = true
[[step]]
run = "sleep 1.2"
[[step]]
run = "git status"
permit = true
[[step]]
question = "which way?"
options = ["left", "right"]
[[step]]
turn_ends = "I wrote it down."
{KEEP}""",
    "fall": f"""about = "Dies while it runs a command, and goes on"
[[step]]
write = "notes/{{task}}.txt"
text = "{{attempt}}"
[[step]]
crash = "KILL"
tool = "sleep 30"
when = "sitting == 1"
{KEEP}""",
    "halt": f"""about = "Hangs until it is interrupted and spoken to"
[[step]]
write = "notes/{{task}}.txt"
text = "{{attempt}}"
[[step]]
hang = "silent"
{KEEP}""",
    "spend": f"""about = "Spends too much, hands back, and goes on when it may"
[[step]]
write = "notes/{{task}}.txt"
text = "{{attempt}}"
[[step]]
spend = 40000
[[step]]
turn_ends = "There is more to do."
{KEEP}
[[step]]
turn_ends = "Handed back."
""",
    "limited": f"""about = "Is told to come back later"
[[step]]
write = "notes/{{task}}.txt"
text = "{{attempt}}"
[[step]]
retry = "rate_limit"
seconds = 2.0
{KEEP}""",
    "behind": f"""about = "Waits for the account of another"
[[step]]
write = "notes/{{task}}.txt"
text = "{{attempt}}"
{KEEP}""",
}
SITTINGS = tuple(SCENARIOS)
"""The acts in order. `behind` is added when the account of `limited` is at its limit."""

AGAIN_S = 1.0
"""Between two interrupts of the same session."""


class Hand:
    """What a person does by themselves."""

    def __init__(self) -> None:
        self._pressed = 0.0

    def wanted(self, tasks: Mapping[str, TaskId], home: Path, outside: Path) -> Iterator[i.AnyCommand]:
        """What is to be done now. Words carry a key: sent again, they are the same."""
        seen = (outside / "notes").read_text().splitlines() if (outside / "notes").exists() else []
        lived = [(row["attempt"], row["what"]) for row in map(json.loads, seen)]
        told = rows(home)
        at_work = {act: f"{task}.1" for act, task in tasks.items() if (f"{task}.1", "prompt") in lived and open_(told, f"{task}.1")}
        if (attempt := at_work.get("permit")) and not queued(told, f"hello-{attempt}"):
            yield words(attempt, f"hello {attempt}, mind the ümlauts", f"hello-{attempt}")
        if attempt := at_work.get("halt"):
            last = [what for name, what in lived if name == attempt][-1]
            if last == "interrupted" and not queued(told, f"on-{attempt}"):
                yield words(attempt, f"go on {attempt}", f"on-{attempt}")
            elif last == "hanging" and self._may_press(told, attempt):
                yield i.Interrupt(attempt=AttemptId(attempt), because="it hangs")

    def _may_press(self, told: list[Row], attempt: str) -> bool:
        """Not again while the last one may still work."""
        asked, done = ([row for row in of(told, kind) if row["attempt"] == attempt]
                       for kind in ("session.interrupt-asked", "session.interrupted"))
        if len(asked) > len(done) or time.monotonic() < self._pressed + AGAIN_S:
            return False
        self._pressed = time.monotonic()
        return True


def words(attempt: str, text: str, key: str) -> i.SendMessage:
    """A person's words."""
    return i.SendMessage(attempt=AttemptId(attempt), text=text, key=key)


def open_(told: list[Row], attempt: str) -> bool:
    """Whether the attempt runs and nobody told it to end."""
    return any(row["attempt"] == attempt for row in of(told, "attempt.started")) and not any(
        row["attempt"] == attempt for row in of(told, "session.finish-asked", "attempt.exited", "attempt.lost"))


def queued(told: list[Row], key: str) -> bool:
    """Whether these words are in the ledger."""
    return any(row["key"] == key for row in of(told, "message.queued"))
