"""Tells a person of gates and problems by the ways that they chose: `notify-send`, and a program of their own. It decides nothing.

A notice is told at least once: the daemon may be killed between the telling and its record. `key` says which notices are the same.
A program gets the notice as one line of JSON on its standard input, an environment without anything of ours or of any agent's,
a process group of its own that is ended with it, and so many seconds. What it prints is dropped but for the end of it in an error.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.edges.spawn import spawn
from andon.schema.approval import moment
from andon.schema.clean import clean
from andon.schema.effects import TellGate, TellProblem
from andon.schema.errors import Mistake, Problem
from andon.schema.faults import point
from andon.schema.inputs import GateTold, ProblemHeard, RouteFailed
from andon.schema.settings import Routes

NOTIFIER = "notify-send"
PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY",
          "WAYLAND_DISPLAY")
"""What a notifier needs of the daemon's environment, and no more."""
TAIL = 4096
TEXT_LIMIT = 2000


async def tell(effect: TellGate) -> GateTold:
    """Go through the routes of a gate. A route that fails is told of and stops no other."""
    again = f" (told again, {effect.n}x)" if effect.n else ""
    urgent = effect.risk == "stop" or effect.n > 0
    told, failed = await _all(effect.routes, (f"{effect.gate} waits for you{again}", effect.question), notice(effect), urgent)
    return GateTold(gate=effect.gate, n=effect.n, told=told, unheard=failed)


async def tell_problem(effect: TellProblem) -> ProblemHeard:
    """The same for a problem."""
    data = _line({
        "key": effect.key, "kind": "problem", "problem": effect.problem, "task": effect.task, "repository": effect.repo,
        "what": clean(effect.what)[:TEXT_LIMIT], "where": clean(effect.where)[:TEXT_LIMIT], "mend": clean(effect.mend)[:TEXT_LIMIT],
        "since": moment(effect.at),
    })
    told, failed = await _all(effect.routes, ("andon has a problem", effect.what), data, True)
    return ProblemHeard(problem_key=effect.problem, told=told, unheard=failed)


async def _all(
    routes: Routes, words: tuple[str, str], data: bytes, urgent: bool,
) -> tuple[tuple[str, ...], tuple[RouteFailed, ...]]:
    """Each route once: those that took it, and those that did not with the reason."""
    told: list[str] = []
    failed: list[RouteFailed] = []
    point("tell.intent")
    for route, argv, given in _ways(routes, words, data, urgent):
        try:
            await _run(argv, given, routes.seconds)
            told.append(route)
        except Mistake as mistake:
            failed.append(RouteFailed(route=route, problem=mistake.problem))
        except OSError as error:
            problem = Problem(what=f"the notice could not be given: {error.strerror}", where=argv[0],
                              mend="mend [routes] in your own andon.toml; the inbox has it")
            failed.append(RouteFailed(route=route, problem=problem))
    point("tell.done")
    return tuple(told), tuple(failed)


def notice(effect: TellGate) -> bytes:
    """What a program is given, as one line of JSON."""
    return _line({
        "key": effect.key, "kind": "gate", "gate": effect.gate, "task": effect.task, "repository": effect.repo,
        "title": clean(effect.title), "question": clean(effect.question)[:TEXT_LIMIT],
        "because": clean(effect.because)[:TEXT_LIMIT],
        "recommendation": effect.recommendation, "risk": effect.risk, "for": effect.to, "times": effect.n,
        "since": moment(effect.opened_at), "answer": f"andon gate show {effect.gate}",
    })


def _line(told: dict[str, object]) -> bytes:
    return msgspec.json.encode(told, order="deterministic") + b"\n"


def _ways(routes: Routes, words: tuple[str, str], data: bytes, urgent: bool) -> list[tuple[str, tuple[str, ...], bytes]]:
    """The routes that are wanted: name, argv, standard input."""
    ways: list[tuple[str, tuple[str, ...], bytes]] = []
    if routes.desktop != "none":
        urgency = "critical" if urgent else "normal"
        head, body = words
        ways.append(("desktop", (NOTIFIER, f"--urgency={urgency}", "--app-name=andon", "--", head, clean(body)[:300]), b""))
    if routes.command:
        ways.append(("command", routes.command, data))
    return ways


async def _run(argv: Sequence[str], data: bytes, seconds: float) -> None:
    """Run one notifier to its end. Mistake when it is missing, says no, or takes too long."""
    program, found = _program(argv[0])
    mend = "mend [routes] in your own andon.toml; the inbox has it"
    if found is None:
        raise Mistake(f"{argv[0]} is not there to tell you of gates", where="[routes]", mend=mend)
    env = {name: os.environ[name] for name in PASSED if name in os.environ}
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        process = await spawn(found, *argv[1:], cwd="/", env=env, stdin=given, stdout=log, stderr=log, start_new_session=True)
        try:
            async with asyncio.timeout(seconds):
                code = await process.wait()
        except TimeoutError:
            raise Mistake(f"{program} did not take a notice within {seconds:g} s and was ended", where="[routes]",
                          mend=mend) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL))
            lines = [line for line in clean(log.read().decode(errors="replace")).splitlines() if line.strip()]
            raise Mistake(f"{program} did not take a notice: it ended with {code}{f': {lines[-1][:200]}' if lines else ''}",
                          where="[routes]", mend=mend)


def _program(name: str) -> tuple[str, str | None]:
    """Its plain name, and where it is; None when it is nowhere."""
    program = Path(name)
    with contextlib.suppress(RuntimeError):  # of somebody whom nobody knows
        program = program.expanduser()
    return program.name, shutil.which(str(program))
