"""`andon service`: the factory as a service of the person's own: install, status, remove. Writes nothing that was not shown."""

import argparse
import os
import shutil
import sys
import time
from importlib import resources
from pathlib import Path

import msgspec

from andon import served
from andon.cli import codes, out, reach
from andon.cli.asking import agreed
from andon.cli.service_units import Around, texts
from andon.client import connect, running
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

EXAMPLES = """\
examples:
  andon service install          shows the unit files, asks, writes and starts them
  andon service status --json    what is really there
  andon service remove           the daemon leaves, the files go; agents go on

The daemon then starts at login, is started again when it fails or hangs, and its door stays open meanwhile.
"""
LEAVE_S = 90.0
"""How long a daemon that is not a service yet may take to drain."""
WAYS = ("install", "status", "remove")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the service as it is."""

    part: str
    state: str
    """ok, note, missing."""
    told: str
    mend: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    parser.add_argument("what", choices=WAYS, nargs="?", default="status", help="default: status")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="a JSON array of {part, state, told, mend}: what is there afterwards")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    layout = reach.place()
    if sys.platform == "darwin":
        from andon.cli import service_launchd

        return service_launchd.run(args, layout)
    if why := served.unmanaged():
        raise Mistake(f"{why}, so there is nothing that could run the factory as a service", where="systemctl --user",
                      mend="`andon up` runs the daemon without one; let another service manager run `andon up --foreground`")
    if args.what == "install":
        return install(layout, yes=args.yes, json=args.json)
    if args.what == "remove":
        return remove(layout, yes=args.yes, json=args.json)
    return tell(look(layout), json=args.json)


# --- install -------------------------------------------------------------------------------------------------------------


def around(layout: Layout) -> Around:
    """This installation and this shell. Mistake without tmux: a unit needs its whole path."""
    tmux = shutil.which("tmux")
    if tmux is None:
        raise Mistake("tmux is not on PATH", mend="install tmux 3.2 or newer, then try again")
    umask = os.umask(0o077)
    os.umask(umask)
    return Around(layout, sys.executable, tmux, os.environ, umask)


def install(layout: Layout, *, yes: bool, json: bool) -> int:
    """Show, ask, write, start, and see it answer."""
    wanted = texts(around(layout))
    place = served.folder()
    _refuse_foreign(layout, place, wanted)
    changed = {name: text for name, text in wanted.items() if _text(place / name) != text}
    for name, text in changed.items():
        out.say(f"--- {place / name}{' (renewed)' if (place / name).exists() else ''}\n{out.clean_lines(text)}")
    if not changed:
        out.say(f"the unit files in {place} are there already, as this release writes them")
    apart = running(layout) and not _active(layout)
    also = "; the running daemon leaves first, its agents go on" if apart else ""
    if not agreed(f"Write {len(changed)} files into {place} and start the service{also}?", yes=yes):
        out.say("andon: nothing was written")
        return codes.NOT_SO
    _write(place, changed)
    _seed_terminals(layout)
    if apart:
        _leave(layout)
    _order("daemon-reload")
    daemon, door, _ = served.units(layout)
    _order("enable", "--", door, daemon)
    if changed and _active(layout):
        served.stop(layout)
    served.start(layout)
    with connect(layout) as client:
        out.say(f"the daemon runs as {daemon}: version {client.welcome.version}, pid {client.welcome.pid}")
    return tell(look(layout), json=json)


def _refuse_foreign(layout: Layout, place: Path, names: dict[str, str]) -> None:
    for name in names:
        text = _text(place / name)
        if text is not None and not text.startswith(served.marker(layout)):
            raise Mistake("a unit file of this name is there and is not of this factory: it is left alone", where=str(place / name),
                          mend="move it away, then try again")


def _write(place: Path, changed: dict[str, str]) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, text in changed.items():
            aside = place / f".{name}.new"
            aside.write_text(text)
            aside.replace(place / name)
    except OSError as error:
        raise Mistake(f"the unit file cannot be written: {error.strerror}", where=str(error.filename or place),
                      mend="make that directory writable for you, then try again") from error


def _seed_terminals(layout: Layout) -> None:
    """The tmux configuration, which the daemon would write at its first start: with it the server begins in its own unit."""
    if not layout.tmux_config.exists():
        layout.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout.tmux_config.write_bytes(resources.files("andon").joinpath("edges", "tmux.conf").read_bytes())


def _leave(layout: Layout) -> None:
    """The daemon that no manager started drains and leaves."""
    with connect(layout) as client:
        pid = client.welcome.pid
        client.ask(wire.Shutdown(because="andon service install"))
    until = time.monotonic() + LEAVE_S
    while running(layout):
        if time.monotonic() > until:
            raise Mistake(f"the daemon (pid {pid}) was told to leave and did not within {LEAVE_S:.0f} s",
                          where=str(layout.daemon_log), mend="look at its log, then try again")
        time.sleep(0.05)


def _order(*words: str) -> None:
    code, said = served.systemctl(*words)
    if code != 0:
        raise Mistake(f"systemctl --user {words[0]} failed: {said[-300:]}", where=str(served.folder()),
                      mend="`andon service status` says what is there")


# --- status --------------------------------------------------------------------------------------------------------------


def look(layout: Layout) -> list[Part]:
    """What is really there: files, units, the daemon that answers, where the agents' terminals run, and linger."""
    found = [_file(layout, name) for name in served.units(layout)]
    if all(part.state == "missing" for part in found):
        return [Part(part="service", state="missing", told="not installed",
                     mend="`andon service install` writes the units; `andon up` runs the daemon without")]
    daemon, door, _ = served.units(layout)
    return [*found, _unit(daemon, "active"), _unit(door, "active"), _terminals(layout), linger()]


def tell(parts: list[Part], *, json: bool) -> int:
    """Print the parts; NOT_SO when one is missing."""
    if json:
        out.dump(parts)
    else:
        marks = {"ok": "✓ ok", "note": "! note", "missing": "✗ missing"}
        out.table([(marks[one.state], one.part, one.told + (f" — {one.mend}" if one.mend else "")) for one in parts],
                  ("", "PART", "FINDING"))
    return codes.NOT_SO if any(one.state == "missing" for one in parts) else codes.OK


def _file(layout: Layout, name: str) -> Part:
    path = served.folder() / name
    text = _text(path)
    if text is None:
        return Part(part="file", state="missing", told=f"{path} is not there", mend="`andon service install` writes it")
    if not text.startswith(served.marker(layout)):
        return Part(part="file", state="note", told=f"{path} is not of this factory", mend="move it away, then install again")
    if text != texts(around(layout))[name]:
        return Part(part="file", state="note", told=f"{path} differs from what this release and this shell would write",
                    mend="`andon service install` shows and renews it")
    return Part(part="file", state="ok", told=str(path))


def _unit(unit: str, wanted: str) -> Part:
    known = served.facts(unit)
    if not known:
        return Part(part=unit, state="missing", told="its manager says nothing of it", mend="`systemctl --user status` says more")
    state = known.get("ActiveState", "unknown")
    told = f"{state} ({known.get('SubState', '')}), {known.get('UnitFileState', '') or 'not enabled'}"
    if (pid := known.get("MainPID", "0")) not in ("", "0"):
        told += f", pid {pid}"
    if (tries := known.get("NRestarts", "0")) not in ("", "0"):
        told += f", started again {tries} times"
    if said := known.get("StatusText", ""):
        told += f": {said}"
    if state == wanted:
        return Part(part=unit, state="ok", told=told)
    why = known.get("Result", "")
    return Part(part=unit, state="missing", told=f"{told}{f', because: {why}' if why not in ('', 'success') else ''}",
                mend=f"`andon up` starts it; `journalctl --user -u {unit} -n 50` says what happened")


def _terminals(layout: Layout) -> Part:
    """In which unit the tmux server lives: in the daemon's own it would die with it."""
    own, part = served.units(layout)[0], served.units(layout)[2]
    pid = _tmux(layout, "display-message", "-p", "#{pid}").strip()
    try:
        group = Path(f"/proc/{int(pid)}/cgroup").read_text().strip().splitlines()[-1].rpartition("/")[2]
    except (OSError, ValueError):
        return Part(part=part, state="note", told="no tmux server runs", mend="the daemon starts one when it starts")
    if group == own:
        return Part(part=part, state="note", told="the tmux server runs inside the daemon's own unit: a stop would end the agents",
                    mend="when no agent is at work: `andon service remove`, then `andon service install`")
    return Part(part=part, state="ok", told=f"the tmux server (pid {pid}) runs in {group or 'no unit'}")


def linger() -> Part:
    """Whether the person's services outlive their logout."""
    import subprocess

    try:
        asked = subprocess.run(("loginctl", "show-user", str(os.getuid()), "-p", "Linger", "--value"), capture_output=True,
                               text=True, check=False, timeout=10)
        said = asked.stdout.strip() if asked.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if said == "yes":
        return Part(part="linger", state="ok", told="the service goes on when you log out")
    told = "everything of yours ends when you log out" if said == "no" else "nobody says whether it goes on when you log out"
    return Part(part="linger", state="note", told=told, mend="`loginctl enable-linger` lets it go on")


# --- remove --------------------------------------------------------------------------------------------------------------


def remove(layout: Layout, *, yes: bool, json: bool) -> int:
    """Stop, disable, and take away exactly the files that carry our line. Agents that are at work go on."""
    place, names = served.folder(), served.units(layout)
    ours = [name for name in names if (_text(place / name) or "").startswith(served.marker(layout))]
    if not ours:
        out.say("the service is not installed")
        return codes.OK
    for name in ours:
        out.say(f"{place / name}")
    if not agreed(f"Stop the daemon and take these {len(ours)} files away?", yes=yes):
        out.say("andon: nothing was changed")
        return codes.NOT_SO
    daemon, door, terminals = names
    busy = _busy(layout)
    served.stop(layout)
    _order("disable", "--", *(name for name in (door, daemon) if name in ours))
    if not busy:
        _order("stop", "--", terminals)
        _tmux(layout, "kill-server")  # one that was adopted, with nothing in it but its own hub
    for name in ours:
        (place / name).unlink(missing_ok=True)
    _order("daemon-reload")
    served.systemctl("reset-failed", "--", *names)
    left = [name for name in names if served.facts(name).get("LoadState") not in (None, "", "not-found")
            and not (busy and name == terminals)]
    if left:
        raise Mistake(f"still known to systemd: {', '.join(left)}", where=str(place), mend="`systemctl --user status` says why")
    out.say("removed" + (f"; the tmux server goes on with {busy} sessions, and `andon up` finds them" if busy else ""))
    if json:
        out.dump(look(layout))
    return codes.OK


def _busy(layout: Layout) -> int:
    """Sessions of agents in our tmux server; its own hub does not count."""
    return sum(name != "hub" for name in _tmux(layout, "list-sessions", "-F", "#{session_name}").split())


def _tmux(layout: Layout, *words: str) -> str:
    """What our tmux server says; nothing when there is none."""
    import subprocess

    argv = ("tmux", "-S", str(layout.tmux_socket), *words)
    try:
        asked = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout if asked.returncode == 0 else ""


def _active(layout: Layout) -> bool:
    return served.facts(served.units(layout)[0]).get("ActiveState") in ("active", "activating", "reloading")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None

