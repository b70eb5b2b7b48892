"""What the daemon saw in a change, beyond its paths, and what weight each kind of it has. Knows no git and decides nothing."""

from typing import Literal

import msgspec

from andon.schema.eventbase import Risk

Rule = Literal[
    "unread", "loosens", "unclear", "gate", "ci", "dependency-new", "dependency-source", "dependency-script",
    "dependency-altered", "dependency", "migration", "schema", "build", "mode", "executable", "submodule", "binary", "image",
    "security", "security-test", "symbol-stop", "symbol-review", "data", "owner",
]
"""The kinds of facts. What a path says by itself (`[policy] ship`, `review`, `stop`) is no fact: the core knows it."""

MEANING: dict[str, tuple[Risk, str]] = {
    "unread": ("stop", "something of the change could not be read, so nothing is known of it"),
    "loosens": ("stop", "what judges changes judges less"),
    "unclear": ("stop", "what judges changes was changed in a way whose effect is not known"),
    "gate": ("review", "what judges changes was changed, and nothing of it was seen to judge less"),
    "ci": ("stop", "what a pipeline runs was changed"),
    "dependency-new": ("stop", "code of somebody else comes in that was not there before"),
    "dependency-source": ("stop", "a dependency or image comes from another place"),
    "dependency-script": ("stop", "something runs when a dependency is installed"),
    "dependency-altered": ("stop", "a dependency has other bytes under the same version"),
    "dependency": ("review", "a dependency has another version, or is gone"),
    "migration": ("stop", "stored data is changed"),
    "schema": ("review", "a contract with others is changed"),
    "build": ("review", "what builds the product is changed"),
    "mode": ("stop", "a path became a link, or another kind of thing"),
    "executable": ("review", "a file became executable"),
    "submodule": ("stop", "another repository is bound in, or at another commit"),
    "binary": ("stop", "bytes changed that nobody can read as a diff"),
    "image": ("review", "a picture, font or document changed"),
    "security": ("stop", "code changed that speaks of identity, secrets, permission or encryption"),
    "security-test": ("review", "a test changed that speaks of identity, secrets, permission or encryption"),
    "symbol-stop": ("stop", "a symbol or import changed that [policy.symbols] stop names"),
    "symbol-review": ("review", "a symbol or import changed that [policy.symbols] review names"),
    "data": ("stop", "a class of data is touched that [policy.data] names"),
    "owner": ("ship", "somebody owns the path"),
}
"""The class that a fact of each kind has by default, and what it says."""
FIXED = ("unread", "loosens", "unclear", "gate", "symbol-stop", "symbol-review", "owner")
"""Kinds whose class no setting changes: what could not be read and what loosens a gate always stops."""
GATES = ("loosens", "unclear")
"""Kinds that say that a gate is, or may be, weaker after the change."""
KEPT, KEPT_EACH = 400, 12
"""Facts of one change that are kept, and of one kind with one name: the first stand for the others."""
TEXT = 240
"""Characters of a fact's words."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was seen."""

    rule: Rule
    path: str = ""
    line: int = 0
    """In the new file; in the old one where lines only went. 0: the whole file."""
    name: str = ""
    """What it is about: a package, a symbol, an import, a class of data, an owner."""
    what: str
    """One sentence."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for beyond what is always looked for: from the settings in force, never from the change."""

    symbols: tuple[str, ...] = ()
    """Of `[policy.symbols]`, both lists."""
    data: dict[str, tuple[str, ...]] = {}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen in one change."""

    seen: tuple[Fact, ...] = ()
    total: int = 0
    """How many were seen; more than are kept say nothing new."""
    looked: Watch = Watch()
    """What was looked for. A policy that looks for more finds nothing here, and says so."""


def gathered(seen: list[Fact], looked: Watch) -> Facts:
    """The facts as they are kept: of each kind and name the first, and none of a kind is ever left out without a word."""
    kept: list[Fact] = []
    times: dict[tuple[str, str], int] = {}
    for fact in seen:
        key = (fact.rule, fact.name if fact.rule in ("data", "owner", "symbol-stop", "symbol-review") else "")
        times[key] = times.get(key, 0) + 1
        if times[key] <= KEPT_EACH:
            kept.append(msgspec.structs.replace(fact, what=fact.what[:TEXT], name=fact.name[:TEXT]))
    if len(kept) > KEPT:
        more = Fact(rule="unread", what=f"{len(kept)} different things were seen in it, more than are kept")
        kept = [more, *kept[: KEPT - 1]]
    return Facts(seen=tuple(kept), total=len(seen), looked=looked)
