"""Looks for pinned releases with known vulnerabilities, in the advisories that are kept here. It asks no network."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from andon.scans import advisories, locks, sarif_out

UNREADABLE_EXIT = 3
"""A lock file could not be read: nothing follows."""


def look(files: dict[str, str], folder: Path) -> list[dict[str, Any]]:
    """Findings in these files, by path. Raises ValueError when one of them cannot be read."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for path, text in sorted(files.items()):
        for hit in advisories.hits(folder, locks.read(path, text).releases):
            one = hit.release
            known = ", ".join((hit.advisory, *hit.aliases[:3]))
            mended = f"; mended in {', '.join(hit.fixed[:3])}" if hit.fixed else "; no release that mends it is named"
            text_ = f"{one.name} {one.version} ({one.ecosystem}): {known}{f': {hit.summary}' if hit.summary else ''}{mended}"
            mark = hashlib.sha256(f"{hit.advisory} {one.ecosystem} {one.name} {one.version}".encode()).hexdigest()[:32]
            level = "warning" if hit.severity == "LOW" else "error"
            key = (path, hit.advisory, f"{one.name} {one.version}")
            found.setdefault(key, sarif_out.finding(hit.advisory, path, one.line, level, text_, mark))
    return list(found.values())


def main(asked: str, report: str) -> int:
    """Read what is asked, write the report."""
    what = json.loads(Path(asked).read_text(encoding="utf-8", errors="surrogatepass"))
    try:
        found = look(what["files"], Path(what["advisories"]))
    except ValueError as error:
        print(f"cannot be read: {error}")
        return UNREADABLE_EXIT
    sarif_out.write(Path(report), "andon-dependencies", "1", found)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
