"""Finds out of git what a commit of a target is: by its own trailers, or by those of the landing that brought it. Reads only."""

import re

import msgspec

from andon.edges.git import look
from andon.edges.repository import trunk_ref
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

TRAILERS = ("Andon-Task", "Andon-Attempt", "Andon-Change")
_NAMED = re.compile(r"[0-9a-fA-F]{4,64}|[A-Za-z0-9][A-Za-z0-9._/@^~{}-]*")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What git knows of a commit."""

    commit: Oid
    by: Oid = Oid("")
    """The commit whose trailers say it: itself, or the landing that it came with; empty when none does."""
    task: str = ""
    attempt: str = ""
    change: str = ""
    subject: str = ""


async def tell(git_dir: str, name: str, target: str) -> Told | None:
    """What a commit of this repository is; None when the repository has no such commit."""
    if not _NAMED.fullmatch(name):
        raise Mistake(f"{name!r} does not name a commit.", mend="Give its hash, or a branch or tag.")
    asked = await look(git_dir, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)
    if asked.code != 0:
        return None
    oid = asked.oid
    own = await _trailers(git_dir, oid)
    if own.task:
        return own
    trunk = trunk_ref(target)
    brought = await look(git_dir, "log", "--first-parent", "--ancestry-path", "--reverse", "--format=%H", f"{oid}..{trunk}", check=False)
    if brought.code == 0 and brought.text:
        landing = await _trailers(git_dir, Oid(brought.text.split("\n", 1)[0]))
        if landing.task:
            return msgspec.structs.replace(landing, commit=oid, subject=own.subject)
    return own


async def _trailers(git_dir: str, oid: Oid) -> Told:
    """The trailers of a commit; the last of each counts."""
    fields = "%x00".join(f"%(trailers:key={name},valueonly,separator=%x0A)" for name in TRAILERS)
    shown = await look(git_dir, "show", "-s", f"--format=%s%x00{fields}", oid)
    subject, *values = shown.out.decode(errors="replace").rstrip("\n").split("\0")
    last = [value.strip().split("\n")[-1] for value in (*values, "", "", "")]
    return Told(commit=oid, by=oid if last[0] else Oid(""), task=last[0], attempt=last[1], change=last[2], subject=subject)
