"""OpenAI Responses."""

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

from model.dialects.stream import Out, openai_error, pause
from model.talk import Json, Reply, Talk, pieces, text_of


class Responses:
    """`POST /v1/responses`."""

    def read(self, body: Json) -> Talk:
        talk = Talk("responses", body, system=body.get("instructions") or "")
        self._tools(talk, body.get("tools"))
        given = body.get("input") or []
        items: list[Json] = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
        for item in items:
            kind = item.get("type", "message")
            if kind == "message" and item.get("role") in ("system", "developer"):
                talk.system += "\n" + text_of(item.get("content"))
            elif kind == "message":
                talk.turns.append((item["role"], text_of(item.get("content"))))
            elif kind == "additional_tools":
                self._tools(talk, item.get("tools"))
            elif kind.endswith("_output"):
                talk.turns.append(("tool", json.dumps(item.get("output"))))
            elif kind.endswith("_call") or kind == "reasoning":
                talk.turns.append(("assistant", ""))
        return talk

    def _tools(self, talk: Talk, tools: Iterable[Json] | None, space: str = "") -> None:
        for tool in tools or []:
            if tool.get("type") == "namespace":
                self._tools(talk, tool.get("tools"), tool.get("name", ""))
                continue
            name = tool.get("name") or tool["type"]
            talk.tools[name] = tool.get("parameters")
            if tool.get("type") == "custom":
                talk.freeform.add(name)
            if space:
                talk.spaces[name] = space

    def _items(self, talk: Talk, reply: Reply) -> list[Json]:
        items: list[Json] = []
        if reply.text or not reply.calls:
            part = {"type": "output_text", "text": reply.text, "annotations": []}
            items.append({"type": "message", "id": "msg_" + uuid.uuid4().hex[:20], "role": "assistant", "status": "completed",
                          "content": [part]})
        for name, arguments in reply.calls:
            call = "call_" + uuid.uuid4().hex[:20]
            item: Json = {"call_id": call, "name": name, "status": "completed"}
            if isinstance(arguments, str):
                item |= {"type": "custom_tool_call", "id": "ctc_" + call, "input": arguments}
            else:
                item |= {"type": "function_call", "id": "fc_" + call, "arguments": json.dumps(arguments)}
            if name in talk.spaces:
                item["namespace"] = talk.spaces[name]
            items.append(item)
        return items

    def answer(self, out: Out, talk: Talk, reply: Reply) -> None:
        items = self._items(talk, reply)
        tokens = 5 + len(json.dumps(items)) // 4
        usage = {"input_tokens": reply.usage_in, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": tokens,
                 "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": reply.usage_in + tokens}
        whole: Json = {"id": "resp_" + uuid.uuid4().hex[:20], "object": "response", "created_at": int(time.time()),
                       "status": "completed", "model": talk.body.get("model"), "output": items, "usage": usage,
                       "parallel_tool_calls": True, "tools": [], "tool_choice": "auto"}
        if not talk.body.get("stream"):
            out.json(whole)
            return
        out.open()
        stream = _Numbered(out)
        stream.tell("response.created", response={**whole, "status": "in_progress", "output": [], "usage": None})
        for index, item in enumerate(items):
            (_message if item["type"] == "message" else _call)(stream, index, item, reply)
            if reply.partial:
                return
            stream.tell("response.output_item.done", output_index=index, item=item)
        stream.tell("response.completed", response=whole)
        out.close()

    def error(self, status: int, kind: str, message: str, retry_after: Any) -> Json:
        return openai_error(status, kind, message)


class _Numbered:
    """Events that carry a number each."""

    def __init__(self, out: Out) -> None:
        self.out, self.number = out, 0

    def tell(self, kind: str, **fields: Any) -> None:
        self.number += 1
        self.out.event({"type": kind, "sequence_number": self.number, **fields}, kind)


def _message(stream: _Numbered, index: int, item: Json, reply: Reply) -> None:
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    stream.tell("response.output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []})
    stream.tell("response.content_part.added", **place, part={"type": "output_text", "text": "", "annotations": []})
    for piece in pieces(reply.text):
        pause(reply.delay)
        stream.tell("response.output_text.delta", **place, delta=piece)
    if not reply.partial:
        stream.tell("response.output_text.done", **place, text=reply.text)
        stream.tell("response.content_part.done", **place, part=item["content"][0])


def _call(stream: _Numbered, index: int, item: Json, reply: Reply) -> None:
    plain = item["type"] == "function_call"
    key, kind = ("arguments", "response.function_call_arguments") if plain else ("input", "response.custom_tool_call_input")
    place = {"item_id": item["id"], "output_index": index}
    stream.tell("response.output_item.added", output_index=index, item={**item, key: "", "status": "in_progress"})
    stream.tell(kind + ".delta", **place, delta=item[key])
    stream.tell(kind + ".done", **place, **{key: item[key]})
