"""Says what stands around a job: which paths, doors and variables exist inside of its walls; must never build a wall itself.

Theory of operation. Inside there is the toolchain and the borrowed objects, read-only; the checkout, a private home and TMPDIR; and
of the job's directory only what the job speaks through. The rest of the machine does not exist. Between an agent and the world
stand two doors: the model gateway and the proxy, each a unix socket of ours that a port of the job's own loopback leads to. One
more leads inwards, for the daemon: from a unix socket in the job's directory, which does not exist inside, to the agent's server.
"""

import os
import shlex
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from andon.edges import baits
from andon.edges.sandbox import base_binds, locate, reached, toolchain_binds
from andon.edges.veil import Tops
from andon.schema.errors import Mistake
from andon.schema.jobs import ASKS, CHANNEL, CONTEXT, DOOR, HOOKS, INBOX, OUTBOX, PROMPT
from andon.schema.sandbox import Bait, Bind, Forward, Level, Limits, Sandbox, rank
from andon.schema.settings import Walls

PASSED = ("PATH", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TZ", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "HOME")
"""Variables that exist inside as they are outside (HOME is the private one); `LC_…` and our own `ANDON_…` too."""
TOOLS = ("sh", "bash", "env", "git", "python3", "node", "npm", "make", "cc")
"""Programs that are looked for on the PATH: what they need exists inside, read-only."""
MANAGERS = {"RUSTUP_HOME": ".rustup", "VOLTA_HOME": ".volta", "PYENV_ROOT": ".pyenv", "RBENV_ROOT": ".rbenv",
            "NODENV_ROOT": ".nodenv", "ASDF_DATA_DIR": ".asdf"}
"""By variable: where a manager of tools keeps them, below the person's home."""
PROXY_PORT = 3128
"""Of the job's own loopback, where the proxy seems to listen."""
NOTHING = Tops()
WORDS = 200
"""Words of a command that are looked at for programs."""


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """What leads out of a job's walls; empty paths: no such door."""

    proxy: str = ""
    """Unix socket of the proxy."""
    gateway: str = ""
    """Unix socket of the model gateway."""
    gateway_port: int = 0
    """The port that the gateway's address names."""


def agent(walls: Walls, *, job: Path, checkout: Path, home: Path, git_dir: str, argv: tuple[str, ...], env: Mapping[str, str],
          ours: Iterable[Path], doors: Doors, keys: Iterable[str] = (), port: int = 0, shares: Iterable[str] = (),
          place: baits.Place | None = None, seen: Tops = NOTHING) -> tuple[Sandbox | None, dict[str, str]]:
    """What stands around an agent's session, and its environment inside. None: no walls are asked for, or none can be had and
    the best is.

    `port`: where a server of the agent's own listens; the door `DOOR` leads there. `shares`: further names of the job's directory
    that are written inside; folders end in a slash. `place`: where baits may stand. `seen`: the paths of the checkout that it does
    not see, or only reads. A checkout in which something is hidden has objects of its own: the repository's do not exist inside.
    Raises Mistake when the machine gives less than what is asked for, or nothing where something is to be hidden.
    """
    level = settled(walls)
    if level == "none":
        if walls.hide:
            raise Mistake("paths are to be hidden from the agent, and this machine gives no walls", where="`hide` in andon.toml",
                          mend=f"{reached().mend} Or remove `hide`; `andon doctor` looks again.")
        return None, dict(env)
    files = (HOOKS, CHANNEL, *(name for name in shares if not name.endswith("/")))
    folders = (OUTBOX, ASKS, "tmp", *(name for name in shares if name.endswith("/")))
    for folder in (home, *(job / name for name in (*folders, INBOX))):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in files:
        (job / name).touch(mode=0o600)
    binds = [
        *toolchain(argv, env, level), *(Bind(source=str(path)) for path in ours),
        *(objects_of(Path(git_dir)) if not walls.hide else ()), Bind(source=str(checkout), write=True),
        *(Bind(source=str(checkout / path), optional=True) for path in seen.read), Bind(source=str(home), write=True),
        *(Bind(source=str(job / name), write=True) for name in (*folders, *files)),
        *(Bind(source=str(job / name), optional=True) for name in (INBOX, PROMPT, CONTEXT)),
        *said(walls),
    ]
    forwards, reach = ways_out(walls.network, doors, level)
    inward = (Forward(port=port, socket=str(job / DOOR), inward=True),) if port else ()
    inside = environment(env, walls, keys, job=job, home=home) | homes_of(env, binds) | reach
    hidden = tuple(str(checkout / path) for path in seen.hidden) if level == "strict" else ()  # else just absent
    return Sandbox(
        level=level, binds=tuple(binds), hide=hidden, home=str(home),
        network="host" if walls.network == "host" else "none", forwards=(*forwards, *inward), limits=limits(walls), nested=True,
        terminal=True, ports=(doors.gateway_port,) if level == "partial" and doors.gateway_port else (),
        baits=laid(walls, level, binds, place),
    ), inside


def check(walls: Walls, *, job: Path, slot: Path, git_dir: str, commands: Iterable[str], env: Mapping[str, str],
          doors: Doors, place: baits.Place | None = None, ours: Iterable[Path] = ()) -> tuple[Sandbox | None, dict[str, str]]:
    """What stands around a check run: the clean checkout, a place for its report, and the toolchain that its commands name.
    `ours`: where our own program lies, for a check that runs a proof of ours."""
    level = settled(walls)
    if level == "none":
        return None, dict(env)
    for name in ("tmp", "out", "home"):
        (job / name).mkdir(exist_ok=True, mode=0o700)
    words = [word for command in commands for word in words_of(command)]
    binds = [
        *toolchain(("sh", *words), env, level), *(Bind(source=str(path)) for path in ours), *objects_of(Path(git_dir)),
        Bind(source=str(slot), write=True),
        *(Bind(source=str(job / name), write=True) for name in ("tmp", "out", "home")), *said(walls),
    ]
    forwards, reach = ways_out(walls.check_network, doors, level)
    inside = environment(env, walls, (), job=job, home=job / "home") | homes_of(env, binds) | reach
    return Sandbox(
        level=level, binds=tuple(binds), home=str(job / "home"),
        network="host" if walls.check_network == "host" else "none", forwards=forwards, limits=limits(walls), nested=True,
        terminal=False, baits=laid(walls, level, binds, place),
    ), inside


def laid(walls: Walls, level: Level, binds: Iterable[Bind], place: baits.Place | None) -> tuple[Bait, ...]:
    """The baits within these walls: none where they are not wanted, or would not be seen."""
    if place is None or level != "strict" or not walls.baits:
        return ()
    return baits.lay(place, binds, (*walls.read, *walls.write, *walls.devices), walls.unbaited)


def settled(walls: Walls) -> Level:
    """The level that a job of these settings gets now. Raises Mistake when this machine gives less than what is demanded."""
    if walls.level == "best":
        return reached().level
    best = reached(walls.level)
    if rank(best.level) < rank(walls.level):
        raise Mistake(f"walls of level {walls.level} are asked for, and this machine gives {best.level}: {best.because}",
                      where="[sandbox] in andon.toml", mend=f"{best.mend} Or lower `level` there; `andon doctor` looks again.")
    return walls.level


# --- what exists inside --------------------------------------------------------------------------------------------------


def toolchain(argv: Iterable[str], env: Mapping[str, str], level: Level) -> list[Bind]:
    """What these programs need, and the usual tools, as far as the machine has them; each path once."""
    path = env.get("PATH", os.defpath)
    found = {bind.source: bind for bind in base_binds(level)}
    for word in dict.fromkeys((*argv, *TOOLS)):
        place = locate(word, path)
        if place and os.access(place, os.X_OK) and not Path(place).is_dir():
            found |= {bind.source: bind for bind in toolchain_binds(word, path, level) if bind.source not in found}
    return list(found.values())


def words_of(command: str) -> list[str]:
    """Words of a shell command that may name a program."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        words = command.split()
    return [word for word in words[:WORDS] if "/" in word or word.replace("-", "").replace("_", "").replace(".", "").isalnum()]


def objects_of(git_dir: Path) -> list[Bind]:
    """The object store that checkouts borrow from, and those that it borrows from in turn, read-only."""
    found: list[Path] = []
    waiting = [git_dir / "objects"]
    while waiting and len(found) < 16:
        place = waiting.pop()
        if place in found or not place.is_dir():
            continue
        found.append(place)
        alternates = place / "info" / "alternates"
        if alternates.is_file():
            waiting += [(place / line).resolve() for line in alternates.read_text(errors="replace").splitlines() if line]
    return [Bind(source=str(place)) for place in found]


def said(walls: Walls) -> list[Bind]:
    """What the settings name beyond that. What this machine does not have is left out."""
    return [
        *(Bind(source=str(Path(path).expanduser()), optional=True) for path in walls.read),
        *(Bind(source=str(Path(path).expanduser()), write=True, optional=True) for path in (*walls.write, *walls.devices)),
    ]


def environment(env: Mapping[str, str], walls: Walls, keys: Iterable[str], *, job: Path, home: Path) -> dict[str, str]:
    """The variables that exist inside: the usual ones, those that the settings name, and the agent's own `keys`."""
    named = {*PASSED, *walls.env, *walls.secrets, *keys}
    kept = {key: value for key, value in env.items() if key in named or key.startswith(("LC_", "ANDON_"))}
    return {**kept, "HOME": str(home), "TMPDIR": str(job / "tmp")}


def homes_of(env: Mapping[str, str], binds: Iterable[Bind]) -> dict[str, str]:
    """Where tool managers look for what they manage: their own home where it exists inside, for HOME is another one there."""
    home, found = Path(env.get("HOME") or Path.home()), {}
    sources = [Path(bind.source) for bind in binds]
    for name, folder in MANAGERS.items():
        place = Path(env.get(name) or home / folder)
        if any(source == place or place in source.parents for source in sources):
            found[name] = str(place)
    if any(source.name == "site-packages" and home / ".local" in source.parents for source in sources):
        found["PYTHONUSERBASE"] = str(home / ".local")
    return found


def ways_out(network: str, doors: Doors, level: Level) -> tuple[tuple[Forward, ...], dict[str, str]]:
    """The doors, and the variables by which programs find them. With the host's own loopback the gateway needs none."""
    if network == "host":
        return (), {}
    own = level == "strict"
    forwards = [Forward(port=doors.gateway_port, socket=doors.gateway)] if doors.gateway and doors.gateway_port and own else []
    if network != "allow-list" or not doors.proxy:
        return tuple(forwards), {}
    port = PROXY_PORT if own else _free_port()
    forwards.append(Forward(port=port, socket=doors.proxy))
    address = f"http://127.0.0.1:{port}"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    near = "127.0.0.1,localhost,::1"
    return tuple(forwards), {**dict.fromkeys(names, address), "NO_PROXY": near, "no_proxy": near, "NODE_USE_ENV_PROXY": "1"}


def _free_port() -> int:
    """A port of the host's loopback that nobody held a moment ago."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def limits(walls: Walls) -> Limits:
    """What a job may use."""
    return Limits(processes=walls.processes, memory_mb=walls.memory_mb, file_mb=walls.file_mb, tmp_mb=walls.tmp_mb)
