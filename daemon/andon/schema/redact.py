"""Finds secrets in text and withholds them: known token formats and exact values. It must never know where the text goes.

Theory of operation. A small table of formats, each with literals that every such token contains: only where a literal occurs is the
pattern tried, so text without secrets costs a few substring searches. Exact values (of the variables that hold secrets, and of
what a person had forgotten, known by its digest alone) are found in the plain, in JSON, in URLs and in base64. It works on bytes,
so that text in any encoding comes out as it went in, and a secret never reaches over the end of a JSON string. What cannot be
looked through (compressed, too large) is withheld whole. No detector of others fits in here: the best kept one imports an HTTP
client, takes 0.7 s to load, reads 30 KB/s and marks three of four lines of ordinary code. This table reads 30 MB/s, marked 5 of
100,000 lines of our own code, all made to look like keys, and lets through what has no known form and was not named.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

LEAST = 8
"""An exact value shorter than this is not looked for: it would stand in ordinary words."""
MOST_VALUES = 256
SCAN_BYTES = 256 * 2**20
"""What is larger is withheld."""
NOTE = "[secret withheld: {}]"
UNSCANNED = b"[withheld: it cannot be looked through for secrets: %s]\n"
COMPRESSED = {b"\x1f\x8b": b"gzip", b"PK\x03\x04": b"zip", b"\xfd7zXZ\x00": b"xz", b"BZh": b"bzip2", b"\x28\xb5\x2f\xfd": b"zstd",
              b"7z\xbc\xaf\x27\x1c": b"7z"}
_NAMED = re.compile(r"(?:^|_)(?:API_?KEY|ACCESS_?KEY(?:_ID)?|SECRET(?:_KEY)?|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PAT|DSN)"
                    r"$|_KEY$")
PROVIDERS = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "CLAUDE_CODE_OAUTH_TOKEN", "DATABASE_URL", "REDIS_URL",
             "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
"""Variables that hold a secret although their name may not say so."""
KEY_BYTES = 32 * 1024
"""Of one private key, at most."""
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(rb"[\sA-Za-z0-9+/=\\:,-]{0,4096}")
T = TypeVar("T")


class Format(NamedTuple):
    """One kind of token. `secret`, where the pattern has a group of that name, is the part to withhold."""

    name: str
    literals: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _format(name: str, literals: str, pattern: str) -> Format:
    return Format(name, tuple(literals.encode().split()), re.compile(pattern.encode()))


_ESCAPED = r"(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})"
"""What stands before a word in JSON may end in a letter: `\\n`."""
_B, _E = rf"(?:(?<![A-Za-z0-9_])|{_ESCAPED})", r"(?![A-Za-z0-9_])"
_S = r"(?:\s|\\[nrt])"
FORMATS: tuple[Format, ...] = (
    _format("Anthropic key", "sk-ant-", _B + r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _format("API key", "sk-", _B + r"sk-(?:(?:proj|svcacct|admin|or-v1|lf|None)-[A-Za-z0-9_-]{20,}"
            r"|(?=[A-Za-z]{0,200}[0-9])[A-Za-z0-9]{20,})"),
    _format("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", _B + r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _format("GitHub token", "github_pat_", _B + r"github_pat_[A-Za-z0-9_]{22,255}"),
    _format("GitLab token", "glpat- gldt- glrt- glcbt- glptt-", _B + r"gl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_.-]{20,}"),
    _format("AWS key", "AKIA ASIA ABIA ACCA", _B + r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}" + _E),
    _format("AWS secret", "ecret_access_key ecretAccessKey ECRET_ACCESS_KEY ecretaccesskey",
            r"(?i:secret_?access_?key)[\\\"'\s]{0,6}[:=][\\\"'\s]{0,6}(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"),
    _format("Google key", "AIza", _B + r"AIza[A-Za-z0-9_-]{35}"),
    _format("Google token", "ya29. GOCSPX-", _B + r"(?:ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})"),
    _format("Slack token", "xox xapp-", _B + r"(?:xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,})"),
    _format("Slack hook", "hooks.slack.com/",
            r"hooks\.slack\.com/(?P<secret>(?:services|workflows|triggers)/[A-Za-z0-9/_+-]{20,})"),
    _format("Stripe key", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", _B + r"(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9+/=]{16,}"),
    _format("npm token", "npm_", _B + r"npm_[A-Za-z0-9]{36}" + _E),
    _format("PyPI token", "pypi-", _B + r"pypi-[A-Za-z0-9_-]{40,}"),
    _format("Hugging Face token", "hf_", _B + r"hf_[A-Za-z0-9]{30,}"),
    _format("model key", "gsk_ xai- r8_ pplx- nvapi- fw_", _B + r"(?:gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{36,}"
            r"|pplx-[A-Za-z0-9]{40,}|nvapi-[A-Za-z0-9_-]{40,}|fw_[A-Za-z0-9]{22,})"),
    _format("token", "dop_v1_ doo_v1_ SG. hvs. hvb. lin_api_ dapi shpat_ shpss_ AGE-SECRET-KEY- dckr_pat_ sntrys_ sbp_ ATATT3",
            _B + r"(?:do[op]_v1_[a-f0-9]{64}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}|hv[sb]\.[A-Za-z0-9_-]{24,}"
            r"|lin_api_[A-Za-z0-9]{32,}|dapi[a-f0-9]{32}|shp(?:at|ss)_[a-fA-F0-9]{32}|AGE-SECRET-KEY-1[0-9A-Z]{58}"
            r"|dckr_pat_[A-Za-z0-9_-]{20,}|sntrys_[A-Za-z0-9+/=_]{40,}|sbp_[a-f0-9]{40}|ATATT3[A-Za-z0-9_=-]{60,})"),
    _format("Telegram token", ":AA", _B + r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    _format("web token", "eyJ",
            rf"(?:(?<![A-Za-z0-9_.-])|{_ESCAPED})" r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    _format("account key", "AccountKey= SharedAccessKey=", r"(?:Account|SharedAccess)Key=(?P<secret>[A-Za-z0-9+/]{40,}={0,2})"),
    _format("credential", "uthorization UTHORIZATION pi-key PI-KEY pi_key PI_KEY",
            r"(?i:authorization|x-api-key|api[-_]key)[\\\"']{0,3}" + _S + r"{0,3}[:=]" + _S + r"{0,3}[\\\"']{0,3}"
            r"(?:(?i:bearer|basic|token)" + _S + r"{1,3})?(?P<secret>(?=[A-Za-z_.~+/=-]{0,200}[0-9])[A-Za-z0-9_.~+/=-]{16,})"),
    _format("credential", "earer EARER", rf"(?:(?<![A-Za-z])|{_ESCAPED})(?i:bearer)" + _S
            + r"{1,3}(?P<secret>(?=[A-Za-z_.~+/=-]{0,200}[0-9])[A-Za-z0-9_.~+/=-]{20,})"),
    _format("password", "://", r"://[^\s\"'<>\\/:@?#\[\]]{0,128}:(?P<secret>[^\s\"'<>\\/@\[\]${}]{3,256})@(?=[A-Za-z0-9\[])"),
)

SMALL = 8192
"""Up to so many bytes one search for all literals is quicker than one for each."""
_ANY = re.compile(b"|".join(sorted({re.escape(literal) for form in FORMATS for literal in form.literals} | {b"PRIVATE KEY"})))


class Forgotten(msgspec.Struct, frozen=True):
    """A value that a person had forgotten: enough to know it again, not to tell it."""

    length: int
    """In bytes."""
    first: int
    last: int
    """Its first and last byte: only where they stand that far apart is the digest worked out."""
    digest: str
    """HMAC-SHA256 under the factory's own key."""


def remember(value: bytes, key: bytes) -> Forgotten:
    """A value to be forgotten, as it is kept."""
    return Forgotten(len(value), value[0], value[-1], hmac.new(key, value, hashlib.sha256).hexdigest())


def spellings(value: bytes) -> tuple[bytes, ...]:
    """The ways in which the same value is commonly written: plain, in JSON, in a URL, in base64 wherever it begins there."""
    text = value.decode("utf-8", "surrogateescape")
    found = [value]
    plain = value.decode("utf-8", "ignore").encode() == value
    if plain:
        found += [msgspec.json.encode(text)[1:-1], quote(text, safe="").encode(), quote(text, safe="/:@&=+$,").encode()]
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + value)
        core = whole[(0, 2, 3)[lead] : len(whole) - (0, 3, 2)[(lead + len(value)) % 3]]
        found += [core, core.replace(b"+", b"-").replace(b"/", b"_")]
    return tuple(dict.fromkeys(one for one in found if len(one) >= LEAST))


def holds_secret(name: str) -> bool:
    """Whether a variable of this name usually holds a secret."""
    return name in PROVIDERS or _NAMED.search(name) is not None


def values_of(environ: Mapping[str, str], named: Iterable[str] = ()) -> tuple[str, ...]:
    """The values that must not be seen: of the variables that are named, and of those whose name says so."""
    wanted = {*named, *(name for name in environ if holds_secret(name))}
    return tuple(sorted({environ[name] for name in wanted if len(environ.get(name, "")) >= LEAST and not _ordinary(environ[name])}))


def _ordinary(value: str) -> bool:
    """A path, a switch, or a plain word is no secret even where one is expected; withholding it would blot out ordinary text."""
    return value.startswith(("/", "~/", "./")) or (value.isalpha() and value.islower() and len(value) < 16) or value.isdigit()


class Redactor:
    """Withholds secrets. Made with exact values (by the name of none) and with forgotten ones, under the key of their digests."""

    def __init__(self, values: Iterable[str | bytes] = (), forgotten: Iterable[Forgotten] = (), key: bytes = b"") -> None:
        raw = [value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for value in values]
        found = {one for value in raw[:MOST_VALUES] if len(value) >= LEAST for one in spellings(value)}
        self._values = tuple(sorted(found, key=len, reverse=True))
        self._exact = re.compile(b"|".join(map(re.escape, self._values))) if self._values else None
        self._key = key
        self._forgotten: dict[re.Pattern[bytes], set[str]] = {}
        for one in forgotten:
            ends = re.escape(bytes((one.first,))), re.escape(bytes((one.last,)))
            pattern = re.compile(b"(?s)(?=(%s.{%d}%s))" % (ends[0], max(0, one.length - 2), ends[1]))
            self._forgotten.setdefault(pattern, set()).add(one.digest)

    def text(self, text: str) -> str:
        """The text without secrets; the very same when there are none."""
        data = text.encode("utf-8", "surrogatepass")
        kept = self.data(data)
        return text if kept is data else kept.decode("utf-8", "replace")

    def data(self, data: bytes) -> bytes:
        """The same for bytes of any encoding. What cannot be looked through is withheld whole, with a note that says so."""
        reason = self._opaque(data)
        if reason:
            return UNSCANNED % reason
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4096]:
            thin = data.replace(b"\0", b"")
            return data if self._scan(thin) is thin else UNSCANNED % b"it is wide text, and holds one"
        return self._scan(data)

    def rows(self, rows: tuple[str, ...], width: int) -> tuple[str, ...]:
        """The rows of a screen: a secret that goes on in the next row is found too, and its signs become dots in their places."""
        joined, places = "", list[tuple[int, int]]()
        for row in rows:
            places.append((len(joined), len(row)))
            joined += row if len(row) >= width > 0 else row + "\n"
        spans = self.spans(joined)
        if not spans:
            return rows
        signs = list(joined)
        for start, end in spans:
            signs[start:end] = ["\n" if sign == "\n" else "•" for sign in signs[start:end]]
        return tuple("".join(signs[start : start + length]) for start, length in places)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand in a text, in characters."""
        data = text.encode("utf-8", "replace") if not text.isascii() else text.encode()
        found = self._find(data)
        if not found or text.isascii():
            return [(start, end) for start, end, _ in found]
        return [(len(data[:start].decode("utf-8", "ignore")), len(data[:end].decode("utf-8", "ignore"))) for start, end, _ in found]

    def seen(self, data: bytes) -> bool:
        """Whether anything in it would be withheld."""
        return self.data(data) is not data

    def struct(self, value: T) -> T:
        """A struct, list, tuple, dict or text without secrets in any of its texts; the very same when there are none."""
        told = msgspec.json.encode(value)
        return value if self._scan(told) is told and not self._opaque(told) else self._walk(value)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _walk(self, value: T) -> T:
        made: object = value
        if isinstance(value, str):
            made = self.text(value)
        elif isinstance(value, bytes):
            made = self.data(value)
        elif isinstance(value, msgspec.Raw):
            whole = bytes(value)
            kept = self.data(whole)
            made = value if kept is whole else msgspec.Raw(kept)
        elif isinstance(value, msgspec.Struct):
            new = {name: self._walk(old) for name in value.__struct_fields__ if (old := getattr(value, name)) is not None}
            changed = {name: one for name, one in new.items() if one is not getattr(value, name)}
            made = msgspec.structs.replace(value, **changed) if changed else value
        elif isinstance(value, tuple | list):
            parts = [self._walk(one) for one in value]
            same = all(one is old for one, old in zip(parts, value, strict=True))
            made = value if same else type(value)(parts)
        elif isinstance(value, dict):
            pairs = {self._walk(key): self._walk(one) for key, one in value.items()}
            same = len(pairs) == len(value) and all(one is value.get(key) for key, one in pairs.items())
            made = value if same else pairs
        return made  # type: ignore[return-value]  # each branch gives back what it was given, of the same type

    def _is_plain(self, data: bytes) -> bool:
        """Whether a short text is seen at a glance to hold none."""
        if len(data) >= SMALL or self._forgotten:
            return False
        return _ANY.search(data) is None and not any(value in data for value in self._values)

    def _opaque(self, data: bytes) -> bytes:
        if len(data) > SCAN_BYTES:
            return b"more than %d MiB" % (SCAN_BYTES >> 20)
        return next((name for magic, name in COMPRESSED.items() if data.startswith(magic)), b"")

    def _scan(self, data: bytes) -> bytes:
        found = self._find(data)
        if not found:
            return data
        pieces, at = [], 0
        for start, end, name in found:
            pieces += [data[at:start], NOTE.format(name).encode()]
            at = end
        return b"".join([*pieces, data[at:]])

    def _find(self, data: bytes) -> list[tuple[int, int, str]]:
        """Where secrets stand, in order, none within another."""
        if self._is_plain(data):
            return []
        found: list[tuple[int, int, str]] = []
        if self._exact is not None and any(value in data for value in self._values):
            found += [(*match.span(), "a value that was named") for match in self._exact.finditer(data)]
        for pattern, digests in self._forgotten.items():
            for match in pattern.finditer(data):
                if hmac.new(self._key, match[1], hashlib.sha256).hexdigest() in digests:
                    found.append((*match.span(1), "forgotten"))
        for form in FORMATS:
            if any(literal in data for literal in form.literals):
                group = "secret" if "secret" in form.pattern.groupindex else 0
                found += [(*match.span(group), form.name) for match in form.pattern.finditer(data)]
        return _apart([*found, *_keys(data)] if b"PRIVATE KEY" in data else found)


def _keys(data: bytes) -> list[tuple[int, int, str]]:
    """Private keys in PEM, also one whose end was cut off; none reaches over a quotation mark, which ends a JSON string."""
    found: list[tuple[int, int, str]] = []
    for match in _PEM.finditer(data):
        if found and match.start() < found[-1][1]:
            continue
        end = data.find(b"-----END ", match.end(), match.end() + KEY_BYTES)
        last = data.find(b"-----", end + 9, end + 60) + 5 if end >= 0 else 4
        quoted = data.find(b'"', match.end(), last if last > 4 else match.end())
        body = _BODY.match(data, match.end())
        cut = body.end() if body else match.end()
        found.append((match.start(), last if last > 4 and quoted < 0 else cut, "private key"))
    return found


def _apart(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Those that overlap as one."""
    joined: list[tuple[int, int, str]] = []
    for start, end, name in sorted(found, key=lambda one: (one[0], -one[1])):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]), joined[-1][2])
        elif end > start:
            joined.append((start, end, name))
    return joined
