"""The operator's socket: who gets in, what comes back, and what a slow or hostile client can do to it (nothing)."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from andon.aclient import Change, Feed
from andon.client import Declined, connect
from andon.edges.server import Server
from andon.schema import wire
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, Digest, GateId, RepoId, TaskId
from andon.schema.inputs import AddTask, AnswerGate, CancelTask
from andon.schema.layout import Layout, layout
from andon.schema.views import AnyView, TaskView
from fakeoffice import FakeDaemon, FakeOffice, a_task
from support import wait_for


@pytest.fixture
def place() -> Layout:
    return layout()


@contextlib.asynccontextmanager
async def serving(place: Layout, office: FakeOffice, **options: object) -> AsyncIterator[Server]:
    server = Server(place, office, **options)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve())
        await server.ready.wait()
        try:
            yield server
        finally:
            task.cancel()


class Raw:
    """A client that says exactly what a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, place: Layout, hello: bool = True) -> "Raw":
        raw = cls(*await asyncio.open_unix_connection(str(place.socket), limit=1 << 28))
        if hello:
            assert (await raw.ask(wire.Hello()))["type"] == "welcome"
        return raw

    async def ask(self, message: wire.Message) -> dict[str, object]:
        self.writer.write(msgspec.json.encode(message) + b"\n")
        return await self.read()

    async def send(self, line: bytes) -> dict[str, object]:
        self.writer.write(line)
        return await self.read()

    async def read(self) -> dict[str, object]:
        line = await asyncio.wait_for(self.reader.readline(), 10)
        message = json.loads(line) if line else {"type": "closed"}
        assert isinstance(message, dict)
        return message

    async def __aenter__(self) -> "Raw":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


# --- the door ---


async def test_the_socket_is_private_in_a_private_directory(place: Layout) -> None:
    place.runtime.mkdir(parents=True, mode=0o755)
    async with serving(place, FakeOffice()):
        assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.runtime.stat().st_mode) == 0o700
    assert not place.socket.exists()


async def test_a_stale_socket_is_replaced(place: Layout) -> None:
    place.runtime.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    async with serving(place, FakeOffice()), await Raw.to(place) as raw:
        assert (await raw.ask(wire.GetViews(id=1)))["type"] == "snapshot"


async def test_a_live_socket_is_left_alone_and_named(place: Layout) -> None:
    async with serving(place, FakeOffice()), await Raw.to(place) as raw:
        with pytest.raises(Mistake, match="another daemon"):
            await Server(place, FakeOffice()).serve()
        assert (await raw.ask(wire.GetViews(id=1)))["type"] == "snapshot"


async def test_a_file_that_is_no_socket_is_never_removed(place: Layout) -> None:
    place.runtime.mkdir(parents=True)
    place.socket.write_text("mine")
    with pytest.raises(Mistake, match="no socket"):
        await Server(place, FakeOffice()).serve()
    assert place.socket.read_text() == "mine"


async def test_a_runtime_directory_that_is_a_link_is_refused(place: Layout, tmp_path: Path) -> None:
    place.home.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    place.runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Mistake, match="not ours"):
        await Server(place, FakeOffice()).serve()


async def test_another_user_is_refused_before_a_word_is_read(place: Layout) -> None:
    office = FakeOffice()
    async with serving(place, office, peer=lambda _: os.getuid() + 1), await Raw.to(place, hello=False) as raw:
        assert (await raw.read())["type"] == "refused"
        assert (await raw.read())["type"] == "closed"
    assert not office.requests and not office.commands


async def test_the_kernel_names_this_process_as_the_peer(place: Layout) -> None:
    seen: list[int] = []

    def watch(sock: socket.socket) -> int:
        from andon.edges.doorway import peer_uid
        seen.append(peer_uid(sock))
        return seen[-1]
    async with serving(place, FakeOffice(), peer=watch), await Raw.to(place):
        assert seen == [os.getuid()]


async def test_another_protocol_is_refused_with_a_way_out(place: Layout) -> None:
    async with serving(place, FakeOffice()), await Raw.to(place, hello=False) as raw:
        told = await raw.ask(wire.Hello(protocol=wire.PROTOCOL + 1, version="9.9"))
        assert told["type"] == "refused" and "andon up" in str(told["problem"])
        assert (await raw.read())["type"] == "closed"


async def test_who_does_not_say_hello_first_is_refused(place: Layout) -> None:
    office = FakeOffice()
    async with serving(place, office), await Raw.to(place, hello=False) as raw:
        assert (await raw.ask(wire.Do(id=1, command=CancelTask(task=TaskId("T1")))))["type"] == "refused"
    assert not office.commands


# --- requests ---


async def test_a_command_carries_the_login_of_the_peer_whatever_the_client_says(place: Layout) -> None:
    office = FakeOffice()
    async with serving(place, office), await Raw.to(place) as raw:
        await raw.ask(wire.Do(id=1, command=AnswerGate(gate=GateId("G1"), option="approve", by="root of all")))
    import pwd
    assert office.commands[0].by == pwd.getpwuid(os.getuid()).pw_name


async def test_each_answer_carries_the_id_of_its_request(place: Layout) -> None:
    office = FakeOffice()
    office.answer = lambda request, push: wire.PaneIs(attempt=AttemptId("T1.1"), rows=(), width=1, height=1)
    async with serving(place, office), await Raw.to(place) as raw:
        assert (await raw.ask(wire.Do(id=41, command=CancelTask(task=TaskId("T1")))))["id"] == 41
        told = [await raw.ask(wire.WatchPane(id=42, attempt=AttemptId("T1.1"))), await raw.read()]
        assert {"pane-is", "done"} == {message["type"] for message in told}
        assert [message["id"] for message in told if message["type"] == "done"] == [42]


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"nonsense\n", b'{"type":"do","id":7}\n', b'{"type":"unheard-of","id":7}\n',
                                  b"\xff\xfe\x00\n", b'{"type":"do","id":7,"command":{"type":"ticked"}}\n', b"[" * 5000 + b"\n"])
async def test_a_malformed_line_is_answered_and_hurts_nobody(place: Layout, line: bytes) -> None:
    async with serving(place, FakeOffice()), await Raw.to(place) as raw:
        told = await raw.send(line)
        assert told["type"] == "failed"
        assert told["id"] == (7 if b'"id":7' in line else 0)
        assert (await raw.ask(wire.GetViews(id=8)))["id"] == 8


async def test_a_line_past_the_limit_ends_only_its_own_connection(place: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINE_LIMIT", 10_000)
    async with serving(place, FakeOffice()), await Raw.to(place) as raw, await Raw.to(place) as other:
        assert (await raw.send(b"x" * 50_000))["type"] == "failed"
        assert (await other.ask(wire.GetViews(id=1)))["type"] == "snapshot"


async def test_a_persons_mistake_comes_back_as_failed_with_its_mend(place: Layout) -> None:
    async with serving(place, FakeOffice()), await Raw.to(place) as raw:
        told = await raw.ask(wire.GetBlob(id=3, digest=Digest("nope")))
        assert told["type"] == "failed" and told["id"] == 3 and "no such blob" in str(told["problem"])


async def test_a_client_that_leaves_mid_request_does_not_interrupt_it_and_is_reported_gone(place: Layout) -> None:
    office, gate = FakeOffice(), asyncio.Event()
    finished: list[bool] = []

    async def slow(command: object) -> wire.Done:
        await gate.wait()
        finished.append(True)
        return wire.Done()
    office.do = slow  # type: ignore[method-assign]
    async with serving(place, office) as server:
        raw = await Raw.to(place)
        raw.writer.write(msgspec.json.encode(wire.Do(id=1, command=CancelTask(task=TaskId("T1")))) + b"\n")
        await raw.writer.drain()
        raw.writer.transport.abort()
        server.publish({"task:T1": a_task()})
        await asyncio.sleep(0)
        gate.set()
        await wait_for(lambda: server.clients == 0)
    assert finished == [True] and len(office.left) == 1


async def test_one_push_names_one_client_for_as_long_as_it_lives(place: Layout) -> None:
    office = FakeOffice()
    async with serving(place, office) as server:
        async with await Raw.to(place) as raw:
            await raw.ask(wire.WatchPane(id=1, attempt=AttemptId("T1.1")))
            await raw.ask(wire.WatchPane(id=2, attempt=AttemptId("T1.2")))
        await wait_for(lambda: server.clients == 0)
    assert office.pushes[0] is office.pushes[1] is office.left[0]


# --- views ---


async def test_a_subscriber_gets_a_snapshot_and_then_whole_views_and_gone_keys(place: Layout) -> None:
    office = FakeOffice(a_task(1), a_task(2))
    async with serving(place, office) as server, await Raw.to(place) as raw:
        snapshot = await raw.ask(wire.Subscribe(id=1))
        assert msgspec.convert(snapshot, wire.Snapshot).views == (a_task(1), a_task(2))
        server.publish({"task:T1": a_task(1, title="New")}, ["task:T2"])
        changes = msgspec.convert(await raw.read(), wire.Changes)
        assert changes.views == (a_task(1, title="New"),) and changes.gone == ("task:T2",)


async def test_who_did_not_subscribe_gets_no_changes(place: Layout) -> None:
    office = FakeOffice()
    async with serving(place, office) as server, await Raw.to(place) as raw:
        await raw.ask(wire.GetViews(id=1))
        server.publish({"task:T1": a_task()})
        assert (await raw.ask(wire.GetViews(id=2)))["id"] == 2


async def test_changes_within_one_frame_reach_a_client_as_one_message_with_the_latest(place: Layout) -> None:
    async with serving(place, FakeOffice()) as server, await Raw.to(place) as raw:
        await raw.ask(wire.Subscribe(id=1))
        for n in range(50):
            server.publish({"task:T1": a_task(title=f"title {n}")})
        changes = msgspec.convert(await raw.read(), wire.Changes)
        assert [view.title for view in changes.views if isinstance(view, TaskView)] == ["title 49"]


async def test_a_key_that_comes_back_is_not_gone_and_a_gone_key_is_not_drawn(place: Layout) -> None:
    async with serving(place, FakeOffice()) as server, await Raw.to(place) as raw:
        await raw.ask(wire.Subscribe(id=1))
        server.publish({}, ["task:T1"])
        server.publish({"task:T1": a_task(1), "task:T2": a_task(2)})
        server.publish({}, ["task:T2"])
        changes = msgspec.convert(await raw.read(), wire.Changes)
        assert [view.key for view in changes.views] == ["task:T1"] and changes.gone == ("task:T2",)


async def test_ten_thousand_views_are_encoded_once_for_all_clients(place: Layout) -> None:
    views: dict[str, AnyView] = {f"task:T{n}": a_task(n) for n in range(10_000)}
    async with serving(place, FakeOffice()) as server, await Raw.to(place) as one, await Raw.to(place) as two:
        await one.ask(wire.Subscribe(id=1))
        await two.ask(wire.Subscribe(id=1))
        server.publish(views)
        for raw in (one, two):
            seen: set[str] = set()
            while len(seen) < 10_000:
                seen |= {view.key for view in msgspec.convert(await raw.read(), wire.Changes).views}
        assert server.encoded.made == 10_000


async def test_a_client_that_stops_reading_is_owed_one_view_a_key_and_ends_up_with_the_latest(place: Layout) -> None:
    async with serving(place, FakeOffice()) as server, await Raw.to(place) as slow:
        await slow.ask(wire.Subscribe(id=1))
        big = "long " * 2000
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for n in range(300):
            server.publish({f"task:T{t}": a_task(t, title=f"{n} {big}") for t in range(100)})
            await asyncio.sleep(0)
        (client,) = server._clients
        held = len(client._views)
        buffered = client._writer.transport.get_write_buffer_size()
        assert held <= 100 and buffered < 3 * 1024 * 1024
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        latest: dict[str, str] = {}
        while len(latest) < 100 or any(not title.startswith("299 ") for title in latest.values()):
            changes = msgspec.convert(await slow.read(), wire.Changes)
            latest |= {view.key: view.title for view in changes.views if isinstance(view, TaskView)}


async def test_a_client_that_takes_no_byte_is_dropped_and_logged(place: Layout, caplog: pytest.LogCaptureFixture) -> None:
    office = FakeOffice()
    async with serving(place, office, stall_s=0.1) as server, await Raw.to(place) as dead, await Raw.to(place) as well:
        await dead.ask(wire.Subscribe(id=1))
        dead.reader._transport.pause_reading()  # type: ignore[attr-defined]
        server.publish({f"task:T{t}": a_task(t, title="long " * 2000) for t in range(300)})
        await wait_for(lambda: server.clients == 1)
        assert (await well.ask(wire.GetViews(id=1)))["type"] == "snapshot"
    assert "read nothing" in caplog.text and len(office.left) == 2


async def test_pictures_of_a_pane_are_coalesced_to_the_latest_of_each_attempt(place: Layout) -> None:
    office = FakeOffice()
    async with serving(place, office), await Raw.to(place) as raw:
        await raw.ask(wire.WatchPane(id=1, attempt=AttemptId("T1.1")))
        for n in range(20):
            for attempt in ("T1.1", "T2.1"):
                office.pushes[0](wire.PaneIs(attempt=AttemptId(attempt), rows=(f"row {n}",), width=80, height=1))
        told = [await raw.read(), await raw.read()]
        assert {(pane["attempt"], *pane["rows"]) for pane in told} == {("T1.1", "row 19"), ("T2.1", "row 19")}  # type: ignore[misc]


async def test_a_server_without_news_sets_no_timer_and_writes_nothing(place: Layout) -> None:
    async with serving(place, FakeOffice()) as server, await Raw.to(place) as raw:
        await raw.ask(wire.Subscribe(id=1))
        loop = asyncio.get_running_loop()
        scheduled = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert scheduled == []
        assert server.encoded.made == 0


async def test_the_answer_to_a_shutdown_arrives_before_the_socket_closes(place: Layout) -> None:
    office = FakeOffice()
    server = Server(place, office)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve())
        await server.ready.wait()

        def leave(request: wire.AnyRequest, push: object) -> wire.AnyReply:
            task.cancel()
            return wire.Done(text="agents go on")
        office.answer = leave
        async with await Raw.to(place) as raw:
            assert (await raw.ask(wire.Shutdown(id=5)))["text"] == "agents go on"
            assert (await raw.read())["type"] == "closed"


# --- the two clients ---


def test_the_plain_client_asks_and_streams(place: Layout) -> None:
    office = FakeOffice(a_task(1))
    with FakeDaemon(place, office) as daemon, connect(place) as client:
        assert client.views() == (a_task(1),)
        assert client.do(AddTask(repo=RepoId("shop"), title="x", spec="x")).ids == ("T1",)
        client.ask(wire.Subscribe())
        daemon.publish(a_task(1, title="new"))
        first = next(client.stream())
        assert isinstance(first, wire.Changes) and first.views == (a_task(1, title="new"),)


def test_the_plain_client_raises_what_the_daemon_refused(place: Layout) -> None:
    office = FakeOffice()
    office.on_do = lambda command: wire.Failed(problem=Problem(what="the gate changed", mend="look again"))
    with FakeDaemon(place, office), connect(place) as client, pytest.raises(Declined, match="the gate changed"):
        client.do(CancelTask(task=TaskId("T1")))


async def test_the_feed_finds_a_restarted_daemon_again_and_knows_what_vanished(place: Layout) -> None:
    feed, seen = Feed(place), list[Change]()

    async def follow() -> None:
        async for change in feed:
            seen.append(change)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        await wait_for(lambda: feed.lost)
        async with serving(place, FakeOffice(a_task(1), a_task(2))):
            await wait_for(lambda: feed.connected)
            assert set(feed.views) == {"task:T1", "task:T2"}
            await feed.ask(wire.WatchPane(attempt=AttemptId("T1.1")))
        await wait_for(lambda: feed.lost)
        assert set(feed.views) == {"task:T1", "task:T2"}
        office = FakeOffice(a_task(2))
        async with serving(place, office):
            await wait_for(lambda: feed.connected)
            await wait_for(lambda: office.requests)
            assert isinstance(office.requests[0], wire.WatchPane)
            assert isinstance(await feed.ask(wire.GetTask(task=TaskId("T2"))), wire.Done)
        task.cancel()
    states = [state for state, _ in itertools.groupby(change.state for change in seen)]
    assert states[:4] == ["lost", "connected", "lost", "connected"]
    assert [change.gone for change in seen if change.reset] == [(), ("task:T1",)]


async def test_an_ask_that_the_daemon_never_answers_ends_when_the_daemon_does(place: Layout) -> None:
    office = FakeOffice()
    never = asyncio.Event()

    async def stuck(request: object, push: object) -> wire.AnyReply:
        office.requests.append(wire.GetViews())
        await never.wait()
        raise AssertionError
    office.handle = stuck  # type: ignore[method-assign]
    feed = Feed(place)

    async def follow() -> None:
        async for _ in feed:
            pass
    async with asyncio.TaskGroup() as group:
        async with serving(place, office):
            following = group.create_task(follow())
            await wait_for(lambda: feed.connected)
            asking = group.create_task(_fails(feed))
            await wait_for(lambda: office.requests)
        assert "closed" in await asking
        following.cancel()


async def _fails(feed: Feed) -> str:
    with pytest.raises(Mistake) as caught:
        await feed.ask(wire.GetTask(task=TaskId("T1")))
    return str(caught.value)
