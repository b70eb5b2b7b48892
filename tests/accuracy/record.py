"""Records streams of real agent CLIs against the scripted model, with labels from what the model and the driver did.

    python tests/accuracy/record.py --agent claude --out tests/accuracy/corpus [--only hang] [--seed 1] [--at-once 3]

Theory of operation. Each scene runs a real CLI, started as the daemon starts it (its adapter's launch, our shim, a private tmux,
our gateway before the scripted model), and keeps every raw line: hooks, channel, gateway, transcript, process table, pane. The
labels come from the other side: when the model took a request, ended or refused it, hung; when the driver answered or killed.
No rule of the monitor is asked. A state that stands still at the end may be written on as it was last seen (`stretch_s`).
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

# ruff: noqa: E402
sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec

from accuracy.labels import labels
from accuracy.scenes import BLIND, REAL, Scene, scenes
from andon.edges import homes, jobs, keyboard
from andon.edges.lines import Tail, decode
from andon.edges.spawn import spawn
from andon.edges.surroundings import attempt_env
from andon.edges.tmux import Tmux
from andon.edges.tree import Root, Trees
from andon.schema.agent import Assignment, Channel, SessionFacts, Supervised
from andon.schema.ids import AttemptId, TaskId, session_name
from andon.schema.jobs import ASKS, GATEWAY, HOOKS, ROUTE, Decision, Job, Route
from andon.schema.layout import Layout, layout
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnswerWanted, AnySignal, Began, Line, PermissionWanted, Recording, Screen, ToolBegan, Tree
from model.server import Model, model
from realkit import cli
from tmuxkit import private_tmux

LOOK_S, LONGEST_S = 1.0, 120.0
"""Between two looks at process table and pane; at most this long is one scene."""
KEYS = {"ANTHROPIC_API_KEY": "sk-test-0123456789abcdefghij", "OPENAI_API_KEY": "sk-test", "GEMINI_API_KEY": "test",
        "COPILOT_PROVIDER_API_KEY": "test"}
OWN_QUESTIONS = ("A potential loop was detected",)
"""What an agent asks at its screen by itself, literally."""
KEYED = {"gemini": ("1", "Escape")}
"""Agents that are answered at their screen alone: what allows, what denies."""
MODELS = {"aider": "openai/scripted-1", "gemini": "gemini-2.5-pro", "claude": "claude-sonnet-4-5"}
FILES = {"README.md": "# a small project\n\nIt says hello.\n", "src/a.py": "\n".join(f"a{n} = {n}" for n in range(20)) + "\n",
         "src/b.py": "print('b')\n"}


class Session:
    """One scene while it is recorded."""

    def __init__(self, scene: Scene, place: Layout, tmux: Tmux, served: Model, gateway: str, number: int) -> None:
        self.scene, self.place, self.tmux, self.served, self.number = scene, place, tmux, served, number
        self.attempt = AttemptId(f"T{number}.1")
        self.job, self.home = place.job(self.attempt), place.session_home(self.attempt)
        self.checkout = place.home / "checkouts" / f"c{number}"
        self.base, self.token = gateway, f"token{number}"
        self.session = f"s{number}"
        found = adapter_of(scene.agent)
        assert isinstance(found, Supervised) or scene.agent == "scripted"
        self.adapter: Any = found
        self.lines: list[Line] = []
        self.marks: list[tuple[int, str, str]] = []
        """(at, what, of what): what the driver saw and did, for the labels."""
        self.channel: Channel | None = None
        self.tails = [Tail(self.job / HOOKS), Tail(self.job / GATEWAY)]
        self.transcript: Tail | None = None
        self.asked: dict[str, float] = {}
        self.killed = False
        self.trees = Trees()
        self.rows: tuple[str, ...] = ()

    # --- start and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """As the daemon does it."""
        self._repository()
        self.served.desk.script(self.session, {"steps": steps_for(self.scene)})
        env = attempt_env(self.place, attempt=self.attempt, task=TaskId(f"T{self.number}"), path=self.checkout)
        env |= {**KEYS, "PATH": f"{program(self.scene.agent).parent}:{env['PATH']}"}
        agent = AgentSettings(name=self.scene.agent, use=self.scene.agent, approve="policy" if self.scene.ask else "all",
                              model=MODELS.get(self.scene.agent, "scripted-1"), env={"PATH": env["PATH"]})
        self.job.mkdir(parents=True, exist_ok=True)
        (self.job / ASKS).mkdir(exist_ok=True)
        route = Route(token=self.token, upstream=self.served.base(self.session))
        (self.job / ROUTE).write_bytes(msgspec.json.encode(route))
        prompt = self.job / "prompt.md"
        words = "Do the small job."
        if self.scene.agent == "scripted":
            (self.job / "scene.toml").write_text(as_toml(self.scene.steps))
            words += f"\n[[scenario: {self.job / 'scene.toml'}]]\n"
        prompt.write_text(words)
        launch = self.adapter.launch(Assignment(
            attempt=self.attempt, task=TaskId(f"T{self.number}"), title="job", prompt=words, prompt_file=prompt,
            checkout=self.checkout, job=self.job, agent=agent, home=self.home, repository=self.checkout,
            gateway=f"{self.base}/a/{self.attempt}/{self.token}", person=env,
            hook=(sys.executable, "-I", "-S", str(Path(sys.modules["andon_agents"].__path__[0]) / "hook.py"))))
        homes.lay(self.home, launch.seeds, copies=False)
        kept = {key: value for key, value in env.items() if key not in launch.drop}
        jobs.write_job(self.job, Job(name=self.attempt, argv=launch.argv, cwd=str(self.checkout), env={**kept, **launch.env}))
        self.mark("started")
        await self.tmux.new_session(session_name(self.attempt), jobs.shim_argv(self.job), str(self.checkout), {}, 140, 45)
        await jobs.await_start(self.job)
        if launch.channel in ("app-server", "http", "acp"):
            self.channel = self.adapter.channel(SessionFacts(
                attempt=self.attempt, job=self.job, home=self.home, checkout=self.checkout, conversation=launch.conversation,
                agent=agent))

    def _repository(self) -> None:
        self.checkout.mkdir(parents=True)
        for name, content in FILES.items():
            (self.checkout / name).parent.mkdir(exist_ok=True)
            (self.checkout / name).write_text(content)
        for words in (("init", "-q", "-b", "main"), ("config", "user.email", "t@example.org"), ("config", "user.name", "T"),
                      ("add", "-A"), ("commit", "-q", "-m", "first")):
            subprocess.run(["git", "-C", str(self.checkout), *words], check=True)

    async def end(self) -> None:
        """The whole tree."""
        if self.channel:
            await self.channel.close()
        await jobs.stop(self.job, 2.0)

    def mark(self, what: str, of: str = "") -> None:
        """Note what the driver saw or did."""
        self.marks.append((now(), what, of))

    # --- recording ---------------------------------------------------------------------------------------------------

    def keep(self, line: Line) -> None:
        """One raw line, and what the driver must do about it."""
        self.lines.append(msgspec.structs.replace(line, agent=self.scene.agent))
        for told in self.read(line):
            self._hear(told)

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """As its adapter does; nobody reads the scripted agent."""
        return self.adapter.read(line) if isinstance(self.adapter, Supervised) else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the agent's own processes."""
        return self.adapter.profile().processes if isinstance(self.adapter, Supervised) else ("python", "python3")

    def _hear(self, told: AnySignal) -> None:
        if isinstance(told, Began) and told.transcript and self.transcript is None:
            self.transcript = Tail(Path(told.transcript))
        if isinstance(told, PermissionWanted | AnswerWanted) and told.ask not in self.asked:
            self.asked[told.ask] = time.monotonic()
            self.mark("asked", told.ask)
        if isinstance(told, ToolBegan):
            self.mark("tool", told.call)

    def files(self) -> None:
        """What hooks, gateway and the agent itself have written since."""
        for tail in self.tails:
            for row in tail.read():
                if (line := decode(row)) is not None:
                    self.keep(line)
        if self.transcript is not None:
            for row in self.transcript.read():
                with contextlib.suppress(msgspec.DecodeError):
                    self.keep(Line(at=now(), source="transcript", data=msgspec.Raw(row)))

    async def looks(self) -> None:
        """Process table and pane."""
        started = jobs.probe(self.job)
        if isinstance(started, jobs.Running):
            root = Root(attempt=self.attempt, pid=started.started.pid, ticks=started.started.ticks, names=self.names)
            found = self.trees.look([root], now(), {self.attempt})[self.attempt]
            self.keep(Line(at=now(), source="process", data=raw(found.tree)))
        else:
            if not any(what == "left" for _, what, _ in self.marks):
                self.mark("left")
            self.keep(Line(at=now(), source="process", data=raw(Tree(at=now(), source="process", alive=False, wrapper=False))))
        rows = await keyboard.rows(self.tmux, self.attempt)
        if rows != self.rows:
            self.rows = rows
            seen = any(what == "dialog" for _, what, _ in self.marks)
            if not seen and any(words in row for row in rows for words in OWN_QUESTIONS):
                self.mark("dialog")
            self.keep(Line(at=now(), source="pane", data=raw(Screen(at=now(), source="pane", rows=rows, activity=now() // 1000))))

    async def run(self) -> None:
        """Record until the scene is over."""
        await self.start()
        begun, next_look = time.monotonic(), 0.0
        async with asyncio.TaskGroup() as group:
            feed = group.create_task(self._feed()) if self.channel else None
            while time.monotonic() - begun < LONGEST_S:
                self.files()
                if time.monotonic() >= next_look:
                    await self.looks()
                    next_look = time.monotonic() + LOOK_S
                await self._act()
                if self._over():
                    break
                await asyncio.sleep(0.03)
            self.mark("over")
            if feed:
                feed.cancel()
        await self.end()

    async def _feed(self) -> None:
        assert self.channel is not None
        with contextlib.suppress(asyncio.CancelledError):
            async for line in self.channel.lines():
                self.keep(line)

    # --- the driver --------------------------------------------------------------------------------------------------

    async def _act(self) -> None:
        """Answer, kill or type, when its time has come."""
        scene = self.scene
        for ask, at in list(self.asked.items()):
            if at and scene.answer_after >= 0 and time.monotonic() - at >= scene.answer_after:
                self.asked[ask] = 0.0
                self.mark("answered", ask)
                await self._answer(ask)
        tools = [at for at, what, _ in self.marks if what == "tool" or (what == "started" and scene.agent == "scripted")]
        if scene.agent == "aider":
            tools = [round(one["t"] * 1000) for one in self._requests()]
        if scene.kill_after >= 0 and tools and not self.killed and now() - tools[0] >= scene.kill_after * 1000 and self._sleeps():
            self.killed = True
            self._kill()
            self.mark("killed")
        if scene.say and self._turns() == 1 and not any(what == "said" for _, what, _ in self.marks) and self._quiet_s() > 2:
            self.mark("said")
            if not (self.channel and await self.channel.send(scene.say)):
                await self.tmux.send_text(session_name(self.attempt), scene.say)

    async def _answer(self, ask: str) -> None:
        if self.channel and await self.channel.answer(ask, allow=self.scene.allow):
            return
        if self.scene.agent in KEYED:
            key = KEYED[self.scene.agent][0 if self.scene.allow else 1]
            await self.tmux.command("send-keys", "-t", f"={session_name(self.attempt)}:", key)
            return
        data = msgspec.json.encode(Decision(ask=ask, allow=self.scene.allow, text="not here"))
        aside = self.job / ASKS / f".{ask}.tmp"
        aside.write_bytes(data)
        aside.rename(self.job / ASKS / f"{ask}.json")

    def _kill(self) -> None:
        """The agent's own processes, as a crash would take them: nothing else."""
        started = jobs.probe(self.job)
        if isinstance(started, jobs.Running):
            root = Root(attempt=self.attempt, pid=started.started.pid, ticks=started.started.ticks, names=self.names)
            while (agent := self.trees.look([root], now())[self.attempt].agent) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(agent[0], signal.SIGKILL)
                time.sleep(0.02)

    def _sleeps(self) -> bool:
        return self.scene.agent in BLIND or any(b"sleep" in bytes(line.data) for line in self.lines[-40:])

    def _requests(self) -> list[dict[str, Any]]:
        return self.served.turns(self.session)

    def _turns(self) -> int:
        """Turns of the model that ended without a further call."""
        return sum(1 for one in self._requests() if one.get("ended") and one["status"] == 200 and not one.get("calls"))

    def _quiet_s(self) -> float:
        """Seconds since the model last did something for this session."""
        last = max((max(one["t"], one.get("ended", 0.0)) for one in self._requests()), default=time.time())
        return time.time() - last

    def _over(self) -> bool:
        scene, asked = self.scene, [ask for ask, at in self.asked.items() if at]
        if self.killed:
            killed = next(at for at, what, _ in self.marks if what == "killed")
            return now() - killed > scene.watch_s * 1000
        if asked and scene.answer_after < 0:
            return time.monotonic() - min(self.asked.values()) > scene.watch_s
        left = next((at for at, what, _ in self.marks if what == "left"), 0)
        if left:
            return now() - left > scene.watch_s * 500
        dialog = next((at for at, what, _ in self.marks if what == "dialog"), 0)
        if dialog and now() - dialog > 15_000:
            return True
        requests = self._requests()
        if scene.agent == "scripted":
            return False
        if not requests or (requests[-1].get("calls") and not any("repeat" in step for step in scene.steps)):
            return False
        if any("repeat" in step for step in scene.steps):
            return bool(len(requests) > 14 or time.time() - requests[0]["t"] > 25)
        wanted = 2 if scene.say else 1
        hangs = requests[-1].get("step") == "hang"
        refused = requests[-1]["status"] != 200
        if refused:
            first: float = next(one["t"] for one in requests if one["status"] != 200)
            return time.time() - first > scene.watch_s + 6
        if hangs:
            return bool(time.time() - requests[-1]["t"] > scene.watch_s)
        return self._turns() >= wanted and self._quiet_s() > scene.watch_s


def adapter_of(name: str) -> object:
    if name in ("claude", "codex", "opencode", *BLIND):
        import importlib
        return importlib.import_module(f"andon_agents.{name}").ADAPTER
    from andon_agents import hooked
    return hooked.bundled()[name]


def program(name: str) -> Path:
    """The agent's program: its npm package, or what PATH has."""
    if name in BLIND:
        found = shutil.which("aider" if name == "aider" else "python3")
        assert found, f"{name} is not installed"
        return Path(found)
    return cli(name)


def steps_for(scene: Scene) -> list[dict[str, Any]]:
    """The model's script. Qwen opens its conversation with an exchange of its own, which counts as the first step."""
    first = next((n for n, step in enumerate(scene.steps) if "http" not in step), 0)
    filler = [{"say": "-"}] if scene.agent == "qwen" and not any("repeat" in step for step in scene.steps) else []
    return [*scene.steps[:first], *filler, *scene.steps[first:]]


def as_toml(steps: tuple[dict[str, Any], ...]) -> str:
    """A scenario of the scripted agent."""
    rows = ["about = 'recorded'", "seed = 1"]
    for step in steps:
        rows += ["[[step]]", *(f"{key} = {json.dumps(value)}" for key, value in step.items())]
    return "\n".join(rows) + "\n"


def now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def raw(value: object) -> msgspec.Raw:
    """A value as raw JSON."""
    return msgspec.Raw(msgspec.json.encode(value))


def stretched(lines: list[Line], seconds: float) -> list[Line]:
    """What stood still at the end, written on as it was last seen: one look at the process table every two seconds."""
    last = next((line for line in reversed(lines) if line.source == "process"), None)
    if not seconds or last is None:
        return []
    tree = msgspec.json.decode(last.data, type=Tree)
    more = []
    for n in range(1, int(seconds // 2)):
        at = lines[-1].at + n * 2000
        more.append(msgspec.structs.replace(last, at=at, data=raw(msgspec.structs.replace(tree, at=at))))
    return more


def told(session: Session, line: Line) -> bool:
    """Whether a line is worth keeping: what says nothing of the session is somebody's long text (tool descriptions, prompts)."""
    return line.source in ("process", "pane", "gateway", "hook") or bool(session.read(line))


def anywhere(data: bytes, session: Session) -> bytes:
    """The same bytes without a path of the machine on which they were recorded."""
    places = {
        str(session.place.home.parent): "/w", str(program(session.scene.agent).resolve()): f"/usr/bin/{session.scene.agent}",
        str(program(session.scene.agent).parent): "/usr/bin", sys.executable: "/usr/bin/python3",
        str(Path(__file__).resolve().parents[2]): "/usr/lib/andon", str(Path.home()): "/home/me",
    }
    for name, plain in places.items():
        for one in (name, name.replace("/", "-"), name.replace("/", "-").replace("_", "-").replace(".", "-")):
            data = data.replace(one.encode(), (plain if one == name else plain.replace("/", "-")).encode())
    return data


def packed(session: Session) -> bytes:
    """The recording: a header with its labels, then its lines in the order of their arrival."""
    lines = sorted((line for line in session.lines if told(session, line)), key=lambda line: line.at)
    lines += stretched(lines, session.scene.stretch_s)
    head = Recording(
        agent=session.scene.agent, scenario=session.scene.name, stuck=session.scene.stuck, dead=session.killed,
        labels=labels(session.scene, session.served.turns(session.session), session.marks, lines[-1].at + 1))
    return anywhere(b"\n".join([msgspec.json.encode(head), *(msgspec.json.encode(line) for line in lines)]) + b"\n", session)


@contextlib.asynccontextmanager
async def gateway(place: Layout) -> AsyncIterator[str]:
    """Our own gateway for these sessions."""
    place.home.mkdir(parents=True, exist_ok=True)
    process = await spawn(sys.executable, "-m", "andon.gateway", str(place.home), stdin=asyncio.subprocess.DEVNULL)
    port = place.gateway / "port"
    try:
        for _ in range(200):
            if port.exists() and port.read_text().strip():
                break
            await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{int(port.read_text())}"
    finally:
        process.terminate()
        await process.wait()


async def record(chosen: list[Scene], out: Path, at_once: int, told: Callable[[str], None]) -> None:
    """Record these scenes, a few at once, each into a file of its own."""
    room = asyncio.Semaphore(at_once)
    folder_of = tempfile.TemporaryDirectory(prefix="andon-rec-", dir="/var/tmp", ignore_cleanup_errors=True)
    with folder_of as folder, model(delay=0.01) as served:
        place = layout(Path(folder) / "f")
        async with private_tmux(Path(folder) / "f") as tmux, gateway(place) as base:
            async def one(number: int, scene: Scene) -> None:
                async with room:
                    session = Session(scene, place, tmux, served, base, number)
                    try:
                        await session.run()
                    except Exception as error:  # noqa: BLE001  one scene that fails must not take the others with it
                        told(f"{scene.agent} {scene.name}: " + "".join(traceback.format_exception(error))[-1500:])
                        await session.end()
                        return
                    requests = served.turns(session.session)
                    file = out / f"{scene.agent}-{scene.name}.jsonl.gz"
                    file.write_bytes(gzip.compress(packed(session), mtime=0))
                    told(f"{scene.agent} {scene.name}: {len(session.lines)} lines, {len(requests)} requests, "
                         f"{len(session.asked)} asks, {file.stat().st_size} bytes")

            async with asyncio.TaskGroup() as group:
                for number, scene in enumerate(chosen, 1):
                    group.create_task(one(number, scene))


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", action="append", choices=(*REAL, "scripted"), help="which agents; all without")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "corpus")
    parser.add_argument("--only", action="append", help="scenes whose name begins so")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--at-once", type=int, default=3)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = [
        named(scene, seed) for agent in given.agent or REAL for seed in given.seed or [1] for scene in scenes(agent, seed)
        if scene.name.startswith(tuple(given.only or ("",)))
    ]
    print(json.dumps({"scenes": len(chosen)}), flush=True)
    asyncio.run(record(chosen, given.out, given.at_once, lambda text: print(text, flush=True)))


def named(scene: Scene, seed: int) -> Scene:
    """The scene, named by its seed when that is not the first."""
    from dataclasses import replace

    return scene if seed == 1 else replace(scene, name=f"{scene.name}-s{seed}")


if __name__ == "__main__":
    main()
