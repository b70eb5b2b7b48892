"""What every adapter must hold, tried on this machine: for `andon agents check` and contract tests. Touches no person's files."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal, get_args
from urllib.parse import urlsplit

import msgspec

from andon.schema.agent import Adapter, Assignment, Launch, Profile, Supervised
from andon.schema.errors import Mistake
from andon.schema.health import Source
from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line, Signal, TurnEnded

from . import hook
from .sitting import Sitting

LIVE_S = 90.0
WORD_LIMIT = 128 * 1024
"""Bytes of one word that the system takes, its end included."""
PROMPTS = (
    "Do it.", "say \"this\" and 'that' and `date` and $HOME", "one line\nanother line\n\n- a list\n", "日本語 → ünïcode 🙂",
    "-v is what I mean", "--help", "/compact this text", "!ls", "# A title\n\nand a text", "@README.md what is this?",
    "x" * 300_000,
)
TAGS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(AnySignal))
KEY = "sk-check-0123456789-0123456789-0123456789"
Result = Literal["pass", "fail", "unevaluated"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    result: Result
    because: str


class Broken(Exception):
    """A part does not hold; the text says how."""


class Unevaluated(Exception):
    """A part could not be tried; the text says why."""


def check(adapter: Adapter, *, model: str = "") -> tuple[Part, ...]:
    """Everything that can be tried of an adapter. With `model`, the address of a scripted model, a real job is run as well."""
    parts: tuple[tuple[str, Callable[[Adapter], str]], ...] = (
        ("detect", _detects), ("launch", _launches), ("prompt", _prompts), ("seeds", _seeds), ("no traces", _traces),
        ("profile", _profile), ("read anything", _reads_anything), ("read its own", _reads_its_own),
        ("a real job", lambda one: _works(one, model)),
    )
    return tuple(_part(name, attempt, adapter) for name, attempt in parts)


def _part(name: str, attempt: Callable[[Adapter], str], adapter: Adapter) -> Part:
    try:
        return Part(name=name, result="pass", because=attempt(adapter))
    except Broken as broken:
        return Part(name=name, result="fail", because=str(broken))
    except Mistake as mistake:
        return Part(name=name, result="fail", because=mistake.problem.what)
    except Unevaluated as why:
        return Part(name=name, result="unevaluated", because=str(why))


def _must(so: bool, otherwise: str) -> None:
    if not so:
        raise Broken(otherwise)


def _supervised(adapter: Adapter) -> Supervised:
    if not isinstance(adapter, Supervised):
        raise Unevaluated("this adapter only starts its program: nothing of it is read")
    return adapter


class Stage:
    """A place of its own for one start: checkout, job, home, and stand-ins for programs that are not installed."""

    def __init__(self, folder: Path, adapter: Adapter, *, real: bool = False) -> None:
        """Below `folder`."""
        self.checkout, self.job, self.home, self.bin = (folder / name for name in ("checkout", "job", "home", "bin"))
        for path in (self.checkout, self.job, self.home, self.bin, self.job / "asks"):
            path.mkdir(parents=True)
        (self.checkout / "README.md").write_text("# Project\n")
        self.adapter = adapter
        self.profile = adapter.profile() if isinstance(adapter, Supervised) else Profile()
        if not real:
            for name in {adapter.name, *self.profile.processes, "my-agent", "node"} | {path.name for path in _programs(adapter)}:
                (self.bin / name).write_text("#!/bin/sh\n")
                (self.bin / name).chmod(0o755)

    def person(self) -> dict[str, str]:
        """The environment of the session."""
        around = {name: value for name, value in os.environ.items() if name not in self.profile.keys}
        path = f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**around, **dict.fromkeys(self.profile.keys[:1], KEY), "PATH": path, "COPILOT_MODEL": "scripted-1",
                "COPILOT_OFFLINE": "true", "OPENAI_MODEL": "scripted-1"}

    def assignment(self, prompt: str, *, gateway: str = "", approve: str = "policy") -> Assignment:
        """What the adapter would be given."""
        prompt_file = self.job / "prompt.md"
        prompt_file.write_text(prompt)
        command = ("my-agent", "{prompt_file}") if self.adapter.name in ("command", "acp") else ()
        agent = AgentSettings(name="check", use=self.adapter.name, command=command, approve=approve,
                              env={"PATH": self.person()["PATH"]})
        server = (sys.executable, "-c", "import sys; sys.stdin.read()")
        return Assignment(attempt=AttemptId("T1.1"), task=TaskId("T1"), title="A title", prompt=prompt, prompt_file=prompt_file,
                          checkout=self.checkout, job=self.job, home=self.home, repository=self.checkout, agent=agent,
                          gateway=gateway, hook=(sys.executable, "-I", "-S", hook.__file__), mcp=server if not gateway else (),
                          person=self.person())


def _programs(adapter: Adapter) -> list[Path]:
    """Words by which an adapter's program may be known."""
    words = (getattr(adapter, "program", ""), *getattr(adapter, "argv", ())[:1])
    return [Path(word) for word in words if isinstance(word, str) and word]


def _staged(adapter: Adapter, act: Callable[[Stage], str]) -> str:
    with tempfile.TemporaryDirectory(prefix="andon-check-") as folder:
        return act(Stage(Path(folder).resolve(), adapter))


# --- the parts -----------------------------------------------------------------------------------------------------------


def _detects(adapter: Adapter) -> str:
    found = adapter.detect()
    for one in found:
        _must(one.adapter == adapter.name, f"it found `{one.adapter}`, which is not its own name")
        _must(Path(one.binary).is_absolute() and os.access(one.binary, os.X_OK), f"{one.binary} is no program")
    return ", ".join(f"{one.binary} {one.version}".strip() for one in found) or "its program is not installed here"


def _well_formed(launch: Launch) -> None:
    _must(bool(launch.argv) and Path(launch.argv[0]).is_absolute(), f"the program `{launch.argv[:1]}` is no full path")
    for word in (*launch.argv, *launch.env, *launch.env.values()):
        _must("\0" not in word, "a word holds a zero byte")
        _must(len(os.fsencode(word)) < WORD_LIMIT, f"a word is {len(os.fsencode(word)):,} bytes long")


def _launches(adapter: Adapter) -> str:
    def act(stage: Stage) -> str:
        for approve in ("policy", "all"):
            launch = adapter.launch(stage.assignment("Do it.", approve=approve))
            _well_formed(launch)
        again = adapter.launch(stage.assignment("Do it.", approve="all"))
        _must(again.conversation == launch.conversation, "a start that is seen through twice would begin two conversations")
        resumed = adapter.launch(msgspec.structs.replace(stage.assignment("Go on."), resume="7d1f3c3e-0000-4000-8000-000000000001"))
        _well_formed(resumed)
        return Path(launch.argv[0]).name
    return _staged(adapter, act)


def _prompts(adapter: Adapter) -> str:
    def act(stage: Stage) -> str:
        for prompt in PROMPTS:
            launch = adapter.launch(stage.assignment(prompt))
            _well_formed(launch)
            forms = (prompt, json.dumps(prompt)[1:-1], str(stage.job / "prompt.md"))
            told = [n for n, word in enumerate(launch.argv) if any(form in word for form in forms)]
            aside = [*launch.env.values(), *(seed.text for seed in launch.seeds)]
            arrives = bool(told) or any(form in text for text in aside for form in forms)
            _must(arrives, f"the prompt {prompt[:40]!r} does not arrive")
            for n in told:
                fine = not launch.argv[n].startswith("-") or "--" in launch.argv[:n] or launch.argv[n].startswith("--prompt")
                _must(fine, f"the prompt {prompt[:40]!r} would be taken for an option")
        return f"{len(PROMPTS)} prompts arrive whole, or as a pointer to their file"
    return _staged(adapter, act)


def _seeds(adapter: Adapter) -> str:
    def act(stage: Stage) -> str:
        seeds = adapter.launch(stage.assignment("Do it.")).seeds
        for seed in seeds:
            path = PurePosixPath(seed.path)
            _must(not path.is_absolute() and ".." not in path.parts, f"the seed {seed.path} lies outside of the private home")
            _must(seed.mode & 0o077 == 0, f"the seed {seed.path} can be read by others")
            _must(not (seed.copy and seed.text), f"the seed {seed.path} is text and copy at once")
            _must(KEY not in seed.text, f"the seed {seed.path} holds an API key")
        names = [seed.path for seed in seeds]
        _must(len(set(names)) == len(names), "two seeds have one place")
        return f"{len(seeds)} files, private" if seeds else "none"
    return _staged(adapter, act)


def _traces(adapter: Adapter) -> str:
    def act(stage: Stage) -> str:
        assignment = stage.assignment("Do it.")
        before = _listed(stage.home, stage.checkout, stage.job)
        adapter.launch(assignment)
        _must(_listed(stage.home, stage.checkout, stage.job) == before, "deciding what to run wrote files")
        return "deciding what to run writes nothing"
    return _staged(adapter, act)


def _listed(*folders: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for folder in folders for path in folder.rglob("*"))


def _profile(adapter: Adapter) -> str:
    profile = _supervised(adapter).profile()
    strange = set(profile.sees) - TAGS
    _must(not strange, f"it claims to see what is no signal: {', '.join(sorted(strange))}")
    _must(bool(profile.install), "it does not say how its program is installed")
    login = _supervised(adapter).login(AgentSettings(name="check", use=adapter.name), {})
    _must(login.state != "ready" or not profile.keys, "without any variable and home it says that it is logged in")
    _must(login.state != "missing" or bool(login.mend), "a login is missing and nothing says how to mend that")
    return f"sees {len(profile.sees)} kinds of signal; {len(profile.blind)} things are said to be unseen"


def garbage(seed: int = 7, count: int = 400) -> list[bytes]:
    """Lines that no agent should say: broken JSON, wrong types, known words in wrong places."""
    chance = random.Random(seed)
    words = ["hook_event_name", "type", "method", "params", "tool_name", "tool_input", "PreToolUse", "Stop", "assistant", "message",
             "id", "session_id", "PermissionRequest", "questions", "content", "usage", "result", "properties", "event", "error"]

    def value(depth: int) -> object:
        kind = chance.randrange(9 if depth < 4 else 6)
        if kind < 6:
            return (None, True, chance.choice(words), -1, 1e300, "\ud800é\0")[kind]
        if kind < 8:
            return {chance.choice(words): value(depth + 1) for _ in range(chance.randrange(5))}
        return [value(depth + 1) for _ in range(chance.randrange(4))]

    lines = [json.dumps({**{word: value(1) for word in chance.sample(words, 5)}, "hook_event_name": chance.choice(words),
                         "type": chance.choice(words)}).encode() for _ in range(count)]
    return [b"", b"{", b"null", b"[" * 5000, b'"text"', b"\xff\xfe", b"{}", b"1", *lines]


def _reads_anything(adapter: Adapter) -> str:
    reader, lines = _supervised(adapter), garbage()
    for source in get_args(Source):
        for raw in lines:
            line = Line(at=1, source=source, data=msgspec.Raw(raw), agent=adapter.name)
            try:
                signals = reader.read(line)
            except Exception as error:  # whatever it raises is what we look for
                raise Broken(f"{type(error).__name__} on a {source} line {raw[:80]!r}") from error
            _must(all(isinstance(one, Signal) for one in signals), f"a {source} line gave something that is no signal")
            msgspec.json.encode(signals)
    return f"{len(lines)} strange lines from each source: nothing is raised"


def samples(name: str) -> list[Line]:
    """Recorded raw lines of an agent, that come with the program; none when there are none."""
    place = resources.files("andon_agents") / "samples" / f"{name}.jsonl"
    if not place.is_file():
        return []
    return [msgspec.json.decode(row, type=Line) for row in place.read_bytes().splitlines() if row.strip()]


def _reads_its_own(adapter: Adapter) -> str:
    reader, lines = _supervised(adapter), samples(adapter.name)
    if not lines:
        raise Unevaluated("no recorded lines of it come with the program")
    seen = {str(one.__struct_config__.tag) for line in lines for one in reader.read(line)}
    more = seen - set(reader.profile().sees)
    _must(not more, f"it gives what its profile does not name: {', '.join(sorted(more))}")
    _must(bool(seen), "it understands none of its own recorded lines")
    return f"{len(lines)} recorded lines give {', '.join(sorted(seen))}"


def _works(adapter: Adapter, model: str) -> str:
    reader = _supervised(adapter)
    if not adapter.detect():
        raise Unevaluated("its program is not installed here")
    if not model:
        raise Unevaluated("no scripted model was named: --model http://127.0.0.1:PORT")
    with tempfile.TemporaryDirectory(prefix="andon-check-", ignore_cleanup_errors=True) as folder:
        return _job(reader, Stage(Path(folder).resolve(), adapter, real=True), model.rstrip("/"))


def _job(adapter: Supervised, stage: Stage, model: str) -> str:
    begin = ("init -q -b main .", "config user.email check@localhost", "config user.name check", "add -A", "commit -q -m begun")
    for words in begin:
        subprocess.run(("git", *words.split()), cwd=stage.checkout, check=True, capture_output=True)
    prompt = 'Write "hello" → 日本語. [[scenario:proper]]'
    gateway = f"{model}/s/check-{adapter.name}-{os.getpid()}{urlsplit(stage.profile.upstream).path.rstrip('/')}"
    assignment = stage.assignment(prompt, gateway=gateway, approve="all")
    began = time.monotonic()
    with Sitting(adapter, adapter.launch(assignment), home=stage.home, job=stage.job, cwd=stage.checkout,
                 env=stage.person()) as sitting:
        try:
            sitting.wait(lambda: _commits(stage.checkout) > 1, "a commit", LIVE_S)
            if stage.profile.channel == "hooks" and "turn-ended" in stage.profile.sees:
                sitting.wait_for(TurnEnded, seconds=30)
        except TimeoutError as error:
            raise Broken(str(error)[:600]) from error
    return f"a scripted job was done and committed in {time.monotonic() - began:.1f} s"


def _commits(checkout: Path) -> int:
    done = subprocess.run(("git", "rev-list", "--count", "HEAD"), cwd=checkout, capture_output=True, text=True, check=False)
    return int(done.stdout or 0)
