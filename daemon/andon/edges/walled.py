"""Runs the commands of an agent's checkout (setup, teardown) within the walls of its checks; must never know what they are for.

What an agent left there is theirs to run too: a Makefile, a package's own scripts. So they get no more than a check does.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from andon.edges import beneath, enclose, jobs, salvage, withheld
from andon.edges.process import MARKER
from andon.edges.surroundings import COMMAND_S, TAIL, run_commands
from andon.schema.errors import Mistake
from andon.schema.jobs import LOG, START, Exit, Job
from andon.schema.layout import Layout
from andon.schema.sandbox import Sandbox
from andon.schema.settings import Walls

Ways = Callable[[str], Awaitable[enclose.Doors]]
"""What leads out of the walls of a job, by its name."""
LOG_BYTES = 20 * 2**20


async def nowhere(_job: str) -> enclose.Doors:
    """Nothing does."""
    return enclose.Doors()


async def run(commands: Sequence[str], cwd: Path, env: Mapping[str, str], *, layout: Layout, name: str, git_dir: str, walls: Walls,
              ways: Ways = nowhere, what: str = "setup") -> float:
    """The same as `run_commands`, behind walls where the settings want them and the machine gives them; seconds taken."""
    if not commands or await asyncio.to_thread(enclose.settled, walls) == "none":
        return await run_commands(commands, cwd, env, what=what)
    begun = time.monotonic()
    for command in commands:
        await _one(command, cwd, env, layout, _free(layout, f"R-{what}-{name}"), git_dir, walls, ways, what)
    return time.monotonic() - begun


def _free(layout: Layout, name: str) -> Path:
    """A job directory that nothing ran in; the daemon's sweep of check runs finds what a killed one left there."""
    number = 1
    while os.path.lexists(layout.job(f"{name}-{number}") / START):
        number += 1
    return layout.job(f"{name}-{number}")


async def _one(command: str, cwd: Path, env: Mapping[str, str], layout: Layout, folder: Path, git_dir: str, walls: Walls,
               ways: Ways, what: str) -> None:
    try:
        doors = await ways(folder.name)
        box, inside = await asyncio.to_thread(_enclose, command, cwd, {**env, MARKER: str(folder)}, folder, git_dir, walls, doors)
        jobs.write_job(folder, Job(name=folder.name, argv=("/bin/sh", "-c", command), cwd=str(cwd), env=inside, log=True,
                                   seconds=COMMAND_S, output_mb=LOG_BYTES >> 20, sandbox=box))
        await jobs.start_detached(folder)
        seen = await jobs.wait(folder)
        exit_ = seen.exit if isinstance(seen, jobs.Ended) else Exit(because="stopped", signal=9)
        if exit_.code != 0:
            raise _failed(command, cwd, folder, exit_, box, what)
    finally:
        if isinstance(jobs.probe(folder), jobs.Running):
            await asyncio.shield(jobs.stop(folder, 0.5))
        with contextlib.suppress(OSError):  # then the next start removes it
            aside = folder.with_name(f".tmp-{folder.name}")
            await asyncio.to_thread(folder.rename, aside)
            await salvage.destroy(aside, layout)


def _enclose(command: str, cwd: Path, env: Mapping[str, str], folder: Path, git_dir: str, walls: Walls,
             doors: enclose.Doors) -> tuple[Sandbox | None, dict[str, str]]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return enclose.check(walls, job=folder, slot=cwd, git_dir=git_dir, commands=(command,), env=env, doors=doors)


def _failed(command: str, cwd: Path, folder: Path, exit_: Exit, box: Sandbox | None, what: str) -> Mistake:
    """What a person is told."""
    tail = ""
    with contextlib.suppress(OSError):
        tail = withheld.text(beneath.tail(folder, LOG, TAIL).decode(errors="replace")).strip()
    how = f"took longer than {COMMAND_S:.0f} s and was ended" if exit_.because == "timeout" else (
        f"failed with exit code {exit_.code}" if exit_.code is not None else f"was ended by signal {exit_.signal}")
    alone = box is not None and box.network == "none" and not box.forwards
    reach = " Within its walls it has no network: [sandbox] check_network and registries say what it may reach." if alone else ""
    return Mistake(f"A {what} command {how}." + (f"\n{exit_.error or tail}" if exit_.error or tail else ""),
                   where=f"{command} (in {cwd})", mend=f"Mend it, or `{what}` under [checkout] in andon.toml.{reach}")
