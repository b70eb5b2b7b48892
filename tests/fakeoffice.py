"""A small real daemon for tests: the true Server on a true socket, with an office that a test fills and watches."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from andon.edges.server import Push, Server
from andon.schema import inputs, wire
from andon.schema.errors import Mistake
from andon.schema.events import Option
from andon.schema.ids import AttemptId, Digest, GateId, RepoId, TaskId
from andon.schema.layout import Layout
from andon.schema.views import (
    AnyView,
    ClaimCell,
    FactoryView,
    GateView,
    LineView,
    RepositoryView,
    SessionView,
    StationView,
    TaskView,
)
from andon.schema.wire import AnyReply, AnyRequest


class FakeOffice:
    """Answers from dictionaries; keeps what it was asked."""

    version = "0.1.0"

    def __init__(self, *views: AnyView) -> None:
        self.table: dict[str, AnyView] = {view.key: view for view in views}
        self.commands: list[inputs.AnyCommand] = []
        self.requests: list[AnyRequest] = []
        self.left: list[Push] = []
        self.pushes: list[Push] = []
        self.blobs: dict[Digest, str] = {}
        self.answer: Callable[[AnyRequest, Push], AnyReply] | None = None
        self.on_do: Callable[[inputs.AnyCommand], wire.Done | wire.Failed] | None = None

    def views(self) -> Mapping[str, AnyView]:
        return self.table

    async def do(self, command: inputs.AnyCommand) -> wire.Done | wire.Failed:
        self.commands.append(command)
        if self.on_do is not None:
            return self.on_do(command)
        return wire.Done(ids=("T1",) if isinstance(command, inputs.AddTask) else ())

    async def handle(self, request: AnyRequest, push: Push) -> AnyReply:
        self.requests.append(request)
        self.pushes.append(push)
        if self.answer is not None:
            return self.answer(request, push)
        if isinstance(request, wire.GetBlob):
            if request.digest not in self.blobs:
                raise Mistake("there is no such blob", where=request.digest)
            return wire.BlobIs(text=self.blobs[request.digest])
        return wire.Done()

    def gone(self, push: Push) -> None:
        self.left.append(push)


class FakeDaemon:
    """The server in a thread with an event loop of its own. Use as a context."""

    def __init__(self, layout: Layout, office: FakeOffice) -> None:
        self.layout = layout
        self.office = office
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake daemon")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.server: Server | None = None

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.server = Server(self.layout, self.office)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self.server.serve())
            await self.server.ready.wait()
            self._ready.set()
            await self._stop.wait()
            serving.cancel()

    def publish(self, *views: AnyView, gone: tuple[str, ...] = ()) -> None:
        """Change the office's views and tell all clients, as the loop would."""
        def change() -> None:
            assert self.server is not None
            changed = {view.key: view for view in views}
            for key in gone:
                self.office.table.pop(key, None)
            self.office.table.update(changed)
            self.server.publish(changed, gone)
        self.call(change)

    def call(self, deed: Callable[[], None]) -> None:
        """Run something in the daemon's own thread, and wait for it."""
        assert self._loop is not None
        done = threading.Event()

        def act() -> None:
            deed()
            done.set()
        self._loop.call_soon_threadsafe(act)
        assert done.wait(10)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._loop is not None and self._stop is not None
        with contextlib.suppress(RuntimeError):  # its loop has ended by itself: the test told it to
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


def a_task(number: int = 1, *, state: str = "building", title: str = "Say hello", repo: str = "shop", **more: object) -> TaskView:
    """A card."""
    import msgspec
    known: dict[str, object] = {"task": f"T{number}", "repo": repo,
                                "title": title, "line": "build", "state": state, "station": "build",
                                "since": 1_000, "added": 500, **more}
    return msgspec.convert(known, type=TaskView, str_keys=True)


def a_gate(number: int = 1, task: int = 1, **more: object) -> GateView:
    """An open review."""
    import msgspec
    view = GateView(gate=GateId(f"G{number}"), task=TaskId(f"T{task}"), repo=RepoId("shop"), title="Say hello", kind="review",
                    question="Land this change?", recommendation="approve", because="all checks are proven",
                    options=(Option(key="approve", label="Land it"), Option(key="reject", label="Send it back")),
                    bound=Digest("b" * 64), diff=Digest("d" * 64), files=2, insertions=10, deletions=3, opened_at=1_000,
                    claims=(ClaimCell(claim="tests", status="proven", because="214 tests passed"),))
    return msgspec.structs.replace(view, **more)


def a_shop(path: str, *, trusted: bool = True) -> tuple[AnyView, ...]:
    """A factory with one repository and its line."""
    return (FactoryView(version="0.1.0", pid=1, started_at=1, wip=1, wip_limit=6),
            RepositoryView(repo=RepoId("shop"), path=path, target="main", trunk="a" * 40, trusted=trusted,  # type: ignore[arg-type]
                           commands=Digest("c" * 64)),
            LineView(repo=RepoId("shop"), line="build", stations=(StationView(name="build", kind="agent"),)))


def a_session(task: int = 1, number: int = 1, *, health: str = "working") -> SessionView:
    """A live attempt."""
    return SessionView(attempt=AttemptId(f"T{task}.{number}"), task=TaskId(f"T{task}"), repo=RepoId("shop"), agent="claude",
                       session=f"T{task}_{number}", health=health, because="it writes", source="pane", since=1)  # type: ignore[arg-type]
