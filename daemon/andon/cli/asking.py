"""Asking the person at the terminal for a yes. Never takes silence for one."""

import sys

from andon.schema.errors import Mistake


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the person says yes. `yes`: said on the command line already. Mistake where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Mistake("nobody can be asked: standard input is no terminal", where=question,
                      mend="look at what is shown, then add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
