"""Globs on repository paths: `*` stays in a folder, `**` crosses folders. Pure; it must never look at a disk."""

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


def may_overlap(left: Iterable[str], right: Iterable[str]) -> bool:
    """Whether two sets of globs could name one path; an empty set says nothing and overlaps nothing. In doubt they could."""
    return any_meet(tuple(left), tuple(right))


@lru_cache(maxsize=262_144)
def any_meet(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """The same, remembered: the scheduler and the board ask about the same pairs again and again."""
    return any(meet(parts(one), parts(other)) for one in left for other in right)


@lru_cache(maxsize=4096)
def parts(glob: str) -> tuple[str, ...]:
    """The folders and the name of a glob, at most 32 of them."""
    return tuple(glob.removeprefix("./").removesuffix("/").split("/"))[:32]


@lru_cache(maxsize=65_536)
def meet(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether some path is covered by both; each covers everything below what it names."""
    if not left or not right:
        return True
    if "**" in left[0]:
        return left[0] != "**" or meet(left[1:], right) or meet(left, right[1:])
    if "**" in right[0]:
        return meet(right, left)
    return alike(left[0], right[0]) and meet(left[1:], right[1:])


def alike(left: str, right: str) -> bool:
    """Whether one name could fit both of two globs without folders."""
    wild = [set(name) & {"*", "?"} for name in (left, right)]
    if all(wild):
        return True
    return matches(left, (right,)) if wild[1] else matches(right, (left,))
