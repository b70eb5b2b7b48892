"""People with SSH keys: real ssh-keygen, a real ssh-agent that ends with its test, and the files that name them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from andon import signing
from andon.schema.approval import moment, pae, statement
from andon.schema.gate_inputs import Signature
from andon.schema.settings import Operator
from andon.schema.views import GateView
from support import wait_until


def key(folder: Path, name: str, passphrase: str = "") -> Path:
    """A new ed25519 key; the path of its public file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", made], check=True, timeout=30)
    return made.with_name(f"{name}.pub")


def fingerprint(public: Path) -> str:
    """As ssh-keygen tells it."""
    told = subprocess.run(["ssh-keygen", "-l", "-f", public], check=True, capture_output=True, text=True, timeout=30).stdout
    return told.split()[1]


def allow(config: Path, *, options: str = "", **people: Path) -> None:
    """The file of who signs; `options` as OpenSSH has them between name and key."""
    config.mkdir(parents=True, exist_ok=True)
    path = config / "allowed_signers"
    path.write_text("".join(f"{name} {options} {public.read_text()}" for name, public in people.items()))
    path.chmod(0o600)


def settings(operator: str, public: Path, roles: dict[str, tuple[str, ...]] | None = None, more: str = "") -> str:
    """A person's own settings with a key."""
    told = "".join(f"{name} = {list(which)!r}\n".replace("'", '"') for name, which in (roles or {}).items())
    return f'[operator]\nname = "{operator}"\nkey = "{public}"\n[operators]\n{told}{more}\n'


def signed(who: str, public: Path, gate: GateView, option: str = "approve", role: str = "", **changes: str) -> Signature:
    """A signature as a face makes it; `changes` are parts of the statement that differ from what is true."""
    if not changes:
        return signing.sign(Operator(name=who, key=str(public)), {who: (role,) if role else ()}, gate, option)
    now = moment(int(time.time() * 1000))
    parts = {
        "repo": gate.repo, "task": gate.task, "commit": gate.commit, "tree": gate.tree, "gate": gate.gate, "nonce": gate.nonce,
        "decision": option, "approver": who, "role": role, "diff": gate.diff, "summary": gate.bound, "time": now,
    }
    payload = statement(**{**parts, **changes})  # type: ignore[arg-type]  # all are texts
    return Signature(approver=who, role=role, time=changes.get("time", now), sshsig=signing.ssh_sign(str(public), payload))


def sign_for(purpose: str, public: Path, payload: bytes) -> str:
    """A signature over the right bytes, made for something else."""
    done = subprocess.run(["ssh-keygen", "-Y", "sign", "-n", purpose, "-f", public], input=pae(payload), capture_output=True,
                          check=True, timeout=30)
    return done.stdout.decode()


@contextmanager
def agent(folder: Path) -> Iterator[dict[str, str]]:
    """An ssh-agent of our own; the environment that reaches it. It is ended, by its process number."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sock = folder / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(sock.exists, 10, what="the agent's socket")
        yield {"SSH_AUTH_SOCK": str(sock)}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def unlock(env: dict[str, str], public: Path, passphrase: str) -> None:
    """Give a key with a passphrase to the agent, as a person would once a day."""
    ask = public.with_name("ask.sh")
    ask.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    ask.chmod(0o700)
    subprocess.run(
        ["ssh-add", public.with_suffix("")], check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL,
        env={**os.environ, **env, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":none"},
    )
