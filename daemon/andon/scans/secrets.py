"""Looks for secrets in lines that a change added, with the detectors of detect-secrets; must never show or keep what it found.

Asks no network. Words in the lines themselves (`pragma: allowlist secret`) allow nothing: who wrote the line wrote them too. What
is allowed stands in a file of the base, as `detect-secrets scan` writes it.
"""

import hashlib
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.filters import heuristic
from detect_secrets.plugins.base import BasePlugin

from andon.scans import sarif_out

UNREADABLE_EXIT = 3
"""The allow-list could not be read: nothing follows."""
LINE_CHARS, OVERLAP = 20_000, 2_000
"""A longer line is looked at in parts: detectors are regular expressions."""
GUESSES = ("Base64HighEntropyString", "HexHighEntropyString")
"""Detectors that go by looks alone: their findings are of level warning."""
_DIGEST = re.compile(r'\s*"hashed_secret": "[0-9a-f]{40}",?\s*')
LEFT_OUT = ("IPPublicDetector",)
"""An address is no secret."""


def detectors() -> list[BasePlugin]:
    """All detectors, as they come."""
    classes: list[type[BasePlugin]] = list(get_mapping_from_secret_type_to_class().values())
    return [each() for each in sorted(classes, key=lambda each: each.__name__) if each.__name__ not in LEFT_OUT]


def look(lines: Mapping[str, Mapping[str, str]], allowed: Any, listed: str = "") -> list[dict[str, Any]]:
    """Findings in these lines, by path and number, without those that are allowed. `listed` is the path of the allow-list: digests
    that it adds are no secrets."""
    plugins, known = detectors(), allowed_in(allowed)
    found: dict[tuple[str, int, str], dict[str, Any]] = {}
    for path, numbered in sorted(lines.items()):
        for number, line in sorted((int(number), line) for number, line in numbered.items()):
            if path == listed and _DIGEST.fullmatch(line):
                continue
            for rule, secret in (one for part in pieces(line) for one in secrets_in(plugins, path, number, part)):
                if (path, secret.secret_hash) in known:
                    continue
                level = "warning" if rule in GUESSES else "error"
                text = f"{secret.type}: it is not shown here. Take it out, and hold it for known to others"
                mark = hashlib.sha256(f"{rule} {path} {line.strip()}".encode(errors="surrogateescape")).hexdigest()[:32]
                found.setdefault((path, number, rule), sarif_out.finding(rule, path, number, level, text, mark))
    return list(found.values())


def pieces(line: str) -> list[str]:
    """A long line in parts that overlap, so that a secret stands whole in one of them."""
    return [line[start : start + LINE_CHARS] for start in range(0, max(1, len(line)), LINE_CHARS - OVERLAP)]


def secrets_in(plugins: list[BasePlugin], path: str, number: int, line: str) -> Iterator[tuple[str, PotentialSecret]]:
    """What the detectors see in one line; guesses that look like something else are left out."""
    for plugin in plugins:
        rule = type(plugin).__name__
        for secret in plugin.analyze_line(filename=path, line=line, line_number=number):
            value = secret.secret_value or ""
            if rule in (*GUESSES, "KeywordDetector") and harmless(path, line, value, plugin):
                continue
            yield rule, secret


def harmless(path: str, line: str, value: str, plugin: BasePlugin) -> bool:
    """Whether a guess is a template, a reference, an identifier, or a digest in a lock file."""
    return (
        heuristic.is_sequential_string(value) or heuristic.is_potential_uuid(value)
        or heuristic.is_likely_id_string(value, line, plugin) or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
        or heuristic.is_indirect_reference(line) or heuristic.is_lock_file(path) or heuristic.is_not_alphanumeric_string(value)
    )


def allowed_in(allowed: Any) -> set[tuple[str, str]]:
    """Path and digest of each finding of an allow-list that nobody marked as a real secret. Raises on what is no such list."""
    results = allowed.get("results", {}) if allowed else {}
    return {(path, str(one["hashed_secret"])) for path, some in results.items() for one in some if one.get("is_secret") is not True}


def main(asked: str, report: str) -> int:
    """Read what is asked, write the report."""
    what = json.loads(Path(asked).read_text(encoding="utf-8", errors="surrogatepass"))
    try:
        allowed = json.loads(what["allow"]) if what["allow"].strip() else None
        found = look(what["lines"], allowed, what["list"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"the allow-list is none that `detect-secrets scan` writes: {type(error).__name__}")
        return UNREADABLE_EXIT
    sarif_out.write(Path(report), "detect-secrets", importlib.metadata.version("detect-secrets"), found)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
