"""Packs recordings into the corpus, one file an agent; refuses what bears a path, host or login of the machine it was made on.

    python tests/accuracy/pack.py FOLDER [FOLDER …]     a later recording of a scene takes the place of an earlier one
"""

import gzip
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from andon.schema.signals import Recording

CORPUS = Path(__file__).parent / "corpus"
PRIVATE = re.compile(
    rb"/(?:work|opt|root|var/tmp|Users)[/\"\\]|/home/(?!me\b)|/tmp/(?:rechome|corpus|andon)|\.pyenv|sk-(?!test)[\w-]{8}")
"""What must not be in a recording."""
LONGEST = 40_000
"""Bytes of one line."""
WORDS = 3_000
"""Characters of one text: what is longer is somebody's prompts and tool descriptions, and is cut."""


def split(data: bytes) -> Iterable[bytes]:
    """The recordings in one file, one after the other."""
    part: list[bytes] = []
    for row in [*data.splitlines(), None]:
        if part and (row is None or (b'"scenario"' in row[:4000] and b'"labels"' in row)):
            yield b"\n".join(part) + b"\n"
            part = []
        if row is not None:
            part.append(row)


def head(recording: bytes) -> Recording:
    """Its first line."""
    return msgspec.json.decode(recording.split(b"\n", 1)[0], type=Recording)


def faults(recording: bytes) -> str:
    """Why it may not be kept; empty when it may."""
    found = PRIVATE.search(recording)
    if found:
        start = max(0, found.start() - 40)
        return f"it bears {recording[start:found.end() + 40].decode(errors='replace')!r}"
    long = max(len(row) for row in recording.splitlines())
    return f"it has a line of {long} bytes" if long > LONGEST else ""


def trimmed(recording: bytes) -> bytes:
    """The same with long texts cut, which no reader looks at."""
    rows = recording.splitlines()
    return b"\n".join(msgspec.json.encode(_cut(msgspec.json.decode(row))) if len(row) > WORDS else row for row in rows) + b"\n"


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= WORDS else f"{value[:120]}… ({len(value)} characters)"
    if isinstance(value, list):
        return [_cut(one) for one in value]
    return {key: _cut(one) for key, one in value.items()} if isinstance(value, dict) else value


def main(folders: list[str]) -> int:
    """Pack; print what was kept and what was not."""
    held = (one for path in CORPUS.glob("*.jsonl.gz") for one in split(gzip.decompress(path.read_bytes())))
    kept = {(head(one).agent, head(one).scenario): one for one in held}
    refused = 0
    for path in (path for folder in folders for path in sorted(Path(folder).glob("*.jsonl.gz"))):
        for one in map(trimmed, split(gzip.decompress(path.read_bytes()))):
            told = head(one)
            if fault := faults(one):
                refused += 1
                print(f"{path.name}: not kept: {fault}")
            else:
                kept[(told.agent, told.scenario)] = one
    CORPUS.mkdir(exist_ok=True)
    for agent in sorted({agent for agent, _ in kept}):
        mine = [one for (of, _), one in sorted(kept.items()) if of == agent]
        file = CORPUS / f"{agent}.jsonl.gz"
        file.write_bytes(gzip.compress(b"".join(mine), 9, mtime=0))
        print(f"{agent}: {len(mine)} streams, {file.stat().st_size} bytes")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
