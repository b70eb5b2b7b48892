"""Takes a diff without context apart into files and changed lines. Pure text; it trusts no name that a diff says.

Names come from `--raw -z`, which says them whole; the text of the diff is paired with them by order. A diff that somebody brings
as a file has no such list: then its own headers are believed, and what they do not say plainly is an error.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from andon.schema.errors import Mistake

LINE = 2_000
"""Characters of a changed line that are looked at; a longer one is told."""
NOTHING = "000000"
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")


class Line(msgspec.Struct, frozen=True):
    """One changed line."""

    number: int
    """In the new file for an added line, in the old one for a removed one."""
    text: str
    added: bool
    within: str = ""
    """The heading of its hunk: what git takes for the function around it."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One changed path. A rename is two: one path goes, one comes."""

    path: str
    old_mode: str = NOTHING
    new_mode: str = NOTHING
    old: str = ""
    """Object names of both sides; empty where unknown."""
    new: str = ""
    binary: bool = False
    lines: tuple[Line, ...] = ()
    cut: bool = False
    """Some of its lines were too long to be looked at whole."""

    @property
    def added(self) -> bool:
        """It was not there before."""
        return self.old_mode == NOTHING

    @property
    def gone(self) -> bool:
        """It is not there any more."""
        return self.new_mode == NOTHING

    def text(self, added: bool) -> str:
        """Its changed lines of one side."""
        return "\n".join(line.text for line in self.lines if line.added is added)


def records(raw: bytes) -> list[File]:
    """The files that `git diff --raw -z --no-renames` names, without their lines."""
    items = raw.split(b"\0")
    found = []
    for head, name in zip(items[0::2], items[1::2], strict=False):
        words = head.lstrip(b":").decode().split(" ")
        if len(words) != 5:
            raise ValueError("git named a change in an unknown form")
        found.append(File(path=name.decode(errors="replace"), old_mode=words[0], new_mode=words[1], old=words[2], new=words[3]))
    return found


def filled(files: Sequence[File], patch: bytes) -> list[File]:
    """The files with their lines. ValueError when the diff does not speak of exactly these."""
    parts = list(_sections(patch))
    done, at = [], 0
    for file in files:
        wide = 2 if _type(file.old_mode) != _type(file.new_mode) and NOTHING not in (file.old_mode, file.new_mode) else 1
        mine, at = parts[at : at + wide], at + wide
        if len(mine) != wide:
            raise ValueError("the diff ends before its last file")
        done.append(_with(file, mine))
    if at != len(parts):
        raise ValueError("the diff speaks of more files than changed")
    return done


def of_text(patch: bytes) -> list[File]:
    """The files of a diff alone, as `git format-patch` and `git diff` write it. Mistake when it is none, or names are not plain."""
    done: list[File] = []
    for part in _sections(patch):
        head = part[0].decode(errors="replace")
        same = re.fullmatch(r"diff --git a/(.+) b/(.+)", head)
        if same is None:
            raise Mistake(
                f"the diff has a name that is not plain: {head[:80]!r}", mend="give a range of commits of the repository instead"
            )
        names = _names(part, same[1], same[2])
        modes = _modes(part)
        both = [name for name in names if name]
        renamed = len(both) == 2 and both[0] != both[1]
        if renamed:
            done.append(File(path=both[0], old_mode=modes[0] or "100644"))
        path = both[-1] if both else same[2]
        old = NOTHING if renamed or not names[0] else modes[0] or "100644"
        new = modes[1] or "100644" if names[1] else NOTHING
        done.append(_with(File(path=path, old_mode=old, new_mode=new), [part]))
    if not done:
        raise Mistake("this is no diff of git", mend="make one with `git diff` or `git format-patch`")
    return done


def _names(part: list[bytes], left: str, right: str) -> tuple[str, str]:
    """Old and new name; empty for the side that is not there."""
    old, new = left, right
    for raw in part[1:]:
        line = raw.decode(errors="replace")
        if line.startswith("@@"):
            break
        if line.startswith("new file mode"):
            old = ""
        elif line.startswith("deleted file mode"):
            new = ""
        elif line.startswith(("--- a/", "rename from ")):
            old = line.split("a/" if line.startswith("---") else "from ", 1)[1].split("\t")[0]
        elif line.startswith(("+++ b/", "rename to ")):
            new = line.split("b/" if line.startswith("+++") else "to ", 1)[1].split("\t")[0]
    return old, new


def _modes(part: list[bytes]) -> tuple[str, str]:
    head = b"\n".join(part[1:8]).decode(errors="replace")
    both = re.search(r"^index \S+ (\d{6})$", head, re.M)
    old = re.search(r"^(?:old|deleted file) mode (\d{6})$", head, re.M)
    new = re.search(r"^new (?:file )?mode (\d{6})$", head, re.M)
    return (old or both or [""] * 2)[1], (new or both or [""] * 2)[1]


def _type(mode: str) -> str:
    return mode[:3]


def _sections(patch: bytes) -> Iterator[list[bytes]]:
    """The lines of the diff of each file. A line of content never begins so: it has its sign before it."""
    part: list[bytes] = []
    left = (0, 0)
    for line in patch.split(b"\n"):
        if line.startswith(b"diff --git ") and left == (0, 0):
            if part:
                yield part
            part = []
        elif not part:
            continue  # what a mail says before its diff
        left = _left(line, left)
        if part and left == (0, 0) and re.fullmatch(rb"-- ?", line):
            yield part  # the end of a mail
            part = []
            continue
        part.append(line)
    if part:
        yield part


def _left(line: bytes, left: tuple[int, int]) -> tuple[int, int]:
    """How many lines of the old and the new side the hunk still has."""
    hunk = _HUNK.match(line) if left == (0, 0) else None
    if hunk:
        return int(hunk[2] if hunk[2] is not None else 1), int(hunk[4] if hunk[4] is not None else 1)
    old, new = left
    sign = line[:1]
    if sign in (b"-", b" ", b"") and old:
        old -= 1
    if sign in (b"+", b" ", b"") and new:
        new -= 1
    return (old, new) if left != (0, 0) else left


def _with(file: File, parts: list[list[bytes]]) -> File:
    lines: list[Line] = []
    binary = cut = False
    for part in parts:
        old = new = 0
        within = ""
        left = (0, 0)
        for raw in part[1:]:
            hunk = _HUNK.match(raw) if left == (0, 0) else None
            if hunk:
                old, new, within = int(hunk[1]), int(hunk[3]), hunk[5].decode(errors="replace")[:LINE]
                left = _left(raw, left)
                continue
            if left == (0, 0):
                binary = binary or raw.startswith((b"Binary files ", b"GIT binary patch"))
                continue
            left = _left(raw, left)
            sign, text = raw[:1], raw[1:]
            cut = cut or len(text) > LINE
            if sign in (b"+", b"-"):
                said = text[:LINE].decode(errors="replace")
                lines.append(Line(new if sign == b"+" else old, said, sign == b"+", within))
            old += sign != b"+"
            new += sign != b"-"
    return msgspec.structs.replace(file, lines=tuple(lines), binary=binary, cut=cut)
