"""Ground truth of a recorded scene, from the model's log and the driver's notes alone. It must never ask the monitor or a rule.

What the model did says what the agent must be doing: a request that is open is thought, what follows an answer with calls is a
tool at work until the next request, an answer without a call ends the turn. The driver knows when it was asked and answered and
what it killed. Where two words are both true (`thinking` and `working` around a call) both count as right.
"""

from typing import Any

from accuracy.scenes import BLIND, Scene
from andon.schema.health import Health
from andon.schema.signals import Label

BUSY: tuple[Health, ...] = ("working", "thinking")
AT_REST: tuple[Health, ...] = ("idle-at-prompt", "finished", "waiting-answer")
REFUSED: dict[int, tuple[Health, ...]] = {
    429: ("rate-limited",), 529: ("rate-limited", "thinking"), 500: ("rate-limited", "thinking"), 401: ("auth",),
}
HUNG_AFTER_MS = 90_000
"""A call that gives nothing for less than this may still be thought; after twice this it must be called hung."""
LOOP_AFTER = 7
"""Equal calls in a row after which it must be called a loop."""
ESCAPED = ("gemini",)
"""Agents that are denied by a key which ends their turn."""
SETTLES_MS = 1_500
"""After the model's last byte an agent still draws, writes its transcript and runs its own ends of turn: it works and is done."""
Mark = tuple[int, str, str]


def labels(scene: Scene, requests: list[dict[str, Any]], marks: list[Mark], end: int) -> tuple[Label, ...]:
    """Spans of time with the words that are right in each; what is not covered is not scored."""
    spans: list[Label] = []
    started = next(at for at, what, _ in marks if what == "started")
    killed = next((at for at, what, _ in marks if what == "killed"), 0)
    first = ms(requests[0]["t"]) if requests else end
    opening: tuple[Health, ...] = ("starting", "working", "thinking", "idle-at-prompt", "unknown")
    if scene.agent == "scripted":
        opening = ("starting", *BUSY)
    elif requests and requests[0]["status"] in REFUSED:  # calls beside the conversation are refused as well, and earlier
        opening = (*opening, *REFUSED[requests[0]["status"]])
    spans.append(Label(start=started, end=first, health=opening))
    for n, request in enumerate(requests):
        following = ms(requests[n + 1]["t"]) if n + 1 < len(requests) else end
        spans += of_request(scene, request, following, marks, n, last=n + 1 == len(requests))
    if killed:
        spans = [cut(span, killed) for span in spans if span.start < killed]
        spans.append(Label(start=killed, end=end, health=("crashed",), cause="crashed"))
    dialog = next((at for at, what, _ in marks if what == "dialog"), 0)
    if dialog and not killed:  # it asks at its screen, of itself, and stands still until somebody answers
        spans = [cut(span, dialog) for span in spans if span.start < dialog]
        spans.append(Label(start=dialog, end=end, health=("waiting-answer", "idle-at-prompt")))
    left = next((at for at, what, _ in marks if what == "left"), 0)
    if left and not killed:  # how it left is for its exit code, which is in no stream
        spans = [cut(span, left) for span in spans if span.start < left]
        spans.append(Label(start=left, end=end, health=("finished", "crashed")))
    return tuple(span for span in spans if span.end > span.start)


def of_request(
    scene: Scene, request: dict[str, Any], following: int, marks: list[Mark], n: int, *, last: bool,
) -> list[Label]:
    """From one request to the next, or to the end."""
    sent = ms(request["t"])
    ended = ms(request["ended"]) if request.get("ended") else following
    if request.get("step") == "hang":
        return hung(sent, following)
    if request["status"] != 200:
        return refused(request["status"], scene, ended, following, last=last)
    thinks = Label(start=sent, end=min(ended, following), health=BUSY)
    if request.get("calls"):
        if scene.name.startswith("same-call") and n + 1 >= LOOP_AFTER:
            return [Label(start=sent, end=following, health=("looping",), cause="tool-loop")]
        if scene.name.startswith("same-call") and n + 2 >= LOOP_AFTER:  # from here on it may be called one
            return [Label(start=sent, end=following, health=(*BUSY, "looping"))]
        return [thinks, *at_tool(scene, ended, following, marks, goes_on=not last)]
    return [thinks, *at_rest(scene, ended, following, marks)]


def hung(sent: int, following: int) -> list[Label]:
    """Thought at first, then nobody can say, then hung."""
    return [
        Label(start=sent, end=min(sent + HUNG_AFTER_MS - 5_000, following), health=BUSY),
        Label(start=sent + 2 * HUNG_AFTER_MS + 10_000, end=following, health=("hung",), cause="hung-stream"),
    ]


def refused(status: int, scene: Scene, ended: int, following: int, *, last: bool) -> list[Label]:
    """Between a refusal and the next try. The last refusal may have ended the turn: then its reason still stands."""
    right = REFUSED[status]
    if status == 401:
        return [Label(start=ended, end=following, health=("auth",), cause="auth")] if last else []
    if last:
        right = (*right, "idle-at-prompt")
    return [Label(start=ended, end=following, health=right, cause="quota" if scene.name == "quota" else "")]


def at_tool(scene: Scene, ended: int, following: int, marks: list[Mark], *, goes_on: bool) -> list[Label]:
    """A tool runs, unless its permission was asked for: then that stands from the ask to the answer."""
    spans, at = [], ended
    for when, what, ask in marks:
        if what != "asked" or not ended - 500 <= when < following:
            continue
        answered = next((late for late, done, of in marks if done == "answered" and of == ask), following)
        spans.append(Label(start=at, end=when, health=(*BUSY, "waiting-permission", "waiting-answer")))
        spans.append(Label(start=when, end=min(answered, following), health=("waiting-permission", "waiting-answer")))
        at = min(answered, following)
        denied = not scene.allow and scene.agent in ESCAPED and not goes_on
        if denied and at < following:  # its Escape says no and ends the turn
            return [*spans, Label(start=at, end=following, health=(*BUSY, *AT_REST))]
    return [*spans, Label(start=at, end=following, health=BUSY)]


def at_rest(scene: Scene, ended: int, following: int, marks: list[Mark]) -> list[Label]:
    """The turn is over, until a person says something more."""
    said = next((at for at, what, _ in marks if what == "said" and ended <= at < following), following)
    words: tuple[Health, ...] = (*AT_REST, "background") if scene.name.startswith("leaves-a-server") else AT_REST
    if scene.agent in BLIND:  # it goes on with the answer by itself, and leaves
        return [Label(start=ended, end=said, health=(*BUSY, "idle-at-prompt"))]
    settled = min(ended + SETTLES_MS, said)
    return [Label(start=ended, end=settled, health=(*BUSY, *words)), Label(start=settled, end=said, health=words)]


def cut(span: Label, end: int) -> Label:
    """The span up to a moment."""
    return Label(start=span.start, end=min(span.end, end), health=span.health, cause=span.cause)


def ms(seconds: float) -> int:
    """Unix milliseconds."""
    return round(seconds * 1000)
