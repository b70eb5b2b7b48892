"""The prompt of an attempt: spec, what failed before, and the few rules of the house. Pure text."""

from andon.core.state import Attempt, Task
from andon.schema.settings import Walls

OPEN = Walls()
"""Nothing is hidden and nothing protected."""
RULES = """\
## How to hand in

- You work in your own checkout, on the branch `andon/{task}`. Commit everything that belongs to the change there.
- Do not push, do not merge, do not touch other branches. The factory fetches your branch and proves it by itself.
- The checks are run on exactly what you committed; what you say about them counts for nothing.
- When you are finished, end. If you need a decision, ask: `andon agent ask "…"`.
{scope}"""


def prompt_for(task: Task, attempt: Attempt, walls: Walls = OPEN) -> str:
    """The prompt of one sitting as markdown. A conversation that is gone on with knows all but the last part."""
    return f"{started_again(attempt)}\n" if attempt.resume and attempt.resume_note else whole_prompt(task, attempt, walls)


def started_again(attempt: Attempt) -> str:
    """What a further sitting is told; empty in the first."""
    return f"## Started again\n\n{attempt.resume_note.strip()}" if attempt.resume_note else ""


def started_at(attempt: Attempt) -> str:
    """Where its branch begins, and what became of earlier commits."""
    if attempt.rebased == "clean":
        return ("Your branch goes on from your earlier commits, replayed onto the newer target: their names have changed. "
                "As they were, they are on the branch `andon/previous`.")
    if attempt.rebased:
        return ("Your branch starts anew at the newer target: your earlier commits could not be replayed onto it "
                f"({attempt.rebased}). They are on the branch `andon/previous`.{_proposal(attempt)}")
    if attempt.start != attempt.base:
        return "Your branch goes on from your earlier commits."
    return "Your branch starts anew; earlier commits, if any, are on the branch `andon/previous`."


def _proposal(attempt: Attempt) -> str:
    """What a tool's proposal is worth, when there is one."""
    if " proposes a merge on the branch andon/proposal" not in attempt.rebased:
        return ""
    return ("\n\nThe branch `andon/proposal` holds a merge of the two that a tool made: a proposal that nobody has read and no "
            "check has seen. Read every line of it (`git diff andon/proposal^1 andon/proposal` against the target, `^2` against "
            "your earlier work). To build on it: `git merge --squash andon/proposal`. "
            "What you commit is proved like any other change.")


def sight(walls: Walls) -> str:
    """What it may not change or see, so that it does not try; empty when there is nothing of the kind."""
    said = ""
    if walls.read_only:
        said += f"- Read, but do not change: {', '.join(f'`{path}`' for path in walls.read_only)}.\n"
    if walls.hide:
        said += (f"- Not shown to you, and not for you to make: {', '.join(f'`{path}`' for path in walls.hide)}. "
                 "Git's history here begins at the commit that you start from.\n")
    return said


def whole_prompt(task: Task, attempt: Attempt, walls: Walls = OPEN) -> str:
    """Everything that an agent needs to know that was never told of the task."""
    scope = f"- Change only these paths: {', '.join(f'`{path}`' for path in task.paths)}.\n" if task.paths else ""
    scope += sight(walls)
    parts = [f"# {task.task}: {task.title}", task.spec.strip(), RULES.format(task=task.task, scope=scope).strip()]
    if task.packet:
        where = started_at(attempt)
        parts.append(f"{task.packet.strip()}\n\n{where}")
    again = started_again(attempt)
    return "\n\n".join([*parts, *([again] if again else [])]) + "\n"
