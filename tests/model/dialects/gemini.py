"""Gemini generateContent."""

import json
from typing import Any

from model.dialects.stream import Out, pause
from model.talk import Json, Reply, Talk, pieces, text_of


class Gemini:
    """`POST /v1beta/models/M:generateContent` and `:streamGenerateContent`."""

    def read(self, body: Json) -> Talk:
        system = body.get("systemInstruction") or {}
        talk = Talk("gemini", body, system=text_of(system.get("parts")) if isinstance(system, dict) else str(system))
        for tool in body.get("tools") or []:
            for function in tool.get("functionDeclarations") or []:
                talk.tools[function["name"]] = function.get("parametersJsonSchema") or function.get("parameters")
        for message in body.get("contents", []):
            parts = message.get("parts") or []
            if message.get("role") == "model":
                talk.turns.append(("assistant", text_of(parts)))
            elif any("functionResponse" in part for part in parts):
                talk.turns.append(("tool", json.dumps(parts)[:2000]))
            else:
                talk.turns.append(("user", text_of(parts)))
        return talk

    def answer(self, out: Out, talk: Talk, reply: Reply) -> None:
        usage = {"promptTokenCount": reply.usage_in, "candidatesTokenCount": reply.usage_out,
                 "totalTokenCount": reply.usage_in + reply.usage_out}

        def part(parts: list[Json], finish: str | None = None) -> Json:
            candidate: Json = {"index": 0, "content": {"role": "model", "parts": parts}}
            if finish:
                candidate["finishReason"] = finish
            return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": talk.body.get("model"), "responseId": "r1"}

        calls: list[Json] = [{"functionCall": {"name": name, "args": arguments}} for name, arguments in reply.calls]
        if not talk.body.get("stream"):
            said: list[Json] = [{"text": reply.text}] if reply.text else []
            out.json(part(said + calls, "STOP"))
            return
        out.open()
        for piece in pieces(reply.text):
            pause(reply.delay)
            out.event(part([{"text": piece}]))
        if not reply.partial:
            out.event(part(calls or [{"text": ""}], "STOP"))
            out.close()

    def error(self, status: int, kind: str, message: str, retry_after: Any) -> Json:
        word = {429: "RESOURCE_EXHAUSTED", 401: "UNAUTHENTICATED", 500: "INTERNAL", 529: "UNAVAILABLE", 400: "INVALID_ARGUMENT"}
        if kind == "context":
            message = "The input token count (1212345) exceeds the maximum number of tokens allowed (1048576)."
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after or 2}s"}
        return {"error": {"code": status, "message": message, "status": word.get(status, "UNKNOWN"),
                          "details": [retry] if status == 429 else []}}
