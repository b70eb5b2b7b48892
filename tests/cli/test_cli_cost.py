"""`andon cost`: sums of what the ledger holds, each way it can be cut; what is not known is said and never invented."""

import asyncio
import json
from typing import Any

import pytest

from andon.edges.store import Store
from andon.schema import events as e
from andon.schema.ids import AttemptId, Oid, RepoId, TaskId
from andon.schema.layout import layout
from clikit import Caps, andon

DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2
"""2024-10-04, at noon UTC."""


def wrote(*events: tuple[int, e.Event]) -> None:
    async def write() -> None:
        store = await Store.open(layout())
        try:
            await store.load()
            for at, event in events:
                await store.append([event], at)
        finally:
            await store.close()
    asyncio.run(write())


def began(task: int, agent: str, account: str, line: str = "build") -> tuple[tuple[int, e.Event], ...]:
    name, attempt = TaskId(f"T{task}"), AttemptId(f"T{task}.1")
    return (
        (NOON, e.TaskAdded(task=name, repo=RepoId("shop"), title="x", spec="x", line=line)),
        (NOON, e.AttemptClaimed(task=name, attempt=attempt, number=1, station="build", fence=task, agent=agent, base=Oid("b"),
                                account=account)),
        (NOON, e.AttemptStarted(attempt=attempt, pid=1, ticks=1, boot="b", session="s")),
    )


def spent(task: int, usd: float, tokens: int, metered: str = "reported", at: int = NOON) -> tuple[int, e.Event]:
    attempt = AttemptId(f"T{task}.1")
    return at, e.UsageCounted(attempt=attempt, input=tokens, output=tokens // 10, usd=usd, metered=metered, requests=2)


def over(task: int, at: int = NOON) -> tuple[int, e.Event]:
    return at, e.AttemptExited(attempt=AttemptId(f"T{task}.1"), code=0)


def history() -> None:
    """Two metered attempts, one over midnight, and one of which nobody knows."""
    wrote(*began(1, "claude", "a1"), *began(2, "codex", "a2", "docs"), *began(3, "own", "a2"), spent(1, 0.5, 1000),
          spent(2, 2.0, 5000, "priced"), spent(1, 1.25, 3000, at=NOON + DAY), over(1, NOON + DAY), over(2), over(3, NOON + DAY))


def rows(capsys: Caps, *words: str) -> dict[str, dict[str, Any]]:
    ran = andon(capsys, "cost", "--json", *words)
    assert ran.code == 0, ran.err
    return {row["key"]: row for row in json.loads(ran.out)}


def test_running_sums_are_counted_once(capsys: Caps) -> None:
    history()
    found = rows(capsys)
    assert {key: (row["usd"], row["input"], row["attempts"]) for key, row in found.items()} == {
        "T1": (1.25, 3000, 1), "T2": (2.0, 5000, 1), "T3": (0.0, 0, 1)}
    assert found["T3"]["usd_is"] == "unmetered" and found["T1"]["usd_is"] == "known"


@pytest.mark.parametrize(("way", "wanted"), [
    ("agent", {"shop/claude": 1.25, "shop/codex": 2.0, "shop/own": 0.0}), ("account", {"a1": 1.25, "a2": 2.0}),
    ("line", {"shop/build": 1.25, "shop/docs": 2.0}), ("day", {"2024-10-04": 2.5, "2024-10-05": 0.75}),
    ("repository", {"shop": 3.25}),
])
def test_it_is_summed_up_by_what_is_asked_for(capsys: Caps, way: str, wanted: dict[str, float]) -> None:
    history()
    assert {key: row["usd"] for key, row in rows(capsys, "--by", way).items()} == wanted


def test_one_day_alone(capsys: Caps) -> None:
    history()
    assert {key: row["usd"] for key, row in rows(capsys, "--day", "2024-10-05").items()} == {"T1": 0.75, "T3": 0.0}
    assert rows(capsys, "--day", "today") == {}


def test_what_is_not_known_is_said_and_makes_a_sum_a_lower_bound(capsys: Caps) -> None:
    history()
    ran = andon(capsys, "cost", "--by", "account")
    lines = ran.out.splitlines()
    assert lines[0].split()[0] == "ACCOUNT"
    assert "at least $2.00" in lines[2] and "priced, unmetered" in lines[2]
    assert "altogether at least $3.25" in ran.err
    assert "unmetered" in andon(capsys, "cost").out.splitlines()[3]


def test_without_spending_and_without_a_day_it_says_so(capsys: Caps) -> None:
    wrote((NOON, e.FactoryStarted(version="1", pid=1, boot="b")))
    ran = andon(capsys, "cost")
    assert (ran.code, ran.out) == (0, "") and "nothing was spent" in ran.err
    wrong = andon(capsys, "cost", "--day", "yesterday")
    assert wrong.code != 0 and "`yesterday` is no day" in wrong.err
