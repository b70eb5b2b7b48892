"""The stage on which random streams are played: a clock, an agent's sources with their dirt, processes, a gateway, a pane."""

import itertools
import random

import msgspec

from accuracy.painting import paint
from andon.schema.health import Cause, Health, Source, Trouble
from andon.schema.signals import (
    AnswerWanted,
    AnySignal,
    AskSettled,
    Attended,
    Began,
    Call,
    Compacting,
    Helper,
    Label,
    Line,
    PermissionWanted,
    Recording,
    Retrying,
    Screen,
    Spoke,
    ToolBegan,
    ToolEnded,
    Tree,
    TurnBegan,
    TurnEnded,
    TurnFailed,
)

START = 1_790_000_000_000
GATEWAY = ("hung_middle", "hung_head", "rate_limit", "overloaded", "slow_first_byte")
"""Scenarios that cannot be seen without one."""
ENCODE = msgspec.json.encode


class Stage:
    """One session as it is seen. `wait` lets time pass with looks at processes and pane; everything else tells or labels."""

    def __init__(self, chance: random.Random, scenario: str) -> None:
        self.random, self.scenario = chance, scenario
        self.agent = chance.choice(("claude", "codex", "opencode"))
        either: Source = chance.choice(("api", "hook"))
        self.source: Source = "hook" if self.agent == "claude" else "api" if self.agent == "opencode" else either
        self.gateway = chance.random() < 0.6 or scenario in GATEWAY
        self.every = chance.choice((1_000, 2_000, 5_000))
        self.dirt = chance.random() < 0.5
        self.now, self.looked, self.drawn = START, START - 60_000, START - 60_000
        self.children, self.rate, self.io, self.standing = 0, 0.0, 0.0, 0
        self.commands: tuple[str, ...] = ()
        self.cpu = self.child_cpu = 1.0
        self.bytes = 0
        self.alive = self.wrapper = True
        self.words: tuple[str, ...] = ()
        self.screen, self.detail = "idle", ""
        self.open: list[str] = []
        self.requests: list[str] = []
        self.lines: list[Line] = []
        self.labels: list[tuple[int, tuple[Health, ...], Cause]] = []
        self.count = itertools.count(1)
        self.turn_id = ""

    # --- time ------------------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Time passes, and is looked at."""
        end = self.now + round(seconds * 1000)
        while self.now < end:
            step = min(end, self.now + 250)
            self._burn(step - self.now)
            self.now = step
            if self.now - self.looked >= self.every:
                self.look()
            if self.now - self.drawn >= 2_000:
                self.draw()

    def _burn(self, passed: int) -> None:
        self.child_cpu += self.rate * passed / 1000
        self.cpu += self.rate * passed / 1000 + 0.01 * passed / 1000
        self.bytes += round(self.io * passed / 1000)

    def sleep(self, seconds: float) -> None:
        """The machine sleeps."""
        self.now += round(seconds * 1000)
        self.look()

    def look(self) -> None:
        self.looked = self.now
        children = max(self.children, self.standing)
        self.tell(Tree(at=self.now, source="process", alive=self.alive, wrapper=self.wrapper, children=children, cpu_s=self.cpu,
                       child_cpu_s=self.child_cpu, io_bytes=self.bytes, commands=self.commands), "process")

    def draw(self) -> None:
        self.drawn = self.now
        rows = paint(self.agent, self.screen, self.detail, self.words, self.now)
        self.tell(Screen(at=self.now, source="pane", rows=rows), "pane")

    def tell(self, signal: AnySignal, source: Source | None = None) -> None:
        self.lines.append(Line(at=self.now, source=source or self.source, data=msgspec.Raw(ENCODE(signal))))

    def dirty(self, signal: AnySignal) -> None:
        """Told, and sometimes told again by another source a little later."""
        self.tell(signal)
        if self.dirt and self.random.random() < 0.2:
            late = self.now + self.random.randint(1, 400)
            self.lines.append(Line(at=late, source="transcript", data=msgspec.Raw(ENCODE(signal))))

    def label(self, *health: Health, cause: Cause = "") -> None:
        self.labels.append((self.now, health, cause))

    def word(self) -> str:
        return f"{self.random.getrandbits(48):x}"

    # --- what an agent does ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.look()
        self.label("starting")
        self.wait(self.random.uniform(0.5, 12))
        self.dirty(Began(at=self.now, source=self.source, conversation=self.word()))
        self.wait(0.5)

    def turn(self) -> None:
        self.turn_id = self.word() if self.agent == "codex" else ""
        self.dirty(TurnBegan(at=self.now, source=self.source, turn=self.turn_id, prompt=f"do {self.word()}"))
        self.screen = "working"
        self.label("thinking", "working")

    def working(self) -> None:
        self.screen = "working"
        self.label("working", "thinking")

    def model(self, seconds: float, *, quiet: float = 0.0, head: float = 0.0, label: bool = True) -> None:
        """One model call; `quiet` is the longest silence within it, `head` before its first byte."""
        if label:
            self.label("thinking", "working")
        self.begin_model(first=not head)
        if head:
            self.wait(head)
            self._call("first")
            seconds = max(1.0, seconds - head)
        left = seconds
        while left > 0:
            step = min(left, quiet or 5.0)
            self.wait(step)
            left -= step
            self._call("flowing")
            if self.source == "api" and left > 0:
                self.tell(Spoke(at=self.now, source="api", characters=40))
        self.end_model()

    def begin_model(self, *, first: bool = True) -> None:
        self.screen = "working"
        self.requests.append(self.word())
        self._call("sent")
        if first:
            self.wait(0.3)
            self._call("first")

    def _call(self, phase: str) -> None:
        if self.gateway and self.requests:
            status = 0 if phase == "sent" else 200
            self.tell(Call(at=self.now, source="gateway", request=self.requests[-1], phase=phase, status=status,  # type: ignore[arg-type]
                           digest=self.requests[-1] if phase == "ended" else ""), "gateway")

    def end_model(self) -> None:
        self._call("ended")
        self.requests.clear()

    def drop_model(self) -> None:
        if self.gateway and self.requests:
            self.tell(Call(at=self.now, source="gateway", request=self.requests[-1], phase="ended", status=200, error="gone"),
                      "gateway")
        self.requests.clear()

    def begin_tool(self, name: str, target: str, *, digest: str = "", busy: bool = False, io: float = 0.0,
                   commands: tuple[str, ...] = ("sh",)) -> str:
        call = self.word()
        self.open.append(call)
        self.dirty(ToolBegan(at=self.now, source=self.source, call=call, name=name, target=target, digest=digest or self.word()))
        if name == "Bash":
            self.children, self.commands = 1 + self.standing, commands
            self.rate, self.io = (self.random.uniform(0.2, 1.8) if busy else 0.0), io
        return call

    def end_tool(self, call: str, result: str = "") -> None:
        self.children = self.standing
        self.rate = self.io = 0.0
        if not (self.dirt and self.random.random() < 0.05):
            self.dirty(ToolEnded(at=self.now, source=self.source, call=call, digest=result or self.word()))

    def tool(self, seconds: float, *, name: str = "Bash", target: str = "", digest: str = "", result: str = "", busy: bool = True,
             io: float = 0.0, commands: tuple[str, ...] = ("sh",), silent: bool = False, label: bool = True) -> None:
        if label:
            self.label("working", "thinking") if seconds < 2 else self.label("working")
        self.screen = "quiet" if silent else "working"
        call = self.begin_tool(name, target or self.word(), digest=digest, busy=busy, io=io, commands=commands)
        self.wait(seconds)
        self.end_tool(call, result)
        self.screen = "working"

    def end_turn(self, background: int = 0) -> None:
        self.dirty(TurnEnded(at=self.now, source=self.source, turn=self.turn_id, text="Done.", background=background))
        self.screen = "idle"
        self.label("idle-at-prompt", "finished")

    def rest(self, seconds: float) -> None:
        """At its prompt; the cause is due after a while."""
        self.screen = "idle"
        self.label("idle-at-prompt")
        if seconds > 60:
            self.wait(60)
            self.label("idle-at-prompt", cause="" if self.scenario == "typing" else "idle-at-prompt")
            seconds -= 60
        self.wait(seconds)

    def helper(self, name: str, ended: bool = False) -> None:
        self.tell(Helper(at=self.now, source=self.source, helper=name, ended=ended))

    def attended(self, present: bool) -> None:
        self.tell(Attended(at=self.now, source="process", present=present), self.source)

    def permission(self, seconds: float, *, settle: bool = True, told: bool = True) -> None:
        target = f"git push {self.word()}"
        call = self.word()
        self.tell(ToolBegan(at=self.now, source=self.source, call=call, name="Bash", target=target, digest=self.word()))
        self.wait(0.1)
        ask = self.word()
        self.dirty(PermissionWanted(at=self.now, source=self.source, ask=ask, tool="Bash", deed="shell", target=target))
        self.screen, self.detail = "permission", target
        self.label("waiting-permission", cause="permission")
        self.wait(seconds)
        if not settle:
            return
        if told:
            self.dirty(AskSettled(at=self.now, source=self.source, ask=ask))
        self.screen = "working"
        self.label("working", "thinking") if told else self.label("working", "waiting-permission")
        self.children, self.commands, self.rate = 1 + self.standing, ("git",), 0.0
        if not told:
            self.wait(2.5 * self.every / 1000)
            self.label("working")
        self.wait(self.random.uniform(2, 30))
        self.children = self.standing
        self.tell(ToolEnded(at=self.now, source=self.source, call=call, digest=self.word()))

    def question(self, seconds: float) -> None:
        self.tell(ToolBegan(at=self.now, source=self.source, call="q", name="AskUserQuestion", digest=self.word()))
        self.dirty(AnswerWanted(at=self.now, source=self.source, ask=self.word(), text="Which one?", options=("left", "right")))
        self.screen = "question"
        self.label("waiting-answer", cause="question")
        self.wait(seconds)

    def hang(self, allowed: float) -> None:
        """Nothing comes any more."""
        self.screen = "frozen" if self.agent == "codex" else "working"
        self.label("thinking", "hung")
        self.wait(allowed + 10)
        self.label("hung", cause="hung-stream")
        self.wait(self.random.uniform(60, 600))

    def interrupted(self) -> None:
        """Esc. Nothing is told; the pane shows it."""
        if self.source == "api" or self.agent == "codex":
            self.tell(TurnFailed(at=self.now, source=self.source, trouble="interrupted"))
        self.screen = "interrupted"
        self.label("idle-at-prompt", "thinking")
        self.wait(12)
        self.label("idle-at-prompt")
        self.wait(self.random.uniform(5, 30))

    def compact(self, seconds: float, label: bool = True) -> None:
        self.tell(Compacting(at=self.now, source=self.source))
        if label:
            self.label("compacting")
        self.wait(seconds)
        self.tell(Compacting(at=self.now, source=self.source, done=True))
        if label:
            self.label("thinking", "working")
        self.wait(self.random.uniform(0.2, 2))

    def limit(self, trouble: Trouble, seconds: float, *, tries: int, back: bool = True) -> None:
        """The provider refuses, `tries` times, each for so long."""
        for n in range(tries):
            self.begin_model(first=False)
            if n == 0:
                self.label("thinking", "rate-limited")
            self.wait(0.2)
            until = self.now + round(seconds * 1000)
            if self.gateway:
                self.tell(Call(at=self.now, source="gateway", request=self.requests[-1], phase="ended",
                               status=429 if trouble == "rate-limit" else 529, retry_after=seconds), "gateway")
            self.requests.clear()
            if self.source == "api" or not self.gateway:
                self.tell(Retrying(at=self.now, source=self.source, trouble=trouble, until=until, tries=n + 1))
            self.screen, self.detail = "retrying", str(round(seconds))
            if n == 0:
                self.label("rate-limited", cause="overloaded" if trouble == "overloaded" else "rate-limit")
            self.wait(seconds)
        if back:
            self.label("rate-limited", "thinking")

    def fail(self, trouble: Trouble) -> None:
        self.tell(TurnFailed(at=self.now, source=self.source, trouble=trouble, text="API Error"))
        self.screen = "idle"
        states: dict[str, tuple[Health, Cause]] = {
            "auth": ("auth", "auth"), "quota": ("rate-limited", "quota"), "context": ("idle-at-prompt", "context"),
            "server": ("idle-at-prompt", "turn-failed"), "rate-limit": ("rate-limited", "rate-limit"),
        }
        health, cause = states[trouble]
        self.label(health, cause=cause)
        self.wait(self.random.uniform(60, 600))

    def die(self, *, wrapper: bool) -> None:
        self.alive, self.wrapper, self.children, self.rate, self.standing = False, wrapper, 0, 0.0, 0
        self.screen = "shell"
        self.label("crashed", "working", "thinking")
        self.wait(10)
        self.label("crashed", cause="agent-gone" if wrapper else "crashed")
        self.wait(self.random.uniform(10, 120))

    # --- the end ---------------------------------------------------------------------------------------------------------

    def finished(self) -> tuple[Recording, tuple[Line, ...]]:
        """The stream, its lines in order of arrival; some late ones change places."""
        ends = [*(start for start, _, _ in self.labels[1:]), self.now]
        labels = tuple(Label(start=start, end=end, health=health, cause=cause)
                       for (start, health, cause), end in zip(self.labels, ends, strict=True) if end > start)
        lines = sorted(self.lines, key=lambda line: line.at)
        if self.dirt:
            for n in range(len(lines) - 1):
                near = lines[n + 1].at - lines[n].at < 50
                if near and self.random.random() < 0.1 and b"began" not in bytes(lines[n].data)[:20]:
                    lines[n], lines[n + 1] = lines[n + 1], lines[n]
        return Recording(agent=self.agent, scenario=self.scenario, labels=labels), tuple(lines)
