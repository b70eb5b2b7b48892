"""Every git of the daemon over a whole life of hostile attempts, seen by a program that stands before git on PATH."""

import asyncio
import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import gitkit
from andon.edges import checkout, landing, provenance, publish, salvage, structured, worktree_tree
from andon.edges.forecast import Forecast, Head
from andon.edges.git import FETCH
from andon.edges.proving import Proving
from andon.edges.repository import inspect, read_target, show_file
from andon.edges.revert import make_revert
from andon.schema.effects import MakeRevert, PublishTarget
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, Oid, TaskId
from andon.schema.inputs import CandidateConflicted, CandidateMerged, TargetSwapped
from checkoutkit import REPO, Blobs, Floor, floor
from poisonkit import hostile, poison, traps

WRAPPER = """#!/bin/sh
seen="$(mktemp {calls}/XXXXXXXX)"
{{ pwd -P; printf '%s' "$#"; printf '\\0%s' "$@"; printf '\\0\\0'; cat /proc/$$/environ; }} > "$seen.part"
mv "$seen.part" "$seen.call"
exec {git} "$@"
"""
BOTH = {"core.hookspath": "/dev/null", "core.fsmonitor": "false", "protocol.ext.allow": "never", "gc.auto": "0",
        "maintenance.auto": "false", "submodule.recurse": "false"}
STRICT = {"safe.barerepository": "explicit", "fetch.fsckobjects": "true", "transfer.fsckobjects": "true", "protocol.allow": "never",
          "diff.external": "", "core.attributesfile": "/dev/null", "core.excludesfile": "/dev/null", "core.untrackedcache": "false",
          "core.alternaterefscommand": "true", "fetch.recursesubmodules": "false"}


class Call(msgspec.Struct, frozen=True):
    """One git as it was started."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]

    @property
    def config(self) -> dict[str, str]:
        """What its environment configures; the last word counts."""
        count = int(self.env.get("GIT_CONFIG_COUNT", "0"))
        return {self.env[f"GIT_CONFIG_KEY_{n}"].lower(): self.env[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}

    @property
    def trusted(self) -> bool:
        """With the person's own configuration."""
        return self.env.get("GIT_CONFIG_GLOBAL") != "/dev/null"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where each git leaves its call, from now on."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("what a process was started with is read from /proc")
    real, place, folder = shutil.which("git"), tmp_path / "bin", tmp_path / "calls"
    place.mkdir()
    folder.mkdir()
    (place / "git").write_text(WRAPPER.format(calls=folder, git=real))
    (place / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    yield folder


def read(folder: Path) -> list[Call]:
    """All calls so far."""
    found = []
    for path in sorted(folder.glob("*.call")):
        head, _, environ = path.read_bytes().partition(b"\0\0")
        cwd, _, words = head.partition(b"\n")
        pairs = (entry.partition(b"=") for entry in environ.split(b"\0") if b"=" in entry)
        argv = tuple(map(os.fsdecode, words.split(b"\0")[1:]))
        found.append(Call(argv, os.fsdecode(cwd), {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}))
    return found


def faults(call: Call, agents: tuple[Path, ...], person: Path) -> list[str]:
    """What is wrong with a git: empty for one that no agent can make do anything."""
    found: list[str] = []

    def inside(text: str) -> bool:
        return any(text == str(one) or text.startswith(f"{one}/") for one in agents)
    git_dir, tree, index = call.env.get("GIT_DIR", ""), call.env.get("GIT_WORK_TREE", ""), call.env.get("GIT_INDEX_FILE", "")
    verb = next((word for word in call.argv if not word.startswith("-")), "")
    if inside(git_dir) or inside(call.env.get("GIT_OBJECT_DIRECTORY", "")):
        found.append("an agent's git directory is its own")
    if inside(call.cwd) and not git_dir:
        found.append("it finds its repository from within an agent's checkout")
    if any(inside(word) for word in call.argv) and verb != "fetch":
        found.append("an agent's path is given to it")
    if inside(tree) and (not index or inside(index)):
        found.append("it uses the index of an agent")
    if verb == "fetch" and any(inside(word) for word in call.argv) and call.argv[: len(FETCH)] != FETCH:
        found.append("a fetch from an agent without the flags for that")
    wanted = BOTH if call.trusted else BOTH | STRICT
    if verb == "fetch" and any("/scratch/.tmp-" in word for word in call.argv):  # a snapshot keeps malformed work too; none lands
        wanted = {key: value for key, value in wanted.items() if not key.endswith("fsckobjects")}
    found += [f"{key} is {call.config.get(key)!r}" for key, value in wanted.items() if call.config.get(key) != value]
    at_person = str(person) in (call.cwd, tree) or git_dir.startswith(str(person)) or call.cwd.startswith(str(person))
    if call.trusted and (not at_person or inside(call.cwd)):
        found.append("the person's configuration counts outside of their own repository")
    if not call.trusted and "HOME" in call.env:
        found.append("it knows the person's home")
    plain = {"--no-ext-diff", "--no-textconv"} <= set(call.argv)
    if verb == "diff" and not plain and not {"--quiet", "--name-only"} & set(call.argv):
        found.append("a diff may run a driver")
    if "GIT_TERMINAL_PROMPT" not in call.env or call.env.get("GIT_ALLOW_PROTOCOL") not in ("file", None):
        found.append("it may ask, or go elsewhere")
    return found


async def life(shop: Floor, evil: Path, secret: Path, tmp_path: Path) -> None:
    """Two attempts with everything planted in them, from their checkouts to their landing, its reversal and their removal."""
    for name in ("T1.1", "T2.1"):
        await checkout.prepare(shop.prepare(name), shop.layout)
        poison(shop.path(name), evil)
    forecast = Forecast(shop.git_dir, shop.layout.home / "forecast")
    try:
        traps(shop.path("T2.1"), secret)
        (shop.path("T2.1") / ".git" / "COMMIT_EDITMSG").unlink()
        at_work = await worktree_tree.read(
            shop.git_dir, shop.path("T2.1"), shop.base, shop.base, forecast.store.objects, shop.layout)
        assert at_work is not None
        reads = [await checkout.import_work(shop.bring("T1.1"), shop.layout, Blobs())]
        assert reads[0].refused == "" and reads[0].dirty
        await forecast.outlook(shop.base, [Head(TaskId("T1"), reads[0].commit), Head(TaskId("T2"), at_work.commit)])
    finally:
        forecast.close()
    kept = await salvage.snapshot(shop.git_dir, shop.path("T1.1"), AttemptId("T1.1"), shop.base, shop.layout)
    with contextlib.suppress(Mistake):  # it may refuse what is planted there; then nothing of it is removed
        await salvage.snapshot(shop.git_dir, shop.path("T2.1"), AttemptId("T2.1"), shop.base, shop.layout)
    proving = Proving(shop.layout)
    async with proving.slot(REPO, shop.git_dir, reads[0].commit, reads[0].tree) as slot:
        hostile(slot / "nested", evil)
        await proving.tampered(slot)
    base = shop.base
    for how, landing_name in (("merge", "L1"), ("squash", "L2"), ("rebase", "L3")):
        merge = shop.merge(reads[0].commit, landing=landing_name, how=how, drivers=("evil",), onto=base)
        merged = await landing.merge_candidate(merge)
        assert isinstance(merged, CandidateMerged | CandidateConflicted), merged
    merge = shop.merge(reads[0].commit, onto=base, landing="L4")
    merged = await landing.merge_candidate(merge)
    assert isinstance(merged, CandidateMerged)
    assert isinstance(await landing.move_target(shop.move(merge, merged)), TargetSwapped)
    assert (await landing.mirror_target(shop.mirror(merged.candidate))).advanced
    for commit in (merged.candidate, reads[0].commit):
        await provenance.tell(str(shop.git_dir), commit, merged.candidate)
    await show_file(shop.git_dir, merged.candidate, "a.txt")
    await make_revert(MakeRevert(
        task=TaskId("T9"), repo=REPO, git_dir=str(shop.git_dir), onto=merged.candidate, landed=merged.candidate, before=base,
        title="Work", at=1_700_000_900_000), Blobs())
    again = shop.prepare("T1.2", base=merged.candidate, start=reads[0].commit, previous=base, rebase=True)
    await checkout.prepare(again, shop.layout)
    await structured.propose(shop.git_dir, None, base=merged.candidate, previous=base, layout=shop.layout)
    told = await publish.publish_target(PublishTarget(
        repo=REPO, git_dir=str(shop.git_dir), path=str(shop.person), target="main", oid=merged.candidate, how="off",
        remote="origin"))
    assert not told.done
    await inspect(shop.person)
    await read_target(shop.git_dir, "main")
    await salvage.restore(shop.git_dir, AttemptId("T1.1"), tmp_path / "back", shop.layout, ref=kept.ref)
    await checkout.remove(shop.remove("T1.1", base=base), shop.layout)
    await salvage.sweep(shop.layout)


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    script = tmp_path / "evil.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/canary\ncat\n')
    script.chmod(0o755)
    return script


async def test_each_git_of_a_whole_life_is_run_so_that_no_agent_has_a_say(tmp_path: Path, evil: Path, calls: Path) -> None:
    shop = floor(tmp_path, {"a.txt": "a\n", "b.txt": "b\n"})
    secret = tmp_path / "secrets" / "key"
    secret.parent.mkdir()
    secret.write_text("the person's own secret\n")
    async with asyncio.timeout(120):
        await life(shop, evil, secret, tmp_path)
    agents = tuple(shop.path(name) for name in ("T1.1", "T2.1", "T1.2"))  # not those in the making: nobody was in them yet
    made = [call for call in read(calls) if call.env.get("GIT_CONFIG_COUNT")]
    wrong = {" ".join(call.argv)[:200]: found for call in made if (found := faults(call, agents, shop.person))}
    assert not wrong, json.dumps(wrong, indent=1)
    verbs = {next((word for word in call.argv if not word.startswith("-")), "") for call in made}
    assert {"fetch", "add", "diff", "merge-tree", "update-ref", "merge-base", "commit-tree", "write-tree", "ls-files",
            "show"} <= verbs
    assert len(made) > 100
    assert not (tmp_path / "canary").exists(), (tmp_path / "canary").read_text()
    assert gitkit.blob_oid(secret.read_bytes(), shop.person) not in gitkit.reachable_blobs(shop.person)
    assert stat.S_ISREG(secret.lstat().st_mode) and secret.read_text() == "the person's own secret\n"


def test_a_git_that_an_agent_has_a_say_in_is_seen(tmp_path: Path) -> None:
    agents, person = (tmp_path / "checkouts",), tmp_path / "person"
    theirs = str(tmp_path / "checkouts" / "x")
    config = BOTH | STRICT
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(config)),
           "GIT_ALLOW_PROTOCOL": "file"}
    for n, (key, value) in enumerate(config.items()):
        env |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    good = Call(("write-tree",), "/", env | {"GIT_DIR": "/ours"})
    assert faults(good, agents, person) == []
    bad = [
        msgspec.structs.replace(good, env=good.env | {"GIT_DIR": f"{theirs}/.git"}),
        Call(("status",), theirs, env), Call(("rev-parse", theirs), "/", good.env),
        msgspec.structs.replace(good, env=good.env | {"GIT_WORK_TREE": theirs}),
        msgspec.structs.replace(good, env=good.env | {"GIT_WORK_TREE": theirs, "GIT_INDEX_FILE": f"{theirs}/.git/index"}),
        Call(("fetch", theirs), "/", good.env), Call(("diff", "a", "b"), "/", good.env),
        msgspec.structs.replace(good, env=good.env | {"GIT_CONFIG_COUNT": "1"}),
        msgspec.structs.replace(good, env=good.env | {"HOME": "/h"}),
        Call(("status",), theirs, {key: value for key, value in env.items() if key != "GIT_CONFIG_GLOBAL"}),
    ]
    assert [n for n, call in enumerate(bad) if not faults(call, agents, person)] == []
    assert faults(Call((*FETCH, theirs, "x:y"), "/", good.env), agents, person) == []
    assert Oid(theirs)
