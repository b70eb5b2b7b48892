"""What is recorded: scenes, each an agent, a script of the model, what the driver does, and how long it is watched. Pure data.

Healthy-but-slow scenes are as many as those that end stuck. Parameters vary by a fixed seed, so that a recording can be made again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

HOOKED = ("claude", "gemini", "qwen", "copilot")
REAL = ("claude", "codex", "opencode", "gemini", "qwen", "copilot", "aider")
BLIND = ("aider", "scripted")
"""Agents that tell nothing: gateway, process table and pane are all there is. They leave when they are done."""


@dataclass(frozen=True)
class Scene:
    """One recording to make."""

    agent: str
    name: str
    steps: tuple[dict[str, Any], ...]
    """The model's script."""
    ask: bool = False
    """The agent must ask before its tools; the driver answers."""
    allow: bool = True
    answer_after: float = 1.5
    """Seconds until the driver answers an ask; below 0: never."""
    kill_after: float = -1.0
    """Seconds after the first tool began at which the agent's processes are killed; below 0: never."""
    watch_s: float = 6.0
    """So long it is watched after its last model call ended or began to hang."""
    stretch_s: float = 0.0
    """What stands still at the end is written on for so long, as it was last seen."""
    stuck: bool = False
    say: str = ""
    """Typed by the driver once the first turn is over: a second turn."""
    tags: tuple[str, ...] = field(default=())


def scenes(agent: str, seed: int = 1) -> Iterator[Scene]:
    """All scenes of one agent, with parameters drawn from the seed."""
    r = random.Random(f"{agent}{seed}")
    kinds = {"aider": (aider,), "scripted": (scripted,)}.get(agent, (healthy, stuck))
    for kind in kinds:
        yield from kind(agent, r)


def healthy(agent: str, r: random.Random) -> Iterator[Scene]:
    """Work, quick and slow, loud and silent; each ends its turn by itself."""
    def scene(name: str, *steps: dict[str, Any], **more: Any) -> Scene:
        return Scene(agent=agent, name=name, steps=steps, **more)

    done = {"say": r.choice(("Done: committed. TASK-COMPLETE", "All of it is in place and committed.", "Finished."))}
    for n in range(2):
        yield scene(f"proper-{n}", *proper(r), done)
    for n in range(3):
        yield scene(f"silent-command-{n}", slept(agent, r.randint(5, 11)), *proper(r), done)
    for n in range(2):
        busy = f"python3 -c \"import time; e=time.time()+{r.randint(5, 10)}\nwhile time.time()<e: pass\""
        yield scene(f"silent-compile-{n}", {"shell": busy}, done)
    for n in range(2):
        text = "".join(f"part {n} of it, " for n in range(r.randint(9, 20)))
        yield scene(f"slow-text-{n}", {"say": text, "delay": round(r.uniform(0.1, 0.25), 2)}, done)
    for n in range(3):
        yield scene(f"long-thought-{n}", {"read": "README.md"}, {"say": "After a while: yes.", "sleep": r.randint(5, 12)}, done)
    yield scene("loud-command", {"shell": "for i in $(seq 1 300); do echo line $i; sleep 0.02; done"}, done)
    yield scene("talks-of-limits", {"shell": "echo 'rate limit 429 exceeded; retrying in 60s; Invalid API key'; sleep 4"}, done)
    yield scene("talks-of-prompts", {"shell": "printf 'Do you want to proceed?\\n 1. Yes\\n'; sleep 4"}, done)
    for n in range(2):
        retry = {"http": {"status": r.choice((429, 529, 500)), "n": r.randint(1, 2), "retry_after": r.randint(2, 4)}}
        yield scene(f"hiccup-{n}", retry, *proper(r), done)
    yield scene("many-reads", *({"read": name} for name in ("README.md", "src/a.py", "src/b.py", "README.md")), done)
    yield scene("similar-calls", *({"shell": f"sed -n {n}p src/a.py; sleep 0.{n}"} for n in range(1, 9)), done)
    yield scene("failing-tests-then-fixed", {"shell": "false"}, *proper(r), {"shell": "true"}, done)
    for n in range(2):
        yield scene(f"asked-and-allowed-{n}", *outside(proper(r)), done, ask=True, answer_after=round(r.uniform(1.0, 5.0), 1),
                    tags=("asks",))
    yield scene("second-turn", *proper(r), done, say="And now say so again, please.", tags=("turns",))
    yield scene("leaves-a-server", {"shell": "nohup sleep 300 >/dev/null 2>&1 & echo started"}, *proper(r), done)


def stuck(agent: str, r: random.Random) -> Iterator[Scene]:
    """What needs somebody in the end, each in its own way."""
    def scene(name: str, *steps: dict[str, Any], **more: Any) -> Scene:
        return Scene(agent=agent, name=name, steps=steps, **{"stuck": True, **more})

    for n in range(3):
        yield scene(f"hang-{n}", *proper(r)[: r.randint(0, 3)], {"hang": {"after": "Let me think about this"}}, stretch_s=300)
    yield scene("hang-unbegun", {"read": "README.md"}, {"hang": {"before_headers": True}}, stretch_s=400)
    for n in range(3):
        yield scene(f"permission-{n}", *outside(proper(r)), {"say": "Done."}, ask=True, answer_after=-1, watch_s=r.randint(5, 9),
                    stretch_s=120, tags=("asks",))
    yield scene("permission-denied", *outside(proper(r)), {"say": "I may not."}, ask=True, allow=False, tags=("asks",))
    for n in range(2):
        refused = {"status": 429, "n": 99, "retry_after": r.randint(20, 60)}
        yield scene(f"limit-{n}", *proper(r)[: n + 1], {"http": refused}, watch_s=10)
    yield scene("overloaded", {"http": {"status": 529, "n": 99}}, watch_s=10)
    for n in range(2):
        yield scene(f"login-{n}", *proper(r)[:n], {"http": {"status": 401, "n": 99}}, watch_s=12)
    yield scene("quota", {"http": {"status": 429, "n": 99, "kind": "quota"}}, watch_s=10)
    for n in range(2):
        command = r.choice(("ls -la", "git status -sb", "cat README.md"))
        yield scene(f"same-call-{n}", {"shell": command, "repeat": True}, watch_s=10)
    for n in range(3):
        yield scene(f"killed-{n}", *proper(r)[:n], slept(agent, 20), kill_after=round(r.uniform(1.0, 3.0), 1), watch_s=6,
                    stretch_s=30)
    for n in range(2):
        words = r.choice(("All done.", "I have finished everything."))
        yield scene(f"ends-without-work-{n}", {"read": "README.md"}, {"say": words},
                    stretch_s=150)
    yield scene("asks-in-words", {"read": "README.md"}, {"say": "Should I use tabs or spaces?"}, stretch_s=150)
    if agent == "codex":  # its question tool is not there in its default mode
        return
    yield scene("asks-by-its-tool", {"ask": "Tabs or spaces?", "options": ["tabs", "spaces"]}, {"say": "Thanks."}, answer_after=-1,
                stretch_s=60)


def aider(agent: str, r: random.Random) -> Iterator[Scene]:
    """One message and one answer: it has no tools."""
    def scene(name: str, *steps: dict[str, Any], **more: Any) -> Scene:
        return Scene(agent=agent, name=name, steps=steps, **more)

    for n in range(6):
        yield scene(f"proper-{n}", {"say": "Done."})
    for n in range(4):
        failed = {"status": r.choice((429, 529, 500)), "n": r.randint(1, 3), "retry_after": r.randint(1, 3)}
        yield scene(f"hiccup-{n}", {"http": failed}, {"say": "Done."})
    for n in range(2):
        yield scene(f"hang-{n}", {"hang": {"after": "Let me think about this"}, "repeat": True}, stretch_s=300, stuck=True)
    yield scene("hang-unbegun", {"hang": {"before_headers": True}, "repeat": True}, stretch_s=400, stuck=True)
    yield scene("limit", {"http": {"status": 429, "n": 99, "retry_after": 20}}, watch_s=10, stuck=True)
    yield scene("overloaded", {"http": {"status": 529, "n": 99}}, watch_s=10, stuck=True)
    yield scene("login", {"http": {"status": 401, "n": 99}}, watch_s=10, stuck=True)
    for n in range(2):
        yield scene(f"killed-{n}", {"hang": {"after": "Let me"}, "repeat": True}, kill_after=2.0 + n, stretch_s=30, stuck=True)


def scripted(agent: str, r: random.Random) -> Iterator[Scene]:
    """Its own scenarios; no model, so that only process table, pane and files tell of it."""
    def scene(name: str, *steps: dict[str, Any], **more: Any) -> Scene:
        return Scene(agent=agent, name=name, steps=steps, **more)

    note = {"write": "notes/a.md", "text": "Some words.\n"}
    end = ({"commit": "A note"}, {"finished": "Done"})
    for n in range(3):
        yield scene(f"proper-{n}", {"think": "Reading", "seconds": float(r.randint(2, 8))}, note, *end)
    for n in range(4):
        yield scene(f"silent-command-{n}", {"run": f"sleep {r.randint(5, 14)}"}, note, *end)
    for n in range(3):
        busy = f"python3 -c \"import time; e=time.time()+{r.randint(5, 14)}\nwhile time.time()<e: pass\""
        yield scene(f"silent-compile-{n}", {"run": busy}, note, *end)
    yield scene("loud-command", {"run": "for i in $(seq 1 300); do echo line $i; sleep 0.02; done"}, *end)
    yield scene("talks-of-limits", {"run": "echo 'rate limit 429 exceeded; retrying in 60s; Invalid API key'; sleep 6"}, *end)
    yield scene("talks-of-prompts", {"run": "printf 'Do you want to proceed?\\n 1. Yes\\n'; sleep 6"}, *end)
    for n in range(3):
        yield scene(f"slow-{n}", {"slow": float(r.randint(5, 25))}, note, *end)
    for n in range(3):
        yield scene(f"crash-{n}", {"think": "Working", "seconds": float(r.randint(1, 6))}, {"crash": r.randint(1, 9)}, stuck=True)
    for n in range(3):
        yield scene(f"killed-{n}", {"run": "sleep 20"}, *end, kill_after=float(r.randint(2, 6)), stretch_s=30, stuck=True)


def slept(agent: str, seconds: int) -> dict[str, Any]:
    """A command that is silent for so long. Qwen refuses a bare `sleep`."""
    return {"shell": f"sleep {seconds}" if agent != "qwen" else f"for i in $(seq {seconds}); do sleep 1; done"}


def outside(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same work, asking to leave the sandbox where the agent has one: else it asks nothing."""
    return [{**step, "escalate": True} for step in steps]


def proper(r: random.Random) -> list[dict[str, Any]]:
    """Some honest work: read, write, edit, commit."""
    name, who = f"notes-{r.randint(1, 99)}.txt", r.choice(("ada", "grace", "edsger"))
    steps: list[dict[str, Any]] = [
        {"read": r.choice(("README.md", "src/a.py"))},
        {"write": {"path": name, "content": f"hello from {who}\n"}},
        {"edit": {"path": name, "old": "hello", "new": "good day"}},
        {"shell": f"git add -A && git commit -q -m 'add {name}' && git log --oneline -1"},
    ]
    return steps if r.random() < 0.7 else [steps[0], *steps[1:2], steps[3]]
