"""From raw lines to verdicts: at once, once, the same after a restart, and one session's noise is nobody else's delay."""

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest

from andon.edges import jobs, lines, process
from andon.schema import inputs as i
from andon.schema.errors import Mistake
from andon.schema.jobs import CHANNEL, GATEWAY
from andon.schema.rules import Rules, ScreenRule, Thresholds
from andon.schema.signals import (
    AskSettled,
    Began,
    Call,
    Line,
    PermissionWanted,
    ToolBegan,
    ToolEnded,
    TurnBegan,
    TurnEnded,
    Usage,
)
from sessionkit import Floor, Mute, Talking, a_floor, raw
from support import wait_for

TURN = TurnBegan(at=0, source="hook", turn="t1", prompt="do it")
TOOL = ToolBegan(at=0, source="hook", call="c1", name="Bash", target="make")
ENDED = TurnEnded(at=0, source="hook", turn="t1", text="done")
ASK = PermissionWanted(at=0, source="hook", ask="a1", tool="Bash", deed="shell", target="rm x")


def clock() -> float:
    """Seconds without those in which this thread was ready to run and the machine gave it no processor: nobody's delay."""
    try:
        waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        waited = 0.0
    return time.monotonic() - waited


async def test_a_hook_line_is_a_verdict_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        attempt = await floor.add()
        took: list[float] = []
        for n in range(20):
            began = clock()
            signal = (ToolBegan(at=0, source="hook", call=f"c{n}", name="Bash", target="make") if n % 2 else
                      PermissionWanted(at=0, source="hook", ask=f"a{n}", tool="Edit"))
            wanted = "working" if n % 2 else "waiting-permission"
            floor.say(attempt, *([TURN] if n == 0 else []), *([AskSettled(at=0, source="hook", ask=f"a{n - 1}")] if n % 2 else
                                                             [ToolEnded(at=0, source="hook", call=f"c{n - 1}")]), signal)
            await wait_for(lambda: floor.verdict(attempt).health == wanted, 5, what=wanted)  # noqa: B023
            took.append(clock() - began)
            await asyncio.sleep(0.06)
        assert sorted(took)[18] < 0.1, took
        assert floor.verdict(attempt).source == "hook"


async def test_what_hangs_on_a_verdict_is_told_once(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        attempt = await floor.add()
        usage = Usage(at=0, source="hook", key="m1", model="model-a-2", input=1_000_000, output=100_000)
        floor.say(attempt, Began(at=0, source="hook", conversation="conv-1"), TURN, ASK)
        await wait_for(lambda: floor.attempt(attempt).open_asks, what="the ask in the state")
        floor.say(attempt, AskSettled(at=0, source="hook", ask="a1", how="its own screen"), usage, ENDED, ENDED)
        await wait_for(lambda: floor.attempt(attempt).turns == 1 and floor.attempt(attempt).spent.usd, what="turn and spending")
        assert floor.attempt(attempt).conversation == "conv-1" and floor.attempt(attempt).interactive
        assert floor.attempt(attempt).spent.usd == pytest.approx(3.0 + 1.5) and floor.attempt(attempt).spent.input == 1_000_000
        floor.say(attempt, ENDED, usage, ASK)
        await asyncio.sleep(0.3)
        [seen], [gone], [turn] = floor.of(i.AskSeen), floor.of(i.AskGone), floor.of(i.TurnOver)
        assert isinstance(gone, i.AskGone) and gone.how == "its own screen"
        assert isinstance(turn, i.TurnOver) and turn.text == "done" and isinstance(seen, i.AskSeen) and seen.target == "rm x"
        assert len(floor.of(i.UsageSeen)) == 1


async def test_a_message_is_received_when_its_words_begin_a_turn(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        attempt = await floor.add()
        floor.say(attempt, TURN, ENDED)
        await floor.loop.ask(i.SendMessage(attempt=attempt, text="look at\nthe tests", by="p"))
        mine = lambda one: one.sent_at and one.text.startswith("look")  # noqa: E731  (a nudge may be given before it)
        await wait_for(lambda: any(map(mine, floor.attempt(attempt).outbox)), what="the message to be given")
        floor.say(attempt, TurnBegan(at=0, source="hook", turn="t2", prompt="look at the\ntests"))
        await wait_for(lambda: floor.of(i.ReceiptSeen), what="the receipt")
        await wait_for(lambda: not any(one.text.startswith("look") for one in floor.attempt(attempt).outbox), what="its delivery")


async def test_after_a_restart_the_same_verdict_is_reached_and_nothing_is_told_again(tmp_path: Path) -> None:
    talking = Talking()
    transcript = tmp_path / "transcript.jsonl"
    async with a_floor(tmp_path, adapter=talking, keep=True) as floor:
        attempt = await floor.add()
        now = int(time.time() * 1000)
        usage = Usage(at=0, source="transcript", key="m1", model="model-a", input=2_000_000)
        transcript.write_bytes(msgspec.json.encode({**msgspec.to_builtins(usage), "timestamp": now / 1000}) + b"\n")
        floor.say(attempt, Began(at=0, source="hook", conversation="conv-1", transcript=str(transcript)), TURN, ENDED)
        await wait_for(lambda: floor.attempt(attempt).turns == 1 and floor.attempt(attempt).spent.usd == 6.0, what="the turn")
        await wait_for(lambda: any(one.sent_at for one in floor.attempt(attempt).outbox), what="the nudge that follows it")
        floor.say(attempt, TurnBegan(at=0, source="hook", turn="t2", prompt="go on"), ASK)
        call = Call(at=0, source="gateway", request="r1", phase="sent")
        lines.append(floor.layout.job(attempt) / GATEWAY, Line(at=now, source="gateway", data=raw(call)))
        await wait_for(lambda: floor.attempt(attempt).open_asks, what="the ask")
        await wait_for(lambda: floor.supervisor.readers[attempt].watch.model.flights, what="the line of the gateway")
        before, watch = floor.verdict(attempt), floor.supervisor.readers[attempt].watch
        rows = floor.loop.store.seq
    async with a_floor(tmp_path, adapter=talking) as floor:
        await wait_for(lambda: floor.ready(attempt), 20, what="the reader")
        after = floor.verdict(attempt)
        assert (after.health, after.cause, after.rule, after.since) == (before.health, before.cause, before.rule, before.since)
        now_watch = floor.supervisor.readers[attempt].watch
        assert (now_watch.turn, now_watch.usage) == (watch.turn, watch.usage)
        assert [(ask.ask, ask.at) for ask in now_watch.asks] == [(ask.ask, ask.at) for ask in watch.asks]
        assert [one.request for one in now_watch.model.flights] == ["r1"]
        await asyncio.sleep(0.3)
        told = [given for given in floor.given if not isinstance(given, i.EffectFailed | i.WorkSeen | i.MessageSent)]
        assert told == [], told
        assert floor.loop.store.seq == rows
        floor.say(attempt, AskSettled(at=0, source="hook", ask="a1"))
        await wait_for(lambda: not floor.attempt(attempt).open_asks, what="what comes later to be told")


async def test_a_live_channels_lines_are_kept_and_count_and_it_is_opened_again(tmp_path: Path) -> None:
    talking = Talking()
    async with a_floor(tmp_path, adapter=talking, channel="http") as floor:
        attempt = await floor.add()
        await wait_for(lambda: floor.supervisor.channels.of(attempt), what="the channel")
        [talk] = talking.talks[attempt]
        now = int(time.time() * 1000)
        talk.told.put_nowait(Line(at=now, source="api", data=raw(TURN)))
        await wait_for(lambda: floor.verdict(attempt).source == "api", what="the verdict of the channel")
        kept = lines.Tail(floor.layout.job(attempt) / CHANNEL).read()
        assert [lines.decode(row) for row in kept] == [Line(at=now, source="api", data=raw(TURN))]
        talk.told.put_nowait(None)
        await wait_for(lambda: len(talking.talks[attempt]) == 2 and floor.supervisor.channels.of(attempt), what="the next one")
        assert talk.closed
        await jobs.stop(floor.layout.job(attempt), 0.2)
        await wait_for(lambda: talking.talks[attempt][1].closed and attempt not in floor.supervisor.readers, what="its end")
        assert floor.supervisor.channels.of(attempt) is None


async def test_the_end_of_the_agents_own_process_is_seen_within_ten_seconds_though_its_wrapper_stands(tmp_path: Path) -> None:
    rules = Rules(thresholds=Thresholds(dead_s=1.0))
    async with a_floor(tmp_path, argv=("sh", "-c", "sleep 1000; cat"), rules=rules) as floor:
        attempt = await floor.add()
        floor.say(attempt, TURN, TOOL)
        await wait_for(lambda: floor.supervisor.readers[attempt].agent_process, what="the agent's process")
        found = floor.supervisor.readers[attempt].agent_process
        assert found is not None
        began = time.monotonic()
        process.tell(*found, 9)
        gone = lambda: any(isinstance(given, i.HealthSeen) and given.verdict.cause == "agent-gone" for given in floor.given)  # noqa: E731
        await wait_for(gone, 10, what="the verdict")
        assert time.monotonic() - began < 10


async def test_anybodys_adapter_without_signals_is_told_by_its_pane_and_its_processes(tmp_path: Path) -> None:
    noisy = ("sh", "-c", "while :; do echo line; sleep 0.2; done")
    async with a_floor(tmp_path, argv=noisy, adapter=Mute()) as floor:
        attempt = await floor.add()
        await wait_for(lambda: floor.verdict(attempt).source in ("pane", "process"), what="a verdict by what is seen")
        assert floor.verdict(attempt).health in ("starting", "working") and floor.of(i.TurnOver, i.AskSeen, i.UsageSeen) == []
        assert floor.supervisor.glances.looks == 0


PROMPT = ScreenRule(name="asks", agent="talking", health="waiting-permission", all=("Do you want to proceed",))


async def test_a_prompt_that_only_the_screen_shows_is_an_ask_and_goes_with_it(tmp_path: Path) -> None:
    asking = ("sh", "-c", "sleep 1; echo 'Do you want to proceed?'; read answer; clear; echo going on; exec sleep 1000")
    async with a_floor(tmp_path, argv=asking, rules=Rules(screens=(PROMPT,))) as floor:
        attempt = await floor.add()
        await wait_for(lambda: floor.of(i.AskSeen), 10, what="the ask")
        [seen] = floor.of(i.AskSeen)
        assert isinstance(seen, i.AskSeen) and not seen.answerable and floor.verdict(attempt).source == "pane"
        await floor.tmux.send_text("T1_1", "yes")
        await wait_for(lambda: floor.of(i.AskGone), 10, what="its end")


async def test_rules_are_read_live_and_a_bad_edit_keeps_the_last_good_ones(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        found: list[Rules | Mistake] = [Rules(screens=(PROMPT,))]

        def load(path: Path) -> Rules:
            if isinstance(found[0], Mistake):
                raise found[0]
            return found[0]

        floor.supervisor._load_rules = load
        floor.layout.config.mkdir(parents=True, exist_ok=True)
        floor.supervisor._bell.add(floor.layout.config)
        floor.layout.person_rules.write_text("# one")
        await wait_for(lambda: floor.supervisor.rules == found[0], what="the new rules")
        good, found[0] = floor.supervisor.rules, Mistake("it says nothing", where="rules.toml:1")
        floor.layout.person_rules.write_text("# two")
        await wait_for(lambda: "rules" in floor.loop.state.problems, what="the problem")
        assert floor.supervisor.rules is good
        found[0] = Rules()
        floor.layout.person_rules.write_text("# three")
        await wait_for(lambda: "rules" not in floor.loop.state.problems, what="its end")
        assert floor.supervisor.rules == Rules()


async def test_an_agent_that_floods_its_pane_delays_nobody_elses_verdict_past_a_second(tmp_path: Path) -> None:
    flood = ("sh", "-c", "exec yes 'a line that is printed as fast as the terminal takes it, which is very fast indeed'")
    async with a_floor(tmp_path) as floor:
        floor.hands.argv["flood"] = flood
        loud, quiet = await floor.add("flood"), await floor.add()
        took = await latencies(floor, quiet, 15)
        assert max(took) < 1.0, took
        await wait_for(lambda: floor.verdict(loud).health in ("working", "starting"), what="the flooder's own verdict")


async def test_an_agent_that_floods_its_hooks_delays_nobody_elses_verdict_past_a_second(tmp_path: Path) -> None:
    async with a_floor(tmp_path) as floor:
        loud, quiet = await floor.add("flood"), await floor.add()
        row = msgspec.json.encode(Line(at=int(time.time() * 1000), source="hook", data=raw(TOOL))) + b"\n"
        stop = asyncio.Event()

        def pour() -> None:
            fd = os.open(floor.layout.job(loud) / "hooks.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            while not stop.is_set() and os.fstat(fd).st_size < 200_000_000:
                os.write(fd, row * 2000)
            os.close(fd)

        pouring = asyncio.get_running_loop().run_in_executor(None, pour)
        judged = floor.supervisor.judged
        began = time.monotonic()
        took = await latencies(floor, quiet, 10)
        stop.set()
        await pouring
        assert max(took) < 1.0, took
        assert floor.supervisor.judged - judged <= (time.monotonic() - began) / 0.05 * 2 + 20


async def latencies(floor: Floor, attempt: object, times: int) -> list[float]:
    """Seconds from a hook line to the verdict that it brings."""
    from andon.schema.ids import AttemptId

    name, took = AttemptId(str(attempt)), list[float]()
    floor.say(name, TURN)
    for n in range(times):
        target = f"step {n}"
        began = clock()
        floor.say(name, ToolBegan(at=0, source="hook", call=f"c{n}", name="Bash", target=target))
        await wait_for(lambda: target in str(floor.supervisor.readers[name].verdict), 10, what=target)  # noqa: B023
        took.append(clock() - began)
        await asyncio.sleep(0.1)
    return took
