"""The command: which commits, which trust file, what is printed. It never says more than was re-computed.

Exit codes: 0 all points of all commits hold; 1 something is refused, or the commit is a plain one; 5 nothing is refused, but not
all could be evaluated (with --all also: plain commits stand between); 2 a mistake in the command.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .landing import HOLDS, HUMAN, REFUSED, UNEVALUATED, Evidence, Point
from .objects import GIT_ENV, Repository
from .signed import Refused, Trust, Unevaluated, clean, read_json, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .landing import Report

OK, NOT_SO, MISTAKE, NOT_EVALUATED = 0, 1, 2, 5
TASK = re.compile(r"[Tt][1-9]\d{0,8}")
BUNDLE, TRUST, SUMS, RANGE, STORE = "evidence.bundle", "trust.json", "SHA256SUMS", "audit.json", "files"
"""What lies beside this script in a bundle for auditors."""


def commits_of(evidence: Evidence, name: str) -> list[str]:
    """The commits that a name means: itself, or, of a task, the landings that brought it. Raises Unevaluated when there is none."""
    if not TASK.fullmatch(name):
        found = evidence.repository.resolve(name)
        if not found[0]:
            raise Unevaluated(f"{clean(name)} is no commit of this repository")
        return found
    task, landed = name.upper(), dict[str, str]()
    log = evidence.repository.run("log", "--max-count=100000", "--format=%H", "-E", f"--grep=^Andon-Task: {task}$", evidence.tip)[1]
    for oid in log.decode().split():
        said = evidence.repository.commit(oid).trailers
        if said.get("Task") == [task]:
            landed.setdefault(evidence.landing_of(oid) or oid, oid)
    if not landed:
        raise Unevaluated(f"no commit here says that it landed {task}")
    return list(landed.values())


def code_of(reports: Iterable[Report], every: bool) -> int:
    """The exit code. A plain commit is refused when it was asked about, and a gap when it stands among others."""
    verdicts = {report.verdict for report in reports}
    if REFUSED in verdicts or (HUMAN in verdicts and not every):
        return NOT_SO
    return OK if verdicts <= {HOLDS} else NOT_EVALUATED


def table(report: Report, whole: bool = True) -> Iterator[str]:
    """A report as lines."""
    when = time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(report.at)) if report.at else ""
    tasks = ", ".join(str(member["task"]) for member in report.members)
    yield clean(f"{report.commit[:12]}  {report.verdict:<11}  {tasks or '-'}  {when}")
    for member in report.members if whole else ():
        signed = [f"{one['by']}{' as ' * bool(one['role'])}{one['role']} ({one['key'][:19] if one['signed'] else 'not signed'})"
                  for one in member["approvals"]]
        told = [f"class {member.get('risk', '?')}", f"approved by {', '.join(signed) or 'nobody'}",
                f"walls {member.get('walls') or 'unknown'}", f"checks within {', '.join(member['isolation']) or 'unknown'}"]
        yield clean(f"  {member['task']}: {'; '.join(told)}")
    for point in report.points:
        if whole or point.result != HOLDS:
            yield clean(f"  {point.result:<11}  {point.name:<11} {point.because}")


def show(reports: Iterable[Report], *, every: bool, as_json: bool, after: Callable[[], list[Point]] = list) -> int:
    """Print reports as they come, the points that are known `after` them, and what they come to; the exit code."""
    seen: list[Report] = []
    progress = every and sys.stderr.isatty()
    for report in reports:
        seen.append(report)
        if progress:
            print(f"\r{len(seen)} looked at", end="", file=sys.stderr, flush=True)
        if not as_json:
            for line in table(report, not every):
                print(line)
    if progress:
        print("\r\x1b[K", end="", file=sys.stderr)
    more = after()
    results = {point.result for point in more}
    code = max(code_of(seen, every), NOT_EVALUATED if UNEVALUATED in results else OK)
    code = NOT_SO if code_of(seen, every) == NOT_SO or REFUSED in results else code if seen else NOT_EVALUATED
    for point in more if not as_json else ():
        print(clean(f"  {point.result:<11}  {point.name:<11} {point.because}"))
    if as_json:
        print(json.dumps({"code": code, "reports": [report.as_json() for report in seen], "more": [one._asdict() for one in more]}))
    elif every or len(seen) != 1:
        counts = {word: sum(report.verdict == word for report in seen) for word in (HOLDS, REFUSED, UNEVALUATED, HUMAN)}
        print(", ".join(f"{count} {'plain commits' if word == HUMAN else word}" for word, count in counts.items() if count)
              or "no landing with evidence is here")
    return code


def arguments(parser: argparse.ArgumentParser) -> None:
    """What both commands take."""
    parser.add_argument("names", metavar="COMMIT|TASK", nargs="*", help="a commit, a branch, or a task like T3 (default: HEAD)")
    parser.add_argument("--all", action="store_true", help="every commit of the target since the first landing with evidence")
    parser.add_argument("--since", metavar="COMMIT", default="", help="with --all: those after this commit")
    parser.add_argument("--branch", metavar="NAME", default="HEAD", help="the target (default: what is checked out)")
    parser.add_argument("--repository", metavar="DIR", default="", help="the repository (default: the one you stand in)")
    parser.add_argument("--trust", metavar="FILE", default="", help="whom to believe what: the one file that counts")
    parser.add_argument("--json", action="store_true", help="all points as one JSON object")


def examine(args: argparse.Namespace, evidence: Evidence, after: Callable[[], list[Point]] = list) -> int:
    """Verify what was asked for."""
    if not evidence.tip:
        raise Unevaluated(f"{clean(args.branch)} is no commit of this repository")
    if args.all:
        return show(evidence.landings(args.since), every=True, as_json=args.json, after=lambda: [_history(evidence), *after()])
    wanted = [oid for name in args.names or ["HEAD"] for oid in commits_of(evidence, name)]
    return show((evidence.guarded(oid) for oid in wanted), every=False, as_json=args.json, after=after)


def _history(evidence: Evidence) -> Point:
    """Whether the branch holds what was recorded as landed on it."""
    lost = evidence.lost()
    if not lost:
        return Point("history", HOLDS, "every landing that is recorded for this target is in it")
    named = ", ".join(name[:12] for name in lost[:4])
    return Point("history", UNEVALUATED, f"{len(lost)} recorded as landed and not here ({named}): it is behind, or was moved back")


def unpacked(here: Path, into: Path) -> dict[str, str]:
    """A bundle for auditors as a repository, when each of its files has its checksum. What it says about its range."""
    for line in (here / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        if not name or ".." in name or not (here / name).is_file() or sha256((here / name).read_bytes()) != digest:
            raise Refused(f"{clean(name)} is missing, or is not what {SUMS} says")
    said = read_json((here / RANGE).read_bytes(), RANGE)
    told = {name: str(said.get(name, "")) for name in ("since", "target", "tip", "evidence", "format")}
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", told["target"]) or ".." in told["target"]:
        raise Refused(f"{RANGE} names no target")
    env = {**GIT_ENV, "PATH": os.environ.get("PATH", ""), "GIT_DIR": str(into)}
    for words in (("init", "-q", "--bare", "--template=", f"--object-format={told['format'] or 'sha1'}"),
                  ("-c", "transfer.fsckObjects=true", "bundle", "unbundle", str(here / BUNDLE)),
                  ("update-ref", f"refs/heads/{told['target']}", told["tip"]),
                  ("symbolic-ref", "HEAD", f"refs/heads/{told['target']}"),
                  *([("update-ref", "refs/andon/evidence", told["evidence"])] if told["evidence"] else [])):
        done = subprocess.run(("git", *words), env=env, cwd=into, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise Refused(f"git {words[0]} does not take {BUNDLE}: it is damaged")
    return told


def main(argv: list[str] | None = None) -> int:
    """The command by itself; beside a bundle for auditors it verifies that."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Re-compute the evidence of landed commits, offline.",
                                     epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    args, here = parser.parse_args(argv), Path(__file__).resolve().parent
    repository: Repository | None = None
    with tempfile.TemporaryDirectory(prefix="andon-verify-") as place:
        try:
            if (here / BUNDLE).is_file() and not args.repository:
                told = unpacked(here, Path(place))
                args.repository, args.all = place, args.all or not args.names
                args.since = args.since or told["since"]
            trust = Trust.read(Path(args.trust) if args.trust else here / TRUST)
            repository = Repository(Path(args.repository or "."))
            return examine(args, Evidence(repository, trust, (here / STORE,), args.branch))
        except (Refused, Unevaluated) as error:
            print(f"verify.py: {clean(error)}", file=sys.stderr)
            return NOT_SO if isinstance(error, Refused) else NOT_EVALUATED
        except OSError as error:
            print(f"verify.py: {clean(error)}", file=sys.stderr)
            return MISTAKE
        finally:
            if repository is not None:
                repository.close()


if __name__ == "__main__":
    sys.exit(main())
