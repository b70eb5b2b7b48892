"""Screens of agents for random streams, in the shapes in which the real ones were seen."""

_SPIN = "✻✽✢·"


def paint(agent: str, state: str, detail: str, words: tuple[str, ...], now: int) -> tuple[str, ...]:
    """The rows of a pane. `quiet` is a pane that does not move although it works, `frozen` one whose stream hangs."""
    second = 0 if state in ("quiet", "frozen") else (now // 1000) % 3600
    above = ("● Working on it", *words, "  some output of a tool", "")
    if state == "shell":
        return ("bash: line 1: 4242 Killed", "$ ")
    return (*above, *_BELOW[agent](state, detail, second))


def _claude(state: str, detail: str, second: int) -> tuple[str, ...]:
    box = ("─" * 30, "\u276f ", "─" * 30)
    if state in ("working", "quiet", "frozen"):
        return (f"{_SPIN[second % 4]} Pondering… ({second}s · ↓ {second * 7} tokens)", *box, "  esc to interrupt")
    if state == "permission":
        return (" Bash command", f"   {detail}", " This command requires approval", " Do you want to proceed?", " \u276f 1. Yes",
                "   2. Yes, and don't ask again", "   3. No", " Esc to cancel · Tab to amend")
    if state == "question":
        return (" ☐ Choice", " Which one?", " \u276f 1. left", "   2. right", " Enter to select · ↑/↓ to navigate · Esc to cancel")
    if state == "retrying":
        return (f"✻ API error · Retrying in {detail}s · attempt 1/10", *box, "  esc to interrupt")
    if state == "interrupted":
        return ("  ⎿  Interrupted · What should Claude do instead?", *box, "  ? for shortcuts")
    return ("● Done.", "✻ Baked for 11s", *box, "  ? for shortcuts")


def _codex(state: str, detail: str, second: int) -> tuple[str, ...]:
    box = ("\u203a Ask Codex to do anything", "  ? for shortcuts")
    if state in ("working", "quiet"):
        return (f"• Working ({second}s • esc to interrupt)", *box)
    if state == "frozen":
        return ("• Let me think about this", *box)
    if state == "permission":
        return ("  Would you like to run the following command?", f"  $ {detail}", "\u203a 1. Yes, proceed (y)",
                "  3. No, and tell Codex what to do differently (esc)", "  Press enter to confirm or esc to cancel")
    if state == "question":
        return ("  Which one?", "\u203a 1. left", "  2. right")
    if state == "retrying":
        return (f"• Server is busy, reconnecting 1/3 ({second}s • esc to interrupt)", *box)
    if state == "interrupted":
        return ("■ Conversation interrupted", *box)
    return ("• Done.", "─ Worked for 12s • 04:23 ─", *box)


def _opencode(state: str, detail: str, second: int) -> tuple[str, ...]:
    bar = "".join("■" if (n + second) % 8 > 2 else "⬝" for n in range(8))
    if state in ("working", "quiet", "frozen"):
        return (f"  {bar}  esc interrupt",)
    if state == "permission":
        return ("△ Permission required", f"  $ {detail}", "  Allow once   Allow always   Reject")
    if state == "question":
        return ("  Asked 1 question", "  1. left", "  ↑↓ select  enter submit  esc dismiss")
    if state == "retrying":
        return (f"  This request would exceed your limit [retrying in {detail}s attempt #1]", f"  {bar}  esc interrupt")
    if state == "interrupted":
        return ("  ▣  Build · Model · interrupted", "  8.5K (4%) · $0.15")
    return ("  ▣  Build · Model · 31.0s", "  8.5K (4%) · $0.15")


_BELOW = {"claude": _claude, "codex": _codex, "opencode": _opencode}
