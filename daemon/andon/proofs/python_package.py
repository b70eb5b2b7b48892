"""Builds a Python project's sdist and wheel by its own backend and installs the wheel; knows no other kind of project."""

import configparser
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from andon.proofs import running
from andon.proofs.fact import Fact, Unevaluated
from andon.proofs.package import GROUP, Failed, Room, must, run_installed, step

FACTS = """
import importlib.metadata, importlib.util, json, site, sys, sysconfig
paths = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(),
                       *((site.getusersitepackages(),) if site.ENABLE_USER_SITE else ())))
dists = {(d.metadata["Name"] or "").lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
print(json.dumps({"program": sys.executable, "paths": list(paths), "dists": dists,
                  "pip": importlib.util.find_spec("pip") is not None}))
"""
CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".typed")
"""What a wheel ships that is code: modules may move, data is held by name."""
UNKNOWN_OPTION = ("unrecognized arguments", "no such option", "unknown option", "invalid option", "unexpected argument")


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """The Python that builds, and what it has."""

    program: str
    paths: tuple[str, ...]
    dists: dict[str, str]
    pip: bool = False


def python(room: Room) -> Iterator[Fact]:
    """Facts of the sdist, of the wheel made of it, and of its installation. What hangs on a step that failed is not there."""
    known = look(room)
    made: dict[str, Path] = {}

    def build(kind: Literal["sdist", "wheel"], source: Path) -> None:
        made[kind] = built(kind, source, room, known)

    yield (first := step("Python: an sdist is made", lambda: build("sdist", room.source)))
    if first.state != "holds":
        return
    yield (second := step("Python: a wheel is made of the sdist alone", lambda: build("wheel", unpacked(made["sdist"], room))))
    if second.state != "holds":
        return
    wheel = made["wheel"]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shipped = [name for name in names if ".dist-info/" not in name and not name.endswith((*CODE, "/"))]
    yield from (Fact(group=GROUP, name=f"Python: the wheel ships {name}") for name in sorted(shipped))
    target = room.home / "venv"
    yield (third := step("Python: the wheel installs outside of the checkout", lambda: install(wheel, target, room, known)))
    if third.state != "holds":
        return
    yield (fourth := step("Python: what it needs is there", lambda: complete(wheel, target, room, known)))
    if fourth.state == "holds":
        yield from used(wheel, names, target, room)


def look(room: Room) -> Interpreter:
    """The interpreter and what is installed for it. Raises Unevaluated."""
    ran = running.run([room.python, "-c", FACTS], cwd=room.empty, seconds=60)
    if ran.code != 0:
        raise Unevaluated(f"`{room.python}` does not say what it is: {ran.told[-400:]}")
    return msgspec.convert(json.loads(ran.out), Interpreter)


def built(kind: Literal["sdist", "wheel"], source: Path, room: Room, known: Interpreter) -> Path:
    """The artifact, made by the project's own backend. Raises Failed, or Unevaluated when what builds it is not there."""
    import build
    import build.env

    runner = _Quiet(room)
    try:
        builder = build.ProjectBuilder(source, python_executable=known.program, runner=runner)
        wanted = unmet(builder.build_system_requires, known)
        if wanted and not room.network:
            raise Unevaluated(f"the build needs {', '.join(sorted(wanted))}, which {known.program} does not have: "
                              "install it there, or allow --network")
        if not wanted:
            return Path(builder.build(kind, room.out))
        with build.env.DefaultIsolatedEnv() as env:
            builder = build.ProjectBuilder.from_isolated_env(env, source, runner=runner)
            env.install(builder.build_system_requires)
            env.install(builder.get_requires_for_build(kind))
            return Path(builder.build(kind, room.out))
    except (build.BuildException, build.BuildBackendException) as error:
        raise Failed(f"{kind}: {error}\n{runner.told[-4000:]}") from None


class _Quiet:
    """Runs a backend's hooks, and keeps what they print."""

    def __init__(self, room: Room) -> None:
        self._room, self.told = room, ""

    def __call__(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        """One hook. Raises CalledProcessError, as the library wants it."""
        # A copy has no history to tell a version from.
        env = {"SETUPTOOLS_SCM_PRETEND_VERSION": "0+andon", **_outside(), **(extra_environ or {})}
        ran = running.run(list(cmd), cwd=Path(cwd or self._room.source), env=env, seconds=self._room.seconds)
        self.told += ran.told
        if ran.code != 0:
            raise subprocess.CalledProcessError(ran.code, list(cmd), ran.out, ran.err)


def _outside() -> dict[str, str]:
    """Our environment without what would show Python the checkout."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def unmet(requirements: "set[str]", known: Interpreter) -> set[str]:
    """Requirements that this interpreter does not meet."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = set()
    for text in requirements:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            found.add(text)
            continue
        if one.marker is not None and not one.marker.evaluate():
            continue
        version = known.dists.get(canonicalize_name(one.name))
        if version is None or not one.specifier.contains(version, prereleases=True):
            found.add(text)
    return found


def unpacked(sdist: Path, room: Room) -> Path:
    """The one folder of an sdist."""
    to = room.home / "sdist"
    with tarfile.open(sdist) as archive:
        archive.extractall(to, filter="data")
    [folder] = list(to.iterdir())
    return folder


def install(wheel: Path, target: Path, room: Room, known: Interpreter) -> None:
    """A fresh environment with the wheel, and beside it what the building interpreter has: dependencies, never the checkout."""
    argv = [known.program, "-m", "venv", "--without-pip", str(target)]
    venv = running.run(argv, cwd=room.empty, seconds=room.seconds, env=_outside())
    if venv.code != 0:
        raise Unevaluated(f"no fresh environment can be made by {known.program}: {venv.told[-400:]}")
    [site] = list(target.glob("lib/python*/site-packages"))
    (site / "what-is-here.pth").write_text("".join(f"{path}\n" for path in known.paths))
    words = ["install", "--no-index", "--no-deps", "--ignore-installed", "--no-compile", str(wheel)]
    must([*_pip(target, known), *words], room, cwd=room.empty, env=_outside())


def complete(wheel: Path, target: Path, room: Room, known: Interpreter) -> None:
    """Its dependencies are met by what is there, or by what may be fetched."""
    with zipfile.ZipFile(wheel) as archive:
        told = next(archive.read(name) for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    if b"\nRequires-Dist:" not in told:
        return
    words = ["install", "--no-compile", *(() if room.network else ("--no-index",)), str(wheel)]
    ran = running.run([*_pip(target, known), *words], cwd=room.empty, env=_outside(), seconds=room.seconds)
    if ran.code != 0 and not room.network:
        raise Unevaluated(f"a dependency is not here, and nothing may be fetched: {ran.told.strip().splitlines()[-1][:300]}")
    if ran.code != 0:
        raise Failed(ran.told[-4000:])


def _pip(target: Path, known: Interpreter) -> list[str]:
    """pip for that environment: the building interpreter's, else our own."""
    program = known.program if known.pip else sys.executable if importlib.util.find_spec("pip") else ""
    if not program:
        raise Unevaluated(f"{known.program} has no pip, so nothing can be installed")
    return [program, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", str(target / "bin" / "python")]


# --- what was installed --------------------------------------------------------------------------------------------------


def used(wheel: Path, names: list[str], target: Path, room: Room) -> Iterator[Fact]:
    """It is imported and run from an empty folder."""
    env = {**_outside(), "PATH": f"{target / 'bin'}:{os.environ.get('PATH', os.defpath)}", "VIRTUAL_ENV": str(target)}
    for module in importable(names):
        code = f"import {module} as m, os; p = m.__file__ or ''; assert p.startswith({str(target)!r}), 'imported from ' + p"
        yield step(f"Python: `import {module}` from an empty folder",
                   lambda code=code: _ran([str(target / "bin" / "python"), "-I", "-c", code], room, env))  # type: ignore[misc]  # bound early
    for command in room.runs:
        yield step(f"Python: `{command}` from an empty folder", lambda command=command: run_installed(command, target, room, env))  # type: ignore[misc]  # bound early
    for script in scripts(wheel) if not room.runs else ():
        yield step(f"Python: `{script} --version` from an empty folder",
                   lambda script=script: _version(str(target / "bin" / script), room, env))  # type: ignore[misc]  # bound early


def _ran(argv: list[str], room: Room, env: dict[str, str]) -> None:
    must(argv, room, cwd=room.empty, env=env)


def _version(script: str, room: Room, env: dict[str, str]) -> None:
    """Its version; of a program that has no such option, its help."""
    ran = running.run([script, "--version"], cwd=room.empty, env=env, seconds=room.seconds)
    if ran.code != 0 and any(words in ran.told.lower() for words in UNKNOWN_OPTION):
        ran = running.run([script, "--help"], cwd=room.empty, env=env, seconds=room.seconds)
    if ran.code != 0:
        raise Failed(f"exit code {ran.code}\n{ran.told[-4000:]}")


def importable(names: list[str]) -> list[str]:
    """The topmost packages and modules of a wheel; tests are none."""
    packages = {str(Path(name).parent) for name in names if name.endswith("/__init__.py")}
    top = {package for package in packages if str(Path(package).parent) not in packages}
    modules = {name.removesuffix(".py") for name in names if name.endswith(".py") and "/" not in name}
    found = {name.replace("/", ".") for name in (*top, *modules)}
    return sorted(name for name in found if all(part.isidentifier() for part in name.split("."))
                  and name.split(".")[0] not in ("tests", "test", "conftest", "setup"))


def scripts(wheel: Path) -> list[str]:
    """Console scripts that the wheel brings."""
    with zipfile.ZipFile(wheel) as archive:
        place = next((name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")), "")
        text = archive.read(place).decode() if place else ""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(text)
    return sorted(parser["console_scripts"]) if parser.has_section("console_scripts") else []
