"""Globs on repository paths: `*` stays in a folder, `**` crosses folders. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def pattern(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob. A glob that names a folder matches everything below it."""
    glob = glob.removeprefix("./").removesuffix("/")
    out = ""
    i = 0
    while i < len(glob):
        if glob.startswith("**/", i):
            out, i = out + "(?:[^/]+/)*", i + 3
        elif glob.startswith("**", i):
            out, i = out + ".*", i + 2
        elif glob[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif glob[i] == "?":
            out, i = out + "[^/]", i + 1
        else:
            out, i = out + re.escape(glob[i]), i + 1
    return re.compile(f"{out}(?:/.*)?", re.DOTALL)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether any glob covers the path."""
    return any(pattern(glob).fullmatch(path) for glob in globs)


@lru_cache(maxsize=4096)
def stem(glob: str) -> str:
    """The fixed beginning of a glob."""
    return re.split(r"[*?\[]", glob.removeprefix("./"), maxsplit=1)[0]


def may_overlap(left: Iterable[str], right: Iterable[str]) -> bool:
    """Whether two sets of globs could name one path; an empty set says nothing and overlaps nothing."""
    right = tuple(right)
    for one in left:
        for other in right:
            a, b = stem(one), stem(other)
            fixed_a, fixed_b = a == one.removeprefix("./"), b == other.removeprefix("./")
            if (fixed_a and matches(a, (other,))) or (fixed_b and matches(b, (one,))):
                return True
            if not (fixed_a or fixed_b) and (a.startswith(b) or b.startswith(a)):
                return True
    return False
