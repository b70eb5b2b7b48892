"""Anthropic Messages."""

import json
import uuid
from typing import Any

from model.dialects.stream import KINDS, Out, pause
from model.talk import MARK, Json, Reply, Talk, pieces, text_of


class Anthropic:
    """`POST /v1/messages`."""

    def read(self, body: Json) -> Talk:
        talk = Talk("anthropic", body, system=text_of(body.get("system")))
        for tool in body.get("tools") or []:
            talk.tools[tool.get("name")] = tool.get("input_schema")
        for message in body.get("messages", []):
            content = message.get("content")
            if message["role"] == "assistant":
                talk.turns.append(("assistant", text_of(content)))
            elif isinstance(content, list) and any(part.get("type") == "tool_result" for part in content):
                results = [part.get("content") for part in content if part.get("type") == "tool_result"]
                talk.turns.append(("tool", json.dumps(results)))
                said = "\n".join(part.get("text", "") for part in content if part.get("type") == "text")
                if MARK.search(said):
                    talk.turns.append(("user", said))
            else:
                talk.turns.append(("user", text_of(content)))
        return talk

    def answer(self, out: Out, talk: Talk, reply: Reply) -> None:
        blocks: list[Json] = [{"type": "text", "text": reply.text}] if reply.text else []
        blocks += [{"type": "tool_use", "id": "toolu_" + uuid.uuid4().hex[:20], "name": name, "input": arguments}
                   for name, arguments in reply.calls]
        stop = "tool_use" if reply.calls else "end_turn"
        usage = {"input_tokens": reply.usage_in, "output_tokens": reply.usage_out, "cache_read_input_tokens": 0,
                 "cache_creation_input_tokens": 0}
        message: Json = {
            "id": "msg_" + uuid.uuid4().hex[:20], "type": "message", "role": "assistant", "model": talk.body.get("model"),
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
        if not talk.body.get("stream"):
            out.json({**message, "content": blocks, "stop_reason": stop, "usage": usage})
            return
        out.open()
        out.event({"type": "message_start", "message": message}, "message_start")
        for index, block in enumerate(blocks):
            self._block(out, index, block, reply)
            if reply.partial:
                return
            out.event({"type": "content_block_stop", "index": index}, "content_block_stop")
        out.event({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}, "message_delta")
        out.event({"type": "message_stop"}, "message_stop")
        out.close()

    def _block(self, out: Out, index: int, block: Json, reply: Reply) -> None:
        plain = block["type"] == "text"
        begun = {"type": "text", "text": ""} if plain else {**block, "input": {}}
        out.event({"type": "content_block_start", "index": index, "content_block": begun}, "content_block_start")
        for piece in pieces(block["text"] if plain else json.dumps(block["input"])):
            pause(reply.delay)
            delta = {"type": "text_delta", "text": piece} if plain else {"type": "input_json_delta", "partial_json": piece}
            out.event({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")

    def error(self, status: int, kind: str, message: str, retry_after: Any) -> Json:
        error = {"type": KINDS.get(status, "api_error"), "message": message}
        return {"type": "error", "error": error, "request_id": "req_scripted"}
