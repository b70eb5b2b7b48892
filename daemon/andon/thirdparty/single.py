"""Puts the modules of this folder together as one script, `verify.py`, for who has no Andon. Must never change a line of them."""

import ast
from importlib.resources import files

PARTS = ("signed", "objects", "change", "landing", "command")
"""In this order: each needs only those before it."""
HEAD = '''#!/usr/bin/env python3
"""Re-computes what stands behind landed commits, offline: git, ssh-keygen, Python 3.9 or newer, one trust file; no Andon.

    python3 verify.py                                      what lies beside this script in a bundle for auditors
    python3 verify.py --repository DIR --trust FILE HEAD   one commit, or a task, of a repository
    python3 verify.py --repository DIR --trust FILE --all  everything since the first landing with evidence

A point holds, is refused with its reason, or is unevaluated: what could not be looked at is never a pass.
Exit codes: 0 all holds; 1 something is refused; 5 nothing is refused, but not all could be evaluated; 2 a mistake in the command.
It does not prove that a check means anything, nor that nobody stole a key.
"""

from __future__ import annotations

'''


def script() -> str:
    """The one file. It imports the standard library alone."""
    imports: set[str] = set()
    bodies: list[str] = []
    for name in PARTS:
        text = files(__package__).joinpath(f"{name}.py").read_text()
        tree, lines = ast.parse(text), text.splitlines()
        told = ast.get_docstring(tree) or ""
        for node in tree.body:
            absolute = isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__"
            if isinstance(node, ast.Import) or absolute:
                assert isinstance(node, ast.Import | ast.ImportFrom)
                imports |= {ast.unparse(type(node)(**{**vars(node), "names": [one]})) for one in node.names}
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if typing_only or isinstance(node, ast.Import | ast.ImportFrom):
                _blank(lines, node)
        _blank(lines, tree.body[0])
        rule = f"# --- {name} ".ljust(130, "-")
        bodies.append("\n".join([rule, *(f"# {line}".rstrip() for line in told.splitlines()), "", *_squeezed(lines)]))
    needed = imports - {"from typing import TYPE_CHECKING"}
    plain = sorted(needed, key=lambda line: (line.startswith("from"), line))
    return HEAD + "\n".join(plain) + "\n\n" + "\n\n\n".join(bodies) + "\n"


def _blank(lines: list[str], node: ast.stmt) -> None:
    for at in range(node.lineno - 1, node.end_lineno or node.lineno):
        lines[at] = ""


def _squeezed(lines: list[str]) -> list[str]:
    """Without the empty lines at both ends, and never more than two of them."""
    found: list[str] = []
    for line in "\n".join(lines).strip("\n").split("\n"):
        if line or found[-2:] != ["", ""]:
            found.append(line)
    return found
