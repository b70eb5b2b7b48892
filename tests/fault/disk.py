"""A disk that fails on demand: the preloaded library, a writer that is run under it, and the judge of what it left behind."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("faulty.c")
APPENDS = 12
"""Appends of the writer; a snapshot and a checkpoint fall among them."""
WRITER = """
import asyncio, os, sqlite3, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledgerkit import added, entered, factory
from andon.edges.store import Store
from andon.schema.errors import Mistake
from andon.schema.events import ProblemNoticed

def say(word, told):
    os.write(1, b"".join(b"%s %d %s\\n" % (word, one.seq, one.hash.encode()) for one in told))

async def main():
    where = factory(Path(sys.argv[1]))
    try:
        store = await Store.open(where)
    except Mistake as mistake:
        assert mistake.problem.what and mistake.problem.mend, mistake
        os.write(1, b"unopened\\n")
        return
    for n in range(1, int(sys.argv[3]) + 1):
        try:
            say(b"told", await store.append([added(n, "x" * 3000), entered(n)], n))
            if n % 5 == 0:
                await store._db.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        except Mistake as mistake:
            assert store.mode == "read-only" and store.broken and mistake.problem.mend, mistake
            os.write(1, b"refused\\n")
            try:
                await store.append([entered(n)], n)
                os.write(1, b"lied\\n")
            except Mistake:
                pass
            try:
                say(b"told", await store.append_fault([ProblemNoticed(key="store", what="it failed")], n))
            except Mistake:
                os.write(1, b"unsaid\\n")
            try:
                say(b"told", await store.reopen())
            except Mistake:
                os.write(1, b"lasting\\n")
                break
        except sqlite3.Error:
            pass  # the checkpoint that this program asked for itself
    await store.close()

try:
    asyncio.run(main())
except BaseException:
    import traceback
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # a thread of the store may still wait for its end
"""


@lru_cache
def library() -> Path:
    """The preloaded library, compiled once a session beside the other temporary files. Skips where nothing compiles."""
    import tempfile

    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler here for the failing disk")
    made = Path(tempfile.mkdtemp(prefix="andon-faulty-")) / "faulty.so"
    argv = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the failing disk does not compile here: {done.stderr[-200:]}")
    return made


@dataclass(frozen=True)
class Fault:
    """Which call of the ledger's files fails, and how."""

    call: str
    n: int
    errno: int
    lasts: bool = False
    half: bool = False

    def env(self) -> dict[str, str]:
        """For the library."""
        told = {"FAULT_CALL": self.call, "FAULT_N": str(self.n), "FAULT_ERRNO": str(self.errno)}
        return told | ({"FAULT_LASTS": "1"} if self.lasts else {}) | ({"FAULT_HALF": "1"} if self.half else {})


@dataclass(frozen=True)
class Left:
    """What a run said and left."""

    words: tuple[str, ...]
    told: dict[int, str]
    home: Path


def write(home: Path, env: dict[str, str]) -> Left:
    """Run the writer; it must not end by a mistake of its own."""
    surroundings = {**os.environ, "LD_PRELOAD": str(library()), "FAULT_FILE": str(home / "ledger.db"), **env}
    done = subprocess.run([sys.executable, "-c", WRITER, str(home), str(Path(__file__).parents[1]), str(APPENDS)], env=surroundings,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told, words = dict[int, str](), list[str]()
    for line in done.stdout.splitlines():
        word, *rest = line.split()
        words.append(word)
        if rest:
            told[int(rest[0])] = rest[1]
    return Left(tuple(words), told, home)


def judge(left: Left) -> list[str]:
    """What is wrong with what is on disk: by plain SQLite and sha256, with none of the product's code."""
    wrong = ["an append was acknowledged while the store refused"] if "lied" in left.words else []
    if not (left.home / "ledger.db").exists() or not (left.home / "ledger.db").stat().st_size:
        return wrong + (["acknowledged events in a ledger that is not there"] if left.told else [])
    with closing(sqlite3.connect(left.home / "ledger.db")) as db:
        if (found := db.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            wrong.append(f"integrity: {found[:3]}")
        there, prev, last = dict[int, str](), "0" * 64, 0
        table = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'event'").fetchone()[0]
        rows = db.execute("SELECT seq, at, kind, version, data, prev, hash FROM event ORDER BY seq").fetchall() if table else []
    for seq, at, kind, version, data, before, digest in rows:
        made = hashlib.sha256(f"{before}\n{seq}\n{at}\n{kind}\n{version}\n{data}".encode()).hexdigest()
        if seq != last + 1 or before != prev or made != digest:
            wrong.append(f"the chain is broken at event {seq}")
        prev, last, there[seq] = digest, seq, digest
    wrong += [f"event {seq} was acknowledged and is not there" for seq, digest in left.told.items() if there.get(seq) != digest]
    return wrong
