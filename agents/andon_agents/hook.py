"""The program that agents call at their hooks: notes what it is told, brings a decision back. Knows no factory, breaks no agent.

    python -I -S hook.py EVENT [DIALECT [SECONDS]]      (payload on stdin; `ANDON_JOB` names the job directory)

Theory of operation. Each call appends one line to `hooks.jsonl` and is gone within a few milliseconds: only the standard
library, little of it. A *permission request* is held open: it leaves `asks/<id>.wait`, and waits for `asks/<id>.json`, a
`Decision`. An agent that shows its own prompt meanwhile takes whichever answer comes first; for one that does not, SECONDS is
short, so that a person at its screen is never locked out. Whoever takes `<id>.wait` away settles the ask and says so in one
more line: this call when it was decided or ended, a later call when the same tool has run or the turn is over. Where anything
is wrong, nothing is printed and the exit code is 0: the agent goes on as if no hook were there.
"""

# ruff: noqa: PTH103, PTH105, PTH108, PTH110, PTH112, PTH116, PTH118, PTH120, PTH123, PTH208 (pathlib alone would cost as much as all the rest of a call)
from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, BinaryIO, NoReturn

    Payload = dict[str, Any]

FILE_LIMIT, LAST_LIMIT = 16 * 1024 * 1024, 18 * 1024 * 1024
"""Bytes of `hooks.jsonl`; past the first only what a session cannot be judged without is written, past the second nothing."""
PAYLOAD_LIMIT = 1024 * 1024
LINE_LIMIT = 64 * 1024
TEXT_LIMITS = (2_000, 200)
"""Characters of one string in a payload; the second when the line is still too long."""
ITEMS_LIMIT = 100
WAIT_S = 12 * 3600.0
"""So long does a permission request wait for a decision; the agents are told a little more as the hook's limit."""
VITAL = ("PermissionRequest", "permissionRequest", "Stop", "StopFailure", "agentStop", "SessionEnd", "sessionEnd", "AskSettled",
         "UserPromptSubmit", "userPromptSubmitted", "AfterAgent", "BeforeAgent", "SessionStart", "sessionStart", "HooksFull")
ASKING = ("PermissionRequest", "permissionRequest")
AFTER_TOOL = ("PostToolUse", "PostToolUseFailure", "postToolUse", "postToolUseFailure", "PermissionDenied", "AfterTool")
TURN_OVER = ("Stop", "StopFailure", "agentStop", "AfterAgent", "UserPromptSubmit", "userPromptSubmitted", "BeforeAgent",
             "SessionEnd", "sessionEnd")
NOTICES = ("ToolPermission",)
"""Kinds of a notification by which an agent says that it asks at its own screen, where alone it can be answered."""
ANY = "*"
"""In place of a call's key: the end of any tool settles this ask."""


def main(argv: list[str]) -> None:
    """One call. Exits 0 whatever happens."""
    job = os.environ.get("ANDON_JOB", "")
    event = argv[1] if len(argv) > 1 else ""
    try:
        payload = told(sys.stdin.buffer, event)
        if not job or not os.path.isdir(job):
            return
        if event in ASKING and not payload.get("andon_unreadable"):
            ask(job, argv, payload)
            return
        settle(job, event, payload)
        if payload.get("notification_type") in NOTICES:
            payload["andon_ask"] = opened(job, ANY)[0]
        append(job, event, payload)
    except Exception as error:  # noqa: BLE001 - the edge: an agent must never stumble over its supervisor
        excuse(job, event, error)


def told(stream: BinaryIO, event: str) -> Payload:
    """The payload as an object; what is too long or no JSON is said instead of guessed."""
    raw = stream.read(PAYLOAD_LIMIT + 1)
    more = 0
    while len(raw) > PAYLOAD_LIMIT:
        chunk = stream.read(PAYLOAD_LIMIT)
        more += len(chunk)
        if not chunk:
            break
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        payload = {"andon_unreadable": raw[:200].decode("utf-8", "replace"), "andon_bytes": len(raw) + more}
    if not isinstance(payload.get("hook_event_name"), str):
        payload["hook_event_name"] = event
    return payload


def append(job: str, event: str, payload: Payload) -> bool:
    """One line in `hooks.jsonl`, in one write. False when the file is full."""
    path = os.path.join(job, "hooks.jsonl")
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        size = 0
    if size > (LAST_LIMIT if event in VITAL else FILE_LIMIT):
        try:
            os.close(os.open(os.path.join(job, "hooks.full"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        payload = {"hook_event_name": "HooksFull", "andon_bytes": size}
    line = line_of(payload)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)
    return payload.get("hook_event_name") != "HooksFull"


def line_of(payload: Payload) -> bytes:
    """The payload as one raw line, cut until it is short enough."""
    flat = {word: value for word, value in payload.items() if isinstance(value, bool | int | str)}
    line = b""
    for limit, told in ((TEXT_LIMITS[0], payload), (TEXT_LIMITS[1], payload), (TEXT_LIMITS[1], flat)):
        line = json.dumps({"at": time.time_ns() // 1_000_000, "source": "hook", "data": clipped(told, limit)},
                          separators=(",", ":")).encode() + b"\n"
        if len(line) <= LINE_LIMIT:
            break
    return line


def clipped(value: Any, limit: int, depth: int = 0) -> Any:
    """The value with its long strings cut; a cut string still tells equal from different by its checksum."""
    if isinstance(value, str):
        if len(value) <= limit:
            return value
        return f"{value[:limit]}…[{len(value)} characters, {zlib.crc32(value.encode('utf-8', 'surrogatepass')):08x}]"
    if depth > 12:
        return "…"
    if isinstance(value, dict):
        return {clipped(str(key), 200): clipped(item, limit, depth + 1) for key, item in list(value.items())[:ITEMS_LIMIT]}
    if isinstance(value, list):
        return [clipped(item, limit, depth + 1) for item in value[:ITEMS_LIMIT]]
    return value


def ask(job: str, argv: list[str], payload: Payload) -> None:
    """Note the request, wait, and print the decision in the agent's own words."""
    event, dialect, seconds = argv[1], argv[2] if argv[2:] else "claude", float(argv[3]) if argv[3:] else WAIT_S
    how: list[str] = []

    def ended(_number: int, _frame: FrameType | None) -> NoReturn:
        how.append("withdrawn")
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, ended)
    name, wait = opened(job, key(payload))
    try:
        if not append(job, event, {**payload, "andon_ask": name}):
            return
        decision = decided(os.path.dirname(wait), name, seconds)
        if decision is not None and taken(wait):
            allow, text = decision.get("allow") is True, str(decision.get("text") or "")
            print(json.dumps(words(dialect, payload, allow, text)), flush=True)
            os.replace(wait[:-len(".wait")] + ".json", wait[:-len(".wait")] + ".taken")  # the receipt
            settled(job, name, "allowed" if allow else "denied", payload)
        elif decision is None and os.path.exists(wait):
            if dialect == "copilot":  # names the tool of a request otherwise than the tool that ended
                with open(wait, "w", encoding="utf-8") as file:
                    file.write(ANY)
            append(job, event, {**payload, "andon_ask": name, "andon_gone": True})  # from now on only its own screen answers
    finally:
        if how and taken(wait):
            settled(job, name, how[0], payload)


def opened(job: str, what: str) -> tuple[str, str]:
    """A new open ask: its name, and the file whose end settles it."""
    asks = os.path.join(job, "asks")
    os.makedirs(asks, 0o700, exist_ok=True)
    name = f"h{time.time_ns() // 1_000_000}-{os.getpid()}"
    wait = os.path.join(asks, name + ".wait")
    file = os.open(wait, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(file, what.encode())
    os.close(file)
    return name, wait


def words(dialect: str, payload: Payload, allow: bool, text: str) -> Payload:
    """The decision as this agent reads it. An answer to a question goes into the tool's own input."""
    if dialect == "copilot":
        return {"behavior": "allow" if allow else "deny", **({} if allow else {"message": text or "denied"})}
    decision: Payload = {"behavior": "allow" if allow else "deny"}
    if not allow:
        decision["message"] = text or "This was denied."
    questions = questions_of(payload)
    if allow and questions and text:
        answers = {str(one.get("question")): text for one in questions}
        decision["updatedInput"] = {**payload["tool_input"], "answers": answers}
    return {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}}


def questions_of(payload: Payload) -> list[Payload]:
    """The questions of a question tool, or none."""
    given = payload.get("tool_input")
    questions = given.get("questions") if isinstance(given, dict) else None
    return [one for one in questions if isinstance(one, dict)] if isinstance(questions, list) else []


def decided(asks: str, name: str, seconds: float) -> Payload | None:
    """The decision, or None when none came, the directory went away or the agent did."""
    path, wait = os.path.join(asks, name + ".json"), os.path.join(asks, name + ".wait")
    end, parent, watcher = time.monotonic() + seconds, os.getppid(), Watcher(asks)
    while time.monotonic() < end and os.getppid() == parent and os.path.exists(wait):
        try:
            with open(path, "rb") as file:
                decision = json.loads(file.read(PAYLOAD_LIMIT))
            return decision if isinstance(decision, dict) and decision.get("ask") == name else None
        except FileNotFoundError:
            watcher.pause(end - time.monotonic())
    return None


class Watcher:
    """Sleeps until something happens in a directory; where the system cannot tell, looks again and again, ever slower."""

    def __init__(self, directory: str) -> None:
        """Watch it from now on."""
        self.file, self.begun = -1, time.monotonic()
        try:
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            self.file = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            # a file was moved here, closed after writing, or deleted; the directory itself was deleted
            if self.file >= 0 and libc.inotify_add_watch(self.file, os.fsencode(directory), 0x80 | 0x08 | 0x200 | 0x400) < 0:
                os.close(self.file)
                self.file = -1
        except (ImportError, OSError, AttributeError):
            self.file = -1

    def pause(self, most: float) -> None:
        """Until a change, at most 5 s: whether the agent still lives is looked at then."""
        if self.file < 0:
            waited = time.monotonic() - self.begun
            time.sleep(max(0.0, min(most, 0.05 if waited < 60 else 0.25 if waited < 600 else 1.0)))
            return
        import select
        if select.select([self.file], [], [], max(0.0, min(most, 5.0)))[0]:
            try:
                os.read(self.file, 65536)
            except BlockingIOError:
                return


def key(payload: Payload) -> str:
    """Names the tool call of a request, so that its end can be told from another's."""
    given = payload.get("tool_input", payload.get("toolArgs", payload.get("toolInput")))
    if questions_of(payload):
        given = questions_of(payload)
    text = json.dumps([payload.get("tool_name", payload.get("toolName")), given], sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


def settle(job: str, event: str, payload: Payload) -> None:
    """Take away the asks that this event shows to be over: the same tool has run, or the whole turn is."""
    over = event in TURN_OVER and not (payload.get("background_tasks") or payload.get("agent_id") or payload.get("prompt") == "")
    if event not in AFTER_TOOL and not over:
        return
    asks = os.path.join(job, "asks")
    mine = key(payload) if event in AFTER_TOOL else ""
    try:
        names = [name for name in os.listdir(asks) if name.endswith(".wait")]
    except FileNotFoundError:
        return
    for name in names[:ITEMS_LIMIT]:
        path = os.path.join(asks, name)
        if mine and waited_for(path) not in (mine, ANY):
            continue
        if taken(path):
            settled(job, name[:-len(".wait")], "answered at its own screen", {})
            if mine:
                return


def waited_for(path: str) -> str:
    """The key of the call that an open ask is about."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(100)
    except FileNotFoundError:
        return ""


def taken(path: str) -> bool:
    """Whether we are the one who took this file away."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def settled(job: str, name: str, how: str, payload: Payload) -> None:
    """One line that an ask is over."""
    about: Payload = {word: payload[word] for word in ("session_id", "tool_name", "cwd") if word in payload}
    append(job, "AskSettled", {"hook_event_name": "AskSettled", "andon_ask": name, "andon_how": how, **about})


def excuse(job: str, event: str, error: Exception) -> None:
    """A line that something went wrong here, when even that is possible."""
    try:
        if job and os.path.isdir(job):
            append(job, event, {"hook_event_name": "HookFailed", "andon_event": event, "andon_error": repr(error)[:300]})
    except Exception:  # noqa: BLE001 - the edge: nothing more can be said
        return


if __name__ == "__main__":
    main(sys.argv)
    sys.stdout.flush()
    os._exit(0)
