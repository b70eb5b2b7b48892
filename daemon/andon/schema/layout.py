"""Where the factory keeps its things on disk. Pure names: touches no disk but to read the environment."""

import hashlib
import os
from pathlib import Path

import msgspec
from platformdirs import user_config_path, user_runtime_path, user_state_path

from andon.schema.ids import AttemptId, Digest, RepoId

SOCKET_PATH_LIMIT = 100
"""Bytes that a unix socket's path may have (sun_path is 104 on macOS, 108 on Linux)."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The directories of one factory. `home` is durable; `runtime` may vanish at a reboot."""

    home: Path
    """Durable state, 0700. `$ANDON_HOME`, else the platform's state directory."""
    runtime: Path
    """Sockets, 0700."""
    config: Path
    """The person's own settings directory. `$ANDON_CONFIG_HOME`, else the platform's."""

    @property
    def ledger(self) -> Path:
        """The SQLite file of the ledger."""
        return self.home / "ledger.db"

    @property
    def lock(self) -> Path:
        """The file whose flock the daemon holds for life."""
        return self.home / "daemon.lock"

    @property
    def ballast(self) -> Path:
        """Space kept back so that a full disk can still be recorded."""
        return self.home / "ballast"

    @property
    def daemon_log(self) -> Path:
        """What the daemon prints: size-capped, for people."""
        return self.home / "daemon.log"

    @property
    def socket(self) -> Path:
        """The operator's socket, 0600."""
        return self.runtime / "andon.sock"

    @property
    def tmux_socket(self) -> Path:
        """The socket of our own tmux server."""
        return self.runtime / "tmux.sock"

    @property
    def tmux_config(self) -> Path:
        """The configuration file of our own tmux server."""
        return self.home / "tmux.conf"

    @property
    def person_settings(self) -> Path:
        """The person's own `andon.toml`."""
        return self.config / "andon.toml"

    @property
    def keys(self) -> Path:
        """The factory's own keys and its name in checkpoints, 0700."""
        return self.home / "keys"

    @property
    def trust(self) -> Path:
        """What who verifies our evidence needs beside the repository."""
        return self.home / "trust.json"

    @property
    def allowed_signers(self) -> Path:
        """The people whose SSH keys decide, as OpenSSH has it."""
        return self.config / "allowed_signers"

    @property
    def jobs(self) -> Path:
        """One directory a job, an attempt's or a check run's: token, exit, messages, log."""
        return self.home / "jobs"

    def job(self, name: str) -> Path:
        """The job directory of an attempt or a run."""
        return self.jobs / name

    def session_home(self, attempt: AttemptId) -> Path:
        """The private home of an attempt's agent: its configuration, login and transcripts, over all sittings."""
        return self.home / "homes" / attempt

    @property
    def gateway(self) -> Path:
        """Where the loopback gateway keeps its port, token and log."""
        return self.home / "gateway"

    @property
    def person_rules(self) -> Path:
        """The person's own rules of judging."""
        return self.config / "rules.toml"

    def blob(self, digest: Digest) -> Path:
        """The file of a blob."""
        return self.home / "blobs" / digest[:2] / digest[2:]

    def checkout(self, repo: RepoId, attempt: AttemptId) -> Path:
        """The isolated checkout of an attempt."""
        return self.home / "checkouts" / repo / attempt

    def proving(self, repo: RepoId) -> Path:
        """The clean checkouts in which the daemon proves exact commits of a repository."""
        return self.home / "proving" / repo

    @property
    def trash(self) -> Path:
        """Removed checkouts on their way out: renamed here first, deleted after."""
        return self.home / "trash"


def layout(home: Path | None = None) -> Layout:
    """The layout of this person's factory, from the environment and the platform's conventions."""
    env_home, env_config = os.environ.get("ANDON_HOME"), os.environ.get("ANDON_CONFIG_HOME")
    root = (home or (Path(env_home) if env_home else user_state_path("andon"))).expanduser().absolute()
    config = Path(env_config).expanduser().absolute() if env_config else user_config_path("andon")
    runtime = root / "run" if home or env_home else user_runtime_path("andon")
    if len(os.fsencode(runtime / "andon.sock")) > SOCKET_PATH_LIMIT:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        runtime = Path(f"/tmp/andon-{os.getuid()}-{name}")
    return Layout(home=root, runtime=runtime, config=config)
