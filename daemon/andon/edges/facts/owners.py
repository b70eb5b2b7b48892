"""Says who owns the changed paths by the CODEOWNERS of the base commit; it must never read the one of the change."""

import re

from codeowners import CodeOwners

from andon.edges.facts.patch import File
from andon.schema.facts import Fact

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""Where forges look, in their order: the first that is there counts."""
STARS, LINES = 8, 5_000
"""Wildcards in one pattern and lines that are taken: beyond them matching may take for ever."""


def seen(files: list[File], text: str) -> list[Fact]:
    """Each owner of a changed path, once a path. A file that cannot be read says so, and raises what it would have said."""
    if not text.strip():
        return []
    odd = [line for line in text.splitlines() if (line.split() or [""])[0].count("*") > STARS]
    if odd or len(text.splitlines()) > LINES:
        return [Fact(rule="unread", path="CODEOWNERS", what="its patterns are more than can be matched in a bounded time")]
    try:
        known = CodeOwners(text)
        found = [(file.path, owner) for file in files for _, owner in known.of(file.path)]
    except (ValueError, re.error, IndexError) as error:
        return [Fact(rule="unread", path="CODEOWNERS", what=f"it cannot be read: {error}")]
    return [Fact(rule="owner", path=path, name=owner.lower(), what=f"{owner} owns {path}") for path, owner in found]
