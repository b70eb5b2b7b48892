"""Decides what the model answers: which script, which step of it, and which requests fail first."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from model.scenarios import SCENARIOS, proper
from model.steps import textual, to_calls
from model.talk import Json, Talk

STOP_WORD = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""What one client wants its agent to print in order to stop."""
FAULTS = frozenset(("hang", "http", "cut"))


@dataclass(frozen=True)
class Decision:
    """What this request gets."""

    step: Json
    calls: tuple[tuple[str, Any], ...] = ()
    text: str = ""
    info: Json = field(default_factory=dict)
    """For the log."""


class Desk:
    """Scripts, counters and the log of one server; used by many threads."""

    def __init__(self, default: str = "proper") -> None:
        self.default = default
        self.lock = threading.RLock()
        self.scripts: dict[str, Json] = {}
        self.counters: dict[tuple[str, str, str], int] = {}
        self.log: list[Json] = []

    def script(self, session: str, body: Json) -> None:
        """What this session gets from now on."""
        with self.lock:
            self.scripts[session] = body

    def reset(self, session: str = "") -> None:
        """Forget one session's script and counters, or everything."""
        with self.lock:
            if session:
                self.scripts.pop(session, None)
                self.counters = {key: value for key, value in self.counters.items() if key[0] != session}
            else:
                self.scripts.clear()
                self.counters.clear()
                self.log.clear()

    def state(self) -> Json:
        """Scripts, counters and how many requests there were."""
        with self.lock:
            counters = {"|".join(key): value for key, value in self.counters.items()}
            return {"scripts": dict(self.scripts), "counters": counters, "requests": len(self.log)}

    def entries(self, session: str = "") -> list[Json]:
        """The log, of one session or of all."""
        with self.lock:
            return [dict(entry) for entry in self.log if not session or entry["session"] == session]

    def decide(self, session: str, talk: Talk) -> Decision:
        """The answer to this request."""
        start, name, params, steps = self._chosen(session, talk)
        position = talk.position(start)
        info: Json = {"scenario": name, "pos": position, "n_tools": len(talk.tools)}
        key = (session, name, json.dumps(params, sort_keys=True))
        if not talk.tools and not ("bash" in talk.system and "```" in talk.system):
            plain = self._without_tools(talk, steps, params, position, key, info)
            if plain:
                return plain
        while steps and {"http", "cut"} & set(steps[0]):  # virtual: they do not count as turns
            if count := self._fails(key, steps[0]):
                return Decision(steps[0], info={**info, "failed": count})
            steps = steps[1:] or proper(params)
        step: Json = {"say": "Nothing more to do. TASK-COMPLETE"}
        if steps and steps[0].get("repeat"):
            step = steps[0]
        elif position < len(steps):
            step = steps[position]
        return self._acted(step, talk, params, info)

    def _chosen(self, session: str, talk: Talk) -> tuple[int, str, Json, list[Json]]:
        marked = talk.marker()
        with self.lock:
            fixed = self.scripts.get(session)
        start, name, params = marked or (talk.first(), self.default, {})
        if fixed and "steps" in fixed:
            return start, "custom", fixed.get("params", {}), list(fixed["steps"])
        if fixed and not (marked and fixed.get("weak")):
            name, params = fixed["scenario"], fixed.get("params") or {}
        return start, name, params, SCENARIOS.get(name, proper)(params)

    def _fails(self, key: tuple[str, str, str], step: Json) -> int:
        """Count one more failure of a step that fails the first n requests; 0 when it has failed often enough."""
        fault = step.get("http") or step["cut"]
        with self.lock:
            count = self.counters.get(key, 0)
            if count >= fault.get("n", 1):
                return 0
            self.counters[key] = count + 1
            return count + 1

    def _without_tools(
        self, talk: Talk, steps: list[Json], params: Json, position: int, key: tuple[str, str, str], info: Json,
    ) -> Decision | None:
        """A request without tools is a title or summary, or that of a client that takes edits as text."""
        first = steps[0] if steps else {}
        text = textual([one for one in steps if not {"http", "cut"} & set(one)] or proper(params), talk, position)
        if text is None:
            side = {**info, "side": True}
            if "http" in first and first["http"].get("status") == 401:
                return Decision(first, info=side)
            titled = "JSON" in json.dumps(talk.body)[:200000]
            title = '{"title": "Scripted session", "isNewTopic": true}' if titled else "Scripted session"
            return Decision({}, text=title, info=side)
        fault = first.get("http") or first.get("cut")
        with self.lock:
            left = fault and self.counters.get(key, 0) < fault.get("n", 1)
        return None if left or "hang" in first else Decision({}, text=text, info=info)

    def _acted(self, step: Json, talk: Talk, params: Json, info: Json) -> Decision:
        if "sleep" in step:
            time.sleep(float(step["sleep"]))
        calls = to_calls(step, talk, params.get("cwd") or talk.cwd())
        text = step.get("say", "")
        faulty = bool(FAULTS & set(step))
        if "ask" in step and not calls:
            text = step["ask"]
        if not calls and not text and not faulty and "say" not in step:
            text = "(no tool for this step) TASK-COMPLETE"
        if not calls and text and not faulty and STOP_WORD in json.dumps(talk.body)[:60000]:
            calls = to_calls({"shell": f"echo {STOP_WORD}"}, talk, None)
        return Decision(step, tuple(calls), text, {**info, "step": next(iter(step), "-"), "calls": [name for name, _ in calls]})
