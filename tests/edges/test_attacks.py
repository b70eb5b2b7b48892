"""Nineteen attacks from inside a job: none succeeds behind strict walls, all do without, and each guard is one that counts."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from andon.edges import attacks
from andon.edges.attacks import Stage
from andon.edges.sandbox import reached
from andon.schema.sandbox import Attack, Bind, Sandbox
from wallkit import mutated

OWN = {"set-hooks-path", "plant-hook", "move-main", "write-refs", "delete-branch"}
"""What an agent may do to its own clone: nobody but itself reads that."""


def kernel_denies() -> set[str]:
    """What this kernel refuses to everybody, walls or none."""
    def says(path: str, word: str) -> bool:
        return Path(path).exists() and Path(path).read_text().strip() == word

    denied = {"type-into-terminal"} if says("/proc/sys/dev/tty/legacy_tiocsti", "0") else set()
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return denied | ({"trace-process"} if scope.exists() and not says(str(scope), "0") else set())


def own(found: tuple[Attack, ...]) -> set[str]:
    return {one.name for one in found if one.own and one.name != attacks.COMMIT}


async def test_behind_strict_walls_no_attack_succeeds_and_committing_works(tmp_path: Path) -> None:
    assert reached().level == "strict", reached()
    found = await attacks.matrix("strict", tmp_path)
    assert attacks.succeeded(found) == () and attacks.worked(found)
    assert own(found) == OWN and len(found) == 20 and all(one.said and one.about for one in found)


async def test_without_walls_every_attack_succeeds_and_the_report_says_so(tmp_path: Path) -> None:
    found = await attacks.matrix("none", tmp_path)
    assert set(attacks.succeeded(found)) == set(attacks.ABOUT) - kernel_denies() and attacks.worked(found)


async def test_behind_landlock_the_report_names_exactly_what_is_left_open(tmp_path: Path) -> None:
    found = await attacks.matrix("partial", tmp_path)
    assert attacks.succeeded(found) == ("read-holdback",) and attacks.worked(found) and own(found) == OWN


async def test_a_matrix_leaves_nothing_behind_and_tells_no_secret(tmp_path: Path) -> None:
    found = await attacks.matrix("none", tmp_path)
    assert [one.said for one in found if one.name == "read-ssh-key"] == ["(the secret)"]
    assert left_behind(tmp_path) == []


def left_behind(folder: Path) -> list[str]:
    done = subprocess.run(("ps", "ax", "-o", "args="), capture_output=True, text=True, check=True)
    return [*(str(one) for one in folder.glob("andon-stage*")), *(line for line in done.stdout.splitlines() if str(folder) in line)]


async def test_a_job_that_could_not_run_shows_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not installed"):
        await attacks.matrix("strict", tmp_path, run=mutated("bubblewrap.PROGRAM = 'bwrap-not-here'"))


# --- each guard counts: taken away, its attack succeeds -------------------------------------------------------------------------


def bound(*names: str, write: bool = True) -> Callable[[Sandbox, Stage], Sandbox]:
    """These places of the stage exist inside as well."""
    def change(box: Sandbox, stage: Stage) -> Sandbox:
        return replace(box, binds=(*box.binds, *(Bind(source=str(getattr(stage, name)), write=write) for name in names)))
    return change


def without_hiding(box: Sandbox, _stage: Stage) -> Sandbox:
    return replace(box, hide=())


def hosts_network(box: Sandbox, _stage: Stage) -> Sandbox:
    return replace(box, network="host")


def rw_objects(box: Sandbox, stage: Stage) -> Sandbox:
    objects = str(stage.shared / "objects")
    return replace(box, binds=tuple(replace(one, write=True) if one.source == objects else one for one in box.binds))


NO_RULES = "seccomp.program = lambda **_: __import__('struct').pack('<HBBI', 6, 0, 0, 0x7FFF0000)"
SHARED_PIDS = """
bubblewrap.ALWAYS = ("--unshare-user", "--unshare-net", "--unshare-ipc", *bubblewrap.ALWAYS[2:])
plain = bubblewrap.options
def options(*given):
    words = plain(*given)
    at = words.index("--proc")
    return [one for n, one in enumerate([*words[:at], "--ro-bind", "/proc", *words[at + 1:]]) if one not in ("--hostname", "andon")]
bubblewrap.options = options
"""
NO_READ_ONLY = """
plain = bubblewrap._mount
bubblewrap._mount = lambda *given: [one.replace("--ro-bind", "--bind") for one in plain(*given)]
"""
NO_LANDLOCK = "landlock.Rules.enforce = lambda self: None"
STRICT_GUARDS = {
    "seccomp": ("seccomp off", NO_RULES, None, {"type-into-terminal"}),
    "pids": ("process table of the host", SHARED_PIDS, None, {"signal-process"}),
    "read-only": ("binds writable", NO_READ_ONLY, None, {"destroy-objects"}),
    "objects": ("objects writable", "", rw_objects, {"destroy-objects"}),
    "network": ("network of the host", "", hosts_network, {"loopback-tcp", "abstract-socket"}),
    "hide": ("nothing hidden", "", without_hiding, {"read-holdback"}),
    "home": ("the person's home", "", bound("person", write=False), {"read-ssh-key"}),
    "sockets": ("sockets", "", bound("operator", "tmux"), {"approve-own-gate", "drive-tmux"}),
    "git": ("the shared repository", "", bound("shared"), {*OWN, "destroy-objects"}),
    "remote": ("the remote", "", bound("remote"), {"push-to-remote"}),
    "state": ("the ledger", "", bound("state"), {"write-ledger"}),
    "top": ("everything", "", bound("top"), {"write-outside", "write-ledger", "read-ssh-key", "push-to-remote"}),
}
PARTIAL_GUARDS = {
    "seccomp": ("seccomp off", "seccomp.load = lambda code: None", {"approve-own-gate", "drive-tmux", "type-into-terminal"}),
    "landlock": ("Landlock off", NO_LANDLOCK, {"write-outside", "read-ssh-key", "write-ledger", "signal-process"}),
    "signals": ("signals in scope", "landlock._SCOPE_SIGNAL = 0", {"signal-process"}),
    "tcp": ("every port", "plain = landlock._network\n"
            "def open_(made, box): plain(made, box); made.ports = None\nlandlock._network = open_\n"
            "rules = seccomp.program; seccomp.program = lambda **k: rules(**{**k, 'inet': 'all'})", {"loopback-tcp"}),
}


@pytest.mark.parametrize("guard", STRICT_GUARDS)
async def test_a_guard_of_the_strict_walls_that_is_taken_away_is_missed(guard: str, tmp_path: Path) -> None:
    _, patch, change, wanted = STRICT_GUARDS[guard]
    found = await attacks.matrix("strict", tmp_path, run=mutated(patch), change=change)
    assert wanted - kernel_denies() <= set(attacks.succeeded(found)), [(one.name, one.said) for one in found if one.name in wanted]


@pytest.mark.parametrize("guard", PARTIAL_GUARDS)
async def test_a_guard_of_the_partial_walls_that_is_taken_away_is_missed(guard: str, tmp_path: Path) -> None:
    _, patch, wanted = PARTIAL_GUARDS[guard]
    found = await attacks.matrix("partial", tmp_path, run=mutated(patch))
    assert wanted - kernel_denies() <= set(attacks.succeeded(found)), [(one.name, one.said) for one in found if one.name in wanted]
