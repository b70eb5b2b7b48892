"""On which line each key of a TOML text stands. Knows tokens only: whether the text is valid, tomllib has said before.

Theory of operation. tomllib keeps no positions and tomlkit exposes none, so one regular expression cuts a text that tomllib
accepted into tokens, and a small descent over them writes down the line of every header, key and array item.
"""

import re
import tomllib
from itertools import pairwise

Path = tuple[str | int, ...]
"""Where a value is: keys, and indices of arrays."""

TOKEN = re.compile(
    r'''(?P<string>"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}|\'\'\'(?:[^']|'{1,2}(?!'))*'{3,5}|(?!""")"(?:[^"\\\n]|\\.)*"|(?!\'\'\')'[^'\n]*')'''
    r"""|(?P<comment>\#[^\n]*)|(?P<end>\n)|(?P<blank>[ \t\r]+)|(?P<mark>[\[\]{}=,.])"""
    r"""|(?P<word>[^\s\[\]{}=,.\#"']+)|(?P<open>["'])""",
    re.DOTALL,
)


Token = tuple[str, str, int]
"""Kind, text, line."""
PARTS_LIMIT = 16
"""Parts of one dotted key: the model needs four, and tomllib's time grows with their square."""


def tokens(text: str) -> list[Token]:
    """The tokens of a text, also of one that is not TOML. Raises RecursionError for a dotted key of too many parts."""
    found: list[Token] = []
    line, dots = 1, 0
    for match in TOKEN.finditer(text.replace("\r\n", "\n")):
        kind, token = match.lastgroup or "", match.group()
        if kind == "open":
            break  # a string without an end: no TOML from here on, and looking on would take quadratic time
        if kind not in ("comment", "blank"):
            found.append((kind, token, line))
            dots = dots + (token == ".") if kind in ("word", "string") or token == "." else 0
            if dots >= PARTS_LIMIT:
                raise RecursionError(f"line {line}")
        line += token.count("\n")
    return [*found, ("end", "\n", line)]


class _Scanner:
    """One walk over the tokens of one text."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    @property
    def token(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "over"

    @property
    def line(self) -> int:
        return self.tokens[min(self.at, len(self.tokens) - 1)][2]

    def note(self, path: Path, line: int) -> None:
        """The first place wins, for the path and for every table above it."""
        for size in range(len(path), 0, -1):
            self.lines.setdefault(path[:size], line)

    def document(self) -> None:
        table: Path = ()
        while self.kind != "over":
            if self.kind == "end":
                self.at += 1
            elif self.token == "[":
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> Path:
        line, self.at = self.line, self.at + 1
        many = self.token == "["
        self.at += many
        path = self.inside(self.key())
        self.at += 1 + many
        if many:
            number = self.counts.get(path, 0)
            self.counts[path] = number + 1
            path = (*path, number)
        self.note(path, line)
        return path

    def inside(self, path: tuple[str, ...]) -> Path:
        """A header's keys with the index of the latest table wherever they pass through an array of tables."""
        full: Path = ()
        for key, after in pairwise((*path, None)):
            full = (*full, key or "")
            if after is not None and full in self.counts:
                full = (*full, self.counts[full] - 1)
        return full

    def key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            token = self.token
            parts.append(next(iter(tomllib.loads(f"{token} = 0"))) if self.kind == "string" else token)
            self.at += 1
            if self.token != ".":
                return tuple(parts)
            self.at += 1

    def pair(self, table: Path) -> None:
        line = self.line
        path = (*table, *self.key())
        self.note(path, line)
        self.at += 1
        self.value(path)

    def value(self, path: Path) -> None:
        if self.token == "[" and self.kind == "mark":
            self.array(path)
        elif self.token == "{" and self.kind == "mark":
            self.inline(path)
        else:
            while self.kind in ("string", "word") or (self.kind == "mark" and self.token == "."):
                self.at += 1

    def array(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self.token != "]" or self.kind != "mark":
            if self.kind == "end" or self.token == ",":
                self.at += 1
                continue
            self.lines[(*path, number)] = self.line
            self.value((*path, number))
            number += 1
        self.at += 1

    def inline(self, path: Path) -> None:
        self.at += 1
        while self.token != "}" or self.kind != "mark":
            if self.kind == "end" or (self.token == "," and self.kind == "mark"):
                self.at += 1
            else:
                self.pair(path)
        self.at += 1


def positions(tokens: list[Token]) -> dict[Path, int]:
    """The line (from 1) of each table, key and array item of a text that tomllib accepts, from its tokens."""
    scanner = _Scanner(tokens)
    scanner.document()
    return scanner.lines
