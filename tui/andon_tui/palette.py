"""What each state looks like: a glyph, a word, an ink in a dark and a light scheme. Must never decide what a state means.

No state is told by colour alone: each has a glyph of its own shape and a word. All inks stay apart from their ground when a
terminal has only sixteen colours; a test holds that.
"""

from typing import NamedTuple

from rich.style import Style
from textual.theme import Theme

DARK, LIGHT = "andon-dark", "andon-light"


class Look(NamedTuple):
    """How a state is drawn."""

    glyph: str
    word: str
    ink: str


STATES: dict[str, Look] = {
    "queued": Look("○", "queued", "dim"),
    "building": Look("●", "building", "run"),
    "checking": Look("◐", "checking", "run"),
    "waiting": Look("◆", "waiting", "ask"),
    "landing": Look("↑", "landing", "run"),
    "landed": Look("✓", "landed", "good"),
    "done": Look("✓", "done", "good"),
    "failed": Look("✗", "failed", "bad"),
    "stopped": Look("■", "cancelled", "dim"),
    "paused": Look("‖", "paused", "ask"),
}
CLAIMS: dict[str, Look] = {
    "proven": Look("✓", "proven", "good"),
    "refuted": Look("✗", "refuted", "bad"),
    "unevaluated": Look("?", "unevaluated", "ask"),
    "running": Look("…", "running", "run"),
    "planned": Look("·", "planned", "dim"),
    "asserted": Look("~", "asserted", "dim"),
}
HEALTHS: dict[str, Look] = {
    "crashed": Look("✗", "crashed", "bad"),
    "auth": Look("✗", "auth", "bad"),
    "hung": Look("!", "hung", "bad"),
    "waiting-permission": Look("◆", "waits for permission", "ask"),
    "waiting-answer": Look("◆", "waits for an answer", "ask"),
    "looping": Look("↻", "looping", "ask"),
    "thrashing": Look("↯", "thrashing", "ask"),
    "rate-limited": Look("‖", "rate-limited", "ask"),
    "suspended": Look("‖", "suspended", "ask"),
    "idle-at-prompt": Look("▢", "idle at its prompt", "ask"),
    "unknown": Look("?", "unknown", "ask"),
    "compacting": Look("≡", "compacting", "run"),
    "background": Look("◌", "background", "run"),
    "thinking": Look("…", "thinking", "run"),
    "working": Look("●", "working", "run"),
    "starting": Look("○", "starting", "run"),
    "finished": Look("✓", "finished", "run"),
}
"""Health of a session: who needs somebody first."""
ENTRIES: dict[str, Look] = {
    "waiting": Look("○", "waits", "dim"),
    "proving": Look("◐", "proving", "run"),
    "suspect": Look("!", "suspect", "ask"),
    "confirming": Look("↻", "confirming", "ask"),
    "proven": Look("✓", "proven", "good"),
    "moving": Look("↑", "moves in", "good"),
    "held": Look("‖", "held", "ask"),
    "clashing": Look("≠", "clashing", "bad"),
    "gate": Look("◆", "asks you", "asking"),
}
"""States of a change in the merge queue."""
RUNS: dict[str, str] = {
    "pass": "proven", "fail": "refuted", "unevaluated": "unevaluated", "running": "running", "planned": "planned",
}
"""A run of a check, as the claim that it makes."""
CLASHES: dict[str, Look] = {
    "hot": Look("≠", "do not merge", "bad"), "soft": Look("≈", "change the same thing", "ask"),
}
"""How two live changes meet."""
RISKS: dict[str, Look] = {
    "ship": Look("▽", "ship", "good"), "review": Look("◇", "review", "ask"), "stop": Look("■", "stop", "bad"),
}
UNKNOWN = Look("?", "unknown", "ask")


def state(name: str) -> Look:
    """Look of a task's state."""
    return STATES.get(name, UNKNOWN)


def claim(status: str) -> Look:
    """Look of a claim's status."""
    return CLAIMS.get(status, UNKNOWN)


def entry(name: str) -> Look:
    """Look of a change in the merge queue."""
    return ENTRIES.get(name, UNKNOWN)


def check(state: str) -> Look:
    """Look of a check's run."""
    return claim(RUNS.get(state, ""))


def clash(kind: str) -> Look:
    """Look of two live changes that meet."""
    return CLASHES.get(kind, UNKNOWN)


def risk(name: str) -> Look:
    """Look of a class of risk."""
    return RISKS.get(name, UNKNOWN)


def health(name: str) -> Look:
    """Look of a session's health."""
    return HEALTHS.get(name, UNKNOWN)


def health_rank(name: str) -> int:
    """Its place in a list in which who needs somebody comes first."""
    return list(HEALTHS).index(name) if name in HEALTHS else 0


class Ink(NamedTuple):
    """A colour in both schemes, with what it adds."""

    dark: str
    light: str
    bold: bool = False
    italic: bool = False


INKS: dict[str, Ink] = {
    "": Ink("#d3dae3", "#23282f"),
    "strong": Ink("#f2f5f8", "#0c0f13", bold=True),
    "dim": Ink("#94a0ae", "#5a6370"),
    "said": Ink("#94a0ae", "#5a6370", italic=True),
    "rule": Ink("#6b7785", "#848d99"),
    "accent": Ink("#82aaff", "#2457b8"),
    "key": Ink("#82aaff", "#2457b8", bold=True),
    "good": Ink("#8fce7a", "#246a17"),
    "bad": Ink("#f0808a", "#b3202e"),
    "ask": Ink("#f2bf5c", "#8a5a00"),
    "asking": Ink("#f2bf5c", "#8a5a00", bold=True),
    "failing": Ink("#f0808a", "#b3202e", bold=True),
    "run": Ink("#63c7d8", "#0b6d80"),
    "add": Ink("#8fce7a", "#246a17"),
    "remove": Ink("#f0808a", "#b3202e"),
    "hunk": Ink("#63c7d8", "#0b6d80"),
    "on-ask": Ink("#14181d", "#ffffff", bold=True),
    "on-bad": Ink("#14181d", "#ffffff", bold=True),
}
GROUNDS: dict[str, Ink] = {
    "": Ink("#12161b", "#f7f6f2"),
    "card": Ink("#1b2129", "#ecebe5"),
    "bar": Ink("#1b2129", "#e4e3dc"),
    "selected": Ink("#2c3a4d", "#cfdcf3"),
    "ask": Ink("#f2bf5c", "#8a5a00"),
    "bad": Ink("#f0808a", "#b3202e"),
}


def styles(theme: str, *, greyed: bool = False) -> dict[tuple[str, str], Style]:
    """Rich styles of every ink on every ground in a scheme. `greyed`: what is shown is no longer known to be true."""
    light = theme == LIGHT
    out: dict[tuple[str, str], Style] = {}
    for name, ink in INKS.items():
        for ground, colour in GROUNDS.items():
            tint = INKS["dim"] if greyed and not name.startswith("on-") else ink
            back = (colour.light if light else colour.dark) if ground else None
            front = tint.light if light else tint.dark
            out[name, ground] = Style(color=front, bgcolor=back, bold=ink.bold or None, italic=ink.italic or None)
    return out


def base(theme: str) -> Style:
    """Plain ink on the plain ground."""
    light = theme == LIGHT
    ink, ground = INKS[""], GROUNDS[""]
    return Style(color=ink.light if light else ink.dark, bgcolor=ground.light if light else ground.dark)


def _theme(name: str, side: int, *, dark: bool) -> Theme:
    def ink(key: str) -> str:
        return str(INKS[key][side])

    def ground(key: str) -> str:
        return str(GROUNDS[key][side])

    return Theme(
        name=name, dark=dark, primary=ink("accent"), secondary=ink("run"), accent=ink("accent"), warning=ink("ask"),
        error=ink("bad"), success=ink("good"), foreground=ink(""), background=ground(""), surface=ground("card"),
        panel=ground("bar"),
        variables={
            "rule": ink("rule"), "dim": ink("dim"), "scrollbar": ink("rule"), "scrollbar-hover": ink("dim"),
            "scrollbar-active": ink("accent"), "scrollbar-background": ground(""), "scrollbar-background-hover": ground(""),
            "scrollbar-background-active": ground(""), "scrollbar-corner-color": ground(""),
        },
    )


THEMES = (_theme(DARK, 0, dark=True), _theme(LIGHT, 1, dark=False))
