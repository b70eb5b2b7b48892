"""Which walls this machine gives, and what a program needs inside of them; it must never know why a job runs.

The walls themselves are built by the shim (`walls.py`) from the job's `sandbox`; nothing here settles for a weaker level.
"""

import contextlib
import functools
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from andon.edges import bubblewrap, landlock, seccomp
from andon.edges.bubblewrap import Refused
from andon.edges.walls import described, held
from andon.schema.sandbox import LEVELS, Bind, Level, Reached

PROBE_S = 5.0
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/run/current-system", "/etc/static")
"""Where systems keep their programs; none holds anything of a person."""
SETTINGS = (
    "ld.so.cache", "ld.so.preload", "passwd", "group", "nsswitch.conf", "hosts", "services", "ssl/certs", "ssl/cert.pem",
    "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust", "crypto-policies", "alternatives", "localtime", "os-release", "mime.types",
    "gitconfig",
)
"""Of /etc. Not all of /etc/ssl: root's agents could read its private keys. Each costs a tenth of a millisecond at a job's start."""
READABLE = ("profile", "profile.d", "bash.bashrc", "inputrc", "ld.so.conf", "ld.so.conf.d", "host.conf", "protocols", "timezone",
            "terminfo", "debian_version", "magic", "ca-certificates")
"""Further ones for the level partial: what Landlock denies is not absent, and a shell complains of it."""
_PARTS = ("bin", "lib", "lib64", "libexec", "share", "include", "etc")
"""Of a prefix that holds an interpreter."""
_SHIMS = (".pyenv", ".rbenv", ".nodenv", ".asdf", ".volta", ".rustup")
"""Version managers: their folders hold programs alone, and their shims need all of it."""
_WHOLE = (".volta", ".rustup")
"""What is in them is never alone."""
NAME_BYTES, PATH_BYTES = 255, 4095
"""Of a name and of a whole path: a longer word is neither."""
NESTED = """
import ctypes, os, sys
libc, user = ctypes.CDLL(None), os.getuid()
if libc.unshare(0x10020000):  # of users and mounts
    sys.exit("no user namespace within")
with open("/proc/self/uid_map", "w") as file:
    file.write(f"{user} {user} 1")
sys.exit(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) and "no mount within")
"""
"""What programs do that bring a sandbox of their own."""
HOPS = 40
"""Links that one path may lead through."""
KERNEL = ("/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone",
          "/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
"""Switches by which a machine forbids namespaces."""
STALE_S, KEPT = 60.0, 16
"""So long is less than what was wanted believed; answers remembered at once."""
_found: dict[tuple[object, ...], tuple[Reached, float]] = {}


def reached(wanted: Level = "strict") -> Reached:
    """The best level up to `wanted` that this machine gives this user now.

    Tried out (< 100 ms) when something has changed on which it hangs, and again after a while as long as less was found.
    """
    name = (wanted, *_signs())
    found, at = _found.get(name, (None, 0.0))
    if found is None or (found.level != wanted and time.monotonic() - at > STALE_S):
        found = _try(wanted)
        if len(_found) >= KEPT:
            _found.clear()
        _found[name] = found, time.monotonic()
    return found


def look_again() -> None:
    """Forget what was found: the machine may have been mended."""
    _found.clear()
    nests.cache_clear()


@functools.cache
def nests() -> bool:
    """Whether a job behind strict walls can make a sandbox of its own, tried out once in the life of the process (< 100 ms)."""
    try:
        return bool(try_bubblewrap(NESTED))
    except Refused:
        return False


def _signs() -> tuple[object, ...]:
    """What a machine's answer hangs on and can be looked at in no time: who asks, which bwrap there is, what the kernel allows."""
    program: tuple[object, ...] = ()
    with contextlib.suppress(Refused, OSError):
        path = bubblewrap.find()
        facts = Path(path).stat()
        program = (path, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_mode)
    return os.geteuid(), program, *(_word(place) for place in KERNEL)


def _word(place: str) -> str:
    try:
        return Path(place).read_text().strip()
    except OSError:
        return ""


def _try(wanted: Level) -> Reached:
    if wanted == "none":
        return Reached(level="none", because="No walls were asked for.", mend="Ask for `strict`.")
    because: list[Refused] = []
    for level in reversed(LEVELS[1:LEVELS.index(wanted) + 1]):
        try:
            tool = try_bubblewrap() if level == "strict" else try_landlock()
        except Refused as refused:
            because.append(refused)
        else:
            return Reached(level=level, tool=tool, because=_sentence(because), mend=because[0].mend if because else "")
    return Reached(level="none", because=_sentence(because), mend=because[0].mend)


def _sentence(because: list[Refused]) -> str:
    return " ".join(one.what for one in because)


def try_bubblewrap(code: str = "pass") -> str:
    """Put a small program behind real walls; the tool's name and version. Raises Refused when walls or program fail."""
    program = bubblewrap.find()
    python, extra = bubblewrap.interpreter()
    box = {"binds": [{"source": one.source, "optional": True} for one in base_binds()]}
    try:
        words, fds = described(bubblewrap.options(box, extra))
        fds.append(held(seccomp.program()))
        words += ["--seccomp", str(fds[-1])]
    except seccomp.Unknown as error:
        raise Refused(f"There are no rules for this machine: {error}.", "Ask for `none` here.") from None
    try:
        done = subprocess.run(
            (program, *words, "--", python, "-I", "-S", "-c", code), pass_fds=fds, env={}, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=PROBE_S, check=False)
        if done.returncode:
            raise bubblewrap.complaint(done.stderr.decode(errors="replace"))
        said = subprocess.run((program, "--version"), env={}, capture_output=True, timeout=PROBE_S, check=False)
        return said.stdout.decode(errors="replace").strip() or "bubblewrap"
    except subprocess.TimeoutExpired:
        raise Refused("bubblewrap did not answer.", "See what the machine is busy with.") from None
    finally:
        for fd in fds:
            os.close(fd)


def try_landlock() -> str:
    """Whether the kernel has what the level partial needs; its name and version. Raises Refused."""
    abi = landlock.version()
    try:
        seccomp.program(nested=False, unix=False, inet="stream")
    except seccomp.Unknown as error:
        raise Refused(f"There are no rules for this machine: {error}.", "Ask for `none` here.") from None
    if not abi:
        raise Refused("This kernel has no Landlock.", "Use Linux 6.7 or newer with `landlock` in its `lsm=` list.")
    if abi < landlock.NEEDED:
        raise Refused(f"Landlock {abi} of this kernel cannot limit connections.", "Use Linux 6.7 or newer.")
    return f"landlock {abi}"


# --- what a program needs ------------------------------------------------------------------------------------------------


def base_binds(level: Level = "strict") -> tuple[Bind, ...]:
    """The system's own programs, libraries and public settings, read-only; only what this machine has."""
    names = (*SETTINGS, *READABLE) if level == "partial" else SETTINGS
    wanted = (*SYSTEM, *(f"/etc/{name}" for name in names))
    return tuple(Bind(source=path, optional=True) for path in wanted if os.path.lexists(path))


def toolchain_binds(argv0: str, path_env: str, level: Level = "strict") -> tuple[Bind, ...]:
    """What must exist inside, read-only, for this program to run: the system's base, the program's real files, its interpreter
    with its libraries. Of a person's home nothing but those. An unknown program has the base alone."""
    found = [one.source for one in base_binds(level)]
    for path in _needs(argv0, path_env, 0):
        if not _covered(path, found):
            found.append(path)
    found = [path for path in found if not _covered(path, [one for one in found if one != path and not _is_link(one)])]
    return tuple(Bind(source=path, optional=True) for path in sorted(found, key=lambda path: path.count("/")))


def _covered(path: str, found: list[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in found)


def _is_link(path: str) -> bool:
    return Path(path).is_symlink()


def locate(argv0: str, path_env: str) -> str:
    """Where a program is found, as a shell would; empty: nowhere. A word of a command may be anything: a whole prompt."""
    word = os.fsencode(argv0)
    if len(word) > PATH_BYTES or b"\0" in word or any(len(name) > NAME_BYTES for name in word.split(b"/")):
        return ""
    if "/" in argv0:
        return argv0 if argv0.startswith("/") and Path(argv0).exists() else ""
    for folder in path_env.split(":"):
        path = Path(folder, argv0)
        if folder.startswith("/") and path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return ""


def _needs(argv0: str, path_env: str, depth: int) -> Iterator[str]:
    """Links on the way to a program, the program's own files, and the same for its interpreter."""
    path = locate(argv0, path_env)
    if not path or depth > 4:
        return
    steps = list(_way(path))
    for place in steps:  # a link is looked at too: a venv's python is one, and what lies about it is what counts
        yield from _files(place)
    line = _shebang(steps[-1])
    if line:
        words = line.split()
        yield from _needs(words[0], path_env, depth + 1)
        if Path(words[0]).name == "env":
            named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
            yield from _needs(named, path_env, depth + 1)


def _way(path: str) -> Iterator[str]:
    """Each link that stands on this path, and last where it ends."""
    here = path
    for _ in range(HOPS):
        link = next((place for place in _prefixes(here) if place.is_symlink()), None)
        if link is None:
            break
        yield str(link)
        target = os.path.normpath(link.parent / link.readlink())
        here = target + here[len(str(link)):]
    yield here


def _prefixes(path: str) -> list[Path]:
    return [*reversed(Path(path).parents), Path(path)]


def _files(path: str) -> Iterator[str]:
    """What belongs to the program at this place, the link or the file itself too."""
    if path.startswith(tuple(f"{root}/" for root in SYSTEM)):
        return
    place, homes = Path(path), {Path.home(), Path.home() / ".local"}
    above = place.parent.parent if place.parent.name in ("bin", "Scripts") else None
    if "node_modules" in place.parts:
        yield str(Path(*place.parts[:place.parts.index("node_modules") + 1]))
    for manager in _SHIMS:
        if manager in place.parts and (manager in _WHOLE or "shims" in place.parts):
            yield str(Path(*place.parts[:place.parts.index(manager) + 1]))
    if path.startswith(str(Path.home() / ".cargo/bin")):
        yield from (str(Path.home() / ".cargo/bin"), str(Path.home() / ".rustup"))
    if above and (above / "pyvenv.cfg").is_file():
        yield str(above)
    elif above and above not in homes:
        yield from (str(above / part) for part in _PARTS if (above / part).exists())
    elif above:  # shared with everything else of this person
        yield path
        yield from (str(one) for one in (above / "lib").glob("python3*/site-packages"))
        yield from (str(one) for one in (above / "lib/node_modules",) if one.exists())
    elif place.parent not in homes and place.is_file() and not place.is_symlink():
        yield str(place.parent)
    yield path


def _shebang(path: str) -> str:
    """What a script asks to be run by; empty: it is no script."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(512)
    except OSError:
        return ""
    found = re.match(rb"#!\s*([^\n]+)", head)
    return found[1].decode(errors="replace").strip() if found else ""
