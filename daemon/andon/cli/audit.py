"""`andon audit`: puts what landed, its evidence and a script into one file that a third party checks without Andon."""

import argparse
import calendar
import gzip
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from andon.cli import codes, out, reach
from andon.cli.audit_report import markdown
from andon.cli.verify import opened
from andon.schema.errors import Mistake
from andon.schema.sentences import plural
from andon.thirdparty import command
from andon.thirdparty.landing import HOLDS, Evidence, Report
from andon.thirdparty.objects import environ
from andon.thirdparty.signed import Refused, Unevaluated, sha256
from andon.thirdparty.single import script

EXAMPLES = """\
examples:
  andon audit                                   everything since the first landing with evidence, into andon-audit-<commit>.tar.gz
  andon audit --since 2026-11-01                what landed from that day on (UTC)
  andon audit --since v1.4 --out audit.tar.gz   what landed after this commit

Who gets it needs git, Python 3.9 and, for approvals, ssh-keygen:
  tar xzf audit.tar.gz && cd andon-audit && less REPORT.md && python3 verify.py
The history of the target is in it whole, so that merges can be made anew. Hand trust.json over by another way as well, and compare.

Exit code 0: all of it holds. 1 or 5: the bundle was written, and it says what is refused or could not be evaluated.
"""
TOP = "andon-audit"
FILE_LIMIT, FILES_LIMIT = 64 * 2**20, 2**30
"""Bytes of one file out of the factory's store, and of all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Since when, and where to."""
    parser.add_argument("--since", metavar="DATE|COMMIT", default="", help="what landed from this day on, or after this commit")
    parser.add_argument("--out", metavar="FILE", default="", help="where to; an existing file is never written over")
    parser.add_argument("--branch", metavar="NAME", default="", help="the target (default: what is checked out)")
    parser.add_argument("--repository", metavar="DIR", default="", help="the repository (default: the one you stand in)")
    parser.add_argument("--trust", metavar="FILE", default="", help="the trust file (default: this factory's own)")
    parser.add_argument("--json", action="store_true", help="what was written, and all points, as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Verify, pack, write."""
    try:
        evidence = opened(args.repository, args.trust, args.branch or "HEAD")
    except (Refused, Unevaluated) as error:
        raise Mistake(str(error), mend="see `andon verify`") from error
    try:
        return _write(args, evidence, Path(args.trust) if args.trust else reach.place().home / command.TRUST)
    except (Refused, Unevaluated) as error:
        raise Mistake(str(error), mend="see `andon verify --all`") from error
    finally:
        evidence.repository.close()


def _write(args: argparse.Namespace, evidence: Evidence, trust: Path) -> int:
    if not evidence.tip:
        raise Mistake(f"{args.branch or 'HEAD'} is no commit", mend="name the target with --branch")
    to = Path(args.out or f"{TOP}-{evidence.tip[:12]}.tar.gz")
    if os.path.lexists(to):
        raise Mistake("an audit is never written over another file", where=str(to), mend="name another with --out")
    since = _since(evidence, args.since)
    reports = list(evidence.landings(since))
    lost = evidence.lost()
    data = archive(evidence, reports, since, _target(evidence, args.branch), trust.read_bytes(), lost)
    try:
        with to.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise Mistake(f"the audit cannot be written: {error.strerror}", where=str(to), mend="name another with --out") from error
    code = command.code_of(reports, True) if reports else codes.NOT_EVALUATED
    code = codes.NOT_EVALUATED if lost and code == codes.OK else code
    if args.json:
        print(json.dumps({"file": str(to), "sha256": sha256(data), "code": code, "reports": [one.as_json() for one in reports]}))
    else:
        whole = sum(one.verdict == HOLDS for one in reports)
        print(f"{to}  {whole} of {plural(len(reports), 'commit')} hold  sha256 {sha256(data)}")
    if lost:
        out.say(f"andon: {plural(len(lost), 'recorded landing')} not on this target: the report says which")
    return code


def archive(evidence: Evidence, reports: list[Report], since: str, target: str, trust: bytes, lost: list[str]) -> bytes:
    """The bytes of the bundle: the same each time for the same repository, trust file and git."""
    repository = evidence.repository
    ref = repository.resolve("refs/andon/evidence")[0]
    changes = sorted({member["change"] for report in reports for member in report.members})
    files = {command.BUNDLE: _bundle(evidence, target, ref, changes), command.TRUST: trust, "verify.py": script().encode()}
    stored, left = _stored(evidence)
    files |= stored
    said = {"version": 1, "since": since, "target": target, "tip": evidence.tip, "evidence": ref, "format": repository.hash}
    files[command.RANGE] = json.dumps(said, indent=1, sort_keys=True).encode() + b"\n"
    files["REPORT.md"] = markdown(reports, said, evidence.trust, repository.commit(evidence.tip).at, lost, left).encode()
    files[command.SUMS] = "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files)).encode()
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{TOP}/{name}")
            entry.size, entry.mode = len(files[name]), 0o755 if name == "verify.py" else 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    return raw.getvalue()


def _bundle(evidence: Evidence, target: str, ref: str, changes: list[str]) -> bytes:
    """A git bundle that needs nothing else. Packed by one thread and anew, so that its bytes follow from the objects alone.

    Changes that landed squashed or replayed are no part of the target's history: their own commits go in as well.
    """
    repository = evidence.repository
    tips = [(evidence.tip, f"refs/heads/{target}"), *([(ref, "refs/andon/evidence")] if ref else [])]
    head = "# v2 git bundle\n" if repository.hash == "sha1" else f"# v3 git bundle\n@object-format={repository.hash}\n"
    words = ("git", "-c", "pack.threads=1", "pack-objects", "--revs", "--stdout", "-q", "--threads=1", "--no-reuse-delta",
             "--no-reuse-object", "--no-use-bitmap-index", "--delta-base-offset")
    wanted = [*(oid for oid, _ in tips), *changes]
    with tempfile.TemporaryFile() as pack:
        done = subprocess.run(words, input="".join(f"{oid}\n" for oid in wanted).encode(), stdout=pack, stderr=subprocess.PIPE,
                              env={**environ(), "GIT_DIR": str(repository.git_dir)}, check=False)
        if done.returncode:
            raise Mistake("the history cannot be packed: objects are missing or damaged", where=str(repository.place),
                          mend="see `git fsck`; a shallow or partial clone has to be made whole first")
        pack.seek(0)
        return head.encode() + "".join(f"{oid} {name}\n" for oid, name in tips).encode() + b"\n" + pack.read()


def _stored(evidence: Evidence) -> tuple[dict[str, bytes], int]:
    """Files that statements name, that git does not keep and this factory's store does; and how many had to be left out."""
    found: dict[str, bytes] = {}
    left = total = 0
    for digest in sorted(evidence.named):
        place = next((one / digest[:2] / digest[2:] for one in evidence.stores if (one / digest[:2] / digest[2:]).is_file()), None)
        if place is None or evidence.file("blobs", digest) is not None:
            continue
        size = place.stat().st_size
        if size > FILE_LIMIT or total + size > FILES_LIMIT:
            left += 1
            continue
        found[f"{command.STORE}/{digest[:2]}/{digest[2:]}"] = place.read_bytes()
        total += size
    return found, left


def _since(evidence: Evidence, text: str) -> str:
    """The commit after which it begins; empty for the first landing with evidence."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        if text and not (oid := evidence.repository.resolve(text)[0]):
            raise Mistake(f"{text} is no day and no commit", mend="give a day like 2026-11-01, or a commit")
        return oid if text else ""
    try:
        day = calendar.timegm(time.strptime(text, "%Y-%m-%d"))
    except ValueError as error:
        raise Mistake(f"{text} is no day", mend="give a day like 2026-11-01, or a commit") from error
    oid = evidence.tip
    while oid:
        commit = evidence.repository.commit(oid)
        if commit.at < day:
            return oid
        oid = (commit.parents or [""])[0]
    return ""


def _target(evidence: Evidence, branch: str) -> str:
    """The name of the target in the bundle."""
    name = branch.removeprefix("refs/heads/")
    if not name or name == "HEAD":
        said = evidence.repository.run("symbolic-ref", "--quiet", "--short", "HEAD", cwd=evidence.repository.place)[1]
        name = said.decode(errors="replace").strip()
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) and ".." not in name else "target"
