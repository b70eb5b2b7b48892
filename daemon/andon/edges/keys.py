"""The factory's own two keys and its name: makes them once, keeps them from everybody else, signs. Must never know what it signs.

Theory of operation. A folder of ours (0700) holds `daemon` and `verifier`, OpenSSH ed25519 keys without a passphrase (0600), and
`origin`, a random name. Each is written aside, made durable and then *linked* to its name: of two that make one at once the first
wins, and the other reads what is there. What has another owner or can be read by others is refused, never mended: who could
read a key may have signed with it.
"""

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from andon.edges import dsse
from andon.edges.durable import TEMPORARY, clear_left, sync_dir, unwritable
from andon.schema.errors import Mistake
from andon.schema.faults import point

DAEMON, VERIFIER, ORIGIN = "daemon", "verifier", "origin"
KEY_BYTES = 16 * 1024
MEND_KEY = ("Put it back from a backup. Or move the folder away: then new keys are made, and whoever verifies keeps the old ones in"
            " the trust file.")


class Signer:
    """One key of the factory's own. Its private half is never given out."""

    def __init__(self, role: str, key: Ed25519PrivateKey) -> None:
        self.role, self._key = role, key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        """The 32 bytes of the public key."""
        self.keyid = keyid_of(self.public)
        self.line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        """The public key as a trust file has it: `ssh-ed25519 AAAA…`."""

    def sign(self, statement: bytes) -> bytes:
        """The line of an envelope around this statement, without a newline."""
        signature = dsse.Signature(keyid=self.keyid, sig=self.sign_bytes(dsse.pae(statement)))
        return dsse.encode(dsse.Envelope(payload=statement, signatures=(signature,)))

    def sign_bytes(self, data: bytes) -> bytes:
        """The bare signature of these bytes: for formats with an envelope of their own."""
        return self._key.sign(data)

    def signed(self, envelope: dsse.Envelope) -> bool:
        """Whether this key signed that envelope."""
        return dsse.verified(envelope, self.keyid, self.public)


class Keys(msgspec.Struct, frozen=True):
    """Who signs in this factory."""

    daemon: Signer
    """Signs what the daemon did and decided: agent runs, verdicts, checkpoints, landings."""
    verifier: Signer
    """Signs what was measured: check runs and blind verdicts."""
    origin: str
    """The factory's name in its checkpoints: random, and the same for ever."""

    @classmethod
    def load(cls, folder: Path) -> "Keys":
        """The keys in this folder, made at the first time; durable on return. Blocking.

        Raises Mistake for a folder or key that others own or may read, and for one that is no such key.
        """
        try:
            _ready(folder)
            clear_left(folder)
            daemon, verifier = (Signer(role, _key(folder / role)) for role in (DAEMON, VERIFIER))
            origin = _once(folder / ORIGIN, f"andon/{secrets.token_hex(16)}\n".encode()).decode(errors="replace").strip()
        except OSError as error:
            raise unwritable(error, "the factory's keys cannot be read or made", folder) from error
        if not origin or any(sign in origin for sign in "+ \n"):
            raise Mistake("The factory's name is no name.", where=str(folder / ORIGIN), mend=MEND_KEY)
        return cls(daemon, verifier, origin)


def keyid_of(public: bytes) -> str:
    """The id of an ed25519 key: sha256 in hex of its 32 bytes."""
    return hashlib.sha256(public).hexdigest()


def public_of(line: str) -> bytes:
    """The 32 bytes of a public key as OpenSSH writes it. Raises Mistake for any other."""
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Mistake(f"This is no public key: {error}.", where=line[:80]) from error
    raw = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    if not raw.startswith(b"ssh-ed25519 "):
        raise Mistake("This key is not ed25519.", where=line[:80])
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _ready(folder: Path) -> None:
    """The folder exists, is ours alone, and is no link."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
        sync_dir(folder.parent)
    _refuse(folder, folder.lstat(), stat.S_ISDIR, "a folder", "chmod 700")


def _refuse(path: Path, seen: os.stat_result, kind: object, word: str, mend: str) -> None:
    """A Mistake for what is no such thing, belongs to somebody else, or can be reached by others."""
    assert callable(kind)
    if not kind(seen.st_mode):
        raise Mistake(f"{path.name} is not {word}.", where=str(path), mend=MEND_KEY)
    if seen.st_uid != os.geteuid():
        raise Mistake(f"{path.name} belongs to user {seen.st_uid} and not to you.", where=str(path), mend=MEND_KEY)
    if seen.st_mode & 0o077:
        raise Mistake(
            f"{path.name} can be reached by other users (mode {stat.S_IMODE(seen.st_mode):o}).", where=str(path),
            mend=f"If nobody else can have read it, say `{mend} '{path}'`. If somebody can, move it away: a new one is made.")


def _key(path: Path) -> Ed25519PrivateKey:
    new = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    try:
        key = load_ssh_private_key(_once(path, new), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Mistake(f"{path.name} is no key without a passphrase.", where=str(path), mend=MEND_KEY) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Mistake(f"{path.name} is no ed25519 key.", where=str(path), mend=MEND_KEY)
    return key


def _once(path: Path, new: bytes) -> bytes:
    """What stands at `path`; `new`, if nothing did. Durable on return, and the same for all that ask at once."""
    if not os.path.lexists(path):
        _make(path, new)
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        _refuse(path, os.fstat(handle), stat.S_ISREG, "a file", "chmod 600")
        return file.read(KEY_BYTES)


def _make(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        point("keys.written")
        with contextlib.suppress(FileExistsError):  # then another was first
            os.link(name, path)
        sync_dir(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
    point("keys.made")
