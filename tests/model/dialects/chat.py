"""OpenAI Chat Completions."""

import json
import time
import uuid
from typing import Any

from model.dialects.stream import Out, openai_error, pause
from model.talk import Json, Reply, Talk, pieces, text_of


class Chat:
    """`POST /v1/chat/completions`."""

    def read(self, body: Json) -> Talk:
        talk = Talk("chat", body)
        for tool in body.get("tools") or []:
            function: Json = tool.get("function") or tool.get("custom") or {}
            talk.tools[function["name"]] = function.get("parameters")
        for message in body.get("messages", []):
            role = message["role"]
            if role in ("system", "developer"):
                talk.system += text_of(message.get("content"))
            else:
                talk.turns.append(("tool" if role == "function" else role, text_of(message.get("content"))))
        return talk

    def answer(self, out: Out, talk: Talk, reply: Reply) -> None:
        usage = {"prompt_tokens": reply.usage_in, "completion_tokens": reply.usage_out,
                 "total_tokens": reply.usage_in + reply.usage_out}
        calls: list[Json] = [
            {"index": index, "id": "call_" + uuid.uuid4().hex[:12], "type": "function",
             "function": {"name": name, "arguments": json.dumps(arguments)}}
            for index, (name, arguments) in enumerate(reply.calls)]
        base = {"id": "chatcmpl-" + uuid.uuid4().hex[:12], "created": int(time.time()), "model": talk.body.get("model")}
        end = "tool_calls" if calls else "stop"
        if not talk.body.get("stream"):
            message: Json = {"role": "assistant", "content": reply.text or None}
            if calls:
                message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
            choice = {"index": 0, "message": message, "finish_reason": end}
            out.json({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        base["object"] = "chat.completion.chunk"
        self._stream(out, base, reply, calls, end)
        if reply.partial:
            return
        if (talk.body.get("stream_options") or {}).get("include_usage"):
            out.event({**base, "choices": [], "usage": usage})
        out.event("[DONE]")
        out.close()

    def _stream(self, out: Out, base: Json, reply: Reply, calls: list[Json], end: str) -> None:
        def chunk(delta: Json, finish: str | None = None) -> None:
            out.event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        out.open()
        chunk({"role": "assistant", "content": ""})
        for piece in pieces(reply.text):
            pause(reply.delay)
            chunk({"content": piece})
        if not reply.partial:
            for call in calls:
                chunk({"tool_calls": [call]})
            chunk({}, end)

    def error(self, status: int, kind: str, message: str, retry_after: Any) -> Json:
        return openai_error(status, kind, message)
