"""A fixed piece of work for a factory that may be killed at any moment, and the person who drives it to rest."""

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from andon.client import Client
from andon.schema import inputs as i
from andon.schema.errors import Mistake
from andon.schema.ids import RepoId, TaskId
from andon.schema.views import GateView, SessionView, TaskView
from factory import QUICK, Factory, git, small_repo
from fault.sitting_work import SCENARIOS, Hand
from fault.world import Scene, lines, of, person, processes, rows
from support import wait_until

SETTINGS = """
[agents.actor]
command = ["{actor}", "{{prompt_file}}"]
env = {{ OUTSIDE = "{outside}" }}
[agents.sitter]
use = "sitter"
env = {{ OUTSIDE = "{outside}", ANDON_SITTER_NOTES = "{outside}/notes" }}
[agents.limited]
use = "sitter"
account = "limited"
env = {{ OUTSIDE = "{outside}", ANDON_SITTER_NOTES = "{outside}/notes" }}
[permissions]
allow = ["read", "edit(notes/**)"]
[budget]
task = {{ tokens = 50000 }}
[agents.brief]
command = ["{actor}", "{{prompt_file}}"]
env = {{ OUTSIDE = "{outside}" }}
minutes = 0.02
[stations.build]
agent = "actor"
[policy]
ship = ["notes/**", "tests/**"]
[retry]
backoff_s = 0.2
"""
ACTOR = r"""#!/bin/sh
# An agent without a model. It notes its start and its commits where no daemon looks.
attempt=$ANDON_ATTEMPT task=$ANDON_TASK number=${ANDON_ATTEMPT##*.}
echo "$attempt $$" >> "$OUTSIDE/starts"
act=$(sed -n 's/^\[\[act: \(.*\)\]\]$/\1/p' "$1" | head -n 1)
say() {
  printf '{"n":%s,"kind":"%s","text":"%s","options":%s,"commit":""}' "$1" "$2" "$3" "${4:-[]}" > "$ANDON_JOB/outbox/.$1.new"
  mv "$ANDON_JOB/outbox/.$1.new" "$ANDON_JOB/outbox/$1.json"
}
keep() { git add -A && git commit -q -m "$act of $attempt" && echo "$attempt $(git rev-parse HEAD)" >> "$OUTSIDE/commits"; }
mkdir -p notes src
case $act in
  proper) sleep 0.2; echo "$attempt" > "notes/$task.txt"; keep; say 1 finished done ;;
  source) sleep 0.2; echo "$attempt" > "src/$task.txt"; keep; say 1 finished done ;;
  fix) if [ "$number" = 1 ]; then echo FAIL > "tests/$task.txt"; else echo ok > "tests/$task.txt"; fi; keep; say 1 finished done ;;
  lie) echo "never committed by $attempt" > left.txt; say 1 finished "all tests pass" ;;
  long) for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.15; done; echo "$attempt" > "notes/$task.txt"; keep; say 1 finished done ;;
  ask) say 1 ask "which way?" '["left","right"]'
       while [ ! -e "$ANDON_JOB/inbox/1.json" ]; do sleep 0.02; done
       sed 's/.*"text":"\([a-z]*\)".*/\1/' "$ANDON_JOB/inbox/1.json" > "notes/$task.txt"; keep; say 2 finished done ;;
  hang) echo one > "notes/$task.txt"; keep; echo "unsaved of $attempt" > unsaved.txt
        git checkout -q --detach; echo two > detached.txt; keep; echo staged > staged.txt; git add staged.txt
        say 1 progress waiting; while :; do sleep 0.1; done ;;
esac
"""
TASKS = ("proper", "source", "fix", "lie", "hang", "long", "ask")
"""The acts in order. `source` is reviewed, `lie` ends at a gate, `hang` is cancelled when it hangs, `long` runs into its time limit
and is given more time, `ask` waits for `proper` and then for an answer."""
ANSWERS = {"question": "right", "review": "approve", "limit": "extend", "permission": "allow", "budget": "raise"}
"""What the person says to each kind of gate; at others the task rests."""


def template(folder: Path, outside: Path) -> Path:
    """The person's repository, with things of their own in every corner."""
    actor = outside / "actor.sh"
    outside.mkdir(parents=True, exist_ok=True)
    actor.write_text(ACTOR)
    actor.chmod(0o755)
    for act, scenario in SCENARIOS.items():
        (outside / f"{act}.toml").write_text(scenario)
    repo = small_repo(folder, extra=SETTINGS.format(actor=actor, outside=outside), files={".gitignore": "*.secret\n"})
    git(repo, "branch", "mine")
    git(repo, "tag", "v1")
    (repo / "README.md").write_text("stashed\n")
    git(repo, "stash", "-q")
    (repo / "todo.txt").write_text("my own list\n")
    (repo / "key.secret").write_text("secret\n")
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "post-checkout", "post-merge", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\n[ -z \"$ANDON_ATTEMPT\" ] && touch {outside}/hooked\nexit 0\n")
        (hooks / name).chmod(0o755)
    return repo


class Piece:
    """The workload in a factory of its own."""

    def __init__(self, root: Path, *, acts: tuple[str, ...] = TASKS) -> None:
        self.acts = acts
        self.answers = True
        """Whether the person answers questions."""
        self.harmed = False
        self.outside = root / "outside"
        self.repo = template(root / "repo", self.outside)
        self.plant = Factory(root / "h", environment(root))
        self.before = person(self.repo)
        (self.outside / "hooked").unlink(missing_ok=True)
        config = Path(self.plant.env["ANDON_CONFIG_HOME"])
        config.mkdir(parents=True, exist_ok=True)
        self.known: RepoId | None = None
        self.tasks: dict[str, TaskId] = {}
        self.hand = Hand()

    def _waits(self, act: str) -> bool:
        """Whether an act is to be added later."""
        if act != "behind":
            return False
        told = rows(self.plant.layout.home)
        return not of(told, "account.limited") and self.tasks.get("limited") not in {row["task"] for row in of(told, "task.done")}

    @property
    def scene(self) -> Scene:
        """For the checker."""
        layout = self.plant.layout
        return Scene(home=layout.home, runtime=layout.runtime, repo=self.repo, outside=self.outside, before=self.before,
                     check=tuple(QUICK.split()), harmed=self.harmed)

    def drive(self, seconds: float = 60.0, *, until: Callable[[], object] = lambda: False) -> str:
        """Do what a person does until everything rests (`rest`), the daemon is dead (`dead`), `until` (`there`), or `stuck`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.plant.dead():
                return "dead"
            try:
                with self.plant.client() as client:
                    if told := self._serve(client, end, until):
                        return told
            except (Mistake, OSError):
                time.sleep(0.02)
        return "stuck"

    def _serve(self, client: Client, end: float, until: Callable[[], object]) -> str:
        self.known = self.known or self.plant.register(self.repo)
        for act in self.acts:
            if act not in self.tasks and not self._waits(act):
                self.tasks[act] = self._add(client, act)
        while time.monotonic() < end:
            self._look()
            if any(act not in self.tasks and not self._waits(act) for act in self.acts):
                return ""  # the next round adds it
            if self._turn(client):
                return "rest"
            if self.plant.dead() or until():
                return "dead" if self.plant.dead() else "there"
            time.sleep(0.03)
        return ""

    def _add(self, client: Client, act: str) -> TaskId:
        after = (self.tasks["proper"],) if act == "ask" and "proper" in self.tasks else ()
        assert self.known is not None
        spec = f"Do what is to be done.\n\n[[act: {act}]]\n"
        agent = {"long": "brief", "limited": "limited", "behind": "limited"}.get(act, "sitter" if act in SCENARIOS else "")
        if act in SCENARIOS:
            spec = f"Do what is to be done.\n\n[[scenario: {self.outside / act}.toml]]\n"
        added = client.do(i.AddTask(repo=self.known, title=f"{act} it", spec=spec, after=after, key=act, agent=agent))
        task = TaskId(added.ids[0])
        self._told("task.added", task)
        return task

    def _told(self, kind: str, subject: str) -> None:
        """The daemon said that this is done."""
        with (self.outside / "acknowledged").open("a") as file:
            file.write(f"{kind} {subject}\n")

    def commit_as_person(self) -> None:
        """While the daemon is down the person commits to the target; where trunk went on they merge, as the board says."""
        (self.repo / "mine.txt").write_text("by hand\n")
        wait_until(lambda: tried(self.repo, "add", "mine.txt"), what="git add by hand")
        wait_until(lambda: tried(self.repo, "commit", "-q", "-m", "By hand"), what="git commit by hand")
        with (self.outside / "persons").open("a") as file:
            file.write(f"person {git(self.repo, 'rev-parse', 'HEAD')}\n")
        trunk = "refs/andon/trunk/main"
        if tried(self.repo, "rev-parse", "-q", "--verify", trunk):
            wait_until(lambda: tried(self.repo, "merge", "-q", "-m", "Take trunk", trunk), what="git merge by hand")

    def _look(self) -> None:
        """Note where the target and trunk are, as anybody may see it."""
        for name, ref in (("target", "refs/heads/main"), ("trunk", "refs/andon/trunk/main")):
            path, note = self.repo / ".git" / ref, self.outside / name
            oid = path.read_text().strip() if path.exists() else ""
            if oid and (not note.exists() or not note.read_text().endswith(f"{oid}\n")):
                with note.open("a") as file:
                    file.write(f"{oid}\n")

    def _turn(self, client: Client) -> bool:
        """Answer and cancel what is to be; whether everything rests."""
        views = client.views()
        for gate in views:
            if isinstance(gate, GateView) and gate.kind in ANSWERS and self.answers:
                client.do(i.AnswerGate(gate=gate.gate, option=ANSWERS[gate.kind], bound=gate.bound))
                self._told("gate.answered", gate.gate)
        cards = {view.task: view for view in views if isinstance(view, TaskView)}
        hanging = cards[self.tasks["hang"]] if "hang" in self.tasks else None
        if hanging is not None and hanging.state != "stopped" and self._hangs(hanging):
            client.do(i.CancelTask(task=hanging.task, because="it hangs"))
            self._told("task.cancelled", hanging.task)
        for command in self.hand.wanted(self.tasks, self.plant.layout.home, self.outside):
            with contextlib.suppress(Mistake):  # its session ended meanwhile
                client.do(command)
        asked = {gate.task for gate in views if isinstance(gate, GateView) and gate.kind not in ANSWERS}
        over = len(self.tasks) == len(self.acts)
        over = over and all(card.state in ("done", "failed", "stopped") or card.task in asked for card in cards.values())
        return over and not any(isinstance(view, SessionView) for view in views) and settled(self.plant.layout.home, self.repo)

    def _hangs(self, card: TaskView) -> bool:
        return any(words[0] == card.attempt for words in lines(self.outside / "starts")) and (
            self.plant.layout.job(card.attempt) / "outbox" / "1.json").exists()


def end(plant: Factory) -> None:
    """End all that a factory started. A tmux server that waits for ever for a client whose reader was killed is killed too."""
    plant.close()
    for pid, argv, _, _ in processes(plant.layout.runtime):
        if argv.startswith("tmux "):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def settled(home: Path, repo: Path) -> bool:
    """Whether the ledger owes nothing: every checkout removed, every run finished, and the person's branch where it says."""
    try:
        told = rows(home)
    except sqlite3.Error:
        return False
    open_ = {row["attempt"] for row in of(told, "attempt.claimed")} - {row["attempt"] for row in of(told, "checkout.removed")}
    runs = {row["run"] for row in of(told, "run.planned")} - {row["run"] for row in of(told, "run.finished")}
    trunk = [row["oid"] for row in of(told, "target.observed")][-1:]
    if open_ or runs or trunk != [row["oid"] for row in of(told, "target.mirrored")][-1:]:
        return False
    return trunk == [git(repo, "rev-parse", "refs/heads/main")]


def tried(repo: Path, *args: str) -> bool:
    """Whether a git command of the person's went well."""
    quiet = ("-c", "core.hooksPath=/dev/null")
    return subprocess.run(("git", "-C", str(repo), *quiet, *args), capture_output=True, check=False, timeout=60).returncode == 0


def environment(root: Path) -> dict[str, str]:
    """A person's environment of its own: HOME, git identity, no settings of anybody."""
    home = root / "person"
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.org\n")
    return {"HOME": str(home), "ANDON_CONFIG_HOME": str(home / "config"), "XDG_CONFIG_HOME": str(home / ".config"),
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(home / ".gitconfig")}


def remove(root: Path) -> None:
    """Take a finished piece away."""
    def insist(function: object, path: str, _error: object) -> None:
        Path(path).chmod(stat.S_IRWXU)

    shutil.rmtree(root, onerror=insist)
    shutil.rmtree(root, ignore_errors=True)
