"""A person is told of a collision while the agents still work: real tmux, real git, scripted agents that commit nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from andon.schema.ids import RepoId, TaskId
from andon.schema.landing_inputs import ClashesSeen
from factory import Factory, small_repo
from support import wait_until

TOLD_S = 30.0
"""Within so long of its arising a clash is told."""
SPIED = """
import os, sys, time
import msgspec
from andon.loop import Loop
from andon.schema.landing_inputs import ClashesSeen
give = Loop.give
def spy(self, given):
    if isinstance(given, ClashesSeen):
        with open(os.environ["SPY"], "ab") as file:
            file.write(msgspec.json.encode((time.time(), given)) + b"\\n")
    give(self, given)
Loop.give = spy
from andon.cli.main import main
sys.exit(main(["daemon"]))
"""
"""A daemon that writes down what its loop is told of clashes, and when."""
TEXT = "".join(f"line {n}\n" for n in range(1, 31))


class Plant(Factory):
    """A factory whose clashes can be read, over one repository with a file to fight for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "f", {"SPY": str(root / "spy")})
        self.spy, self.root = root / "spy", root
        self.spy.touch()

    def begin(self) -> RepoId:
        self.start(program=("-c", SPIED))
        return self.register(small_repo(self.root / "repo", files={"app.py": TEXT}))

    def act(self, repo: RepoId, name: str, *steps: str) -> TaskId:
        """A task whose agent does these steps."""
        script = self.root / f"{name}.toml"
        script.write_text(f'about = "{name}"\nseed = 1\n' + "".join(f"[[step]]\n{step}\n" for step in steps))
        return self.add(repo, str(script), title=name)

    def given(self) -> list[tuple[float, ClashesSeen]]:
        return [msgspec.json.decode(line, type=tuple[float, ClashesSeen]) for line in self.spy.read_bytes().splitlines()]

    def kinds(self) -> dict[tuple[str, str], str]:  # type: ignore[override]  # of clashes, as last told
        told = self.given()
        return {(clash.one, clash.other): clash.kind for clash in told[-1][1].clashes} if told else {}


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    try:
        yield made
    finally:
        made.close()


def edit(line: int, text: str) -> str:
    return f'conflict = "app.py"\nline = {line}\ntext = "{text}"'


WORKS_ON = "slow = 6000.0"  # drawing and talking, a minute of real time
SITS = 'hang = "silent"'


def test_two_agents_that_edit_the_same_lines_are_told_of_before_either_commits(plant: Plant) -> None:
    repo = plant.begin()
    one = plant.act(repo, "one", edit(12, "one"), WORKS_ON)
    other = plant.act(repo, "other", "slow = 300.0", edit(12, "other"), SITS)
    file = plant.layout.home / "checkouts" / repo / f"{other}.1" / "app.py"
    plant.until(lambda: file.exists() and file.read_text() != TEXT, 40, "the second agent's edit")
    arose = time.time()
    plant.until(lambda: plant.kinds() == {(one, other): "hot"}, TOLD_S, "the clash")
    at, told = next((at, told) for at, told in plant.given() if told.clashes)
    assert at - arose < TOLD_S
    hunk = told.clashes[0].hunks[0]
    assert (hunk.path, hunk.line, hunk.kind) == ("app.py", 12, "content")
    assert set(told.compared) == {one, other}


def test_a_commit_is_looked_at_soon_and_the_same_answer_is_told_once(plant: Plant) -> None:
    repo = plant.begin()
    one = plant.act(repo, "one", edit(12, "one"), SITS)
    other = plant.act(repo, "other", "slow = 300.0", edit(25, "other"), 'commit = "Done"', SITS)
    plant.until(lambda: plant.kinds() == {(one, other): "soft"}, TOLD_S, "the soft clash")
    told = len(plant.given())
    wait_until(lambda: all(view.state for view in plant.sessions()), 5)
    assert len([1 for _, given in plant.given() if given.clashes]) == 1
    assert len(plant.given()) == told
