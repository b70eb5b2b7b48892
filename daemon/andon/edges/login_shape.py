"""Says whether one login file of an agent is a refresh of another. Pure; it must never repeat what is in them.

Theory of operation. A login is a JSON object. A refresh renews tokens and their expiry; nothing else of it moves: not the account,
not the provider's address, not an API key. Tokens that name their holder (JSON web tokens) must name the same one. Their signatures
are not checked: only the provider could. So this keeps mistakes and plain swaps away; that a hostile agent forges what looks like a
refresh cannot be told from here, and is why a person has to allow writing back.
"""

import base64
import binascii
import math
from datetime import datetime
from typing import Any

import msgspec

LIMIT = 256 * 1024
"""Bytes of a login file."""
TOKEN = 32 * 1024
"""Characters of one token."""
DEPTH, LEAVES = 8, 2_000
AHEAD_MS = 400 * 24 * 3_600_000
"""An expiry further ahead is not believed: it would win over every later one."""
TOKENS = ("accesstoken", "refreshtoken", "idtoken", "access", "refresh")
"""Names of what a refresh renews, without case and signs."""
MOMENTS = ("expiresat", "expires", "expirydate", "expiresin", "expiry", "lastrefresh", "refreshtokenexpiresat",
           "refreshtokenexpiresin")
ENDS = ("expiresat", "expires", "expirydate", "expiry", "lastrefresh")
"""Of those, the ones that tell which of two logins is the newer one."""
HOLDER = ("iss", "sub", "email", "chatgpt_account_id", "chatgpt_user_id", "user_id", "account_id", "organization_id",
          "azp", "client_id")
"""Claims of a token that say whose it is and for whom."""
OLDER = "it is not newer"
"""The one fault that means no harm."""
Leaf = tuple[str, ...]


def parse(data: bytes) -> dict[str, Any] | None:
    """The object in a login file; None when there is none."""
    try:
        found = msgspec.json.decode(data) if len(data) <= LIMIT else None
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return found if isinstance(found, dict) and found else None


def why_not(old: dict[str, Any], new: dict[str, Any], now_ms: int) -> str:
    """Why `new` is no refresh of `old`, in words without anything of its content; empty when it is one."""
    before, after = leaves(old), leaves(new)
    if before is None or after is None:
        return "it is not built like a login"
    if gone := sorted(name for name in before.keys() ^ after.keys() if plain(name[-1]) not in (*TOKENS, *MOMENTS)):
        return f"it has other fields ({shown(gone[0])})"
    for name in before.keys() & after.keys():
        if before[name] != after[name] and (fault := _fault(name, before[name], after[name])):
            return fault
    for name in after.keys() - before.keys():
        if fault := _unfit(name, after[name]):
            return fault
    if lost := [name for name in before.keys() - after.keys() if plain(name[-1]) in TOKENS and before[name]]:
        return f"a token is gone ({shown(lost[0])})"
    if not any(before.get(name) != after.get(name) for name in after if plain(name[-1]) in TOKENS):
        return "no token of it is another one"
    ends = expiry(new)
    if ends > now_ms + AHEAD_MS:
        return "it would be valid for longer than is believed"
    if ends == expiry(old):
        return "its tokens are others, and it does not say that it lasts longer"
    return "" if ends > expiry(old) else OLDER


def expiry(login: dict[str, Any]) -> int:
    """The latest moment that it names for its end or its last refresh, in unix milliseconds; 0: none."""
    named = leaves(login) or {}
    found = [moment(value) for name, value in named.items() if plain(name[-1]) in ENDS]
    found += [moment(claims(value).get("exp")) for name, value in named.items() if plain(name[-1]) in ("accesstoken", "access")]
    return max(found, default=0)


def names_account(login: dict[str, Any]) -> bool:
    """Whether the file itself says whose login it is, so that a login of another account can be told from a newer one."""
    named = leaves(login) or {}
    return any(plain(name[-1]) in ("accountid", "accountuuid") and value for name, value in named.items()) or any(
        claims(value).get("sub") for name, value in named.items() if plain(name[-1]) in TOKENS)


# --- parts -----------------------------------------------------------------------------------------------------------


def leaves(login: dict[str, Any]) -> dict[Leaf, Any] | None:
    """Every value by its path; None when it is too deep or too much."""
    found: dict[Leaf, Any] = {}
    waiting: list[tuple[Leaf, Any]] = [((), login)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > DEPTH or len(found) > LEAVES:
            return None
        if isinstance(value, dict) and value:
            waiting += [((*path, str(key)), each) for key, each in value.items()]
        elif isinstance(value, list) and value:
            waiting += [((*path, f"[{number}]"), each) for number, each in enumerate(value)]
        else:
            found[path] = value
    return found


def plain(name: str) -> str:
    """A field's name without case and signs."""
    return name.lower().replace("_", "").replace("-", "")


def shown(path: Leaf) -> str:
    """A path for people: only a name that looks like one, since an agent may have chosen it."""
    name = path[-1]
    return name[:40] if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else "an odd name"


def _fault(name: Leaf, old: Any, new: Any) -> str:
    """What is wrong with a field that changed."""
    if plain(name[-1]) not in (*TOKENS, *MOMENTS):
        return f"something else than tokens and their expiry is different ({shown(name)})"
    if type(old) is not type(new) and not (isinstance(old, int | float) and isinstance(new, int | float)) and old is not None:
        return f"a field is of another kind ({shown(name)})"
    if fault := _unfit(name, new):
        return fault
    if plain(name[-1]) not in TOKENS:
        return ""
    mine, theirs = holder(claims(old)), holder(claims(new))
    if mine and not theirs:
        return f"a token does not say whose it is any more ({shown(name)})"
    return f"it is another account's ({shown(name)})" if any(theirs.get(key) != value for key, value in mine.items()) else ""


def _unfit(name: Leaf, value: Any) -> str:
    """Why a value cannot be what its name says."""
    if plain(name[-1]) in TOKENS:
        fits = isinstance(value, str) and 8 <= len(value) <= TOKEN and value.isascii() and value.isprintable() and " " not in value
    else:
        fits = moment(value) > 0 or (isinstance(value, int) and not isinstance(value, bool) and value > 0)
    return "" if fits else f"a field cannot be what its name says ({shown(name)})"


def moment(value: Any) -> int:
    """A moment in unix milliseconds, given as such, as seconds or as a date; 0 for anything else."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float) and math.isfinite(value):
        return int(value * 1000) if 0 < value < 1e11 else int(value) if 0 < value < 1e14 else 0
    if isinstance(value, str) and len(value) < 64:
        try:
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        except (ValueError, OverflowError):
            return 0
    return 0


def claims(token: Any) -> dict[str, Any]:
    """What a JSON web token says, unproven; nothing for any other text."""
    if not isinstance(token, str) or len(token) > TOKEN or token.count(".") != 2:
        return {}
    middle = token.split(".")[1]
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def holder(said: dict[str, Any]) -> dict[str, str]:
    """Whose a token is: its claims about that, also those one level down (providers nest them under an address)."""
    flat = dict(said)
    for value in said.values():
        if isinstance(value, dict):
            flat = {**value, **flat}
    return {key: str(flat[key]) for key in HOLDER if flat.get(key)}
