"""Real commits of public projects get the class that a careful maintainer gives them: no stop is ever missed."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from andon.classifying import of_diff
from andon.edges.facts.gates import nobody
from andon.schema.settings import Policy
from andon.schema.verdicts import Classified

SET = Path(__file__).resolve().parents[1] / "fixtures" / "labelled"
POLICY = Policy(ship=("docs/**", "**/*.md", "**/*.rst", "**/README*", "tests/**", "examples/**", "CHANGES/**"))
COMMITS: list[dict[str, Any]] = [
    commit for name in ("security.toml", "histories.toml") for commit in tomllib.loads((SET / name).read_text())["commit"]
]


def diff_of(commit: dict[str, Any]) -> bytes:
    """The recorded part of a commit, as git would write it."""
    out: list[str] = []
    for change in commit["change"]:
        path, kind = change["path"], change.get("kind", "changed")
        removed, added = change.get("removed", []), change.get("added", [])
        out.append(f"diff --git a/{path} b/{path}")
        out += (
            ["new file mode 100644", "index 0000000..1111111"] if kind in ("added", "binary") else ["index 1111111..2222222 100644"]
        )
        if kind == "binary":
            out.append(f"Binary files /dev/null and b/{path} differ")
        if removed or added:
            out += [f"--- a/{path}", f"+++ b/{path}"]
            out.append(f"@@ -{10 if removed else 9},{len(removed)} +10,{len(added)} @@ {change.get('within', '')}")
            out += [*(f"-{line}" for line in removed), *(f"+{line}" for line in added)]
    return ("\n".join(out) + "\n").encode()


def judged(commit: dict[str, Any]) -> Classified:
    return of_diff(diff_of(commit), POLICY, nobody)


def test_the_set_is_large_and_broad_enough_to_say_anything() -> None:
    stops = [commit for commit in COMMITS if commit["label"] == "stop"]
    assert len(COMMITS) >= 60 and len(stops) >= 20
    assert len({commit["repository"] for commit in COMMITS}) >= 15
    assert all(len(commit["commit"]) == 40 and set(commit["commit"]) <= set("0123456789abcdef") for commit in COMMITS)
    assert len({(commit["repository"], commit["commit"]) for commit in COMMITS}) == len(COMMITS)


@pytest.mark.parametrize(
    "commit", [one for one in COMMITS if one["label"] == "stop"], ids=lambda one: f"{one['repository']}@{one['commit'][:8]}"
)
def test_a_commit_that_deserves_a_stop_is_never_missed(commit: dict[str, Any]) -> None:
    known = judged(commit)
    assert known.risk == "stop", f"{commit['why']}: {known.because}"


def test_what_needs_a_person_never_ships_and_the_precision_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    table: Counter[tuple[str, str]] = Counter((commit["label"], judged(commit).risk) for commit in COMMITS)
    assert table["review", "ship"] == table["stop", "ship"] == table["stop", "review"] == 0
    said_stop = sum(times for (_, said), times in table.items() if said == "stop")
    right = sum(times for (label, said), times in table.items() if label == said)
    precision = table["stop", "stop"] / said_stop
    with capsys.disabled():
        print(
            f"\nlabelled commits: {len(COMMITS)}, precision of stop {precision:.0%}, right class {right / len(COMMITS):.0%},"
            f" {dict(table)}"
        )
    assert precision >= 0.8
