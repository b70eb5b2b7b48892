"""Writes the trust file: whose signatures count for whoever verifies this factory's evidence. Must never hold a private key."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from andon.edges import beneath
from andon.edges.durable import unwritable, write_file
from andon.edges.keys import Keys
from andon.schema.errors import Mistake
from andon.schema.evidence import Trust
from andon.schema.faults import point
from andon.schema.layout import Layout

SIGNERS_BYTES = 256 * 1024


def trust_of(layout: Layout, keys: Keys) -> Trust:
    """What this factory's evidence is to be trusted by. The person's `allowed_signers`, if there is one, is in it as it is."""
    return Trust(origin=keys.origin, daemon=(keys.daemon.line,), verifier=(keys.verifier.line,),
                 operators=_operators(layout.allowed_signers))


def write_trust(layout: Layout, keys: Keys) -> Trust:
    """Put the trust file in place when it is missing or says something else; durable on return. Blocking.

    Keys that stood there before stay in it behind those of now, so that what they signed still verifies; so do the roles and
    policies that a person wrote there.
    """
    told = trust_of(layout, keys)
    before = read_trust(layout.trust)
    if before is not None:
        told = msgspec.structs.replace(
            told, roles=before.roles, policies=before.policies, daemon=_with(told.daemon, before.daemon),
            verifier=_with(told.verifier, before.verifier))
    if told != before:
        _write(layout, told)
    return told


def tell_people(layout: Layout, roles: Mapping[str, tuple[str, ...]]) -> None:
    """Bring the trust file up to who decides here: `allowed_signers`, and the roles of a person's own settings where they name
    any. Nothing before the factory has keys. Blocking."""
    before = read_trust(layout.trust)
    if before is None:
        return
    told = msgspec.structs.replace(before, operators=_operators(layout.allowed_signers), roles=dict(roles) or before.roles)
    if told != before:
        _write(layout, told)


def _write(layout: Layout, told: Trust) -> None:
    point("trust.write")
    try:
        write_file(layout.trust, msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    except OSError as error:
        raise unwritable(error, "the trust file cannot be written", layout.trust) from error
    point("trust.written")


def read_trust(path: Path) -> Trust | None:
    """A trust file; None when there is none. Raises Mistake for one that is damaged."""
    try:
        return msgspec.json.decode(beneath.read(path.parent, path.name, 2**20), type=Trust)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise Mistake(f"The trust file cannot be read: {error}.", where=str(path),
                      mend="Put it back from a backup, or move it away: it is written anew.") from error


def _with(now: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*now, *before)))


def _operators(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(SIGNERS_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Mistake(f"The keys of those who decide cannot be read: {error.strerror}.", where=str(path),
                      mend="Make it a file that you can read.") from error
