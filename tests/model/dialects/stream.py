"""What a dialect writes its answer to."""

import time
from typing import Any, Protocol

from model.talk import Json, Reply, Talk


class Out(Protocol):
    """An HTTP answer: whole, or as a stream of server-sent events."""

    def json(self, value: Any, status: int = 200) -> None:
        """Answer with one JSON document."""

    def open(self) -> None:
        """Begin a stream."""

    def event(self, value: Any, name: str | None = None) -> None:
        """One event of it."""

    def close(self) -> None:
        """End it well."""


class Dialect(Protocol):
    """One wire format."""

    def read(self, body: Json) -> Talk:
        """The conversation in a request."""

    def answer(self, out: Out, talk: Talk, reply: Reply) -> None:
        """Say it."""

    def error(self, status: int, kind: str, message: str, retry_after: Any) -> Json:
        """How this provider words an error."""


def pause(seconds: float) -> None:
    """Between two pieces of a stream."""
    if seconds:
        time.sleep(seconds)


KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
         400: "invalid_request_error"}
"""The type of an error, as two of the providers name it."""


def openai_error(status: int, kind: str, message: str) -> Json:
    """An error of Chat Completions and Responses."""
    code = {429: "rate_limit_exceeded", 401: "invalid_api_key", 500: "server_error", 529: "overloaded"}.get(status)
    if kind == "quota":
        code = "insufficient_quota"
    if kind == "context":
        code = "context_length_exceeded"
        message = "Your input exceeds the context window of this model. Please adjust your input and try again."
    return {"error": {"message": message, "type": KINDS.get(status, "api_error"), "param": None, "code": code}}
