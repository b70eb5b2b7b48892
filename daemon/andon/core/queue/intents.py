"""What the other side of a conflict wanted: told to the agent whose change does not fit. Pure text from what has landed."""

from collections.abc import Collection

from andon.core.state import State, Task
from andon.schema.ids import TaskId

OTHERS = 5
"""Landed changes whose intent is told, at most."""
SPEC = 700
"""Characters of each one's spec."""


def others(state: State, task: Task, paths: Collection[str] = ()) -> tuple[TaskId, ...]:
    """Changes that landed since this one was begun: those that touch the same paths first, then the latest."""
    base = task.work.base if task.work else ""
    steps = state.repos[task.repo].queue.landed
    begun = next((place + 1 for place, step in enumerate(steps) if step.commit == base), 0)
    after = [step.task for step in steps[begun:] if step.task and step.task != task.task]
    mine = set(paths) or set(task.work.paths if task.work else ())

    def meets(other: TaskId) -> bool:
        known = state.tasks.get(other)
        return bool(known and known.work and mine & set(known.work.paths))

    return tuple(sorted(reversed(after), key=lambda other: not meets(other))[:OTHERS])


def told(state: State, tasks: Collection[TaskId]) -> str:
    """Their intents as markdown, one after the other; empty when none is known."""
    parts = []
    for name in tasks:
        known = state.tasks.get(name)
        past = state.past.get(name)
        if known is not None:
            spec = known.spec.strip()
            more = " …" if len(spec) > SPEC else ""
            parts.append(f"**{name}: {known.title}**\n\n{quoted(spec[:SPEC] + more)}")
        elif past is not None and past.title:
            parts.append(f"**{name}: {past.title}**")
    return "\n\n".join(parts)


def quoted(text: str) -> str:
    """Somebody else's words as a quotation: data, not an order."""
    return "\n".join(f"> {line}" for line in text.splitlines())
