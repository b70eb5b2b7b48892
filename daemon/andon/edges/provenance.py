"""Finds out of git what a commit of a target is: by its own trailers, or by those of the landing that brought it. Reads only."""

import re

import msgspec

from andon.edges.git import look, read_ref
from andon.edges.repository import trunk_ref
from andon.schema.errors import Mistake
from andon.schema.ids import Oid

STEPS = 100_000
"""Commits between a commit and trunk that are looked at, at most."""
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
    brought = await _brought(git_dir, oid, target)
    if brought:
        landing = await _trailers(git_dir, brought)
        if landing.task:
            return msgspec.structs.replace(landing, commit=oid, subject=own.subject)
    return own


async def _brought(git_dir: str, oid: Oid, target: str) -> Oid | None:
    """The landing that brought a commit to trunk: the oldest that holds it, on a target that did not; None when none does."""
    trunk = await read_ref(git_dir, trunk_ref(target)) or await read_ref(git_dir, f"refs/heads/{target}")
    if trunk is None:
        return None
    fields = f"--format=%H%x00%P%x00%(trailers:key={TRAILERS[0]},valueonly,separator=%x20)"
    shown = await look(git_dir, "log", "--ancestry-path", "--topo-order", "--reverse", f"--max-count={STEPS}", fields,
                       f"{oid}..{trunk}", check=False)
    rows = [line.split("\0") for line in shown.text.splitlines()]
    holding = {oid, *(row[0] for row in rows)}
    return next((Oid(row[0]) for row in rows if len(row) == 3 and row[2] and row[1].split()[0] not in holding), None)


async def _trailers(git_dir: str, oid: Oid) -> Told:
    """The trailers of a commit; the last of each counts."""
    fields = "%x00".join(f"%(trailers:key={name},valueonly,separator=%x0A)" for name in TRAILERS)
    shown = await look(git_dir, "show", "-s", f"--format=%s%x00{fields}", oid)
    subject, *values = shown.out.decode(errors="replace").rstrip("\n").split("\0")
    last = [value.strip().split("\n")[-1] for value in (*values, "", "", "")]
    return Told(commit=oid, by=oid if last[0] else Oid(""), task=last[0], attempt=last[1], change=last[2], subject=subject)
