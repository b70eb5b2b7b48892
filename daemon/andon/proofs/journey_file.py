"""The shape of a journey's file; knows TOML and what a step may say, and starts nothing."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from andon.schema.errors import Mistake

KINDS = {
    "start": ("app", "ready"), "http": ("send", "headers", "status", "body", "json"), "run": ("send", "exit", "out", "err"),
    "pty": ("app", "screen", "gone"), "keys": ("app", "screen", "gone"), "stop": (),
}
"""Kinds of steps, each with what it may say beside `name` and `within`."""
STEPS = 500


class Ready(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a program counts as started; without any: as soon as it runs."""

    port: bool = False
    """Something listens at `{port}`."""
    line: str = ""
    """It printed a line with this in it."""
    http: str = ""
    """A GET of this path is answered with 200."""

    def told(self) -> str:
        """In words."""
        if self.line or self.http:
            return f"a line with {self.line!r}" if self.line else f"200 at {self.http}"
        return "its port" if self.port else "running"


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is done, and what must follow."""

    name: str
    start: str | None = None
    http: str | None = None
    run: str | None = None
    pty: str | None = None
    keys: str | None = None
    stop: str | None = None
    app: str = "app"
    """The name of a program, where a journey has several."""
    ready: Ready = Ready()
    within: float = 20.0
    """Seconds."""
    send: str = ""
    """Body of a request, input of a command."""
    headers: dict[str, str] = {}
    status: int = 200
    body: tuple[str, ...] = ()
    json: dict[str, Any] = {}
    exit: int = 0
    out: tuple[str, ...] = ()
    err: tuple[str, ...] = ()
    screen: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for the whole journey."""

    name: str = ""
    env: dict[str, str] = {}
    end_within: float = 10.0
    """Seconds that a program may take to end when it is asked to."""


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A journey's file."""

    journey: Head = Head()
    step: tuple[Step, ...] = ()


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """A journey that makes sense."""

    name: str
    env: dict[str, str]
    end_within: float
    steps: tuple[Step, ...]


def load(path: Path) -> Journey:
    """A journey. Raises Mistake for what is wrong in it, with the step."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Mistake(f"the journey cannot be read: {error}", where=str(path), mend="correct the file") from None
    for number, step in enumerate(tree.get("step", ()) if isinstance(tree.get("step"), list) else ()):
        _sensible(path, number, step)
    try:
        file = msgspec.convert(tree, File)
    except msgspec.ValidationError as error:
        raise Mistake(f"the journey is wrong: {error}", where=str(path), mend="`andon prove journey --help` shows one") from None
    if not file.step or len(file.step) > STEPS:
        what = f"a journey has between 1 and {STEPS} steps, this one {len(file.step)}"
        raise Mistake(what, where=str(path), mend="add `[[step]]`")
    names = [step.name for step in file.step]
    for name in names:
        if names.count(name) > 1:
            raise Mistake(f"two steps are named `{name}`", where=str(path), mend="give each a name of its own: by it it is missed")
    return Journey(name=file.journey.name or path.stem, env=file.journey.env, end_within=file.journey.end_within, steps=file.step)


def _sensible(path: Path, number: int, step: Any) -> None:
    """One kind, and only what that kind may say."""
    if not isinstance(step, dict):
        return
    where = f"{path}, step {number + 1}"
    kinds = [kind for kind in KINDS if kind in step]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "nothing to do"
        raise Mistake(f"a step does one thing, and this says {said}", where=where, mend=f"give it one of {', '.join(KINDS)}")
    allowed = ("name", "within", kinds[0], *KINDS[kinds[0]])
    for key in step:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1, cutoff=0.5)
            mend = f"did you mean `{near[0]}`?" if near else f"it may say {', '.join(allowed)}"
            raise Mistake(f"a step of kind {kinds[0]} has no `{key}`", where=where, mend=mend)
