"""The one table of actions: from it come key bindings, footer, help, command palette and the table in the docs.

Must never know a screen's widgets.

Theory of operation. An `Action` says what it is called, which keys run it, on which screens, what it acts on, and what is
in its way right now. Screens and the app carry it out in a method `do_<id>`. No other place binds a key.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec
from textual.binding import Binding, BindingType

from andon.schema.ids import TaskId
from andon.schema.views import EntryView, GateView, LineView, ProblemView, QueueView, SessionView, TaskView
from andon_tui.model import OVER

Place = Literal[
    "board", "gates", "task", "session", "queue", "problems", "floor", "help", "viewer", "evidence", "confirm", "prompt",
]
PLACES: tuple[Place, ...] = (
    "board", "gates", "task", "session", "queue", "problems", "floor", "help", "viewer", "evidence", "confirm", "prompt",
)
FULL: tuple[Place, ...] = ("board", "gates", "task", "session", "queue", "problems", "floor", "help", "viewer", "evidence")
"""Screens; the other places are dialogs over them."""
LISTS: tuple[Place, ...] = ("board", "gates", "task", "queue", "problems", "floor", "help", "viewer", "evidence")
STEERED: tuple[Place, ...] = ("session", "floor")
Target = Literal["", "task", "gate", "session", "line", "queue", "entry", "problem", "evidence"]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What an action would act on, as the screen stands now."""

    place: Place
    connected: bool = True
    paused: str = ""
    """Why the daemon takes no commands; empty when it takes them."""
    task: TaskView | None = None
    gate: GateView | None = None
    session: SessionView | None = None
    line: LineView | None = None
    problem: ProblemView | None = None
    queue: QueueView | None = None
    entry: EntryView | None = None
    before: TaskId = TaskId("")
    """The change that lands directly before the entry; empty: none."""
    after: TaskId = TaskId("")
    """The change that lands directly after it; empty: none."""
    lines: int = 1
    queues: int = 1
    waiting: int = 0
    armed: str = ""
    """The option that is chosen and waits for its confirmation."""
    below: bool = True
    """There is something to climb back to."""
    evidence: bool = False
    """The cursor is on a moment with evidence."""


Block = Callable[[Context], str]
"""What is in an action's way; empty when nothing is."""


def _free(_: Context) -> str:
    return ""


def _has_task(context: Context) -> str:
    return "" if context.task else "no task is selected"


def _has_gate(context: Context) -> str:
    return "" if context.gate else "no gate is open here"


def _has_session(context: Context) -> str:
    return "" if context.session else "no session is alive here"


def _is_refusal(context: Context) -> str:
    return "" if context.problem and context.problem.attempt else "this problem goes by itself when it is mended"


def _has_attempt(context: Context) -> str:
    problem, task = context.problem, context.task
    return "" if (problem and problem.attempt) or context.session or (task and task.attempt) else "nothing was attempted here"


def _free_session(context: Context) -> str:
    if context.session is not None and context.session.taken:
        return f"{context.session.taken} has taken {context.session.attempt} over: T gives it back"
    return _has_session(context)


def _speaks(block: Block) -> Block:
    def told(context: Context) -> str:
        if not context.connected:
            return "the daemon is not reachable: nothing can be decided now"
        return context.paused or block(context)

    return told


def _offers(option: str) -> Block:
    def told(context: Context) -> str:
        if context.gate is None:
            return _has_gate(context)
        return "" if any(each.key == option for each in context.gate.options) else f"this gate does not offer {option}"

    return told


def _numbered(n: int) -> Block:
    def told(context: Context) -> str:
        if context.gate is None:
            return _has_gate(context)
        return "" if len(context.gate.options) >= n else f"this gate has {len(context.gate.options)} options"

    return told


def _runs(context: Context) -> str:
    if context.task is None:
        return _has_task(context)
    return f"{context.task.task} is over" if context.task.state in OVER else ""


def _may_retry(context: Context) -> str:
    if context.task is None:
        return _has_task(context)
    asked = context.gate is not None and context.gate.kind in ("failure", "unevaluated")
    if asked or context.task.state in ("failed", "stopped"):
        return ""
    return f"{context.task.task} is {context.task.state}: only what failed or was cancelled gets another attempt"


def _has_diff(context: Context) -> str:
    if context.gate and context.gate.diff:
        return ""
    return "" if context.task and context.task.commit else "there is no change yet"


def _has_claims(context: Context) -> str:
    return "" if context.task and context.task.claims else "no claim was made yet"


def _moves(context: Context) -> str:
    if context.line is None:
        return "no line is shown"
    return f"line {context.line.line} stands still already" if context.line.cord else ""


def _stands(context: Context) -> str:
    if context.line is None:
        return "no line is shown"
    return "" if context.line.cord else f"line {context.line.line} is moving"


def _has_entry(context: Context) -> str:
    return "" if context.entry else "no change of the queue is selected"


def _in_line(context: Context) -> str:
    if context.entry is None:
        return _has_entry(context)
    return "" if context.entry.position else f"{context.entry.task} does not stand in line: {context.entry.why}"


def _not_first(context: Context) -> str:
    return _in_line(context) or ("" if context.before else "it is the first already")


def _not_last(context: Context) -> str:
    return _in_line(context) or ("" if context.after else "it is the last already")


def _lands(context: Context) -> str:
    if context.queue is None:
        return "no queue is shown"
    return f"nothing lands in {context.queue.repo} already" if context.queue.held else ""


def _is_held(context: Context) -> str:
    if context.queue is None:
        return "no queue is shown"
    return "" if context.queue.held else f"changes land in {context.queue.repo}: nothing holds them"


def _is_behind(context: Context) -> str:
    if context.queue is None:
        return "no queue is shown"
    return "" if context.queue.behind else f"your {context.queue.target} follows already"


def _has_landed(context: Context) -> str:
    if context.task is None:
        return _has_task(context)
    landed = context.task.landed or context.task.state in ("landed", "watching", "done")
    return "" if landed else f"{context.task.task} has not landed: there is nothing to take back"


class Action(NamedTuple):
    """One thing that a person can do."""

    id: str
    keys: str
    """Textual key names, comma-separated; empty: palette and mouse only."""
    label: str
    """One or two words for the footer."""
    help: str
    """One sentence."""
    where: tuple[Place, ...]
    target: Target = ""
    block: Block = _free
    footer: int = 0
    """Rank in the footer, 1 first; 0: not there."""
    palette: bool = True

    @property
    def handler(self) -> str:
        """The method that carries it out."""
        return "do_" + self.id.replace("-", "_")

    @property
    def shown_keys(self) -> str:
        """The keys as people read them: `↑ k`."""
        return " ".join(_shown(key) for key in self.keys.split(",") if key)


_NAMES = {
    "up": "↑", "down": "↓", "left": "←", "right": "→", "pageup": "PgUp", "pagedown": "PgDn", "home": "Home", "end": "End",
    "enter": "Enter", "escape": "Esc", "tab": "Tab", "shift+tab": "Shift+Tab", "question_mark": "?", "colon": ":", "slash": "/",
    "shift+up": "Shift+↑", "shift+down": "Shift+↓", "left_square_bracket": "[", "right_square_bracket": "]", "space": "Space",
}


def _shown(key: str) -> str:
    if key in _NAMES:
        return _NAMES[key]
    return "Ctrl+" + key[5:].upper() if key.startswith("ctrl+") else key


def _options() -> tuple[Action, ...]:
    return tuple(
        Action(f"option-{n}", str(n), f"option {n}", f"Choose option {n} of the gate; Enter or y sends it.", ("gates",), "gate",
               _speaks(_numbered(n)), palette=False)
        for n in range(1, 10)
    )


ACTIONS: tuple[Action, ...] = (
    Action("confirm", "y", "send it", "Send the chosen answer, bound to the diff and claims on screen.", ("gates",), "gate",
           _speaks(lambda c: "" if c.armed else "choose an option first"), 1),
    Action("yes", "y,enter", "yes", "Do it.", ("confirm",), footer=1, palette=False),
    Action("no", "n,escape", "no", "Leave everything as it is.", ("confirm",), footer=2, palette=False),
    Action("submit", "enter", "send", "Send what was typed.", ("prompt",), footer=1, palette=False),
    Action("abandon", "escape", "leave", "Leave without sending.", ("prompt",), footer=2, palette=False),
    Action("up", "up,k", "up", "Move up.", FULL, palette=False),
    Action("down", "down,j", "down", "Move down.", FULL, palette=False),
    Action("left", "left,h", "left", "Move left.", FULL, palette=False),
    Action("right", "right,l", "right", "Move right.", FULL, palette=False),
    Action("page-up", "pageup,ctrl+u", "page up", "Move a page up.", FULL, palette=False),
    Action("page-down", "pagedown,ctrl+d,space", "page down", "Move a page down.", FULL, palette=False),
    Action("first", "home", "first", "Move to the first line.", FULL, palette=False),
    Action("last", "end,G", "last", "Move to the last line.", FULL, palette=False),
    Action("next-pane", "tab", "next pane", "Go to the next pane of this screen.", FULL, palette=False),
    Action("previous-pane", "shift+tab", "previous pane", "Go to the pane before.", FULL, palette=False),
    Action("open", "enter", "open", "Open what is selected; on a chosen answer: send it.", LISTS, footer=2, palette=False),
    Action("approve", "a", "approve", "Approve the change of this gate.", ("board", "gates", "task"), "gate",
           _speaks(_offers("approve")), 3),
    Action("reject", "x", "reject", "Reject the change; asks for the reason that the agent is told.", ("board", "gates", "task"),
           "gate", _speaks(_offers("reject")), 4),
    Action("answer", "e", "answer", "Answer the agent's question in words of your own.", ("gates",), "gate",
           _speaks(_offers("answer")), 4),
    *_options(),
    Action("mark", "M", "mark", "Mark the gate, or take the mark off: what you choose next answers all marked ones.", ("gates",),
           "gate", _has_gate, 9),
    Action("snooze", "z", "snooze", "Hear of the gate later, or again now; it stays counted and comes back by itself.", ("gates",),
           "gate", _speaks(_has_gate), 10),
    Action("delegate", "D", "leave to", "Say who the gate is for, and why.", ("gates",), "gate", _speaks(_has_gate), 11),
    Action("next-waiting", "n", "next waiting", "Go to the next task that waits for you.", ("board", "task"),
           block=lambda c: "" if c.waiting else "nobody waits for you", footer=5),
    Action("earlier", "K,shift+up", "earlier", "Let the change land one place earlier.", ("queue",), "entry",
           _speaks(_not_first), 3),
    Action("later", "J,shift+down", "later", "Let the change land one place later.", ("queue",), "entry", _speaks(_not_last), 4),
    Action("land-next", "n", "next", "Let the change land next.", ("queue",), "entry", _speaks(_not_first), 5),
    Action("hold", "H", "hold/release", "The change does not land until released, or may land again.", ("queue",), "entry",
           _speaks(_has_entry), 6),
    Action("dismiss", "x", "put away", "Put away what an attempt was refused: you have seen it; its list stays.", ("problems",),
           "problem", _speaks(_is_refusal), 4),
    Action("access", "A", "what it tried", "List all that an attempt tried to reach: allowed and refused.",
           ("task", "session", "floor", "problems"), "task", _speaks(_has_attempt), 13),
    Action("drop", "x", "drop", "Take the change out: back to its agent with your words.", ("queue",), "entry",
           _speaks(_has_entry), 7),
    Action("clashes", "v", "clashes", "Show the pairs of live changes that will collide, or the entries again.", ("queue",),
           footer=8),
    Action("session", "s", "session", "Watch the live session of this task.",
           ("board", "gates", "task", "queue", "problems", "floor"), "session", _has_session, 6),
    Action("diff", "d", "diff", "Read the change as a diff.", ("board", "gates", "task", "queue"), "task", _has_diff, 7),
    Action("evidence", "E", "evidence", "Open what the claims rest on: statement, files, command, walls, how to run it again.",
           ("board", "gates", "task"), "task", _has_claims, 8),
    Action("previous-claim", "left_square_bracket", "claim before", "Show the claim before.", ("evidence",), "evidence",
           _has_claims),
    Action("next-claim", "right_square_bracket,n", "next claim", "Show the next claim of the task.", ("evidence",), "evidence",
           _has_claims, 3),
    Action("details", "i", "task", "Open the task: spec, timeline, evidence, attempts.",
           ("gates", "session", "problems", "floor"), "task", _has_task, 8),
    Action("to-gate", "a", "answer it", "Go to the gate that this waits for; two keys answer it.", (*STEERED, "queue"), "gate",
           _has_gate, 1),
    Action("send", "w", "write to it", "Words for the agent: delivered once, with a receipt.", (*STEERED, "queue"), "session",
           _speaks(_has_session), 2),
    Action("explain", "e", "explain", "Why the session is shown as it is: rule, source, evidence.", STEERED, "session",
           _has_session, 3),
    Action("interrupt", "I", "interrupt", "End the agent's turn; the session stays.", STEERED, "session",
           _speaks(_free_session), 4),
    Action("nudge", "N", "nudge", "Tell an agent that stands still to go on.", STEERED, "session", _speaks(_free_session), 5),
    Action("take", "T", "take/give back", "Drive the session yourself, or give it to the factory again.", STEERED, "session",
           _speaks(_has_session), 9),
    Action("restart", "Z", "start again", "Start the session again in its checkout; what it wrote is kept.", STEERED, "session",
           _speaks(_has_session), 10),
    Action("attach", "t", "attach", "Go into the session with this terminal; detach to come back.",
           ("board", "task", "session", "floor"), "session", _has_session, 9),
    Action("retry", "r", "retry", "Give a failed, cancelled or waiting task another attempt.", ("board", "task"), "task",
           _speaks(_may_retry), 10),
    Action("cancel", "c", "cancel", "End the task; its work is kept and can be brought back.", ("board", "task", "queue"), "task",
           _speaks(_runs), 11),
    Action("revert", "U", "take back", "Take a landed change back: as a new commit that is proved and lands like any other.",
           ("board", "task", "queue"), "task", _speaks(_has_landed), 12),
    Action("forward", "F", "follow", "Take your own checkout forward to what has landed.", ("board", "queue", "problems"), "queue",
           _speaks(_is_behind), 1),
    Action("stop", "S", "stop line", "Pull the cord: nothing new starts or lands on this line; asks for the reason.", ("board",),
           "line", _speaks(_moves), 12),
    Action("resume", "R", "resume line", "Let a stopped line move again.", ("board",), "line", _speaks(_stands), 3),
    Action("stop-queue", "S", "stop queue", "Nothing lands in this repository until told; asks for the reason.", ("queue",),
           "queue", _speaks(_lands), 12),
    Action("resume-queue", "R", "resume queue", "Let changes land again.", ("queue",), "queue", _speaks(_is_held), 1),
    Action("previous-queue", "left_square_bracket", "queue before", "Show the queue of the repository before.", ("queue",),
           "queue", lambda c: "" if c.queues > 1 else "there is one queue"),
    Action("next-queue", "right_square_bracket", "next queue", "Show the queue of the next repository.", ("queue",), "queue",
           lambda c: "" if c.queues > 1 else "there is one queue", 13),
    Action("previous-line", "left_square_bracket", "line before", "Show the line before.", ("board",), "line",
           lambda c: "" if c.lines > 1 else "there is one line"),
    Action("next-line", "right_square_bracket", "next line", "Show the next line.", ("board",), "line",
           lambda c: "" if c.lines > 1 else "there is one line", 13),
    Action("layout", "v", "columns/list", "Show the board as columns or as one list.", ("board",)),
    Action("board", "b", "board", "Go to the board.", FULL),
    Action("gates", "g", "gates", "Go to the gates: what waits for your answer.", FULL),
    Action("queue", "m", "queue", "Go to the merge queue: what is proved, what lands when, what will collide.", FULL),
    Action("floor", "f", "floor", "Go to the floor: every live session with its state and its reason.", FULL),
    Action("problems", "p", "problems", "Go to the problems, each with its cause and its mend.", FULL),
    Action("filter", "slash", "filter", "Show only what has these words.",
           ("board", "gates", "queue", "problems", "floor", "viewer", "help"), footer=14),
    Action("jump", "colon", "jump", "Go to a task, a gate or a screen by its name: T3, G1, board.", FULL, footer=15),
    Action("back", "escape", "back", "Climb: leave a chosen answer, a filter, then this screen.", FULL,
           block=lambda c: "" if c.below or c.armed else "this is the top", footer=16, palette=False),
    Action("theme", "ctrl+t", "dark/light", "Change between the dark and the light scheme.", FULL),
    Action("palette", "ctrl+p", "palette", "Find any action by its name.", FULL, palette=False),
    Action("help", "question_mark", "help", "Show every key and every sign.", FULL, footer=17),
    Action("quit", "q,ctrl+q,ctrl+c", "quit", "Leave this screen; the daemon and its agents go on.", FULL, footer=18),
    Action("leave", "ctrl+q,ctrl+c", "leave", "Leave the dialog.", ("confirm", "prompt"), palette=False),
)
TABLE: dict[str, Action] = {action.id: action for action in ACTIONS}


def of(place: Place) -> list[Action]:
    """Actions of a screen, in the table's order."""
    return [action for action in ACTIONS if place in action.where]


def bindings_for(place: Place) -> list[BindingType]:
    """The key bindings of a screen."""
    return [Binding(action.keys, f"act('{action.id}')", action.label, show=False) for action in of(place) if action.keys]


def footer_for(context: Context) -> list[Action]:
    """What the footer offers now, most useful first."""
    offered = [action for action in of(context.place) if action.footer and not action.block(context)]
    return sorted(offered, key=lambda action: action.footer)


def palette_for(context: Context) -> list[Action]:
    """What the command palette offers now."""
    return [action for action in of(context.place) if action.palette and not action.block(context)]


def listed(chosen: Sequence[Action]) -> list[Action]:
    """For reading: the nine options of a gate are one entry."""
    out = [action for action in chosen if not action.id.startswith("option-") or action.id == "option-1"]
    return [action._replace(keys="1 … 9", label="choose", help="Choose an option of the gate; Enter or y sends it.")
            if action.id == "option-1" else action for action in out]


def as_markdown() -> str:
    """The table for the docs."""
    lines = ["| keys | action | where | what it does |", "|---|---|---|---|"]
    for action in listed(ACTIONS):
        where = "every screen" if action.where == FULL else ", ".join(action.where)
        keys = " ".join(f"`{key}`" for key in action.shown_keys.split())
        lines.append(f"| {keys} | {action.label} | {where} | {action.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
