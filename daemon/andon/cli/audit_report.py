"""The page that an auditor reads first: what is lacking, what landed, who asked, who approved. Pure; it judges nothing itself."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from andon.schema.clean import clean
from andon.schema.sentences import plural
from andon.thirdparty.landing import HOLDS, HUMAN, REFUSED, UNEVALUATED, Report
from andon.thirdparty.signed import Trust

NAMED = 40
"""Gaps and points that are named on the first page; all are counted."""


def markdown(reports: Sequence[Report], said: Mapping[str, Any], trust: Trust, at: int, lost: Sequence[str], left: int) -> str:
    """The whole report. It has no moment of its own: the same input gives the same page."""
    lines = [f"# What landed on {cell(said['target'])}", "", *_range(said, trust, at), "", *_counts(reports), "", "## Gaps", ""]
    gaps = [*_gaps(reports, lost, left)]
    lines += [f"- {gap}" for gap in gaps[:NAMED]] or ["None was found."]
    lines += [f"- and {len(gaps) - NAMED} more, which `python3 verify.py` lists"] if len(gaps) > NAMED else []
    lines += ["", "## Landings, the newest first", "",
              "| when | task | what | asked by | class | approved by | walls | result | commit |",
              "|---|---|---|---|---|---|---|---|---|",
              *(row for report in reports for row in _rows(report))]
    lines += ["", "## How to check this", "",
              "`python3 verify.py` in this folder says the same, from git, ssh-keygen and trust.json alone.",
              "Compare trust.json with a copy that reached you by another way: it is the one file that is believed.", "",
              "It does not show that a check means anything, nor that nobody used a stolen key."]
    return "\n".join(lines) + "\n"


def cell(text: object) -> str:
    """Somebody's words inside a table."""
    return " ".join(clean(str(text)).split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")[:200] or "-"


def _day(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(at)) if at else "unknown"


def _range(said: Mapping[str, Any], trust: Trust, at: int) -> list[str]:
    begin = f"after `{said['since'][:12]}`" if said["since"] else "from the first landing with evidence"
    return [f"- Range: {begin} up to `{said['tip'][:12]}` of {_day(at)}", f"- Factory: `{cell(trust.origin)}`",
            f"- Keys: daemon {_keys(trust, 'daemon')}; verifier {_keys(trust, 'verifier')}",
            f"- Policies pinned: {', '.join(f'`{one[:12]}`' for one in trust.policies) or 'none'}"]


def _keys(trust: Trust, role: str) -> str:
    return ", ".join(f"`{key[:16]}`" for key in sorted(trust.keys[role])) or "none"


def _counts(reports: Sequence[Report]) -> list[str]:
    words = {HOLDS: "hold", REFUSED: "refused", UNEVALUATED: "not wholly evaluated", HUMAN: "plain commits, outside the factory"}
    counts = {told: sum(report.verdict == word for report in reports) for word, told in words.items()}
    return ["| result | commits |", "|---|---|", *(f"| {told} | {count} |" for told, count in counts.items())]


def _gaps(reports: Sequence[Report], lost: Sequence[str], left: int) -> Iterator[str]:
    """All that a reader must know before believing the table."""
    if not reports:
        yield "**Nothing** with evidence lies in this range."
    for name in lost:
        yield f"`{name[:12]}` is recorded as landed here, and this target lacks it: it is behind, or it was moved back."
    for report in reports:
        for point in report.points if report.verdict != HUMAN else ():
            if point.result != HOLDS and not point.because.startswith("it rests on"):
                yield f"`{report.commit[:12]}` {point.result}, {cell(point.name)}: {cell(point.because)}"
    plain = [report for report in reports if report.verdict == HUMAN]
    if plain:
        names = ", ".join(f"`{report.commit[:12]}`" for report in plain[:NAMED])
        yield f"{plural(len(plain), 'plain commit')} stand between: nothing of the factory speaks for them ({names})."
    unsigned = [member["task"] for report in reports for member in report.members
                for one in member["approvals"] if not one["signed"]]
    if unsigned:
        yield f"Recorded without a person's own signature: the approvals of {cell(', '.join(unsigned))}."
    for member in (member for report in reports for member in report.members if member.get("waivers")):
        yield f"Waived for {cell(member['task'])}: {cell(member['waivers'])}"
    if left:
        yield f"{plural(left, 'large file')} that check runs name stayed in the factory's store."


def _rows(report: Report) -> Iterator[str]:
    if not report.members:
        what = "a plain commit" if report.verdict == HUMAN else "its evidence cannot be read"
        yield f"| {_day(report.at)} | - | {what} | - | - | - | - | {report.verdict} | `{report.commit[:12]}` |"
    for member in report.members:
        approved = ", ".join(f"{one['by']}{' as ' * bool(one['role'])}{one['role']}" + " (not signed)" * (not one["signed"])
                             for one in member["approvals"])
        cells = (member["task"], member["title"], member["asked"], member.get("risk", ""), approved, member.get("walls", ""))
        yield (f"| {_day(report.at)} | {' | '.join(cell(one) for one in cells)} | {report.verdict} | `{member['commit'][:12]}` |")
