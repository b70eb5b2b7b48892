"""What the model can be told to do: named lists of steps.

A step is one of `say`, `read`, `write`, `edit`, `shell`, `tool`, `tool_like`, `many`, `http`, `hang`, `cut`, `ask`, `subagent`,
`badargs`, with the modifiers `repeat`, `usage_in`, `delay`, `sleep`, `escalate`.
"""

from collections.abc import Callable

from model.talk import Json

Steps = list[Json]
FOR_EVER = 10**9


def proper(p: Json) -> Steps:
    """The whole job: read, write, edit, commit, say so."""
    name, who = p.get("file", "hello.txt"), p.get("who", "agent")
    return [
        {"read": p.get("read", "README.md")},
        {"say": "I will now write the file.", "write": {"path": name, "content": f"hello from {who}\n"}},
        {"edit": {"path": name, "old": f"hello from {who}", "new": f"hello, world, from {who}"}},
        {"shell": f"git add -A && git commit -q -m 'feat: add {name} ({who})' && git log --oneline -1"},
        {"say": f"Done: wrote {name} and committed it. TASK-COMPLETE"},
    ]


def failing(status: int, n: int = 3, kind: str = "") -> Callable[[Json], Steps]:
    """The first n requests fail with this status; the rest go properly."""
    def steps(p: Json) -> Steps:
        fault = {"status": status, "n": int(p.get("n", n)), "retry_after": p.get("retry_after")}
        return [{"http": {**fault, "kind": kind} if kind else fault}]
    return steps


def conflict(p: Json) -> Steps:
    """Two of these with different `who` touch the same line."""
    who = p.get("who", "agent")
    return [
        {"read": "README.md"}, {"shell": f"sed -i '1s/.*/# title by {who}/' README.md"},
        {"shell": f"git commit -qam 'docs: title by {who}'"}, {"say": "TASK-COMPLETE"},
    ]


def outside(p: Json) -> Steps:
    """Writes where it must not, by tool and by shell."""
    path = p.get("path", "/tmp/outside-worktree.txt")
    written = {"write": {"path": path, "content": "escaped\n"}}
    return [written, {"shell": f"echo escaped-by-shell >> {path}"}, {"say": "TASK-COMPLETE"}]


def crowded(p: Json) -> Steps:
    """Says that the context is nearly full: clients compact."""
    tokens = int(p.get("tokens", 195000))
    read = {"read": "README.md", "usage_in": tokens}
    return [read, read, {"say": "TASK-COMPLETE", "usage_in": tokens}]


SCENARIOS: dict[str, Callable[[Json], Steps]] = {
    "proper": proper,
    "loop": lambda p: [{"shell": p.get("cmd", "ls -la"), "repeat": True}],
    "loop_read": lambda p: [{"read": p.get("read", "README.md"), "repeat": True}],
    "hang": lambda p: [{"hang": {"after": "Let me think about this"}}],
    "hang_head": lambda p: [{"hang": {"before_headers": True}}],
    "hang_later": lambda p: [*proper(p)[:2], {"hang": {"after": "Now I will"}}],
    "cut": lambda p: [{"cut": {"after": "I was about to", "n": int(p.get("n", 1))}}],
    "rate_limit": failing(429),
    "overloaded": failing(529),
    "server_error": failing(500),
    "auth": failing(401, FOR_EVER),
    "quota": failing(429, FOR_EVER, "quota"),
    "context": failing(400, FOR_EVER, "context"),
    "context_usage": crowded,
    "ask": lambda p: [{"say": "Before I start: should I use tabs or spaces? Please answer."}, *proper(p)],
    "ask_tool": lambda p: [{"ask": "Tabs or spaces?", "options": ["tabs", "spaces"]}, *proper(p)],
    "lie": lambda p: [{"say": "I have written the file, run the tests (all green) and committed. TASK-COMPLETE"}],
    "outside": outside,
    "nocommit": lambda p: [*proper(p)[:2], {"say": "All done. TASK-COMPLETE"}],
    "conflict": conflict,
    "dirty_shell": lambda p: [{"shell": "git reset --hard HEAD~1; git status -sb"}, {"say": "TASK-COMPLETE"}],
    "slow": lambda p: [{"shell": f"sleep {p.get('sleep', 30)}"}, *proper(p)],
    "drip": lambda p: [{"say": "word " * int(p.get("words", 200)), "delay": float(p.get("delay", 0.2))}],
    "escalate": lambda p: [{"shell": "git status -sb", "escalate": True}, *proper(p)],
    "spawn": lambda p: [{"shell": "nohup sleep 987 >/dev/null 2>&1 & echo started"}, {"say": "TASK-COMPLETE"}],
    "subagent": lambda p: [{"subagent": "[[scenario:lie]] look around"}, *proper(p)[-1:]],
    "badargs": lambda p: [{"badargs": True}, *proper(p)],
    "unknown_tool": lambda p: [{"tool": {"name": "does_not_exist", "args": {"x": 1}}}, *proper(p)],
    "parallel": lambda p: [{"many": [{"read": "README.md"}, {"shell": "pwd"}, {"shell": "git status -sb"}]}, *proper(p)[1:]],
    "mcp": lambda p: [{"tool_like": {"pattern": p.get("pattern", "report_status"), "args": {}}}, *proper(p)[-1:]],
    "empty": lambda p: [{"say": ""}],
}
