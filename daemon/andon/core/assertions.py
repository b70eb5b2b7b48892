"""What an agent's last words assert about the world, as far as they say it in a form that can be compared. Pure; believes nothing.

Only what is unmistakable is taken: a commit by its name, a file that was created. That tests pass is for the checks to say:
`claims_tests` tells whether the agent said so, and the check's own result answers.
"""

import re

import msgspec

LIMIT = 20
"""Assertions taken from one text."""
_COMMIT = re.compile(r"\bcommit(?:ted)?(?:\s+(?:as|is|hash|id|sha))*[:\s]+[`\"'(]?([0-9a-f]{7,40})\b", re.IGNORECASE)
_MADE = re.compile(
    r"\b(?:created|wrote|added|generated)\s+(?:an?\s+|the\s+|new\s+)*(?:files?\s+)?[`\"']([\w][\w./+-]{0,200}\.\w{1,8})[`\"']",
    re.IGNORECASE)
_TESTS = re.compile(
    r"\b(?:all\s+(?:the\s+)?)?tests?\s+(?:now\s+|are\s+|all\s+)*(?:pass|passed|passing|green|succeed)\b",
    re.IGNORECASE)
_NOT = re.compile(
    r"\b(?:not|n't|never|no|fail\w*|cannot|before|if|once|when|should|until|make sure|hope|expect|want|ensure|would|will)\b",
    re.IGNORECASE)
_ASKS = re.compile(r"\?[*_`\"')\]]*$")
_ANSWERED = re.compile(r"^(?:yes|no|done|it is|that is|i (?:have|did|am|was)|all of)\b", re.IGNORECASE)
_DECIDE = re.compile(
    r"\b(?:let me know (?:which|what|how|whether)|please (?:confirm|advise|choose|decide|tell me)|"
    r"which (?:one|option) (?:do|would|should))\b",
    re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n")


class Asserted(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says is so."""

    commits: tuple[str, ...] = ()
    """Object names, as written."""
    files: tuple[str, ...] = ()
    """Paths that it says it made."""
    tests: bool = False
    """It says that tests pass."""


def asserted(text: str) -> Asserted:
    """The comparable assertions in an agent's words."""
    plain = [part for part in _SENTENCES.split(text) if not _NOT.search(part)]
    return Asserted(
        commits=_distinct([name for part in plain for name in _COMMIT.findall(part)]),
        files=_distinct([name for part in plain for name in _MADE.findall(part)]), tests=claims_tests(text),
    )


def claims_tests(text: str) -> bool:
    """Whether a sentence says, without reserve, that tests pass."""
    return any(_TESTS.search(part) and not _NOT.search(part) for part in _SENTENCES.split(text))


def asks_something(text: str) -> bool:
    """Whether the last words are a question to a person: the last sentence but one may be it, when the last does not answer it."""
    last = [part.strip() for part in _SENTENCES.split(text.strip().rsplit("\n\n", 1)[-1]) if part.strip()]
    if any(_DECIDE.search(part) for part in last):
        return True
    return any(_ASKS.search(part) for part in last[-1:]) or (
        len(last) > 1 and bool(_ASKS.search(last[-2])) and not _ANSWERED.search(last[-1]))


def _distinct(found: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))[:LIMIT]
