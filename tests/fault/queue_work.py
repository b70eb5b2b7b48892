"""Random work for a merge queue: changes that meet, poison, flakes, an outsider, cancelled and held ones. It knows no daemon."""

import contextlib
import json
import random
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from andon.client import Client
from andon.schema import inputs as i
from andon.schema.errors import Mistake
from andon.schema.ids import TaskId
from andon.schema.views import GateView, SessionView, TaskView
from factory import Factory, git
from fault.workload import Piece, environment, settled, tried
from fault.world import Row, Scene, is_ancestor, of, person
from support import wait_until

SETTINGS = """
[factory]
wip = {wip}
proving = {slots}
[agents.default]
command = ["{python}", "-S", "-E", "{outside}/hand.py", "{{prompt_file}}"]
env = {{ OUTSIDE = "{outside}" }}
[checks.tests]
run = "{python} -S -E check.py {{report}} {outside}"
report = "junit"
[lines.build]
stations = ["build", "land"]
[policy]
ship = ["**"]
walls = "none"
[sandbox]
level = "none"
[budget]
task = {{ attempts = 2 }}
[retry]
backoff_s = 0.1
[queue]
history = "{history}"
land = "{land}"
publish = "{publish}"
"""
HAND = r'''
"""An agent without a model: does what its act says, and notes its start and its commit where no daemon looks."""
import json, os, pathlib, re, subprocess, sys
outside, attempt = pathlib.Path(os.environ["OUTSIDE"]), os.environ["ANDON_ATTEMPT"]
def note(name, *words):
    with (outside / name).open("a") as file:
        file.write(" ".join(words) + "\n")
note("starts", attempt, str(os.getpid()))
prompt = pathlib.Path(sys.argv[1]).read_text()
found = re.search(r"^\[\[act: (.*)\]\]$", prompt, re.M)
name = found[1] if found else re.search(r"Change (c\d+)", prompt)[1]
act = json.loads((outside / "acts" / f"{name}.json").read_text()) if found else {}
if not found:  # it takes back what that change did, where git could not
    for path in pathlib.Path("shared").iterdir():
        path.write_text(path.read_text().replace(f" {name}", ""))
    pathlib.Path(f"src/{name}.txt").unlink(missing_ok=True)
def put(path, text):
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
for path, text in act.get("put", {}).items():
    put(path, text)
for path, number in act.get("lines", []):
    told = pathlib.Path(path).read_text().splitlines()
    told[number] += f" {name}"
    put(path, "\n".join(told) + "\n")
for old, new in act.get("moves", []):
    if pathlib.Path(old).exists():
        pathlib.Path(new).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(("git", "mv", old, new), check=True)
for other in act.get("without", []):
    waived = pathlib.Path(f"src/{other}.txt").exists()
    put(f"rules/{name}.txt", f"{'waived' if waived else 'without'} {other}\n")
for rule in pathlib.Path("rules").glob("*.txt"):
    if rule.read_text() == f"without {name}\n":
        put(rule, f"waived {name}\n")
subprocess.run(("git", "add", "-A"), check=True)
subprocess.run(("git", "commit", "-q", "--allow-empty", "-m", f"{name} of {attempt}"), check=True)
oid = subprocess.run(("git", "rev-parse", "HEAD"), check=True, capture_output=True, text=True).stdout.strip()
note("commits", attempt, oid)
box = pathlib.Path(os.environ["ANDON_JOB"]) / "outbox"
said = {"n": 1, "kind": "finished", "text": "done", "options": [], "commit": ""}
(box / ".1.new").write_text(json.dumps(said))
(box / ".1.new").rename(box / "1.json")
for path, text in act.get("late", {}).items():
    put(path, text)
    subprocess.run(("git", "add", path), check=True)
    subprocess.run(("git", "commit", "-q", "-m", f"{name} of {attempt}, afterwards"), check=True)
'''
CHECK = r'''
import hashlib, os, pathlib, sys
cases, bad = [], []
def case(name, wrong):
    told = f'<failure message="{wrong}">{wrong}</failure>' if wrong else ""
    cases.append(f'<testcase classname="t" name="{name}">{told}</testcase>')
    if wrong:
        bad.append(name)
whole = hashlib.sha256()
for path in sorted(pathlib.Path(".").rglob("*.txt")):
    if ".git" not in path.parts:
        whole.update(f"{path}\0{path.read_text()}\0".encode())
for path in sorted(pathlib.Path("src").glob("*.txt")):
    case(path.stem, "it is poison" if "POISON" in path.read_text() else "")
for path in sorted(pathlib.Path("rules").glob("*.txt")):
    word, other = path.read_text().split()
    met = word == "without" and pathlib.Path(f"src/{other}.txt").exists()
    case(f"rule-{path.stem}", "it may not be with " + other if met else "")
weather = ""
if len(sys.argv) > 2:
    outside = pathlib.Path(sys.argv[2])
    every = int((outside / "flaky").read_text())
    if every and int(whole.hexdigest()[:8], 16) % every == 0:
        try:
            (outside / "flaked" / whole.hexdigest()).touch(exist_ok=False)
            weather = "rain"
        except FileExistsError:
            pass
case("weather", weather)
pathlib.Path(sys.argv[1]).write_text(
    f'<testsuite name="q" tests="{len(cases)}" failures="{len(bad)}">{"".join(cases)}</testsuite>')
sys.exit(1 if bad else 0)
'''
LINES = 12
"""Of each file that many changes edit."""


@dataclass(frozen=True)
class Plan:
    """What is to be done to a queue. All of it follows from the seed."""

    seed: int = 0
    branches: int = 12
    poison: int = 1
    pairs: int = 1
    """Pairs of changes that merge and fail together."""
    meeting: float = 0.4
    """Share of the changes that edit a line which others may edit too."""
    shared: int = 4
    """Files with such lines."""
    flaky: int = 9
    """One tree in so many fails when it is checked first; 0: none."""
    cancelled: int = 1
    held: int = 1
    outsider: int = 1
    """Commits of the person's own on the target, between the landings."""
    kills: int = 0
    """kill -9 of the daemon, at random rows of the ledger."""
    revert: bool = False
    """Whether a landed change is taken back at the end."""
    dirty: bool = False
    """Whether the person has changes in hand; they ask to be taken forward at the end. Such a person does not merge."""
    history: str = "tips"
    land: str = "merge"
    publish: str = "none"
    slots: int = 2
    wip: int = 6
    batch: bool = True
    """Whether the queue is stopped until all changes have arrived once."""

    @property
    def by_hand(self) -> int:
        """Commits of the person's own, if they can merge."""
        return 0 if self.dirty else self.outsider


SWEPT = Plan(seed=4, branches=7, meeting=0.7, shared=1, flaky=3, cancelled=0, held=0, revert=True, publish="push")
"""What the sweep kills a daemon at: conflicts, a pair, poison, flakes, a commit by hand, a revert, a remote."""
TAKEN = Plan(seed=6, branches=2, poison=0, pairs=0, flaky=0, cancelled=0, held=0, outsider=0, dirty=True, batch=False)
"""A checkout with changes in hand that is taken forward at the end."""


@dataclass
class Acts:
    """The changes of a plan."""

    acts: dict[str, dict[str, object]] = field(default_factory=dict)
    poison: set[str] = field(default_factory=set)
    cancelled: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)


def acts_of(plan: Plan) -> Acts:
    """What each agent does."""
    chance, made = random.Random(plan.seed), Acts()
    names = [f"c{n:03}" for n in range(plan.branches)]
    for name in names:
        act: dict[str, object] = {"put": {f"src/{name}.txt": "".join(f"{name} line {n}\n" for n in range(chance.randint(1, 6)))}}
        if chance.random() < plan.meeting:
            act["lines"] = [[f"shared/s{chance.randrange(plan.shared)}.txt", chance.randrange(LINES)]]
        if chance.random() < 0.1:
            act["moves"] = [[f"old/{name}.txt", f"moved/{name}.txt"]]
        made.acts[name] = act
    special = chance.sample(names, min(len(names), plan.poison + 2 * plan.pairs + plan.cancelled + plan.held))
    for _ in range(plan.poison):
        name = special.pop()
        made.poison.add(name)
        made.acts[name] = {"put": {f"src/{name}.txt": "POISON\n"}}
    for _ in range(plan.pairs):
        one, other = special.pop(), special.pop()
        made.acts[one]["without"] = [other]
    made.cancelled = [special.pop() for _ in range(plan.cancelled)]
    made.held = [special.pop() for _ in range(plan.held)]
    return made


def template(root: Path, plan: Plan, acts: Acts) -> tuple[Path, Path]:
    """The person's repository and the place outside of it."""
    outside, repo = root / "outside", root / "repo"
    for name in ("acts", "flaked"):
        (outside / name).mkdir(parents=True)
    (outside / "flaky").write_text(str(plan.flaky))
    (outside / "hand.py").write_text(HAND)
    for name, act in acts.acts.items():
        (outside / "acts" / f"{name}.json").write_text(json.dumps(act))
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    files = {"check.py": CHECK, "README.md": "a project\n", "mine.md": "of the person\n", "other.md": "of the person\n"}
    files |= {f"shared/s{n}.txt": "".join(f"{n}.{line}\n" for line in range(LINES)) for n in range(plan.shared)}
    files |= {f"old/{name}.txt": f"{name} is here\n" * 5 for name in acts.acts}
    files["andon.toml"] = SETTINGS.format(
        python=sys.executable, outside=outside, wip=plan.wip, slots=plan.slots, history=plan.history, land=plan.land,
        publish=plan.publish)
    for name, text in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "The beginning")
    git(repo, "branch", "mine")
    if plan.publish != "none":
        git(repo, "clone", "-q", "--bare", str(repo), str(root / "remote.git"))
        git(repo, "remote", "add", "origin", str(root / "remote.git"))
    if plan.dirty:
        (repo / "mine.md").write_text("in the middle of a sentence\n")
        (repo / "other.md").write_text("ready to be committed\n")
        git(repo, "add", "other.md")
    (repo / "todo.md").write_text("my own list\n")
    return repo, outside


class Tail:
    """The ledger's rows, each read once."""

    def __init__(self, home: Path) -> None:
        self.path = home / "ledger.db"
        self.rows: list[Row] = []

    def read(self) -> list[Row]:
        """All rows so far."""
        if self.path.exists():
            with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
                after = self.rows[-1].seq if self.rows else 0
                found = db.execute("SELECT seq, at, kind, data FROM event WHERE seq > ? ORDER BY seq", (after,)).fetchall()
                self.rows += [Row(seq, at, kind, 0, "", "", "", json.loads(data)) for seq, at, kind, data in found]
        return self.rows


class QueuePiece(Piece):
    """A factory whose queue gets such work, and the person who meddles with it."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.plan, self.made = plan, acts_of(plan)
        self.acts = tuple(self.made.acts)
        self.answers, self.harmed = True, False
        self.repo, self.outside = template(root, plan, self.made)
        self.plant = Factory(root / "h", environment(root))
        self.before = person(self.repo)
        Path(self.plant.env["ANDON_CONFIG_HOME"]).mkdir(parents=True, exist_ok=True)
        self.known, self.tasks = None, {}
        self.tail = Tail(self.plant.layout.home)
        self.committed = self.killed = self.revived = 0
        chance = random.Random(plan.seed + 1)
        whole = 25 * plan.branches
        self.deaths = sorted(chance.randrange(20, whole) for _ in range(plan.kills))
        """Numbers of rows after which the daemon is killed."""

    @property
    def scene(self) -> Scene:
        """For the checker."""
        layout = self.plant.layout
        return Scene(home=layout.home, runtime=layout.runtime, repo=self.repo, outside=self.outside, before=self.before,
                     check=(sys.executable, "-S", "-E", "check.py", "{report}"),
                     poison=frozenset(self.tasks[name] for name in self.made.poison if name in self.tasks))

    def _add(self, client: Client, act: str) -> TaskId:
        assert self.known is not None
        if self.plan.batch and not self._told_once("queue.held", "queue.resumed"):
            client.do(i.HoldQueue(repo=self.known, because="until all have arrived"))
        added = client.do(i.AddTask(repo=self.known, title=f"Change {act}", spec=f"Do it.\n\n[[act: {act}]]\n", key=act))
        task = TaskId(added.ids[0])
        self._told("task.added", task)
        return task

    def _told_once(self, *kinds: str) -> list[Row]:
        return of(self.tail.read(), *kinds)

    def _turn(self, client: Client) -> bool:
        """What the person does now; whether everything rests."""
        told = self.tail.read()
        if self.deaths and len(told) > self.deaths[0]:
            self.deaths.pop(0)
            self.killed += 1
            self.plant.kill()
            return False
        views = client.views()
        cards = {view.task: view for view in views if isinstance(view, TaskView)}
        gates = [view for view in views if isinstance(view, GateView)]
        poison = {self.tasks[name] for name in self.made.poison}
        for gate in gates:
            if gate.kind == "failure" and gate.task not in poison:
                client.do(i.AnswerGate(gate=gate.gate, option="retry", bound=gate.bound))
                self._told("gate.answered", gate.gate)
        self._meddle(client, told)
        asked = {gate.task for gate in gates}
        held = {row["task"] for row in of(told, "entry.held")}
        over = all(card.state in ("done", "failed", "stopped") or task in asked | held for task, card in cards.items())
        if not over or self._owes(told) or any(isinstance(view, SessionView) for view in views):
            return False
        return self._last_wish(client, told) and settled(self.plant.layout.home, self.repo)

    def _owes(self, told: list[Row]) -> bool:
        """Whether the person still has something to do."""
        return self.committed < self.plan.by_hand or not all(self._arrived(told, name) for name in self.made.held)

    def _meddle(self, client: Client, told: list[Row]) -> None:
        arrived = {row["task"] for row in of(told, "task.entered") if row["station"] == "land"}
        resumed, moves = of(told, "queue.resumed"), len(of(told, "target.moved"))
        for name in self.made.held:
            if self.tasks[name] not in {row["task"] for row in of(told, "entry.held")}:
                self._try(client, i.HoldEntry(task=self.tasks[name], because="not yet"))
        if self.plan.batch and not resumed and arrived >= set(self.tasks.values()) and self.known is not None:
            self._try(client, i.ResumeQueue(repo=self.known))
        if moves < 1 and self.plan.batch:
            return
        for name in self.made.cancelled:
            if self.tasks[name] in arrived and not any(
                    row["task"] == self.tasks[name] for row in of(told, "task.cancelled", "task.landed")):
                self._try(client, i.CancelTask(task=self.tasks[name], because="not needed"), ("task.cancelled", self.tasks[name]))
        if self.committed < min(self.plan.by_hand, moves):
            self.committed += 1
            self.commit_as_person()
        elif self.committed:
            self._take_trunk()

    def _arrived(self, told: list[Row], name: str) -> bool:
        return any(row["task"] == self.tasks[name] for row in of(told, "task.entered") if row["station"] == "land")

    def _last_wish(self, client: Client, told: list[Row]) -> bool:
        """A landed change taken back; the checkout taken forward."""
        if self.plan.revert and not any(row["reverts"] for row in of(told, "task.added")):
            landed = [row["task"] for row in of(told, "task.landed")]
            plain = [self.tasks[name] for name, act in self.made.acts.items() if "lines" not in act and self.tasks[name] in landed]
            if landed:
                self._try(client, i.RevertLanding(task=TaskId((plain or landed)[0]), because="not wanted any more", key="revert"))
                return False
        if self.plan.dirty:
            mirrored = of(told, "target.mirrored")
            if mirrored and not mirrored[-1]["advanced"] and self.known is not None:
                asked = of(told, "target.forward-asked")
                if not asked or any(row.seq > asked[-1].seq for row in of(told, "target.moved", "factory.started")):
                    self._try(client, i.ForwardTarget(repo=self.known))
                return False
        return True

    def _try(self, client: Client, command: i.AnyCommand, done: tuple[str, str] = ("", "")) -> None:
        """Say it; what cannot be done now is said again later."""
        with contextlib.suppress(Mistake):
            client.do(command)
            if done[0]:
                self._told(*done)

    def commit_as_person(self) -> None:
        """The person commits to the target by hand; where trunk went on they merge, as the board says."""
        name = f"by-hand-{self.committed}.md"
        (self.repo / name).write_text("by hand\n")
        wait_until(lambda: tried(self.repo, "add", name), what="git add by hand")
        wait_until(lambda: tried(self.repo, "commit", "-q", "-m", "By hand", "--", name), what="git commit by hand")
        with (self.outside / "persons").open("a") as file:
            file.write(f"person {git(self.repo, 'rev-parse', 'HEAD')}\n")
        if not self.plan.dirty:
            wait_until(self._take_trunk, what="git merge by hand")

    def _take_trunk(self) -> bool:
        """Where the person's commits and trunk have gone apart, merge, as the board says."""
        trunk, apart = "refs/andon/trunk/main", not is_ancestor(self.repo, "main", "refs/andon/trunk/main")
        if not apart or is_ancestor(self.repo, trunk, "main") or not tried(self.repo, "rev-parse", "-q", "--verify", trunk):
            return True
        return tried(self.repo, "merge", "-q", "-m", "Take trunk", trunk)
