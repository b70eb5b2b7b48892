"""`andon service` on macOS: a LaunchAgent. Written from Apple's documents and never run by us, and it says so."""

import argparse
import os
import shutil
import subprocess
import sys

from andon import served
from andon.cli import codes, out
from andon.cli.asking import agreed
from andon.cli.service_units import Around, launchd
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

UNTESTED = "andon: the launchd service is untested: there is no readiness, no watchdog and no open door across a restart"


def run(args: argparse.Namespace, layout: Layout) -> int:
    """install, status or remove."""
    path = served.folder() / f"{served.LAUNCHD}.plist"
    domain = f"gui/{os.getuid()}"
    out.say(UNTESTED)
    if args.what == "install":
        text = launchd(Around(layout, sys.executable, shutil.which("tmux") or "tmux", os.environ, 0o022))
        out.say(f"--- {path}\n{out.clean_lines(text.decode())}")
        if not agreed(f"Write {path} and start it?", yes=args.yes):
            return codes.NOT_SO
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        _launchctl("bootstrap", domain, str(path))
    elif args.what == "remove":
        if not path.exists():
            out.say("the service is not installed")
            return codes.OK
        if not agreed(f"Stop the daemon and take {path} away?", yes=args.yes):
            return codes.NOT_SO
        _launchctl("bootout", f"{domain}/{served.LAUNCHD}")
        path.unlink()
    told = "installed" if path.exists() else "not installed"
    if args.json:
        out.dump([{"part": "service", "state": "note" if path.exists() else "missing", "told": told, "mend": ""}])
    else:
        print(told)
    return codes.OK if path.exists() or args.what == "remove" else codes.NOT_SO


def _launchctl(*words: str) -> None:
    try:
        done = subprocess.run(("launchctl", *words), capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as error:
        raise Mistake("launchctl is not on PATH", mend="`andon up` runs the daemon without it") from error
    if done.returncode != 0:
        raise Mistake(f"launchctl {words[0]} failed: {done.stderr.strip()[-300:]}", mend="`launchctl print` says more")
