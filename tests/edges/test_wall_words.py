"""What bubblewrap is told, word by word: each of its walls is asked for, in the order in which they count."""

import os
import resource
from pathlib import Path

import pytest

from andon.edges import process, walls as module
from andon.edges.bubblewrap import Refused, options
from andon.schema.sandbox import Forward, Limits
from support import wait_until
from wallkit import PYTHON, ended, launch, make, mutated, ready, run, walls


def box(folder: Path, **more: object) -> dict[str, object]:
    """A sandbox as the shim reads it."""
    binds = [{"source": "/usr"}, {"source": str(folder), "write": True}]
    return {"level": "strict", "binds": binds, **more}


def has(words: list[str], *wanted: str) -> bool:
    """Whether these words stand there in a row."""
    return any(tuple(words[n:n + len(wanted)]) == wanted for n in range(len(words)))


def test_every_wall_is_asked_for(tmp_path: Path) -> None:
    words = options(box(tmp_path, limits={"tmp_mb": 3}))
    for single in ("--unshare-all", "--unshare-user", "--die-with-parent", "--clearenv"):
        assert words.count(single) == 1, single
    for wanted in (("--cap-drop", "ALL"), ("--hostname", "andon"), ("--proc", "/proc"), ("--dev", "/dev"),
                   ("--size", str(512 << 20), "--tmpfs", "/dev/shm"), ("--size", str(3 << 20), "--tmpfs", "/tmp"),
                   ("--ro-bind", "/usr", "/usr"), ("--bind", str(tmp_path), str(tmp_path))):
        assert has(words, *wanted), wanted
    assert words[-2:] == ["--remount-ro", "/"] and "--share-net" not in words
    assert words.index("--clearenv") < words.index("--proc") < words.index("--tmpfs") < words.index("--bind")
    assert options(box(tmp_path, network="host")).count("--share-net") == 1
    assert not {"--dev-bind", "--setenv", "--new-session", "--cap-add"} & set(words)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is made somebody else")
def test_root_is_nobody_special_inside(tmp_path: Path) -> None:
    words = options(box(tmp_path))
    assert has(words, "--uid", "1000", "--gid", "1000")


def test_what_stands_between_the_job_and_us_lies_over_its_binds_and_cannot_be_written(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    witness.write_text("")
    words = options(box(tmp_path), (str(witness),))
    under = words.index("--bind")
    assert has(words[under:], "--ro-bind", str(witness), str(witness)) and not has(words, "--bind", str(witness), str(witness))


@pytest.mark.parametrize("path", ["usr", "../usr", "/usr/../etc", "/usr/.."])
def test_a_path_that_is_not_whole_is_refused(tmp_path: Path, path: str) -> None:
    for bind in ({"source": path}, {"source": "/usr", "target": path}):
        with pytest.raises(Refused, match="not absolute"):
            options({"level": "strict", "binds": [bind]})


def test_a_hidden_folder_cannot_be_opened_up_and_filled(tmp_path: Path) -> None:
    room = tmp_path / "room"
    (room / "held").mkdir(parents=True)
    script = "chmod 700 held; echo x > held/x; ls -A held; echo end"
    _, text = run(room, "sh", "-c", script, box=walls(room, hide=(f"{room}/held",)))
    assert text.rstrip().endswith("end") and "x\nend" not in text


def test_a_level_that_nobody_knows_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no level of isolation named full"):
        module.around(str(tmp_path), {"argv": ["true"], "env": {}, "sandbox": {"level": "full"}})


def test_powers_and_limits_do_not_get_inside(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        limits_within(room)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def limits_within(room: Path) -> None:
    script = "grep -E '^Cap(Eff|Prm|Inh|Amb|Bnd):' /proc/self/status; ulimit -c; ulimit -f; id -u"
    _, text = run(room, "sh", "-c", script, box=walls(room, limits=Limits(file_mb=3)))
    caps = [int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")]
    assert len(caps) == 5 and not any(caps[:4]), text
    assert text.split()[-3:][:2] == ["0", str(3 * 2048)] and text.split()[-1] != "0"
    _, text = run(room, "sh", "-c", "ulimit -c; ulimit -f", box=walls(room, "partial", limits=Limits(file_mb=3)))
    assert text.split() == ["0", str(3 * 2048)], "a limit that is asked for holds behind Landlock as well"


def test_a_door_ends_with_a_shim_that_is_killed(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    for level in ("strict", "partial"):
        job = make(room, PYTHON, "-I", "-S", "-c", "import time; print('ready', flush=True); time.sleep(600)",
                   box=walls(room, level, forwards=(Forward(port=9001, socket=f"{room}/none"),)))
        shim = launch(job)
        ready(job)
        tree = [one.pid for one in process.descendants(shim.pid)]
        shim.kill()
        shim.wait(20)
        if level == "strict":
            wait_until(lambda tree=tree: not any(Path("/proc", str(pid)).exists() for pid in tree), what="the end of all of it")  # type: ignore[misc]  # a default
        else:
            left = process.by_marker(str(job))
            for pid in left:
                os.kill(pid, 9)
            doors = [pid for pid in tree if pid not in left and Path("/proc", str(pid)).exists()]
            wait_until(lambda doors=doors: not any(Path("/proc", str(pid)).exists() for pid in doors), what="the end of the door")  # type: ignore[misc]  # a default


def test_walls_that_could_not_be_built_start_nothing(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    job = make(room, "sh", "-c", "echo ran > ran", box=walls(room))
    launch(job, mutated("bubblewrap.ALWAYS = (*bubblewrap.ALWAYS, '--ro-bind', '/no/such', '/x')")(job)).wait(20)
    assert ended(job).because == "not-started" and not (room / "ran").exists()
