"""Calls the supervisor's hook program as an agent does: one process an event, its payload on stdin. Knows no supervisor."""

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

HOOK_S = 20.0
"""At most so long does any hook but a permission request hold the agent up."""


class Hooks:
    """The hooks of one session; none when `argv` is empty."""

    def __init__(self, argv: tuple[str, ...], *, conversation: str, transcript: Path, cwd: Path) -> None:
        self._argv = argv
        self._common = {"session_id": conversation, "transcript_path": str(transcript), "cwd": str(cwd)}

    @property
    def any(self) -> bool:
        """Whether there is a program to call."""
        return bool(self._argv)

    def tell(self, event: str, **fields: object) -> None:
        """An event. A hook that fails or hangs harms nobody."""
        if self._argv:
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                subprocess.run([*self._argv, event], input=self._payload(event, fields), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=HOOK_S, check=False)

    def ask(self, given: Callable[[bytes], None], **fields: object) -> Callable[[], None]:
        """A permission request: `given` gets what the hook printed, in a thread. What comes back withdraws the request."""
        process = subprocess.Popen([*self._argv, "PermissionRequest"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        payload = self._payload("PermissionRequest", fields)

        def wait() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
            given(process.communicate(payload)[0])

        threading.Thread(target=wait, daemon=True).start()

        def withdraw() -> None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        return withdraw

    def _payload(self, event: str, fields: dict[str, object]) -> bytes:
        return json.dumps({"hook_event_name": event, **self._common, **fields}).encode()


def decision_of(printed: bytes) -> tuple[bool, str] | None:
    """What a hook decided: whether it is allowed, and the words (a reason, or the answer to a question); None when nothing."""
    try:
        decision = json.loads(printed)["hookSpecificOutput"]["decision"]
        allowed = decision["behavior"] == "allow"
        answers = decision.get("updatedInput", {}).get("answers", {})
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return allowed, str(decision.get("message") or next(iter(answers.values()), ""))
