"""The real application, started and driven step by step as its user would, each step a fact; it reaches this machine alone."""

import argparse
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from andon.proofs import running
from andon.proofs.fact import Fact, Unevaluated
from andon.proofs.golden import named
from andon.proofs.journey_app import App, Apps, Broken
from andon.proofs.journey_file import Journey, Step, load
from andon.proofs.journey_http import NoAnswer, ask

HELP = "the real application, started and driven: HTTP, command lines, keys at a terminal"
EXAMPLES = """\
examples:
  andon prove journey journeys/*.toml

a journey:
  [journey]
  name = "a visitor buys something"

  [[step]]
  name = "the shop boots"
  start = "python3 -m shop --port {port}"    # {port}: one that is free; {tmp}: an empty folder
  ready = { http = "/health" }               # or { port = true }, { line = "listening" }
  within = 20                                # seconds

  [[step]]
  name = "an item can be added"
  http = "POST /cart"
  send = '{"item": 7}'
  status = 201
  json = { "items.0.id" = 7 }

  [[step]]
  name = "the command line sees it"
  run = "python3 -m shop.cli list"
  out = ["7"]                                # also: err, exit = 0

  [[step]]
  name = "the till opens"
  pty = "python3 -m shop.till"               # a terminal of 24 rows and 80 columns
  screen = ["Total"]                         # on its screen; `gone`: not on it

  [[step]]
  name = "a key closes the sale"
  keys = "q<enter>"                          # <esc> <tab> <up> <down> <left> <right> <space> <backspace> <ctrl-c>
  screen = ["Sold"]

At the end each program is asked to end, and it fails what leaves a process behind. `stop = "app"` ends one earlier.
"""
REST_S = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which journeys."""
    parser.add_argument("files", nargs="+", metavar="GLOB", help="journeys, as TOML")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each step of each journey, and one for each program that it ended."""
    for path, pattern in named(args.files, root):
        if path is None:
            yield Fact(group="journey", name=pattern, state="fails", told="no file is named by this")
            continue
        with tempfile.TemporaryDirectory(prefix="andon-journey-") as made:
            yield from Trip(load(path), root, Path(made)).walk()


class Trip:
    """One journey under way."""

    def __init__(self, journey: Journey, root: Path, tmp: Path) -> None:
        self._journey, self._root = journey, root
        self._group = f"journey {journey.name}"
        (tmp / "empty").mkdir()
        self._words = {"{port}": str(free_port()), "{tmp}": str(tmp / "empty")}
        env = {**os.environ, **{key: self._filled(value) for key, value in journey.env.items()}, "PORT": self._words["{port}"]}
        self._apps = Apps(root, tmp, env, journey.end_within)

    def walk(self) -> Iterator[Fact]:
        """Step after step until one does not hold; what comes after was not reached. In the end nothing runs any more."""
        broken = ""
        try:
            for step in self._journey.steps:
                if broken:
                    yield Fact(group=self._group, name=step.name, state="skipped", told=f"not reached: `{broken}` did not hold")
                    continue
                fact = self._step(step)
                broken = "" if fact.state == "holds" else step.name
                yield fact
        finally:
            ended = [self._ended(app) for app in list(self._apps.running)]
            left = self._apps.clear()
        yield from ended
        told = f"still there: {', '.join(left)}" if left else ""
        yield Fact(group=self._group, name="nothing is left running", state="fails" if left else "holds", told=told)

    def _ended(self, name: str) -> Fact:
        """That a program ends when it is asked to."""
        return self._fact(f"{name} ends when it is asked to", lambda: self._apps.stop(name))

    def _step(self, step: Step) -> Fact:
        deeds: dict[str, Callable[[Step], None]] = {
            "start": self._start, "http": self._http, "run": self._run, "pty": self._pty, "keys": self._keys,
            "stop": lambda one: self._apps.stop(str(one.stop)),
        }
        return self._fact(step.name, lambda: deeds[step.kind](step))

    def _fact(self, name: str, deed: Callable[[], None]) -> Fact:
        began = time.monotonic()
        try:
            deed()
        except Broken as broken:
            return Fact(group=self._group, name=name, state="fails", told=str(broken), seconds=time.monotonic() - began)
        except Unevaluated as unseen:
            return Fact(group=self._group, name=name, state="unevaluated", told=str(unseen), seconds=time.monotonic() - began)
        return Fact(group=self._group, name=name, seconds=time.monotonic() - began)

    def _filled(self, text: str) -> str:
        for word, value in self._words.items():
            text = text.replace(word, value)
        return text

    # --- deeds -------------------------------------------------------------------------------------------------------

    def _start(self, step: Step) -> None:
        """Start it, and wait until it is ready."""
        app = self._apps.start(step.app, running.words_of(self._filled(str(step.start)), step.name))
        ready, end = step.ready, time.monotonic() + step.within
        while not self._ready(step, app):
            if not app.alive():
                raise Broken(f"`{step.app}` ended with exit code {app.code()} before it was ready\n{app.log()}")
            if time.monotonic() > end:
                raise Broken(f"`{step.app}` was not ready within {step.within:g} s ({ready.told()})\n{app.log()}")
            time.sleep(REST_S)

    def _ready(self, step: Step, app: App) -> bool:
        ready = step.ready
        if ready.line:
            return app.said(ready.line)
        if ready.http:
            try:
                return self._ask("GET", ready.http, step)[0] == 200
            except (Broken, NoAnswer):
                return False
        if ready.port:
            with socket.socket() as tried:
                tried.settimeout(1.0)
                return tried.connect_ex(("127.0.0.1", int(self._words["{port}"]))) == 0
        return app.alive()

    def _http(self, step: Step) -> None:
        """One request, and what it must be answered."""
        method, _, target = str(step.http).partition(" ")
        try:
            status, body = self._ask(method, target, step)
        except NoAnswer as error:
            raise Broken(f"{step.http}: no answer: {error}\n{self._apps.logs()}") from None
        text = body.decode(errors="replace")
        if status != step.status:
            raise Broken(f"{step.http}: status {status}, expected {step.status}\n{text[:2000]}\n{self._apps.logs()}")
        self._contains("the answer", text, step.body)
        for path, wanted in step.json.items():
            seen = dug(text, path)
            if seen != wanted:
                raise Broken(f"{step.http}: `{path}` is {seen!r}, expected {wanted!r}\n{text[:2000]}")

    def _ask(self, method: str, target: str, step: Step) -> tuple[int, bytes]:
        target = self._filled(target)
        address = target if "://" in target else f"http://127.0.0.1:{self._words['{port}']}{target}"
        return ask(method, address, self._filled(step.send), step.headers, step.within)

    def _run(self, step: Step) -> None:
        """A command to its end."""
        words = running.words_of(self._filled(str(step.run)), step.name)
        ran = running.run(words, cwd=self._root, env=self._apps.env, seconds=step.within, text=step.send)
        if ran.code != step.exit:
            raise Broken(f"`{step.run}`: exit code {ran.code}, expected {step.exit}\n{ran.told[-3000:]}\n{self._apps.logs()}")
        self._contains("its output", ran.out, step.out)
        self._contains("its errors", ran.err, step.err)

    def _pty(self, step: Step) -> None:
        """A program at a terminal of its own."""
        screen = self._apps.at_terminal(step.app, running.words_of(self._filled(str(step.pty)), step.name))
        screen.shows(step.screen, step.gone, step.within)

    def _keys(self, step: Step) -> None:
        """Keys for the program at the terminal."""
        screen = self._apps.terminal(step.app)
        screen.press(str(step.keys))
        screen.shows(step.screen, step.gone, step.within)

    @staticmethod
    def _contains(what: str, text: str, wanted: tuple[str, ...]) -> None:
        for word in wanted:
            if word not in text:
                raise Broken(f"{what} does not contain {word!r}\n{text[:3000]}")


def dug(text: str, path: str) -> Any:
    """What stands at `items.0.name` of a JSON text; None where nothing does."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    for key in path.split("."):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


def free_port() -> int:
    """A port of the loopback that nobody held a moment ago."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


