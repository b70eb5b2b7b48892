"""The texts of the units that run a factory as a service. Pure: looks at nothing but what it is given; must never write."""

import plistlib
from collections.abc import Mapping
from typing import NamedTuple

from andon.schema.layout import Layout
from andon.served import LAUNCHD, marker, name_of

PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "SHELL", "TMPDIR",
          "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
"""Variables of the installing shell that are written into the unit: where programs and files are. Never one that may be secret."""
ENVIRONMENT = "environment"
"""A file beside the person's settings, NAME=value a line, for what agents need beyond that; read when it is there."""


class Around(NamedTuple):
    """What the texts are made of."""

    layout: Layout
    python: str
    tmux: str
    env: Mapping[str, str]
    """The installing shell's environment."""
    umask: int
    """The person's own."""


def texts(around: Around) -> dict[str, str]:
    """The unit files by name."""
    name = name_of(around.layout)
    return {f"{name}.service": daemon(around), f"{name}.socket": door(around.layout), f"{name}-tmux.service": terminals(around)}


def daemon(around: Around) -> str:
    """The daemon: ready when it says so, watched, restarted, drained; what must outlive it lies in other units."""
    layout, name = around.layout, name_of(around.layout)
    env = places(around)
    env |= {"ANDON_SERVICE": "1", "ANDON_UMASK": f"{around.umask:04o}"}
    lines = "\n".join(f"Environment={quoted(f'{key}={value}')}" for key, value in sorted(env.items()) if value.isprintable())
    return f"""\
{marker(layout)}
[Unit]
Description=Andon, a factory of coding agents
Requires={name}.socket
Wants={name}-tmux.service
After={name}.socket {name}-tmux.service
StartLimitIntervalSec=120
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={word(around.python)} -P -m andon.cli.main daemon
{lines}
EnvironmentFile=-{plain(str(layout.config / ENVIRONMENT))}
WatchdogSec=30
Restart=on-failure
RestartSec=1
KillMode=mixed
TimeoutStopSec=90
UMask=0077
NoNewPrivileges=yes
LimitCORE=0
OOMPolicy=continue

[Install]
WantedBy=default.target
"""


def door(layout: Layout) -> str:
    """The operator's socket: the manager listens, so faces wait while the daemon starts again and are not refused."""
    return f"""\
{marker(layout)}
[Unit]
Description=The door of Andon

[Socket]
ListenStream={plain(str(layout.socket))}
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def terminals(around: Around) -> str:
    """The agents' tmux server, in a unit of its own: stopping the daemon does not touch it. One that runs already is adopted.

    Its cgroup is delegated, so that each session gets one of its own, with limits on the whole of it.
    """
    layout, env = around.layout, around.env
    tmux = f"{word(around.tmux)} -u -S {word(str(layout.tmux_socket))}"
    kept = {key: env[key] for key in ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TMPDIR") if env.get(key)}
    clean = " ".join(word(f"{key}={value}") for key, value in sorted((kept | {"TERM": "xterm-256color"}).items()))
    return f"""\
{marker(layout)}
[Unit]
Description=The terminals of Andon's agents
ConditionPathExists={plain(str(layout.tmux_config))}

[Service]
Type=forking
GuessMainPID=no
ExecCondition=/bin/sh -c '! "$$@" 2>/dev/null' sh {tmux} has-session -t =hub
Delegate=yes
ExecStart=/usr/bin/env -i {clean} {tmux} -f {word(str(layout.tmux_config))} new-session -d -s hub -x 80 -y 24 cat
UMask={around.umask:04o}
LimitCORE=0
OOMPolicy=continue
TimeoutStopSec=15
"""


def launchd(around: Around) -> bytes:
    """The same for macOS, as far as launchd has it: no readiness, no watchdog, no door. Untested."""
    layout = around.layout
    return plistlib.dumps({
        "Label": LAUNCHD, "ProgramArguments": [around.python, "-P", "-m", "andon.cli.main", "daemon"],
        "EnvironmentVariables": places(around), "RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False},
        "AbandonProcessGroup": True, "ExitTimeOut": 90, "ThrottleInterval": 1, "Umask": 0o077,
        "StandardOutPath": str(layout.daemon_log),
        "StandardErrorPath": str(layout.daemon_log), "WorkingDirectory": str(layout.home),
    })


def places(around: Around) -> dict[str, str]:
    """The variables by which the daemon finds programs, files and this very factory."""
    env = {key: around.env[key] for key in PASSED if around.env.get(key)}
    if around.env.get("ANDON_HOME") or name_of(around.layout) != "andon":
        env["ANDON_HOME"] = str(around.layout.home)
    if around.env.get("ANDON_CONFIG_HOME"):
        env["ANDON_CONFIG_HOME"] = str(around.layout.config)
    return env


def plain(text: str) -> str:
    """A path as the value of a setting: systemd's own signs in it mean themselves."""
    return text.replace("%", "%%")


def quoted(text: str) -> str:
    """One word as systemd reads it: quotes where they must be."""
    safe = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{safe}"' if not text or any(sign in text for sign in " \t'\"\\;") else safe


def word(text: str) -> str:
    """One word of a command line, where a dollar would otherwise name a variable."""
    return quoted(text).replace("$", "$$")
