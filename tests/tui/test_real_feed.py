"""The app over the client's own feed and a real socket: first drawing, a lost daemon, and its return, all by itself."""

import asyncio
from pathlib import Path

import msgspec

from andon.aclient import Feed
from andon.schema.layout import layout
from andon.schema.views import AnyView
from andon.schema.wire import AnyRequest, BlobIs, Changes, Done, GetBlob, Message, Snapshot, Subscribe, Welcome
from andon_tui.app import AndonApp
from factory_on_paper import NOW, busy, task
from support import wait_for


class Daemon:
    """Speaks the wire over a unix socket, and nothing else."""

    def __init__(self, path: Path, views: list[AnyView]) -> None:
        self.path, self.views = path, views
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.server = await asyncio.start_unix_server(self.talk, str(self.path))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while line := await reader.readline():
            request = msgspec.json.decode(line, type=AnyRequest)
            match request:
                case Subscribe():
                    self.tell(writer, Snapshot(id=request.id, views=tuple(self.views)))
                case GetBlob():
                    self.tell(writer, BlobIs(id=request.id, text="diff --git a/x b/x\n@@ -1 +1 @@\n+from a real socket\n"))
                case _ if hasattr(request, "protocol"):
                    self.tell(writer, Welcome(protocol=1, version="0.1.0", pid=1, home=str(self.path)))
                case _:
                    self.tell(writer, Done(id=request.id))

    @staticmethod
    def tell(writer: asyncio.StreamWriter, message: Message) -> None:
        writer.write(msgspec.json.encode(message) + b"\n")

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()


async def test_the_face_follows_a_real_feed_through_a_restart_of_the_daemon(tmp_path: Path) -> None:
    place = layout(tmp_path / "f")
    daemon = Daemon(place.socket, busy())
    app = AndonApp(Feed(place), layout=place, now=lambda: NOW)

    def text() -> str:
        return "\n".join(strip.text for strip in app.screen._compositor.render_strips())

    async with app.run_test(size=(150, 44), notifications=True):
        await wait_for(lambda: "daemon not reachable" in text(), what="the banner")
        await daemon.start()
        await wait_for(lambda: "from a real socket" in text(), what="gates with their diff")
        daemon.tell(daemon.writers[0], Changes(views=(task(5, "x", "landing", "land"),), gone=("gate:G1", "gate:G2")))
        await wait_for(lambda: "nobody waits for you" in text(), what="the change")
        await daemon.stop()
        await wait_for(lambda: "daemon not reachable" in text(), what="the banner again")
        await daemon.start()
        await wait_for(lambda: "not reachable" not in text() and "Land this change" in text(), what="the return")
    await daemon.stop()
