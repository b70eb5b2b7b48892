"""Reads the objects of a repository without believing it: no configuration, hook, replacement or attribute of it has a say.

Git works in an empty directory of ours that borrows the objects, and every object that is read here is hashed here. What git itself
compares and merges are objects as they lie in the store: who wants those hashed as well verifies in a fresh clone.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from .signed import OID, Refused, Unevaluated, clean

OBJECT_LIMIT, KEPT, SECONDS = 32 * 2**20, 20_000, 300.0
"""Bytes of an object, objects that are remembered, seconds that one git may take."""
GIT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": "/dev/null", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": ":", "GIT_PAGER": "cat", "GIT_ASKPASS": "false", "SSH_ASKPASS": "false",
    "LC_ALL": "C",    "GIT_ALLOW_PROTOCOL": "none", "TZ": "UTC0", "HOME": "/nonexistent",
}
GIT_CONFIG = (
    ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("core.attributesFile", "/dev/null"), ("safe.directory", "*"),
    ("core.excludesFile", "/dev/null"), ("core.alternateRefsCommand", "true"), ("core.quotePath", "false"), ("diff.external", ""),
    ("diff.renames", "true"), ("merge.renames", "true"), ("merge.directoryRenames", "conflict"), ("gc.auto", "0"),
    ("protocol.allow", "never"), ("submodule.recurse", "false"), ("core.useReplaceRefs", "false"), ("core.commitGraph", "false"),
)


def environ() -> dict[str, str]:
    """The environment of a git: nothing of the person's or of the repository's configuration counts."""
    env = {**GIT_ENV, "PATH": os.environ.get("PATH", ""), "GIT_CONFIG_COUNT": str(len(GIT_CONFIG))}
    for n, (key, value) in enumerate(GIT_CONFIG):
        env[f"GIT_CONFIG_KEY_{n}"], env[f"GIT_CONFIG_VALUE_{n}"] = key, value
    return env


class Commit(NamedTuple):
    """A commit as its bytes say."""

    oid: str
    tree: str
    parents: list[str]
    message: str
    at: int

    @property
    def trailers(self) -> dict[str, list[str]]:
        """`Andon-…` lines of its last paragraph."""
        found: dict[str, list[str]] = {}
        for line in self.message.rstrip("\n").split("\n\n")[-1].split("\n"):
            match = re.fullmatch(r"Andon-([A-Za-z]+): (.+)", line)
            if match:
                found.setdefault(match[1], []).append(match[2].strip())
        return found


class Repository:
    """A repository, read only; git itself works in an empty directory of ours that borrows the objects."""

    def __init__(self, place: Path) -> None:
        self._temp = tempfile.TemporaryDirectory(prefix="andon-verify-")
        self.room, self.place, self.processes = Path(self._temp.name), place, 0
        self._batch: subprocess.Popen[bytes] | None = None
        self._read: dict[str, tuple[str, bytes]] = {}
        try:
            self._lay(place)
        except Unevaluated:
            self.close()
            raise

    def _lay(self, place: Path) -> None:
        """Make the directory in which git works."""
        if not place.is_dir():
            raise Unevaluated(f"{place} is not a directory")
        said = self.run("rev-parse", "--path-format=absolute", "--show-object-format", "--git-path", "objects", cwd=place)[1]
        kind, _, objects = said.decode(errors="surrogateescape").rstrip("\n").partition("\n")
        if kind not in ("sha1", "sha256"):
            raise Unevaluated(f"{place} is not inside a git repository, or git is older than 2.38")
        self.hash, self.git_dir = kind, self.room / "git"
        for name in ("objects/info", "refs/heads"):
            (self.git_dir / name).mkdir(parents=True)
        (self.git_dir / "HEAD").write_text("ref: refs/heads/none\n")
        (self.git_dir / "objects/info/alternates").write_bytes(os.fsencode(objects) + b"\n")
        new = "[extensions]\n\tobjectformat = sha256\n" if kind == "sha256" else ""
        (self.git_dir / "config").write_text(f"[core]\n\trepositoryformatversion = {int(bool(new))}\n\tbare = true\n{new}")

    def close(self) -> None:
        """End the git that reads objects, and remove our directory."""
        self._end()
        self._temp.cleanup()

    def _end(self) -> None:
        child, self._batch = self._batch, None
        if child is not None:
            child.kill()
            child.communicate()

    def _start(self, words: tuple[str, ...], cwd: Path | None, stdin: int) -> subprocess.Popen[bytes]:
        self.processes += 1
        env = environ() if cwd else {**environ(), "GIT_DIR": str(self.git_dir)}
        try:
            return subprocess.Popen(["git", *words], cwd=cwd or self.room, env=env, stdin=stdin, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise Unevaluated("git is not on PATH") from None

    def run(self, *words: str, cwd: Path | None = None, limit: int = OBJECT_LIMIT, stdin: bytes = b"") -> tuple[int, bytes]:
        """Exit code and at most `limit` + 1 bytes of what a git says, over the objects alone or, with `cwd`, where it stands."""
        with self._start(words, cwd, subprocess.PIPE if stdin else subprocess.DEVNULL) as child:
            if child.stdin is not None:
                child.stdin.write(stdin)
                child.stdin.close()
            assert child.stdout is not None
            late = threading.Timer(SECONDS, child.kill)
            late.start()
            said = child.stdout.read(limit + 1)
            late.cancel()
            if len(said) > limit:
                child.kill()
        return child.returncode, said

    def resolve(self, *names: str) -> list[str]:
        """The commits of these names, in one process; empty for what is none."""
        if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/@^~{}-]*", name) for name in names):
            raise Unevaluated(f"{clean(' '.join(names))} does not name a commit")
        said = self.run("cat-file", "--batch-check=%(objectname) %(objecttype)", cwd=self.place,
                        stdin="".join(f"{name}^{{commit}}\n" for name in names).encode())[1].decode(errors="replace").split("\n")
        return [line[:-7] if line.endswith(" commit") else "" for line in said[:len(names)]]

    def object(self, oid: str) -> tuple[str, bytes]:
        """Kind and bytes of an object, hashed here; kind is empty when it is not there. Raises Refused."""
        if oid in self._read:
            return self._read[oid]
        kind, size = self._ask(oid) if OID.fullmatch(oid) else ("", 0)
        if not kind or self._batch is None or self._batch.stdout is None:
            return "", b""
        if size > OBJECT_LIMIT:
            self._end()
            raise Refused(f"object {oid[:12]} is larger than {OBJECT_LIMIT >> 20} MiB")
        data = self._batch.stdout.read(size + 1)[:-1]
        if hashlib.new(self.hash, b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest() != oid:
            raise Refused(f"object {oid[:12]} is not what its name says: the store was altered")
        if kind != "blob":
            if len(self._read) >= KEPT:
                self._read.clear()
            self._read[oid] = kind, data
        return kind, data

    def _ask(self, oid: str) -> tuple[str, int]:
        """Kind and size of what git is about to say; an empty kind for what it has not."""
        if self._batch is None:
            self._batch = self._start(("cat-file", "--batch"), None, subprocess.PIPE)
        stdin, stdout = self._batch.stdin, self._batch.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(f"{oid}\n".encode())
            stdin.flush()
        except BrokenPipeError:
            self._end()
            return "", 0
        words = stdout.readline(200).decode(errors="replace").split()
        if not words:  # it gave up over what it found
            self._end()
        return (words[1], int(words[2])) if len(words) == 3 and words[2].isdigit() else ("", 0)

    def commit(self, oid: str) -> Commit:
        """A commit. Raises Unevaluated when it is not here."""
        kind, data = self.object(oid)
        if kind != "commit":
            raise Unevaluated(f"commit {oid[:12]} is not here")
        head, _, message = data.decode(errors="replace").partition("\n\n")
        lines = [line.partition(" ") for line in head.split("\n")]
        named = [value for key, _, value in lines if key == "tree"]
        when = [value.rsplit(" ", 2)[-2] for key, _, value in lines if key == "committer" and value.count(" ") > 1]
        if not named:
            raise Refused(f"commit {oid[:12]} has no tree")
        at = int(when[0]) if when and re.fullmatch(r"\d{1,12}", when[0]) else 0
        return Commit(oid, named[0], [value for key, _, value in lines if key == "parent"], message, at)

    def entries(self, tree: str) -> dict[str, str]:
        """Names and objects of a tree."""
        kind, data = self.object(tree)
        if not kind:
            raise Unevaluated(f"tree {tree[:12]} is not here")
        found, at, size = {}, 0, len(tree) // 2
        while kind == "tree" and at < len(data):
            space, end = data.index(b" ", at), data.index(b"\0", at)
            found[data[space + 1:end].decode(errors="surrogateescape")] = data[end + 1:end + 1 + size].hex()
            at = end + 1 + size
        return found

    def file(self, tree: str, path: str) -> bytes | None:
        """The bytes of a file below a tree; None when there is none."""
        *folders, name = path.split("/")
        for folder in folders:
            tree = self.entries(tree).get(folder, "")
            if not tree:
                return None
        oid = self.entries(tree).get(name, "")
        kind, data = self.object(oid) if oid else ("", b"")
        return data if kind == "blob" else None
