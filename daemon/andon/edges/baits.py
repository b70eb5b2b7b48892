"""Says which baits stand in a job's walls and lays their files into its directory; must never put one over what the job needs.

Theory of operation. What does not exist cannot be seen being opened, so behind strict walls stand-ins exist: empty, read-only,
ours. Each is a file or folder of the job's directory on the host, bound to where an attacker would look, in the private home
and in the person's real one. The shim watches the host's side (`lookout.py`). Only what ordinary tools do not open stands in
the private home: git, curl, pip and npm open `~/.netrc` or `~/.npmrc` at every start, so those stand in the real home alone,
where only somebody who goes past `$HOME` looks.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from andon.edges import beneath
from andon.schema.layout import Layout
from andon.schema.sandbox import Bait, Bind

FOLDER = "baits"
"""In the job's directory."""
BOTH: dict[str, tuple[str, ...]] = {
    ".ssh": ("id_rsa", "id_ed25519", "id_ecdsa", "config", "known_hosts", "authorized_keys"),
    ".aws": ("credentials", "config"),
    ".kube": ("config",),
    ".docker": ("config.json",),
    ".git-credentials": (),
    ".pypirc": (),
}
"""Of the private home and of the real one; without files it is a file itself."""
REAL: dict[str, tuple[str, ...]] = {
    ".gnupg": ("pubring.kbx", "secring.gpg", "trustdb.gpg", "gpg.conf"),
    ".config/gh": ("hosts.yml", "config.yml"),
    ".config/gcloud": ("credentials.db", "application_default_credentials.json"),
    ".azure": ("accessTokens.json", "msal_token_cache.json"),
    ".mozilla": ("firefox",),
    ".config/google-chrome": ("Local State",),
    ".config/chromium": ("Local State",),
    ".local/share/keyrings": ("login.keyring",),
    ".password-store": (".gpg-id",),
    ".claude": (".credentials.json", "settings.json"),
    ".codex": ("auth.json", "config.toml"),
    ".netrc": (),
    ".npmrc": (),
    ".bash_history": (),
    ".zsh_history": (),
}
"""Of the real home alone: tools open these at their start in the home that they are given."""
SYSTEM = ("/etc/shadow",)
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock")
"""Two names of one thing are two places of one bait."""
DOORS = ("the factory's operator socket", "the factory's tmux server")
REPOSITORY = (".git/HEAD", ".git/config")
"""Of the person's own checkout: who opens these works on it, not on its clone."""
MOUNTED = ("/.git/HEAD",)
"""Git reads where such a link leads, and does not open it."""


Kind = Literal["folder", "file", "closed", "socket"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands, as far as baits must know."""

    job: Path
    home: Path
    """The private one."""
    person: Path
    """The real one."""
    state: Path | None = None
    """The factory's own directory."""
    sockets: tuple[Path, ...] = ()
    """The factory's own doors."""
    repository: Path | None = None


def place_of(layout: Layout, *, job: Path, home: Path, repository: Path | None) -> Place:
    """Where a job of this factory stands, on this person's machine."""
    return Place(job=job, home=home, person=Path.home(), state=layout.home, repository=repository,
                 sockets=(layout.socket, layout.tmux_socket))


def lay(place: Place, binds: Iterable[Bind], named: Iterable[str], unbaited: Iterable[str] = ()) -> tuple[Bait, ...]:
    """The job's baits, their files on the host made. `binds`: what exists inside. `named`: paths that the settings open.
    `unbaited`: names of those that are left out."""
    left_out = {name.rstrip("/") for name in unbaited}
    bound = [bind.target or bind.source for bind in binds]
    spared = {str(Path(path).expanduser()) for path in named}
    top = place.job / FOLDER
    top.mkdir(exist_ok=True, mode=0o700)
    found: list[Bait] = []
    for what, files, wanted, kind in _wanted(place):
        others = [path for bait in found for path in (*bait.targets, *bait.links)]
        free = [path for path in wanted if not path_taken(path, bound, place.home, spared, wanted)
                and not any(_below(path, one) or _below(one, path) for one in others)]
        if free and what not in left_out:
            mounted = tuple(path for path in free if _below(path, str(place.home)) or path.endswith(MOUNTED))
            bait = Bait(what=what, source=str(top / str(len(found))), targets=mounted, kind=kind,
                        links=tuple(path for path in free if path not in mounted))
            _make(Path(bait.source), bait.kind, files)
            found.append(bait)
    return tuple(found)


def _wanted(place: Place) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], Kind]]:
    """(name, files, places, kind) of each."""
    homes = tuple(dict.fromkeys((str(place.home), str(place.person))))
    for table, roots in ((BOTH, homes), (REAL, (str(place.person),))):
        for name, files in table.items():
            yield f"~/{name}", files, tuple(f"{root}/{name}" for root in roots), "folder" if files else "file"
    for path in SYSTEM:
        yield path, (), (path,), "file"
    for name in ("ledger.db", "blobs", "gateway", "keys") if place.state else ():
        yield f"the factory's {name}", (), (f"{place.state}/{name}",), "closed"
    for name in REPOSITORY if place.repository else ():
        yield f"{place.repository}/{name}", (), (f"{place.repository}/{name}",), "closed"
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    yield "the docker socket", (), SOCKETS[:2], "socket"
    yield "the podman socket", (), SOCKETS[2:], "socket"
    if agent.startswith("/"):
        yield "the ssh agent", (), (agent,), "socket"
    for door, what in zip(place.sockets, DOORS, strict=False):
        yield what, (), (str(door),), "socket"


def path_taken(path: str, bound: list[str], home: Path, spared: set[str], together: tuple[str, ...]) -> bool:
    """Whether something else has a right to this place: what is bound there, what the settings open, what the agent keeps there."""
    if any(_below(one, path) or _below(path, one) for one in bound if one != str(home)):
        return True
    if any(_below(path, one) or _below(one, path) for one in spared for path in together):
        return True
    return _below(path, str(home)) and not _empty(home, path[len(str(home)) + 1:])


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top.rstrip('/')}/")


def _empty(home: Path, name: str) -> bool:
    """Nothing is there, or what an earlier sitting's bait left: an empty file or folder, and no link."""
    seen = beneath.facts(home, name)
    if seen is None:
        return True
    if stat.S_ISDIR(seen.st_mode):
        return not beneath.names(home, name, 1)
    return stat.S_ISREG(seen.st_mode) and not seen.st_size


def _make(source: Path, kind: Kind, files: tuple[str, ...]) -> None:
    if kind in ("folder", "closed"):
        source.mkdir(exist_ok=True, mode=0o700)
        for name in files:
            (source / name).touch(mode=0o600)
    elif kind == "file":
        source.touch(mode=0o600)
