"""Makes an SVG of a screen: `python -m andon_tui.picture OUT.svg [--size 160x45] [--feed FILE]`. Must never change the factory.

A feed file holds the daemon's messages as it sent them, one JSON object a line (`snapshot`, `changes`, `pane-is`, and answers
`task-is` and `blob-is` with the subject as `id`'s order of asking). Without one the live daemon is asked.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import msgspec

from andon.aclient import Feed
from andon.schema.errors import Mistake, Problem
from andon.schema.layout import layout
from andon.schema.views import AnyView, EntryView, FactoryView, GateView, LineView, QueueView, TaskView
from andon.schema.wire import AnyReply, AnyRequest, BlobIs, Changes, PaneIs, Snapshot, TaskIs
from andon_tui import palette
from andon_tui.app import AndonApp
from andon_tui.clock import wall_ms
from andon_tui.feed import Source

SETTLE_S = 10.0
"""How long the live daemon may take to answer."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of news of a recorded feed."""

    pane: PaneIs | None = None


class Recorded:
    """A feed that was written down; the daemon of long ago answers nothing but what was recorded."""

    def __init__(self, messages: Iterable[AnyReply]) -> None:
        self._views: dict[str, AnyView] = {}
        self._panes: list[PaneIs] = []
        self._answers: list[TaskIs | BlobIs] = []
        for message in messages:
            self._take(message)

    def _take(self, message: AnyReply) -> None:
        match message:
            case Snapshot():
                self._views = {view.key: view for view in message.views}
            case Changes():
                for key in message.gone:
                    self._views.pop(key, None)
                self._views.update((view.key, view) for view in message.views)
            case PaneIs():
                self._panes.append(message)
            case TaskIs() | BlobIs():
                self._answers.append(message)

    @property
    def views(self) -> Mapping[str, AnyView]:
        """As they were at the end of the file."""
        return self._views

    @property
    def connected(self) -> bool:
        """It speaks."""
        return True

    @property
    def problem(self) -> Problem | None:
        """It has none."""
        return None

    async def ask(self, request: AnyRequest) -> AnyReply:
        """The recorded answers, in their order."""
        if self._answers:
            return self._answers.pop(0)
        raise Mistake("a recorded feed answers nothing that was not recorded", where=type(request).__name__)

    async def __aiter__(self) -> AsyncIterator[Told]:
        """Everything at once, then silence."""
        yield Told()
        for pane in self._panes:
            yield Told(pane=pane)
        await asyncio.Event().wait()


def read(path: Path) -> Recorded:
    """The feed in this file. Raises Mistake when a line cannot be read."""
    decoder = msgspec.json.Decoder(AnyReply)
    messages = []
    for n, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                messages.append(decoder.decode(line))
            except msgspec.DecodeError as error:
                raise Mistake("this feed file cannot be read", where=f"{path}:{n}: {error}", mend="record it again") from error
    return Recorded(messages)


def latest(views: Mapping[str, AnyView]) -> int:
    """The last moment that any view tells of: the clock of a recorded feed stands there."""
    moments = [1]
    for view in views.values():
        match view:
            case TaskView():
                moments += [view.since, view.added]
            case GateView():
                moments.append(view.opened_at)
            case EntryView():
                moments.append(view.since)
            case QueueView():
                moments += [view.held_at, *(proof.since for proof in view.proving)]
            case LineView():
                moments.append(view.cord_at)
            case FactoryView():
                moments.append(view.started_at)
    return max(moments)


async def picture(source: Source, size: tuple[int, int], *, place: str = "", light: bool = False, now: int = 0) -> str:
    """The SVG of a screen of this size. `place` is what a person would type after `:`; empty is the board."""
    app = AndonApp(source, now=(lambda: now) if now else wall_ms, theme=palette.LIGHT if light else palette.DARK)
    async with app.run_test(size=size) as pilot:
        end = asyncio.get_running_loop().time() + SETTLE_S
        while not app.feeder.received:
            if asyncio.get_running_loop().time() > end:
                problem = source.problem
                raise Mistake("the daemon was not heard", where=problem.where if problem else "", mend="start it with `andon up`")
            await pilot.pause(0.02)
        await pilot.pause(0.2)
        app.jump(place or "board")
        for _ in range(4):
            await pilot.pause(0.1)
        return app.export_screenshot(title="andon").replace("<text ", '<text xml:space="preserve" ')


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m andon_tui.picture", description="Make an SVG of the board.")
    parser.add_argument("out", type=Path, help="the SVG file to write")
    parser.add_argument("--size", default="160x45", help="columns x rows")
    parser.add_argument("--feed", type=Path, help="a recorded feed instead of the live daemon")
    parser.add_argument("--at", default="", help="which place: board, gates, queue, problems, T3, G1, T3.1")
    parser.add_argument("--light", action="store_true", help="the light scheme")
    given = parser.parse_args(argv)
    try:
        width, height = (int(each) for each in given.size.lower().split("x"))
        source: Source = read(given.feed) if given.feed else Feed(layout(), face="picture")
        now = latest(source.views) + 4_000 if given.feed else 0
        drawn = asyncio.run(picture(source, (width, height), place=given.at, light=given.light, now=now))
        given.out.write_text(drawn, encoding="utf-8")
    except ValueError:
        print(f"--size is columns x rows, as in 160x45; not {given.size}", file=sys.stderr)
        return 2
    except Mistake as mistake:
        print(mistake, file=sys.stderr)
        return 1
    print(f"{given.out}: {given.size}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
