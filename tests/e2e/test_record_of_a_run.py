"""The record of a real run: standing questions, lineage of commits in every disguise, and independent counting beside both."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from andon.record import questions
from andon.schema import events as e, inputs as i
from andon.schema.ids import RepoId, TaskId
from e2e.test_queue import AGENT_PY, RULES_PY, job
from factory import UNHELD, Factory, factory, git, small_repo, without_walls
from signkit import allow, key, settings
from wholekit import assert_clear, cli

SETTINGS = f"""\
[agents.default]
command = ["{sys.executable}", "-S", "agent.py", "{{prompt_file}}"]
model = "the-model"
[checks.tests]
run = "{sys.executable} -S rules.py {{report}}"
report = "junit"
[policy]
ship = ["**"]
review = ["made/reviewed*"]
stop = ["made/auth*"]
"""


class Run(NamedTuple):
    plant: Factory
    path: Path
    repo: RepoId
    events: list[e.Recorded]
    own: str


def approve(plant: Factory, task: TaskId, option: str = "approve", because: str = "") -> None:
    plant.until(lambda: plant.gate(task), 40, what=f"a gate of {task}")
    ran = cli(plant, "gate", "answer", task, option, "--because", because)
    assert ran.code == 0, ran


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A factory that lands by itself, after approvals, and takes one back; a person commits beside it. Then it is stopped."""
    room = tmp_path_factory.mktemp("run")
    path = small_repo(room / "repo", files={"agent.py": AGENT_PY, "rules.py": RULES_PY, "made/first": "x\n"})
    (path / "andon.toml").write_text(without_walls(SETTINGS))
    git(path, "commit", "-qam", "settings")
    ana = key(room / "keys", "ana")
    allow(room / "own", ana=ana)
    own_settings = settings("ana", ana, {"ana": ("owner",)}, UNHELD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDON_CONFIG_HOME", str(room / "own"))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield from lived(room, path, own_settings)


def lived(room: Path, path: Path, own_settings: str) -> Iterator[Run]:
    with factory(room / "f", settings=own_settings) as plant:
        repo = plant.register(path)
        alone = job(plant, repo, "echo x > made/alone", title="alone")
        plant.until_state(alone, "done")
        stop = job(plant, repo, "echo x > made/auth", title="a hard stop")
        approve(plant, stop)
        plant.until_state(stop, "done")
        refused = job(plant, repo, "echo x > made/reviewed", title="refused, then approved")
        approve(plant, refused, "reject", "say why")
        approve(plant, refused)
        plant.until_state(refused, "done")
        done = plant.do(i.RevertLanding(task=alone, because="a change of mind"))
        plant.until_state(TaskId(done.ids[0]), "done")  # type: ignore[union-attr]  # Done
        plant.until(lambda: git(path, "rev-parse", "main") == git(path, "rev-parse", "refs/andon/trunk/main"), what="the mirror")
        (path / "own.txt").write_text("mine\n")
        git(path, "add", "own.txt")
        git(path, "commit", "-qm", "my own work")
        own = git(path, "rev-parse", "HEAD")
        plant.until(lambda: any(isinstance(row.event, e.TargetObserved) and row.event.oid == own for row in plant.events()),
                    what="the person's commit to be seen")
        plant.stop()
        yield Run(plant, path, repo, plant.events(), own)


def asked(run: Run, name: str, *words: str) -> list[dict[str, Any]]:
    """The rows of a saved question, by the real command; in less than a second besides what the interpreter takes."""
    ran = cli(run.plant, "query", name, "--json", *words)
    assert ran.code == 0, ran
    answer = json.loads(ran.out)
    assert answer["milliseconds"] < 1000
    rows: list[dict[str, Any]] = answer["rows"]
    return rows


def of(run: Run, kind: type[Any]) -> list[Any]:
    return [row.event for row in run.events if isinstance(row.event, kind)]


def test_every_standing_question_answers_from_a_real_run_in_less_than_a_second(run: Run) -> None:
    layout = run.plant.layout
    assert len(questions.shipped()) >= 10
    begun = time.monotonic()
    for name in questions.shipped():
        asked(run, name)
        assert questions.named(layout, name).title
    assert time.monotonic() - begun < 60


def test_what_landed_alone_and_who_approved_the_rest_add_up(run: Run) -> None:
    landed = of(run, e.TaskLanded)
    opened = {gate.gate: gate for gate in of(run, e.GateOpened)}
    answers = [answer for answer in of(run, e.GateAnswered) if answer.option == "approve"]
    approved = {opened[answer.gate].task for answer in answers}
    assert {row["task"] for row in asked(run, "landed-alone")} == {one.task for one in landed} - approved == {"T1", "T4"}
    rows = asked(run, "approvals")
    assert [(row["by"], row["task"], row["change"]) for row in rows] == [
        (answer.by, opened[answer.gate].task, opened[answer.gate].commit) for answer in answers]
    assert {row["saw_exactly_this"] for row in rows} == {1} and {row["landing"] != "" for row in rows} == {True}
    stop = asked(run, "stop-class")
    stopped = [gate.task for gate in of(run, e.GateOpened) if gate.risk == "stop" and gate.kind == "review"]
    assert [(row["task"], row["option"]) for row in stop] == [(task, "approve") for task in stopped] == [("T2", "approve")]
    waits = asked(run, "gate-waits")
    assert {row["gate"] for row in waits} == set(opened)
    assert [row["minutes"] for row in waits] == sorted((row["minutes"] for row in waits), reverse=True)


def test_reverts_retries_walls_and_foreign_commits_add_up(run: Run) -> None:
    (row,) = asked(run, "reverted")
    added = next(event for event in of(run, e.TaskAdded) if event.reverts)
    assert (row["task"], row["reverted_by"], row["revert_asked_by"]) == (added.reverts, added.task, added.by)
    judged = {claim.claim for claim in of(run, e.ClaimJudged) if claim.task == added.reverts and claim.status == "proven"}
    heads = {head.event.commit for head in run.events if isinstance(head.event, e.AttemptAccepted)}
    assert set(row["proven"].split(", ")) == {claim for claim in judged if not claim.endswith("@merge")} and heads
    counts = Counter(event.fingerprint for event in of(run, e.RetryScheduled))
    assert {row["fingerprint"]: row["retries"] for row in asked(run, "fingerprints")} == dict(counts) and counts
    walls = asked(run, "weak-walls")
    assert {row["task"] for row in walls} == {one.task for one in of(run, e.TaskLanded)}
    assert {row["walls"] for row in walls} == {"none"}
    foreign = asked(run, "foreign-commits")
    assert [row["to"] for row in foreign] == [run.own]
    costs = {row["task"]: row["attempts"] for row in asked(run, "landed-cost")}
    started = Counter(event.attempt.partition(".")[0] for event in of(run, e.AttemptStarted))
    assert costs == {one.task: started[one.task] for one in of(run, e.TaskLanded)}


def test_the_lineage_of_a_landed_commit_names_everybody_and_lists_its_holes(run: Run) -> None:
    landed = next(one for one in of(run, e.TaskLanded) if one.task == "T3")
    found = json.loads(cli(run.plant, "lineage", landed.commit[:12], "--json").out)
    assert (found["origin"], found["task"], found["found_by"]) == ("factory", "T3", "ledger")
    told = {node["id"]: node for node in found["nodes"]}
    me = next(event.by for event in of(run, e.TaskAdded))
    assert {f"person:{me}", "attempt:T3.1", "attempt:T3.2", f"landing:{landed.landing}", f"commit:{landed.commit}"} <= set(told)
    assert told["attempt:T3.2"]["facts"]["model"] == "the-model"
    relations = {(edge["relation"], edge["of"], edge["to"]) for edge in found["edges"]}
    gates = [gate.gate for gate in of(run, e.GateOpened) if gate.task == "T3"]
    assert {("wasAssociatedWith", f"gate:{gate}", f"person:{me}") for gate in gates} <= relations and len(gates) == 2
    claims = {claim.claim for claim in of(run, e.ClaimJudged) if claim.task == "T3"}
    assert {name.split(":")[0] for name in (node["told"] for node in found["nodes"] if node["id"].startswith("claim:"))
            if not name.startswith("merged")} <= claims
    assert any("what it cost is not known" in hole for hole in found["holes"])
    ids = {f"andon:{node['id']}" for node in found["nodes"]}
    made = [made for name, made in found["prov"].items() if name.startswith("was") or name == "used"]
    ends = {end for one in made for relation in one.values() for end in relation.values()}
    assert ends <= ids and set(found["prov"]) >= {"entity", "activity", "agent", "wasGeneratedBy", "used"}
    text = cli(run.plant, "lineage", "T3").out
    assert max(map(len, text.splitlines())) <= 80 and "holes" in text and "landed" in text


def test_a_reverted_change_shows_what_took_it_back(run: Run) -> None:
    text = cli(run.plant, "lineage", "T1").out
    assert "T4 takes it back: landed" in " ".join(text.split())
    assert "no person approved exactly this change" in text


def test_a_commit_of_ours_is_found_again_in_every_disguise_and_a_persons_is_human(run: Run) -> None:
    landed = next(one for one in of(run, e.TaskLanded) if one.task == "T2")
    other = run.path.parent / "elsewhere"
    if not other.exists():
        git(run.path, "worktree", "add", "-q", str(other), f"{run.own}~5")
    start = git(run.path, "rev-list", "--max-parents=0", "main")
    git(other, "checkout", "-q", "-B", "release", git(run.path, "rev-parse", f"{start}"))
    git(other, "cherry-pick", "-n", "-m", "1", landed.commit)
    git(other, "commit", "-qm", "picked, in words of my own")
    assert lineage(run, git(other, "rev-parse", "HEAD"))[:2] == ("factory", "T2")
    assert lineage(run, git(other, "rev-parse", "HEAD"))[2] == "patch-id"
    git(other, "checkout", "-q", "-B", "picked", start)
    git(other, "cherry-pick", "-m", "1", landed.commit)
    assert lineage(run, git(other, "rev-parse", "HEAD"))[:2] == ("factory", "T2")
    assert lineage(run, run.own) == ("human", "", "none")
    assert lineage(run, start) == ("human", "", "none")
    shown = cli(run.plant, "lineage", run.own).out
    assert f"commit {run.own[:12]} in {run.repo}: human" in shown and "my own work" in shown
    assert_clear(cli(run.plant, "lineage", "feedface"), 2, "no task and no commit")
    assert_clear(cli(run.plant, "lineage", "T99"), 2, "no task T99")


def lineage(run: Run, commit: str) -> tuple[str, str, str]:
    ran = cli(run.plant, "lineage", commit, "--json")
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    return found["origin"], found["task"], found["found_by"]
