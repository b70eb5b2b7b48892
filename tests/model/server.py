"""A scripted model on loopback, for driving real agent CLIs without any model and without a network.

It speaks enough of Anthropic Messages, OpenAI Chat Completions, OpenAI Responses and Gemini generateContent, streaming and not,
and takes OpenTelemetry as JSON. What it answers is a *script*, a list of steps (`model.scenarios`), chosen by `POST /__ctl/script`
for a session, else by a marker in the prompt (`[[scenario:NAME key=value]]`), else the default. A session is the prefix of the
address: `http://127.0.0.1:PORT/s/SESSION`. The position in a script is counted from the conversation in the request, so retries,
resumed conversations and a restart of this server are harmless; only "fail the first n requests" is a counter here.

Run it: `python tests/model/server.py --port 0`. Control: `GET /__ctl/log[?session=S]`, `/__ctl/state`, `/__ctl/scenarios`,
`POST /__ctl/script {"session", "scenario" | "steps", "params"}`, `POST /__ctl/reset {}`. In a test: `with model() as m:`.
"""

import argparse
import contextlib
import gzip
import json
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

if __name__ == "__main__":  # run as a script: its own folder is not a place to import from
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from model.desk import Decision, Desk
from model.dialects.anthropic import Anthropic
from model.dialects.chat import Chat
from model.dialects.gemini import Gemini
from model.dialects.responses import Responses
from model.dialects.stream import Dialect
from model.scenarios import SCENARIOS
from model.talk import Json, Reply, Talk

DIALECTS: dict[str, Dialect] = {"anthropic": Anthropic(), "chat": Chat(), "responses": Responses(), "gemini": Gemini()}
NAMES = ("scripted-1", "claude-sonnet-4-5", "gpt-5.1-codex", "gemini-2.5-pro")
WORDS = {
    429: "This request would exceed your rate limit (scripted).", 529: "Overloaded", 500: "Internal server error (scripted)",
    401: "invalid x-api-key (scripted)", 400: "bad request (scripted)",
}
LOST = {"error": {"message": "not here", "type": "not_found_error"}}


@dataclass(frozen=True)
class Options:
    """How a server behaves."""

    delay: float = 0.01
    """Seconds between two pieces of a stream."""
    hang_limit: float = 3600.0
    log: IO[str] | None = None
    dump: Path | None = None


class Server(ThreadingHTTPServer):
    """Binds loopback only; a thread a connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, desk: Desk, options: Options) -> None:
        self.desk, self.options = desk, options
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error of ours; anything else is printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection; also the stream that a dialect writes to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    session = "default"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed a request."""

    # -- the answer

    def json(self, value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer with one JSON document."""
        data = json.dumps(value).encode()
        self._head(status, ("content-type", "application/json"), ("content-length", str(len(data))), *headers)
        if self.command != "HEAD":
            self.wfile.write(data)

    def open(self) -> None:
        """Begin a stream."""
        self._head(200, ("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("transfer-encoding", "chunked"))

    def event(self, value: Any, name: str | None = None) -> None:
        """One event of it."""
        text = f"event: {name}\n" if name else ""
        text += f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n"
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def close(self) -> None:
        """End it well."""
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _head(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("request-id", "req_scripted")):
            self.send_header(name, value)
        self.end_headers()

    # -- the request

    def route(self) -> tuple[str, dict[str, list[str]]]:
        """The path without the session's prefix, and the query."""
        parts = urlsplit(self.path)
        found = re.match(r"^/s/([\w.-]+)(/.*)?$", parts.path)
        self.session = found[1] if found else "default"
        return ((found[2] or "/") if found else parts.path), parse_qs(parts.query)

    def body(self) -> bytes:
        """The whole body, whatever its coding."""
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            raw = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw

    def note(self, path: str, talk: Talk | None, status: int, **more: Any) -> Json:
        """Write the request down; the entry may still be added to."""
        entry: Json = {"t": round(time.time(), 3), "session": self.session, "method": self.command, "path": path, "status": status,
                       "ua": (self.headers.get("user-agent") or "")[:80], **more}
        if talk:
            last = talk.turns[-1] if talk.turns else None
            entry |= {"model": talk.body.get("model"), "api": talk.api, "stream": bool(talk.body.get("stream")), "cwd": talk.cwd(),
                      "last": f"{last[0]}: {last[1][-160:]}" if last else None}
        with self.server.desk.lock:
            self.server.desk.log.append(entry)
        if self.server.options.log:
            print(json.dumps(entry), file=self.server.options.log, flush=True)
        return entry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, query = self.route()
        desk = self.server.desk
        if path == "/__ctl/log":
            self.json(desk.entries(query.get("session", [""])[0]))
        elif path == "/__ctl/state":
            self.json(desk.state())
        elif path == "/__ctl/scenarios":
            self.json(sorted(SCENARIOS))
        else:
            known = path.endswith("/models") or "/models/" in path
            self.note(path, None, 200 if known or path == "/" else 404)
            if known:
                self.json(_models(path))
            else:
                self.json({"ok": True} if path == "/" else LOST, 200 if path == "/" else 404)

    def do_POST(self) -> None:
        path, _ = self.route()
        raw = self.body()
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            body = {}
        if path.startswith("/__ctl/"):
            self._control(path, body)
        elif path.endswith(("/v1/logs", "/v1/metrics", "/v1/traces")):
            self._telemetry(path, raw)
        elif path.endswith(("/count_tokens", ":countTokens")):
            self.note(path, None, 200)
            self.json({"totalTokens" if path.endswith(":countTokens") else "input_tokens": len(raw) // 4})
        elif not (api := _api(path)):
            self.note(path, None, 404, body=str(body)[:200])
            self.json(LOST, 404)
        else:
            self._model(path, api, body, len(raw))

    def _control(self, path: str, body: Json) -> None:
        if path == "/__ctl/reset":
            self.server.desk.reset(body.get("session", ""))
        elif path != "/__ctl/script" or ("steps" not in body and body.get("scenario") not in SCENARIOS):
            self.json({"error": "no such scenario"}, 400)
            return
        else:
            self.server.desk.script(body.get("session", "default"), body)
        self.json({"ok": True})

    def _telemetry(self, path: str, raw: bytes) -> None:
        text = raw.decode(errors="replace")
        names = re.findall(r'"(?:name|event.name)":\s*"([\w.]+)"', text)
        names += re.findall(r'"key":\s*"event.name",\s*"value":\s*\{"stringValue":\s*"([\w.]+)"', text)
        self.note(path, None, 200, otel=sorted(set(names)))
        self._dump(f"otel{path.replace('/', '-')}", raw)
        self.json({})

    def _dump(self, name: str, data: bytes) -> None:
        if folder := self.server.options.dump:
            (folder / f"{int(time.time() * 1000)}-{self.session}-{name}.json").write_bytes(data)

    def _model(self, path: str, api: str, body: Json, size: int) -> None:
        talk = DIALECTS[api].read(body)
        if api == "gemini":
            body["stream"] = ":stream" in path
            body["model"] = path.split("/models/")[-1].split(":")[0]
        self._dump(api, json.dumps({"path": self.path, "headers": dict(self.headers), "body": body}, indent=1).encode())
        decided = self.server.desk.decide(self.session, talk)
        fault = decided.step.get("http")
        entry = self.note(path, talk, fault["status"] if fault else 200, **decided.info)
        try:
            if fault:
                self._fail(api, fault)
            else:
                self._say(api, talk, decided, size, entry)
        except (BrokenPipeError, ConnectionResetError) as error:
            entry["client_gone"] = type(error).__name__
            self.close_connection = True
        finally:
            entry["ended"] = round(time.time(), 3)

    def _fail(self, api: str, fault: Json) -> None:
        headers = [("retry-after", str(fault["retry_after"]))] if fault.get("retry_after") else []
        if fault.get("no_retry"):
            headers.append(("x-should-retry", "false"))
        kind = fault.get("kind") or ""
        message = WORDS.get(fault["status"], "scripted error")
        if kind == "context":
            message = "prompt is too long: 212345 tokens > 200000 maximum"
        if kind == "quota":
            message = "You exceeded your current quota, please check your plan and billing details."
        said = DIALECTS[api].error(fault["status"], kind, message, fault.get("retry_after"))
        self.json(said, fault["status"], tuple(headers))

    def _say(self, api: str, talk: Talk, decided: Decision, size: int, entry: Json) -> None:
        step = decided.step
        hangs, cuts = step.get("hang"), step.get("cut")
        if (hangs or cuts) and (not talk.body.get("stream") or (hangs or {}).get("before_headers")):
            if hangs:
                entry["client_waited"] = self.wait_gone()
            self.close_connection = True
            return
        stop = hangs or cuts
        reply = Reply(
            text=stop.get("after", "...") if stop else decided.text, calls=() if stop else decided.calls, partial=bool(stop),
            usage_in=step.get("usage_in") or size // 4, delay=float(step.get("delay", self.server.options.delay)))
        DIALECTS[api].answer(self, talk, reply)
        if hangs:
            entry["client_waited"] = self.wait_gone()
            self.close_connection = True
        elif cuts:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def wait_gone(self) -> float:
        """Block until the client hangs up; how long it stayed."""
        begun = time.monotonic()
        self.connection.settimeout(0.2)
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < self.server.options.hang_limit and not self.server.closing.is_set():
                try:
                    if self.connection.recv(1, socket.MSG_PEEK) == b"":
                        break
                    self.server.closing.wait(0.2)
                except TimeoutError:
                    continue
        return round(time.monotonic() - begun, 1)


def _models(path: str) -> Json:
    shared = {"object": "model", "type": "model", "created": 1, "owned_by": "me"}
    data = [{"id": name, "display_name": name, **shared} for name in NAMES]
    named = [{"name": "models/" + name, "slug": name} for name in NAMES] if "v1beta" in path else []
    return {"object": "list", "data": data, "models": named, "has_more": False}


def _api(path: str) -> str:
    """The dialect of a path, or empty."""
    if ":generateContent" in path or ":streamGenerateContent" in path:
        return "gemini"
    ends = {"/messages": "anthropic", "/chat/completions": "chat", "/responses": "responses"}
    return next((api for end, api in ends.items() if path.endswith(end)), "")


class Model:
    """A running model, for tests in the same process."""

    def __init__(self, server: Server) -> None:
        self.server, self.url, self.desk = server, server.url, server.desk

    def base(self, session: str) -> str:
        """The address to give to the agent of this session; OpenAI's dialects want `/v1` after it."""
        return f"{self.url}/s/{session}"

    def script(self, session: str, scenario: str, **params: Any) -> None:
        """What the session's model does from now on, whatever its prompt says."""
        assert scenario in SCENARIOS, scenario
        self.desk.script(session, {"scenario": scenario, "params": params})

    def steps(self, session: str, *steps: Json) -> None:
        """The same with steps of one's own."""
        self.desk.script(session, {"steps": list(steps)})

    def log(self, session: str = "") -> list[Json]:
        """Every request so far: `path`, `status`, `scenario`, `pos`, `calls`, `side`, `client_waited`."""
        return self.desk.entries(session)

    def turns(self, session: str) -> list[Json]:
        """Those that were turns of the conversation: no side requests, no listings."""
        return [entry for entry in self.log(session) if entry.get("api") and not entry.get("side")]


@contextlib.contextmanager
def model(*, port: int = 0, default: str = "proper", delay: float = 0.002, dump: Path | None = None) -> Iterator[Model]:
    """A model on a free port until the block ends; clients that hang are let go then."""
    server = Server(port, Desk(default), Options(delay=delay, dump=dump))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"model-{uuid.uuid4().hex[:6]}")
    thread.start()
    try:
        yield Model(server)
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def main(argv: list[str] | None = None) -> None:
    """Serve until interrupted; the address is printed as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8399, help="0: a free one")
    parser.add_argument("--default", default="proper", choices=sorted(SCENARIOS), help="scenario when nothing else says")
    parser.add_argument("--delay", type=float, default=0.01, help="seconds between stream pieces")
    parser.add_argument("--hang-limit", type=float, default=3600)
    parser.add_argument("--log", type=argparse.FileType("a"), help="JSON lines, one a request")
    parser.add_argument("--dump", type=Path, help="folder: write every request body there")
    given = parser.parse_args(argv)
    server = Server(given.port, Desk(given.default), Options(given.delay, given.hang_limit, given.log, given.dump))
    print(json.dumps({"url": server.url, "port": server.server_address[1]}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
