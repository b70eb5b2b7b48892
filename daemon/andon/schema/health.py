"""The words for what a session is doing and why. Only words: no rule lives here."""

from typing import Literal

Health = Literal[
    "starting", "working", "thinking", "background", "waiting-permission", "waiting-answer", "idle-at-prompt", "rate-limited",
    "auth", "compacting", "looping", "thrashing", "hung", "suspended", "crashed", "finished", "unknown",
]
Cause = Literal[
    "", "permission", "question", "idle-at-prompt", "hung-stream", "tool-loop", "compaction-loop", "thrash", "rate-limit", "quota",
    "overloaded", "auth", "context", "crashed", "agent-gone", "flooding", "disk", "cpu", "turn-failed", "first-run-screen",
]
"""Kinds of stuck, told apart; empty when nothing is wrong. `agent-gone`: a shell or wrapper lives, its agent does not."""
Trouble = Literal["rate-limit", "overloaded", "quota", "auth", "context", "network", "server", "interrupted", "unknown"]
"""Why a model call or a turn failed."""
Source = Literal["api", "hook", "stdout", "transcript", "gateway", "outbox", "process", "pane", "none"]
RANK: tuple[Source, ...] = ("api", "hook", "stdout", "transcript", "gateway", "outbox", "process", "pane", "none")
"""The best first: a higher source wins a contradiction for as long as it is fresh."""
Rung = Literal["wait", "nudge", "interrupt", "restart", "reassign", "gate"]
"""What may be done about a stuck session, mildest first. `restart` keeps the checkout and, where it can, the conversation."""
