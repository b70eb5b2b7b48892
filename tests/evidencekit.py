"""Makes landings with signed evidence in real repositories, honest ones and others, by a hand of its own beside the product's."""

import base64
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import gitkit

Body = dict[str, Any]
Edit = Callable[[Body], Body | None]
KIND = "application/vnd.in-toto+json"
TYPES = {
    "test": "https://in-toto.io/attestation/test-result/v0.1", "run": "https://slsa.dev/provenance/v1",
    "approval": "https://andon.dev/attestation/human-approval/v1", "summary": "https://slsa.dev/verification_summary/v1",
    "checkpoint": "https://andon.dev/attestation/ledger-checkpoint/v1", "landing": "https://andon.dev/attestation/landing/v1",
}
EMPTY = hashlib.sha256(b"").hexdigest()


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pae(payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(KIND), KIND.encode(), len(payload), payload)


def moment(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


class Key:
    """An ed25519 key of a role."""

    def __init__(self, seed: int) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = sha(self.raw)
        self.line = self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def sign(self, payload: bytes) -> tuple[str, bytes]:
        return self.id, self.key.sign(pae(payload))


class Person:
    """A person's SSH key, in a file, used by the real ssh-keygen."""

    def __init__(self, folder: Path, name: str, namespace: str = "andon-approval@v1") -> None:
        self.file, self.name, self.namespace = folder / name, name, namespace
        if not self.file.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.file], check=True)
        words = self.file.with_suffix(".pub").read_text().split()
        self.public = f"{words[0]} {words[1]}"
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(words[1])).digest()).decode()
        self.id = "SHA256:" + digest.rstrip("=")

    def sign(self, payload: bytes) -> tuple[str, bytes]:
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", self.namespace, "-f", str(self.file)]
        return self.id, subprocess.run(argv, input=pae(payload), capture_output=True, check=True).stdout

    def to(self, namespace: str) -> "Person":
        return Person(self.file.parent, self.name, namespace)


class Change(NamedTuple):
    """A task's work."""

    task: str
    commit: str
    tree: str
    base: str


def envelope(key: Key | Person, payload: bytes) -> bytes:
    keyid, sig = key.sign(payload)
    return canonical({"payload": base64.b64encode(payload).decode(), "payloadType": KIND,
                      "signatures": [{"keyid": keyid, "sig": base64.b64encode(sig).decode()}]})


class Lab:
    """One factory on paper: a repository, its keys, and everything that it says."""

    def __init__(self, place: Path, new: bool = True) -> None:
        self.place, self.repo = place, place / "repo"
        self.daemon, self.verifier, self.stranger = Key(1), Key(2), Key(3)
        self.origin = "andon/test"
        self.policy: Body = {"checks": {"tests": {}, "lint": {}}, "policy": {"stop": ["secret/**"]},
                             "line": {"stations": [{"kind": "check"}, {"kind": "gate", "when": "policy"}]}}
        self.rows: list[str] = [sha(b"%d" % n) for n in range(5)]
        self.edits: dict[str, Edit] = {}
        self.keys: dict[str, Key | Person] = {}
        self.checks: tuple[str, ...] = ("tests", "lint")
        self.required: tuple[str, ...] = ("tests", "lint")
        self.risk = "review"
        self.approvers: tuple[str, ...] = ("ana",)
        self.forge: Callable[[list[bytes]], list[bytes]] = list
        self.forge_files: Callable[[dict[str, bytes]], dict[str, bytes]] = dict
        self.trailers: Callable[[list[str]], list[str]] = list
        self.nonce = ""
        if new:
            place.mkdir(parents=True, exist_ok=True)
            gitkit.make_repo(self.repo, {"a.txt": "one\ntwo\nthree\n", "b.txt": "b\n"})
        self.people = {name: Person(place, name) for name in ("ana", "ben", "eve")}
        if new:
            self.write_trust()

    def copy(self, place: Path) -> "Lab":
        shutil.copytree(self.place, place)
        return Lab(place, new=False)

    # --- whom to believe ------------------------------------------------------------------------------------------------

    @property
    def trust_file(self) -> Path:
        return self.place / "trust.json"

    def trust(self) -> Body:
        lines = [f'{name} namespaces="andon-approval@v1" {self.people[name].public}' for name in ("ana", "ben")]
        return {"version": 1, "origin": self.origin, "daemon": [self.daemon.line], "verifier": [self.verifier.line],
                "operators": "\n".join(lines) + "\n", "policies": [],
                "roles": {"ana": ["maintainer"], "ben": ["maintainer", "security"]}}

    def write_trust(self, **changed: Any) -> None:
        self.trust_file.write_text(json.dumps(self.trust() | changed))

    # --- work -----------------------------------------------------------------------------------------------------------

    def work(self, task: str, files: Mapping[str, str | None], base: str = "main") -> Change:
        """A change on a branch of its own."""
        gitkit.run(self.repo, "checkout", "-q", "-B", f"andon/{task}", base)
        start = gitkit.ref(self.repo, "HEAD")
        commit = gitkit.commit(self.repo, files, f"Work on {task}")
        gitkit.run(self.repo, "checkout", "-q", "main")
        return Change(task, commit, gitkit.tree(self.repo, commit), start)

    def told(self, kind: str, commit: str, tree: str, predicate: Body, name: str = "") -> bytes | None:
        """The line of a statement, after whoever forges it had their way; None when they dropped it."""
        body: Body | None = {
            "_type": "https://in-toto.io/Statement/v1", "predicateType": TYPES[kind], "predicate": predicate,
            "subject": [{"name": "git+r", "digest": {"gitCommit": commit, "gitTree": tree}}],
        }
        if kind == "checkpoint":
            assert body is not None
            root = base64.b64decode(predicate["root"]).hex()
            body["subject"] = [{"name": "ledger", "digest": {"sha256": root}}]
        edit = self.edits.get(name or kind)
        body = edit(body) if edit and body else body
        if body is None:
            return None
        standard: dict[str, Key | Person] = {"test": self.verifier}
        return envelope(self.keys.get(name or kind) or standard.get(kind, self.daemon), canonical(body))

    def test(self, check: str, commit: str, tree: str, files: dict[str, bytes], name: str = "test") -> bytes | None:
        log = f"{check} on {tree}\n".encode()
        files[f"blobs/{sha(log)[:2]}/{sha(log)}"] = log
        return self.told("test", commit, tree, {
            "result": "PASSED", "configuration": [{"name": f"check {check}", "digest": {"sha256": EMPTY}},
                                                  {"name": "log", "digest": {"sha256": sha(log)}}],
            "isolation": "strict", "passed": 3, "failed": 0,
        }, name)

    def checkpoint(self) -> tuple[str, bytes | None]:
        root = base64.b64encode(merkle([bytes.fromhex(row) for row in self.rows])).decode()
        return f"{len(self.rows)} {root}", self.told(
            "checkpoint", "", "", {"origin": self.origin, "size": len(self.rows), "root": root})

    def seal(self, change: Change) -> tuple[str, str, str, dict[str, bytes]]:
        """Digest of the bundle, of the policy, the ledger's line, and all files."""
        files: dict[str, bytes] = {}
        tests = [line for check in self.checks if (line := self.test(check, change.commit, change.tree, files))]
        args = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "-M", "--submodule=short", change.base,
                change.commit, "--")
        raw = subprocess.run(("git", *args), cwd=self.repo, capture_output=True, check=True).stdout
        diff = sha(raw) if raw else ""
        shown = canonical({"task": change.task, "commit": change.commit, "tree": change.tree, "diffSha256": diff, "claims": [
            {"claim": "check", "status": "proven", "walls": "strict", "evidence": sha(line)} for line in tests]})
        policy = canonical(self.policy)
        for data in (shown, policy):
            files[f"blobs/{sha(data)[:2]}/{sha(data)}"] = data
        run = self.told("run", change.commit, change.tree, {
            "buildDefinition": {"externalParameters": {"task": change.task, "title": "Do it", "askedBy": "ana"},
                                "resolvedDependencies": [{"name": "base", "digest": {"gitCommit": change.base}}]},
            "runDetails": {"metadata": {"finishedOn": moment(time.time() - 60)}}})
        approvals = []
        for who in self.approvers:
            self.keys.setdefault(f"approval-{who}", self.people[who])
            approvals.append(self.told("approval", change.commit, change.tree, {
                "decision": "approve", "gate": f"G-{change.task}", "nonce": self.nonce or sha(change.task.encode())[:32],
                "approver": who, "role": "maintainer", "time": moment(time.time() - 5),
                "shown": {"diffSha256": diff, "summarySha256": sha(shown)},
            }, f"approval-{who}"))
        ledger, point = self.checkpoint()
        lines = [line for line in (*tests, run, *approvals, point) if line]
        summary = self.told("summary", change.commit, change.tree, {
            "inputAttestations": [{"digest": {"sha256": sha(line)}} for line in lines],
            "policy": {"digest": {"sha256": sha(policy)}}, "verificationResult": "PASSED",
            "andon": {
                "task": change.task, "attempt": f"{change.task}.1", "change": change.commit, "risk": self.risk,
                "because": "it says so", "required": list(self.required), "shown": sha(shown), "walls": "strict"}})
        lines = self.forge([*lines, *([summary] if summary else [])])
        bundle = b"".join(line + b"\n" for line in lines)
        files[f"bundles/{sha(bundle)[:2]}/{sha(bundle)}.jsonl"] = bundle
        return sha(bundle), sha(policy), ledger, files

    def land(self, *changes: Change, how: str = "merge", tree: str = "", parents: list[str] | None = None,
             proven: str = "") -> str:
        """Seal, merge, prove, land and record; the landed commit, to which main now points."""
        onto = tip = gitkit.ref(self.repo, "main")
        members, files = [], dict[str, bytes]()
        for change in changes:
            bundle, policy, ledger, made = self.seal(change)
            files |= made
            merged = tree or gitkit.run(self.repo, "merge-tree", "--write-tree", tip, change.commit).split("\n")[0]
            trailers = self.trailers([
                f"Andon-Task: {change.task}", f"Andon-Attempt: {change.task}.1", f"Andon-Bundle: sha256:{bundle}",
                f"Andon-Policy: sha256:{policy}", f"Andon-Ledger: {ledger}", f"Andon-Change: {change.commit}"])
            given = parents if parents is not None else [tip, change.commit] if how == "merge" else [tip]
            tip = gitkit.run(self.repo, "commit-tree", merged, *(word for one in given for word in ("-p", one)), "-m",
                             f"Land {change.task}: do it\n\n" + "\n".join(trailers))
            members.append({"task": change.task, "change": change.commit, "commit": tip, "bundle": bundle})
        self.record(onto, tip, how, members, files, proven)
        gitkit.run(self.repo, "update-ref", "refs/heads/main", tip)
        gitkit.run(self.repo, "reset", "-q", "--hard")
        return tip

    def record(self, onto: str, tip: str, how: str, members: list[Body], files: dict[str, bytes], proven: str = "") -> None:
        """The landing record and all files go under the evidence's ref."""
        self.put(self.recorded(onto, tip, how, members, files, proven))

    def recorded(self, onto: str, tip: str, how: str, members: list[Body], files: dict[str, bytes], proven: str = "",
                 ) -> dict[str, bytes]:
        """The files of a landing, its record among them."""
        merged = gitkit.tree(self.repo, tip)
        runs = [line for check in self.checks if (line := self.test(check, tip, proven or merged, files, "merged"))]
        body = {"landing": f"L{len(members)}", "target": "main", "onto": onto, "how": how, "tree": merged, "members": members,
                "runs": [sha(line) for line in runs]}
        self.rows.append(sha(tip.encode()))
        lines = [self.told("landing", tip, merged, body), *runs, self.checkpoint()[1]]
        files[f"landings/{tip[:2]}/{tip}.jsonl"] = b"".join(line + b"\n" for line in lines if line)
        return self.forge_files(files)

    def put(self, files: Mapping[str, bytes | None]) -> None:
        """Add, replace or (None) remove files under the evidence's ref."""
        old = gitkit.ref(self.repo, "refs/andon/evidence")
        stream = [b"commit refs/andon/evidence\ncommitter A <a@b> 1 +0000\ndata 1\nx\n"]
        stream += [b"from %s\n" % old.encode()] if old else []
        for path, data in files.items():
            stream.append(b"D %s\n" % path.encode() if data is None else b"M 100644 inline %s\ndata %d\n%s\n" % (
                path.encode(), len(data), data))
        gitkit.run(self.repo, "fast-import", "--quiet", "--force", stdin=b"".join(stream))

    def paths(self, word: str = "") -> list[str]:
        """Files under the evidence's ref."""
        listed = gitkit.run(self.repo, "ls-tree", "-r", "--name-only", "refs/andon/evidence").split("\n")
        return [path for path in listed if word in path]

    def read(self, path: str) -> bytes:
        return subprocess.run(("git", "cat-file", "blob", f"refs/andon/evidence:{path}"), cwd=self.repo, capture_output=True,
                              check=True).stdout


def merkle(leaves: list[bytes]) -> bytes:
    """RFC 6962, as its section 2.1 says it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + merkle(leaves[:half]) + merkle(leaves[half:])).digest()
