"""Keeps the transcript of a session that ended, without its secrets, and counts what its hooks told. Knows no agent's format."""

from pathlib import Path

import msgspec

from andon.edges import beneath, jobs
from andon.edges.blobs import Blobs
from andon.edges.transcript import named
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, Digest
from andon.schema.jobs import HOOKS
from andon.schema.layout import Layout
from andon.schema.notes import TOOLS_LIMIT, WITHHELD, Talk

HOOK_BYTES = 32 * 2**20
TRANSCRIPT_BYTES = 64 * 2**20
"""Of a larger transcript only the end is kept."""
KINDS = (".jsonl", ".json")
BEFORE = ("PreToolUse", "BeforeTool")
"""What agents call the moment before a tool is used."""


class _Hook(msgspec.Struct):
    """What is common to the hooks of agents."""

    hook_event_name: str = ""
    tool_name: str = ""
    transcript_path: str = ""


class _Line(msgspec.Struct):
    """A raw line: the hook's own words are in `data`."""

    data: _Hook = msgspec.field(default_factory=_Hook)


_LINE = msgspec.json.Decoder(_Line)


def keep(layout: Layout, blobs: Blobs, attempt: AttemptId) -> Talk | None:
    """Put the transcript that the session's hooks named into the store; None when none named any and no tool was told.

    Of a session within walls it is taken from its private home alone; of another only where its name is that of a transcript.
    """
    try:
        raw = beneath.tail(layout.job(attempt), HOOKS, HOOK_BYTES)
    except OSError:
        return None
    tools, path = dict[str, int](), ""
    for line in raw.splitlines():
        try:
            hook = _LINE.decode(line).data
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
        path = hook.transcript_path or path
        if hook.hook_event_name in BEFORE and hook.tool_name and (len(tools) < TOOLS_LIMIT or hook.tool_name in tools):
            tools[hook.tool_name[:60]] = tools.get(hook.tool_name[:60], 0) + 1
    found = _allowed(layout.job(attempt), path)
    talk = _kept(blobs, found) if found is not None else Talk()
    talk = msgspec.structs.replace(talk, tools=tools)
    return talk if talk != Talk() else None


def _allowed(folder: Path, path: str) -> Path | None:
    """The file that the hooks named, where it may be a transcript."""
    found, job = named(path), jobs.read_job(folder)
    home = job.sandbox.home if job and job.sandbox else ""
    if found is None or found.suffix not in KINDS or (home and not found.is_relative_to(Path(home).resolve())):
        return None
    return found


def _kept(blobs: Blobs, path: Path) -> Talk:
    """A transcript as a blob."""
    try:
        data = beneath.tail(path.parent, path.name, TRANSCRIPT_BYTES)
        size = path.lstat().st_size
    except OSError:
        return Talk()
    if not data:
        return Talk()
    try:
        digest = blobs.put(data)
        count = blobs.get(digest).count(WITHHELD.encode())
    except Mistake:
        return Talk()
    return Talk(transcript=Digest(digest), bytes=min(size, len(data)), withheld=count, oversize=size > len(data))
