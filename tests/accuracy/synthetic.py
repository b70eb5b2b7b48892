"""Labelled streams made by a random world in the normal form: healthy-but-slow as many as stuck, with every kind of dirt on them.

The world knows nothing of the monitor: it plays what an agent, its processes, the gateway and the pane would show, and labels each
span with what is true. Dirt: events told twice, late, out of order or never; looks that are rare; sources that are missing.
"""

import random
from collections.abc import Callable

import msgspec

from accuracy.stage import Stage
from andon.schema.signals import Line, Recording

Play = Callable[[Stage], None]


def some_work(s: Stage, steps: int = 0) -> None:
    """A few ordinary steps."""
    for _ in range(steps or s.random.randint(1, 5)):
        s.model(s.random.uniform(1, 25))
        s.tool(s.random.uniform(0.1, 12), busy=s.random.random() < 0.6)


def opening(s: Stage) -> None:
    s.start()
    s.turn()
    some_work(s)


# --- healthy, however slow -------------------------------------------------------------------------------------------


def proper(s: Stage) -> None:
    opening(s)
    s.model(4)
    s.end_turn()
    s.rest(s.random.uniform(5, 15))


def long_compile(s: Stage) -> None:
    opening(s)
    s.tool(s.random.uniform(600, 2400), busy=True, commands=("cc1plus", "make"), silent=True)
    proper_end(s)


def linking(s: Stage) -> None:
    opening(s)
    s.tool(s.random.uniform(300, 1500), busy=False, io=3e6, commands=("ld",), silent=True)
    proper_end(s)


def slow_tests(s: Stage) -> None:
    opening(s)
    s.tool(s.random.uniform(300, 1500), busy=False, commands=("pytest",), silent=True)
    proper_end(s)


def waits_for_ci(s: Stage) -> None:
    opening(s)
    digest, result = s.word(), s.word()
    for _ in range(s.random.randint(10, 30)):
        s.model(s.random.uniform(1, 4))
        s.tool(s.random.uniform(30, 60), name="Bash", target="sleep 30; gh run view", digest=digest, result=result, busy=False)
    proper_end(s)


def long_thought(s: Stage) -> None:
    opening(s)
    s.model(s.random.uniform(200, 500), quiet=s.random.choice((20.0, 45.0, 70.0)))
    proper_end(s)


def slow_first_byte(s: Stage) -> None:
    opening(s)
    s.model(s.random.uniform(60, 150), head=s.random.uniform(50, 140))
    proper_end(s)


def sub_agents(s: Stage) -> None:
    opening(s)
    names = [s.word() for _ in range(s.random.randint(2, 6))]
    read, result = s.word(), s.word()
    s.working()
    main = s.begin_tool("Task", "three helpers")
    for name in names:
        s.helper(name)
    for _ in names:
        s.begin_tool("Read", "README.md", digest=read)
    s.wait(s.random.uniform(0.2, 2))
    for call in s.open[-len(names):]:
        s.end_tool(call, result)
    for _ in range(s.random.randint(5, 25)):
        call = s.begin_tool(s.random.choice(("Read", "Bash", "Grep")), s.word())
        s.wait(s.random.uniform(0.5, 20))
        s.end_tool(call)
    for name in names:
        s.helper(name, ended=s.random.random() < 0.8)
    s.end_tool(main)
    proper_end(s)


def server_left(s: Stage) -> None:
    opening(s)
    s.children, s.commands = 1, ("node",)
    s.standing = 1
    proper_end(s)
    s.rest(90)


def work_left(s: Stage) -> None:
    """A build goes on in the background when the turn is over."""
    opening(s)
    s.model(3)
    told = s.random.choice((0, 1))
    s.commands, s.children, s.rate = ("make", "cc1"), 3, s.random.uniform(0.3, 1.9)
    s.standing = 3
    s.wait(6)
    s.end_turn(background=told)
    s.label("background", "working")
    s.wait(s.random.uniform(60, 400))
    s.children, s.rate, s.standing = 0, 0.0, 0
    s.label("idle-at-prompt", "background")
    s.wait(26)
    s.rest(60)


def typing(s: Stage) -> None:
    opening(s)
    s.model(3)
    s.end_turn()
    s.attended(True)
    s.rest(s.random.uniform(60, 200))
    s.attended(False)
    s.turn()
    some_work(s)
    proper_end(s)


def laptop(s: Stage) -> None:
    opening(s)
    s.begin_model()
    s.label("thinking", "working")
    s.wait(s.random.uniform(2, 10))
    s.sleep(s.random.uniform(1_000, 30_000))
    s.wait(s.random.uniform(5, 60))
    s.end_model()
    proper_end(s)


def laptop_compile(s: Stage) -> None:
    opening(s)
    call = s.begin_tool("Bash", "make", busy=True)
    s.wait(30)
    s.sleep(s.random.uniform(1_000, 30_000))
    s.wait(60)
    s.end_tool(call)
    proper_end(s)


def log_words(s: Stage) -> None:
    """Words of limits and logins scroll by; they are the work's, not the agent's."""
    opening(s)
    s.words = s.random.choice((("HTTP 429 rate limit exceeded, Retrying in 30s", "quota exceeded"),
                               ("401 Unauthorized: Invalid API key",),
                               ("Do you want to continue? [y/N]", "Waiting for permission"), ("Prompt is too long",)))
    some_work(s)
    s.tool(s.random.uniform(20, 90), busy=True)
    proper_end(s)


def quick_permission(s: Stage) -> None:
    opening(s)
    for _ in range(s.random.randint(1, 3)):
        s.permission(s.random.uniform(3, 40), told=s.random.random() < 0.5)
    proper_end(s)


def edits_and_tests(s: Stage) -> None:
    opening(s)
    test, bad = s.word(), s.word()
    for _ in range(s.random.randint(5, 12)):
        s.model(s.random.uniform(1, 8))
        s.tool(0.2, name="Edit", target="src/a.py", busy=False)
        s.tool(s.random.uniform(1, 9), name="Bash", target="pytest -q", digest=test, result=bad, busy=True)
    proper_end(s)


def short_limit(s: Stage) -> None:
    opening(s)
    s.limit("rate-limit", s.random.uniform(10, 200), tries=s.random.randint(1, 3))
    s.model(5)
    proper_end(s)


def compacts_once(s: Stage) -> None:
    opening(s)
    s.compact(s.random.uniform(5, 60))
    some_work(s)
    s.compact(s.random.uniform(5, 60))
    some_work(s)
    proper_end(s)


def escaped(s: Stage) -> None:
    """A person presses Esc and nothing is told of it; then writes another prompt."""
    opening(s)
    s.begin_model()
    s.label("thinking")
    s.wait(4)
    s.drop_model()
    s.interrupted()
    s.turn()
    some_work(s)
    proper_end(s)


def after_stop(s: Stage) -> None:
    """The agent keeps its memory after its turn: calls and tools that are not the task's."""
    opening(s)
    s.model(3)
    s.end_turn()
    s.wait(0.3)
    s.label("background", "working", "thinking")
    for _ in range(s.random.randint(2, 4)):
        call = s.begin_tool("write_file", "memory.md", busy=False)
        s.wait(0.4)
        s.end_tool(call)
    s.label("idle-at-prompt", "background")
    s.wait(5)
    s.rest(50)


def proper_end(s: Stage) -> None:
    s.model(s.random.uniform(1, 6))
    s.end_turn()
    s.rest(s.random.uniform(3, 15))


# --- stuck -----------------------------------------------------------------------------------------------------------


def permission(s: Stage) -> None:
    opening(s)
    s.permission(s.random.uniform(120, 1200), settle=False)


def question(s: Stage) -> None:
    opening(s)
    s.question(s.random.uniform(120, 1200))


def idle(s: Stage) -> None:
    proper(s)
    s.rest(s.random.uniform(120, 900))


def hung_middle(s: Stage) -> None:
    opening(s)
    s.begin_model()
    s.label("thinking", "working")
    s.wait(s.random.uniform(3, 20))
    s.hang(90)


def hung_head(s: Stage) -> None:
    opening(s)
    s.begin_model(first=False)
    s.hang(180)


def tool_loop(s: Stage) -> None:
    opening(s)
    digest, result = s.word(), s.word()
    for n in range(s.random.randint(20, 60)):
        s.model(s.random.uniform(0.2, 4), label=n < 6)
        s.tool(s.random.uniform(0.05, 2), name="Bash", target="ls", digest=digest, result=result, busy=False, label=n < 6)
        if n == 5:
            s.label("looping", cause="tool-loop")


def cycle_loop(s: Stage) -> None:
    opening(s)
    period = s.random.randint(2, 4)
    pairs = [(s.word(), s.word()) for _ in range(period)]
    for n in range(period * 12):
        s.model(s.random.uniform(0.2, 4), label=n < period * 4)
        digest, result = pairs[n % period]
        s.tool(s.random.uniform(0.05, 2), name="Bash", target=f"cat f{n % period}", digest=digest, result=result, busy=False,
               label=n < period * 4)
        if n == period * 4 - 1:
            s.label("looping", cause="tool-loop")


def thrash(s: Stage) -> None:
    opening(s)
    one, two = s.word(), s.word()
    for n in range(16):
        s.model(s.random.uniform(1, 8), label=n < 6)
        s.tool(0.2, name="Edit", target="src/a.py", digest=two if n % 2 else one, busy=False, label=n < 6)
        if n == 5:
            s.label("thrashing", "looping", cause="thrash")
        s.tool(s.random.uniform(1, 8), name="Bash", target="pytest", busy=True, label=n < 5)


def compaction_loop(s: Stage) -> None:
    opening(s)
    for n in range(20):
        s.compact(s.random.uniform(0.3, 3), label=n < 4)
        if n == 3:
            s.label("looping", cause="compaction-loop")


def rate_limit(s: Stage) -> None:
    opening(s)
    s.limit("rate-limit", s.random.uniform(300, 3000), tries=1, back=False)


def overloaded(s: Stage) -> None:
    opening(s)
    s.limit("overloaded", s.random.uniform(60, 600), tries=6, back=False)


def gave_up(s: Stage) -> None:
    opening(s)
    s.fail(s.random.choice(("auth", "quota", "context", "server", "rate-limit")))


def crash(s: Stage) -> None:
    opening(s)
    call = s.begin_tool("Bash", "make", busy=True)
    s.wait(s.random.uniform(1, 30))
    s.die(wrapper=s.random.random() < 0.5)
    assert call


HEALTHY: dict[str, Play] = {play.__name__: play for play in (
    proper, long_compile, linking, slow_tests, waits_for_ci, long_thought, slow_first_byte, sub_agents, server_left, work_left,
    typing, laptop, laptop_compile, log_words, quick_permission, edits_and_tests, short_limit, compacts_once, escaped, after_stop,
)}
STUCK: dict[str, Play] = {play.__name__: play for play in (
    permission, question, idle, hung_middle, hung_head, tool_loop, cycle_loop, thrash, compaction_loop, rate_limit,
    overloaded, gave_up, crash,
)}


def stream(scenario: str, seed: int) -> tuple[Recording, tuple[Line, ...]]:
    """One stream of a scenario; equal seeds give equal streams."""
    chance = random.Random(f"{scenario}/{seed}")
    stage = Stage(chance, scenario)
    ({**HEALTHY, **STUCK}[scenario])(stage)
    recording, lines = stage.finished()
    return msgspec.structs.replace(recording, stuck=scenario in STUCK, dead=scenario == "crash"), lines


def streams(count: int, seed: int = 0) -> list[tuple[Recording, tuple[Line, ...]]]:
    """So many healthy ones as stuck ones, going round the scenarios."""
    made = []
    for kind in (HEALTHY, STUCK):
        names = list(kind)
        made += [stream(names[n % len(names)], seed + n) for n in range(count // 2)]
    return made
