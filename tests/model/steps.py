"""Turns a step into calls of whatever tools the client offers; the shell is the last resort."""

from collections.abc import Iterable
from typing import Any

from model.talk import Json, Talk

READ = ("Read", "read", "read_file", "view", "read_files", "ReadFile")
WRITE = ("Write", "write", "write_file", "write_to_file", "create", "editor")
EDIT = ("Edit", "edit", "replace", "replace_in_file", "str_replace_editor", "str_replace")
SHELL = ("Bash", "bash", "run_shell_command", "exec_command", "shell_command", "shell", "run_commands", "execute_command",
         "local_shell")
ASK = ("AskUserQuestion", "question", "request_user_input", "ask_user_question", "ask_user", "ask_followup_question",
       "ask_question")
AGENT = ("Agent", "Task", "task", "spawn_agent", "agent")
PATHS = ("file_path", "filePath", "absolute_path", "path", "paths", "files")

Calls = list[tuple[str, Any]]
"""Names and arguments (text for freeform tools)."""


def pick(names: Iterable[str], among: Iterable[str]) -> str | None:
    """The first of the names that is there."""
    there = set(among)
    return next((name for name in names if name in there), None)


def properties(schema: Json | None) -> Json:
    """The properties of a tool's schema."""
    found: Json = (schema or {}).get("properties") or {}
    return found


def filled(schema: Json | None, arguments: Json) -> Json:
    """The arguments with something for every required one that is missing."""
    for name in (schema or {}).get("required") or []:
        if name not in arguments:
            arguments[name] = _something(properties(schema).get(name) or {})
    return arguments


def _something(rule: Json) -> Any:
    kind = rule.get("type")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if rule.get("enum"):
        return rule["enum"][0]
    simple: Json = {"boolean": False, "integer": 1, "number": 1, "array": [], "object": {}}
    return simple.get(kind, "scripted")


class Hand:
    """The tools of one client, by what they are for."""

    def __init__(self, talk: Talk, cwd: str | None, step: Json) -> None:
        self.talk, self.cwd, self.escalate = talk, cwd, bool(step.get("escalate"))
        self.tools = talk.tools

    def at(self, path: str) -> str:
        """The path as this client wants it: absolute, when it said where it works."""
        return path if path.startswith("/") or not self.cwd else f"{self.cwd}/{path}"

    def path(self, tool: str, path: str) -> Json:
        """The argument that names a file."""
        known = properties(self.tools[tool])
        key = pick(PATHS, known) or "file_path"
        many = str((known.get(key) or {}).get("type")).lower() == "array"
        return {key: [self.at(path)] if many else self.at(path)}

    def shell(self, command: str) -> Calls:
        """Run a command."""
        tool = pick(SHELL, self.tools)
        if not tool:
            return []
        known = properties(self.tools[tool])
        key = pick(("command", "cmd", "commands", "input"), known) or "command"
        words = ["bash", "-lc", command] if tool in ("shell", "local_shell") else [command]
        arguments: Json = {key: words if str((known.get(key) or {}).get("type")).lower() == "array" else command}
        if "description" in known:
            arguments["description"] = "scripted step"
        if "yield_time_ms" in known:
            arguments["yield_time_ms"] = 30000  # else a long command comes back after ten seconds
        if self.escalate and "sandbox_permissions" in known:
            arguments.update(sandbox_permissions="require_escalated", justification="scripted: needs to run outside the sandbox")
        return [(tool, filled(self.tools[tool], arguments))]

    def read(self, path: str) -> Calls:
        """Read a file."""
        tool = pick(READ, self.tools)
        if tool == "read_files":
            return [(tool, filled(self.tools[tool], {"files": [{"path": self.at(path)}]}))]
        return [(tool, filled(self.tools[tool], self.path(tool, path)))] if tool else self.shell("cat " + path)

    def write(self, what: Json) -> Calls:
        """Make a file."""
        tool, path, content = pick(WRITE, self.tools), what["path"], what["content"]
        if tool == "editor":
            return [(tool, {"command": "create", "path": self.at(path), "file_text": content, "new_text": content})]
        if tool:
            key = pick(("content", "file_text", "contents"), properties(self.tools[tool])) or "content"
            return [(tool, filled(self.tools[tool], {**self.path(tool, path), key: content}))]
        if "apply_patch" in self.tools:
            body = "".join(f"+{line}\n" for line in content.splitlines())
            return self.patch(f"*** Begin Patch\n*** Add File: {path}\n{body}*** End Patch\n")
        return self.shell(f"cat > {path} <<'XEOF'\n{content}XEOF")

    def edit(self, what: Json) -> Calls:
        """Change a file."""
        tool = pick(EDIT, self.tools)
        if tool:
            known, arguments = properties(self.tools[tool]), self.path(tool, what["path"])
            arguments[pick(("old_string", "oldString", "old_str", "oldText"), known) or "old_string"] = what["old"]
            arguments[pick(("new_string", "newString", "new_str", "newText"), known) or "new_string"] = what["new"]
            return [(tool, filled(self.tools[tool], arguments))]
        if "apply_patch" in self.tools:
            body = f"@@\n-{what['old']}\n+{what['new']}\n"
            return self.patch(f"*** Begin Patch\n*** Update File: {what['path']}\n{body}*** End Patch\n")
        return self.shell(f"sed -i 's/{what['old']}/{what['new']}/' {what['path']}")

    def patch(self, text: str) -> Calls:
        """Apply a patch in the form that the client's tool takes."""
        if "apply_patch" in self.talk.freeform:
            return [("apply_patch", text)]
        return [("apply_patch", {pick(("patchText", "patch"), properties(self.tools["apply_patch"])) or "input": text})]

    def ask(self, text: str, options: list[str]) -> Calls:
        """Ask the person through the client's own tool; nothing when it has none."""
        tool = pick(ASK, self.tools)
        if not tool:
            return []
        choices = [{"label": one, "description": one} for one in options]
        question = {"question": text, "header": "Choice", "id": "q1", "options": choices, "multiSelect": False, "multiple": False,
                    "type": "choice"}
        known = properties(self.tools[tool])
        arguments: Json = {"questions": [question]} if "questions" in known else {"question": text, "options": options}
        return [(tool, filled(self.tools[tool], arguments))]

    def helper(self, prompt: str) -> Calls:
        """Start a sub-agent; nothing when the client has none."""
        tool = pick(AGENT, self.tools)
        if not tool:
            return []
        known = properties(self.tools[tool])
        wanted: Json = {"prompt": prompt, "description": "scripted subagent", "message": prompt, "run_in_background": False}
        for key in ("subagent_type", "agent_type"):
            wanted[key] = "general-purpose" if tool in ("Agent", "Task") else "general"
        return [(tool, filled(self.tools[tool], {key: value for key, value in wanted.items() if key in known}))]

    def like(self, pattern: str, arguments: Json) -> Calls:
        """Call the first tool whose name holds the pattern."""
        tool = next((name for name in self.tools if pattern in name), None)
        return [(tool, filled(self.tools[tool], dict(arguments)))] if tool else []

    def calls(self, step: Json) -> Calls:
        """All calls of one step."""
        out: Calls = []
        for key, do in (("read", self.read), ("write", self.write), ("edit", self.edit), ("shell", self.shell)):
            if key in step:
                out += do(step[key])
        if "tool" in step:
            out.append((step["tool"]["name"], step["tool"].get("args", {})))
        if "tool_like" in step:
            out += self.like(step["tool_like"]["pattern"], step["tool_like"].get("args", {}))
        if step.get("badargs") and (tool := pick(SHELL, self.tools)):
            out.append((tool, {"nonsense": 1}))
        if "ask" in step:
            out += self.ask(step["ask"], step.get("options", []))
        if "subagent" in step:
            out += self.helper(step["subagent"])
        return out


def to_calls(step: Json, talk: Talk, cwd: str | None) -> Calls:
    """The calls of a step, with the tools that this client offers."""
    hand = Hand(talk, cwd, step)
    return [call for one in step.get("many") or [step] for call in hand.calls(one)]


def textual(steps: list[Json], talk: Talk, position: int) -> str | None:
    """The whole script as one answer, for a client without tools that takes edits as text; None: it is not such a client."""
    if "SEARCH/REPLACE" not in talk.system and "*file listing*" not in talk.system:
        return None
    if position:
        return "Nothing more to do. TASK-COMPLETE"
    final: dict[str, str] = {}
    note = ""
    for step in steps:
        if "write" in step:
            final[step["write"]["path"]] = step["write"]["content"]
        if "edit" in step and step["edit"]["path"] in final:
            path = step["edit"]["path"]
            final[path] = final[path].replace(step["edit"]["old"], step["edit"]["new"])
        note = step.get("say") or note
    if "*file listing*" in talk.system and "SEARCH/REPLACE block" not in talk.system:
        return note + "\n" + "".join(f"\n{path}\n```\n{text}```\n" for path, text in final.items())
    blocks = (f"\n{path}\n```\n<<<<<<< SEARCH\n=======\n{text}>>>>>>> REPLACE\n```\n" for path, text in final.items())
    return note + "\n" + "".join(blocks)
