"""Whatever an agent wrote is there afterwards: tracked, staged, untracked, detached, stashed; after kills, cancels and undo."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.schema import inputs as i, wire
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, RepoId, TaskId
from andon.schema.views import TaskView
from factory import QUICK, Factory, git, small_repo
from fault.checker import check, git_name
from fault.sweep import program
from fault.workload import end as finish, environment, settled
from fault.world import Row, Scene, lines, of, person, reachable, refs, rows

SEEDS = range(int(os.environ.get("ANDON_SEEDS", "3")))
"""More seeds with ANDON_SEEDS=100."""
NAIVE = os.environ.get("ANDON_NAIVE", "")
"""A protection to switch off (see naive.py): with `snapshot` these tests fail."""
KINDS = ("untracked", "changed", "staged", "twice", "committed", "amended", "detached", "branch", "stashed")
HAND = r"""#!/bin/sh
# Write something in one of many ways, and note it where no daemon looks, once it is there.
set -e
kind=$1 n=$2 out=@OUT@ a=$ANDON_ATTEMPT
name=$kind-$n-$a.txt text="$kind $n of $a"
put() { printf '%s\n' "$1" > "$name"; }
note() { printf '%s\n' "$1" > "$out/kept/$a-$n$2"; echo "$a $a-$n$2" >> "$out/contents"; }
record() { git add "$name"; git commit -q -m "$text" "$@"; echo "$a $(git rev-parse HEAD)" >> "$out/commits"; }
case $kind in
  untracked) put "$text"; note "$text" ;;
  changed) put base; record; put "$text"; note "$text" ;;
  staged) put "$text"; git add "$name"; note "$text" ;;
  twice) put "$text"; git add "$name"; note "$text"; put "$text again"; note "$text again" b ;;
  committed) put "$text"; record; note "$text" ;;
  amended) put "$text"; record; note "$text"; put "$text again"; record --amend; note "$text again" b ;;
  detached) git checkout -q --detach; put "$text"; record; note "$text" ;;
  branch) git checkout -q -b "branch-$n"; put "$text"; record; note "$text" ;;
  stashed) put "$text"; git add "$name"; git stash push -q -- "$name"; note "$text" ;;
esac
"""
ENDS = {"finish": 'finished = "done"', "crash": "exit = 1", "hang": 'hang = "silent"'}


class Lab:
    """A factory whose agents write in all ways, and a person who meddles."""

    def __init__(self, root: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.outside = root / "outside"
        (self.outside / "kept").mkdir(parents=True)
        hand = self.outside / "hand.sh"
        hand.write_text(HAND.replace("@OUT@", str(self.outside)))
        hand.chmod(0o755)
        self.repo = small_repo(root / "repo", extra="[retry]\nbackoff_s = 0.2\n")
        self.before = person(self.repo)
        self.plant = Factory(root / "h", environment(root))
        self.names: list[TaskId] = []

    @property
    def scene(self) -> Scene:
        place = self.plant.layout
        return Scene(home=place.home, runtime=place.runtime, repo=self.repo, outside=self.outside, before=self.before,
                     check=tuple(QUICK.split()))

    def start(self) -> None:
        """A daemon, whole unless a protection is to be off."""
        self.plant.start(program=program(NAIVE))

    def told(self) -> list[Row]:
        return rows(self.plant.layout.home)

    def scenario(self, end: str) -> Path:
        """Some writing in a random order, then an end."""
        path = self.outside / f"{len(list(self.outside.glob('*.toml')))}.toml"
        kinds = [self.chance.choice(KINDS) for _ in range(self.chance.randint(3, 8))]
        steps = [f'run = "{self.outside}/hand.sh {kind} {n}"' for n, kind in enumerate(kinds)]
        path.write_text('about = "writes"\n' + "".join(f"[[step]]\n{step}\n" for step in [*steps, ENDS[end]]))
        return path

    def add(self, repo: RepoId, scenario: str) -> None:
        self.names.append(self.plant.add(repo, scenario, title=Path(scenario).stem))

    def card(self, task: TaskId) -> TaskView:
        return self.plant.task(task)

    def meddle(self) -> None:
        """Something that must not cost anybody's work."""
        deed = self.chance.choice(("kill", "kill", "down", "cancel", "undo"))
        if deed == "kill":
            self.plant.kill()
            self.start()
        elif deed == "down":
            self.plant.stop()
            self.start()
        elif deed == "cancel":
            running = [task for task in self.names if self.card(task).state == "building"]
            if running:
                self.try_to(wire.Do(command=i.CancelTask(task=self.chance.choice(running), because="enough")))
        else:
            gone = [row["attempt"] for row in of(self.told(), "checkout.removed")]
            if gone:
                self.try_to(wire.Undo(attempt=AttemptId(self.chance.choice(gone))))

    def try_to(self, request: wire.AnyRequest) -> None:
        """A person may be too late, or ask twice."""
        try:
            self.plant.ask(request)
        except Mistake as mistake:
            assert "Traceback" not in str(mistake)

    def rest(self) -> None:
        """Cancel what hangs; wait until nothing is owed."""
        def resting() -> bool:
            cards = [self.card(task) for task in self.names]
            for card in cards:
                if card.state == "building" and self.hangs(card):
                    self.try_to(wire.Do(command=i.CancelTask(task=card.task, because="it hangs")))
            over = all(card.state in ("done", "stopped", "failed", "waiting") for card in cards)
            return over and settled(self.plant.layout.home, self.repo)

        self.plant.until(resting, 60, what="rest")

    def hangs(self, card: TaskView) -> bool:
        """Whether its agent came to the end of its scenario and stays there."""
        path = self.outside / f"{card.title}.toml"
        text = path.read_text() if path.exists() else ""
        noted = [name for attempt, name in lines(self.outside / "contents") if attempt == card.attempt and not name.endswith("b")]
        return "hang" in text and len(noted) >= text.count("run =")


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    made = Lab(tmp_path / "w", request.param)
    try:
        made.start()
        yield made
    finally:
        finish(made.plant)


@pytest.mark.parametrize("lab", SEEDS, indirect=True)
def test_nothing_that_an_agent_wrote_is_lost(lab: Lab) -> None:
    repo = lab.plant.register(lab.repo)
    for end in ("finish", "crash", "hang"):
        lab.add(repo, str(lab.scenario(end)))
    lab.add(repo, "dirty")
    written, deadline = 0, time.monotonic() + 40
    for _ in range(4):
        written += lab.chance.randint(1, 6)
        while len(lines(lab.outside / "contents")) < written and not settled(lab.plant.layout.home, lab.repo):
            assert time.monotonic() < deadline, lab.plant.log_text()
        lab.meddle()
    lab.rest()
    undone = undo_all(lab)
    lab.plant.stop()
    assert lines(lab.outside / "contents")
    assert check(lab.scene) == []
    held = reachable(lab.repo)
    for attempt in ended_dirty(lab):
        for kind in ("detached", "staged", "untracked"):
            assert git_name(f"{kind} work of {attempt}\n".encode()) in held, f"{kind} of {attempt}"
        kept = [git(lab.repo, "show", f"{ref}:README.md") for ref in refs(lab.repo, f"refs/andon/salvage/{attempt}/")]
        assert any(f"# unstaged work of {attempt}" in text for text in kept), attempt
    for attempt, place in undone.items():
        for _, name in (words for words in lines(lab.outside / "contents") if words[0] == attempt):
            text = (lab.outside / "kept" / name).read_text()
            if text.startswith("untracked"):
                assert text in {file.read_text() for file in place.glob("untracked-*")}


def undo_all(lab: Lab) -> dict[str, Path]:
    """Bring every snapshot back as a directory; those that are back already stay."""
    undone = {}
    for attempt in {row["attempt"] for row in of(lab.told(), "work.salvaged") if row["ref"]}:
        place = lab.plant.layout.home / "restored" / attempt
        if not place.exists():
            lab.plant.ask(wire.Undo(attempt=AttemptId(attempt)))
        assert place.is_dir()
        assert git(place, "rev-parse", "HEAD")
        undone[attempt] = place
    return undone


def ended_dirty(lab: Lab) -> list[str]:
    """The attempts at the bundled scenario `dirty` that came to their end."""
    ended = [row["attempt"] for row in of(lab.told(), "attempt.exited") if row["code"] == 1]
    return [attempt for attempt in ended if attempt.rpartition(".")[0] == lab.names[3]]
