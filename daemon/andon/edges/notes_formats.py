"""The formats of git notes that others read: ours, Shift Log's (version 3), git-ai's (authorship 3.0.0), Agent Trace (0.1.0). Pure.

Each is built from one record and says no more than it: no transcript, no path of the person's, nothing of the specification but
its digest. Ours is one line of JSON a change, so that notes of one commit can be joined line by line.
"""

import base64
import gzip
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from andon.schema.notes import WITHHELD, NoteRecord

Ranges = Mapping[str, Sequence[tuple[int, int]]]
"""By path: the lines that a commit added, (first, last) from 1."""
AI_VERSION, TRACE_VERSION = "authorship/3.0.0", "0.1.0"
SPACE = uuid.UUID("6b3f3c0e-3a3b-5f0e-9f65-616e646f6e00")
_RECORD = msgspec.json.Decoder(NoteRecord)


def line_of(record: NoteRecord) -> bytes:
    """Our own note: one line of canonical JSON."""
    return msgspec.json.encode(record, order="sorted")


def records_of(note: bytes) -> list[NoteRecord]:
    """The records in a note of ours; lines that are none are passed over."""
    found = []
    for line in note.splitlines():
        try:
            record = _RECORD.decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
        if record.version == 1:
            found.append(record)
    return found


def same(one: NoteRecord, other: NoteRecord) -> bool:
    """Whether two records are about the same landed change."""
    return (one.task, one.change, one.commit) == (other.task, other.change, other.commit)


def joined(existing: bytes | None, record: NoteRecord) -> bytes | None:
    """A note of ours with this record beside what stands in it; None when it says so already. Nothing in it is taken away."""
    if existing is None:
        return line_of(record) + b"\n"
    if any(same(one, record) for one in records_of(existing)):
        return None
    return existing.rstrip(b"\n") + b"\n" + line_of(record) + b"\n"


def conversation(record: NoteRecord) -> tuple[bytes, int]:
    """The digest of a conversation as lines of JSON, in the form of a transcript; and how many messages it has."""
    told = [f"specification sha256:{record.spec}" if record.spec else ""]
    told += [f"tools: {', '.join(f'{name} {count}' for name, count in sorted(record.tools.items()))}"] if record.tools else []
    left = f"the transcript (sha256:{record.transcript}) is in the store of the factory" if record.transcript else ""
    texts = (("user", "\n\n".join(part for part in (f"{record.task}: {record.title}", *told) if part)),
             ("assistant", "\n\n".join(part for part in (record.summary, left) if part)))
    lines, parent = [], None
    for role, text in texts:
        if text:
            own = str(uuid.uuid5(SPACE, f"{record.attempt}/{record.commit}/{role}"))
            lines.append(msgspec.json.encode({
                "type": role, "uuid": own, "parentUuid": parent, "sessionId": session_of(record), "timestamp": moment(record),
                "message": {"role": role, "content": [{"type": "text", "text": text}]},
            }))
            parent = own
    return b"".join(line + b"\n" for line in lines), len(lines)


def shiftlog(record: NoteRecord, target: str) -> bytes:
    """A note of Shift Log's version 3, with the digest where it keeps a whole conversation."""
    talk, count = conversation(record)
    body: dict[str, Any] = {
        "version": 3, "session_id": session_of(record), "timestamp": moment(record), "project_path": record.repo,
        "git_branch": target, "message_count": count, "checksum": f"sha256:{hashlib.sha256(talk).hexdigest()}",
        "transcript": base64.b64encode(gzip.compress(talk, mtime=0)).decode(),
    }
    body |= {name: value for name, value in (("agent", record.agent), ("model", record.model)) if value}
    effort = msgspec.to_builtins(record.effort)
    return msgspec.json.format(msgspec.json.encode(body | ({"effort": effort} if effort else {})), indent=2) + b"\n"


def authorship(record: NoteRecord, commit: str, added: Ranges, deletions: int) -> bytes:
    """A note of git-ai's: every line that the commit added is the agent's. A file whose name its form cannot hold is left out."""
    tool, whose = record.agent or "unknown", session_of(record)
    own = hashlib.sha256(f"{tool}:{whose}".encode()).hexdigest()[:16]
    lines, total = [], 0
    for path, ranges in sorted(added.items()):
        if not ranges or path == "---" or any(sign in path for sign in '"\n\r'):
            continue
        lines += [f'"{path}"' if any(sign.isspace() for sign in path) else path,
                  f"  {own} {','.join(f'{first}-{last}' if last > first else str(first) for first, last in ranges)}"]
        total += sum(last - first + 1 for first, last in ranges)
    body: dict[str, Any] = {
        "schema_version": AI_VERSION, "git_ai_version": None, "base_commit_sha": commit, "prompts": {own: {
            "agent_id": {"tool": tool, "id": whose, "model": record.model or "unknown"}, "human_author": None, "messages": [],
            "total_additions": total, "total_deletions": deletions, "accepted_lines": total, "overriden_lines": 0,
            "custom_attributes": {"andon.task": record.task, "andon.change": record.change},
        }},
    }
    return "\n".join([*lines, "---", ""]).encode() + msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


def agent_trace(record: NoteRecord, commit: str, added: Ranges, version: str) -> dict[str, Any]:
    """A trace record of Agent Trace 0.1.0 about one commit."""
    model = {"model_id": record.model[:250]} if record.model else {}
    contributor = {"type": "ai"} | model
    files = [{"path": path, "conversations": [{
        "contributor": contributor, "ranges": [{"start_line": first, "end_line": last} for first, last in ranges],
    }]} for path, ranges in sorted(added.items()) if ranges]
    return {
        "version": TRACE_VERSION, "id": str(uuid.uuid5(SPACE, f"{record.repo}/{record.task}/{commit}")),
        "timestamp": moment(record),
        "vcs": {"type": "git", "revision": commit}, "tool": {"name": "andon", "version": version}, "files": files,
        "metadata": {"dev.andon": msgspec.to_builtins(record)},
    }


def session_of(record: NoteRecord) -> str:
    """By what the conversation can be named."""
    return record.conversation or record.attempt or record.task


def moment(record: NoteRecord) -> str:
    """When it landed, RFC 3339."""
    return datetime.fromtimestamp(record.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def withheld_in(*texts: str) -> int:
    """Secrets that were taken out of these texts."""
    return sum(text.count(WITHHELD) for text in texts)
