"""A person's tools are found within strict walls where a check names them; one that is not there is no failure of the change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from andon.edges import enclose, jobs, unseen
from andon.edges.sandbox import reached
from andon.schema.sandbox import Bind, Sandbox
from andon.schema.settings import Walls
from factory import Factory, factory, small_repo
from wallkit import ended, launch, log, make

pytestmark = pytest.mark.skipif(reached("strict").level != "strict", reason=reached("strict").because or "no bubblewrap")
PYTHON = Path(sys.base_prefix) / "bin/python3"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(tmp_path: Path, command: str, *folders: Path, **settings: object) -> tuple[int | None, str]:
    """A check's command within the walls that it gets, with these folders in front of the PATH."""
    slot = tmp_path / "slot"
    slot.mkdir(exist_ok=True)
    env = {"PATH": os.pathsep.join((*(str(one) for one in folders), "/usr/bin", "/bin")), "HOME": os.environ["HOME"]}
    job = make(tmp_path, "sh", "-c", command, box=None)
    box, inside = enclose.check(
        Walls(**settings), job=job, slot=slot, git_dir=str(tmp_path / "none"), commands=(command,), env=env,  # type: ignore[arg-type]
        doors=enclose.Doors())
    assert box is not None and box.level == "strict"
    again = make(tmp_path, "sh", "-c", command, box=box, env={**inside, "ANDON_TREE": str(job)}, cwd=str(slot))
    launch(again).wait(30)
    assert jobs.walls_of(again, box) == "strict"
    return ended(again).code, log(again)


def test_a_virtual_environment_outside_of_the_checkout(tmp_path: Path) -> None:
    venv = tmp_path / "venvs/shop"
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", str(venv)), check=True)
    packages = next((venv / "lib").glob("python3*/site-packages"))
    (packages / "shoptool.py").write_text("said = 'from the venv'\n")
    program(venv / "bin/shoptool", f"#!{venv}/bin/python\nimport shoptool; print(shoptool.said)\n")
    assert run(tmp_path, "shoptool", venv / "bin") == (0, "from the venv\n")
    assert run(tmp_path, f"{venv}/bin/python -c 'import shoptool; print(shoptool.said)'") == (0, "from the venv\n")


def test_a_tool_of_a_private_prefix_with_what_lies_beside_it(own_home: Path, tmp_path: Path) -> None:
    prefix = own_home / "opt/tool-1.2"
    (prefix / "share").mkdir(parents=True)
    (prefix / "share/data").write_text("its data\n")
    program(prefix / "bin/tool", '#!/bin/sh\ncat "$(dirname "$0")/../share/data"\n')
    assert run(tmp_path, "tool", prefix / "bin") == (0, "its data\n")


def test_a_tool_that_was_installed_as_uv_does_with_a_python_of_its_own(own_home: Path, tmp_path: Path) -> None:
    share = own_home / ".local/share/uv"
    base = share / "python/cpython-3.12-linux"
    (base / "lib/python3.12").mkdir(parents=True)
    (base / "lib/python3.12/said").write_text("its own library\n")
    program(base / "bin/python3.12", '#!/bin/sh\ncat "$(dirname "$(readlink -f "$0")")/../lib/python3.12/said" "$1"\n')
    venv = share / "tools/ruffle"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {base}/bin\n")
    (venv / "bin/python").symlink_to(base / "bin/python3.12")
    program(venv / "bin/ruffle", f"#!{venv}/bin/python\n")
    (own_home / ".local/bin").mkdir()
    (own_home / ".local/bin/ruffle").symlink_to(venv / "bin/ruffle")
    code, text = run(tmp_path, "ruffle", own_home / ".local/bin")
    assert code == 0 and text.startswith("its own library\n"), text


def test_a_tool_of_the_persons_own_site_packages(own_home: Path, tmp_path: Path) -> None:
    ask = (str(PYTHON), "-c", "import site; print(site.getusersitepackages())")
    told = subprocess.run(ask, check=True, text=True, capture_output=True, env={"HOME": str(own_home)}).stdout.strip()
    Path(told).mkdir(parents=True)
    (Path(told) / "lintish.py").write_text("said = 'from the user site'\n")
    program(own_home / ".local/bin/lintish", f"#!{PYTHON}\nimport lintish; print(lintish.said)\n")
    assert run(tmp_path, "lintish", own_home / ".local/bin") == (0, "from the user site\n")


@pytest.mark.parametrize(("manager", "variable"), [(".rustup", "RUSTUP_HOME"), (".volta", "VOLTA_HOME")])
def test_managers_that_look_below_home_find_what_they_manage(
        own_home: Path, tmp_path: Path, manager: str, variable: str) -> None:
    program(own_home / manager / "toolchains/stable/bin/real", "#!/bin/sh\necho the managed one\n")
    bins = own_home / (".cargo/bin" if manager == ".rustup" else f"{manager}/bin")
    program(bins / "cargoish", f'#!/bin/sh\nexec "${{{variable}:-$HOME/{manager}}}/toolchains/stable/bin/real"\n')
    assert run(tmp_path, "cargoish", bins) == (0, "the managed one\n")


def test_shims_of_pyenv_and_programs_of_nvm(own_home: Path, tmp_path: Path) -> None:
    root = own_home / ".pyenv"
    program(root / "versions/3.12/bin/tool", "#!/bin/sh\necho of pyenv\n")
    program(root / "shims/tool", '#!/bin/sh\nexec "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.12/bin/tool"\n')
    assert run(tmp_path, "tool", root / "shims") == (0, "of pyenv\n")
    node = own_home / ".nvm/versions/node/v20"
    (node / "lib/node_modules/npm/bin").mkdir(parents=True)
    program(node / "bin/node", '#!/bin/sh\nexec sh "$1"\n')
    program(node / "lib/node_modules/npm/bin/npm-cli.js", "#!/usr/bin/env node\necho of nvm\n")
    (node / "bin/npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
    assert run(tmp_path, "npm", node / "bin") == (0, "of nvm\n")


@pytest.mark.parametrize("log_", [
    "sh: 1: lintish: not found\n", "bash: line 1: lintish: command not found\n", "make: lintish: No such file or directory\n",
    "env: \u2018lintish\u2019: No such file or directory\n", "FileNotFoundError: [Errno 2] No such file or directory: 'lintish'\n",
    "Error: spawn lintish ENOENT\n", "/bin/sh: lintish: not found\nmake: *** [Makefile:2: test] Error 127\n",
])
def test_the_ways_in_which_programs_say_that_another_one_is_missing(own_home: Path, log_: str) -> None:
    place = program(own_home / "opt/lintish/bin/lintish", "#!/bin/sh\n")
    box = Sandbox(level="strict", binds=(Bind(source="/usr"),))
    told = unseen.program(box, (), log_.encode(), str(place.parent), not_found=False)
    assert told == (f"lintish is at {place}, which does not exist within the walls: "
                    f'write read = ["{own_home}/opt/lintish"] under [sandbox] in andon.toml')
    inside = Sandbox(level="strict", binds=(Bind(source="/usr"), Bind(source=str(own_home / "opt"))))
    assert not unseen.program(inside, (), log_.encode(), str(place.parent), not_found=False), "it was there: a failure is one"
    assert not unseen.program(box, (), log_.encode(), "/usr/bin", not_found=False), "this machine has none either"


def test_a_mend_never_names_a_whole_home(own_home: Path) -> None:
    assert unseen.prefix(str(program(own_home / ".local/bin/x", ""))) == f"{own_home}/.local/bin"
    assert unseen.prefix(str(program(own_home / "bin/x", ""))) == f"{own_home}/bin"
    assert unseen.prefix(str(program(own_home / "tools/x", ""))) == f"{own_home}/tools"


def test_a_check_that_cannot_see_its_program_is_unevaluated_with_the_mend_and_the_mend_works(
        own_home: Path, tmp_path: Path) -> None:
    place = program(own_home / "opt/lintish/bin/lintish", "#!/bin/sh\necho fine\n")
    makefile = {"Makefile": "test:\n\tlintish\n"}
    env = {"PATH": os.pathsep.join((str(place.parent), os.environ["PATH"])), "HOME": str(own_home)}
    settings = 'checks.tests.report = "exit"\nchecks.tests.run = "make test"\n'
    with factory(tmp_path / "f", env) as plant:
        repo = small_repo(tmp_path / "repo", walls=True, files=makefile)
        text = (repo / "andon.toml").read_text()
        start = text.index("[checks.tests]")
        text = settings + text[:start] + text[text.index("[policy]"):]
        told = unevaluated(plant, repo, text)
        assert "lintish is at" in told and f'read = ["{own_home}/opt/lintish"]' in told, told
        other = small_repo(tmp_path / "mended", walls=True, files=makefile)
        (other / "andon.toml").write_text(f'{text}\n[sandbox]\nread = ["{own_home}/opt/lintish"]\n')
        commit(other)
        task = plant.add(plant.register(other))
        plant.until_state(task, "done", "waiting", "failed", deadline=60)
        assert plant.task(task).state == "done"


def unevaluated(plant: Factory, repo: Path, text: str) -> str:
    """What the gate says of a change whose check is this."""
    (repo / "andon.toml").write_text(text)
    commit(repo)
    task = plant.add(plant.register(repo))
    plant.until_state(task, "done", "waiting", "failed", deadline=60)
    gate = plant.gate(task)
    assert gate is not None and gate.kind == "unevaluated", gate
    return gate.because


def commit(repo: Path) -> None:
    subprocess.run(("git", "-C", str(repo), "commit", "-qam", "settings"), check=True)
