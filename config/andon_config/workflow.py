"""`run:` steps of a GitHub Actions workflow as checks, best effort. Text in, suggestions out: it runs nothing and asks no network.

A step is taken over only when all of it is known here. What is not (actions, services, secrets, conditions, other systems) is left
out and named with its reason, so that nobody believes that it is checked. Steps of a job share one machine there; here each check
starts in a clean checkout, so steps that install go into its setup.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from andon.schema.errors import Mistake
from andon.schema.settings import STAGE
from andon_config.detect import Detected, Suggestion

LIMIT = 1024 * 1024
"""A larger file is not read."""
MOST = 100
"""Steps that become checks."""
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.S)
_INSTALL = re.compile(
    r"(python3? -m )?pip3? install\b|pipx install\b|uv (sync|pip install|tool install)\b|poetry install\b|pdm (install|sync)\b"
    r"|npm (ci|install|i)\b|pnpm (install|i)\b|yarn( install)?$|yarn install\b"
    r"|bun install\b|bundle install\b|go mod download\b|cargo fetch\b"
)
_PYTEST = re.compile(r"(?:^|&& )(?:\S+ run )?(?:python3? -m )?pytest(?: [^|&;<>\n]*)?$")
_ROOT = re.compile(r"(^|[;&|]\s*)(sudo|apt|apt-get|brew|choco|apk|yum|dnf)\b", re.M)
_TOLD_ACTIONS = {
    "actions/checkout": "each check starts in a clean checkout anyway",
    "actions/cache": "what may survive stands in [checkout] keep",
    "actions/setup-python": "python is the one of this machine", "actions/setup-node": "node is the one of this machine",
    "actions/setup-go": "go is the one of this machine", "astral-sh/setup-uv": "uv is the one of this machine",
}
_REGISTRIES = (
    ("pypi", r"\b(pip3?|uv|poetry|pdm|pipx)\b"), ("npm", r"\b(npm|pnpm|yarn|bun)\b"), ("go", r"\bgo mod\b"),
    ("crates", r"\bcargo\b"),
)
"""Where commands that install fetch from, by what they name."""


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the workflow that is not taken over."""

    where: str
    """`job test, step Run tests`."""
    because: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What a workflow says that can be said here."""

    detected: Detected
    skipped: tuple[Skipped, ...] = ()


class _Unknown(Exception):
    """A step that cannot be taken over, and why: it never leaves this module."""


class _Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What holds around a step."""

    env: Mapping[str, str] = {}
    missing: Mapping[str, str] = {}
    """Variables whose value is not known here, with the reason."""
    matrix: Mapping[str, str] = {}
    folder: str = ""
    shell: str = ""


def imported(text: str, name: str) -> Imported:
    """The checks of a workflow. Raises Mistake when it is no workflow."""
    mend = "name a file of .github/workflows that GitHub itself accepts"
    if len(text) > LIMIT:
        raise Mistake("the workflow is larger than is read", where=name, mend="split it")
    try:
        tree = yaml.load(text, Loader=yaml.BaseLoader)  # scalars as they are written: `on` and `3.10` are words
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        told = " ".join(str(error).split())[:200]
        raise Mistake(f"the workflow is no YAML: {told}", where=name, mend=mend) from error
    jobs = tree.get("jobs") if isinstance(tree, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise Mistake("the file has no jobs, so it is no workflow", where=name, mend=mend)
    found = _Found()
    around = _around(_Scope(), tree, "the workflow", found)
    for key, job in jobs.items():
        _job(str(key), job, around, _depth(str(key), jobs), found)
    return Imported(detected=Detected(
        checks=tuple(found.checks), setup=tuple(dict.fromkeys(found.setup)), notes=tuple(_notes(found, name)),
        registries=tuple(registry for registry, words in _REGISTRIES if any(re.search(words, step) for step in found.setup)),
    ), skipped=tuple(found.skipped))


class _Found:
    """What came together so far."""

    def __init__(self) -> None:
        self.checks: list[Suggestion] = []
        self.setup: list[str] = []
        self.skipped: list[Skipped] = []

    def skip(self, where: str, because: str) -> None:
        """Leave a part out, and say so."""
        self.skipped.append(Skipped(where=where, because=because))


def _notes(found: _Found, name: str) -> Iterator[str]:
    yield f"from {name}, best effort: each check starts in a clean checkout and reads only an exit code, where nothing else is said"
    yield from (f"not taken over: {one.where}: {one.because}" for one in found.skipped)
    if not found.checks:
        yield "no step could be taken over: add a command under [checks], or nothing can be proven"


def _job(key: str, job: Any, around: _Scope, depth: int, found: _Found) -> None:
    """The steps of one job, or why none of them."""
    where = f"job {key}"
    if not isinstance(job, dict):
        found.skip(where, "it is no table")
        return
    try:
        scope = msgspec.structs.replace(around, matrix=_matrix(job))
        _fit(job, scope)
    except _Unknown as reason:
        found.skip(where, str(reason))
        return
    scope = _around(scope, job, where, found)
    if scope.matrix:
        first = ", ".join(f"{name} = {value}" for name, value in scope.matrix.items())
        found.skip(where, f"of its matrix only the first entry is taken: {first}")
    for number, step in enumerate(job.get("steps") or (), 1):
        told = _title(step, number)
        try:
            _step(step, told, key, scope, (job, depth), found)
        except _Unknown as reason:
            found.skip(f"{where}, step {told}", str(reason))


def _fit(job: dict[str, Any], scope: _Scope) -> None:
    """Whether steps of a job can be run here at all."""
    if "uses" in job:
        raise _Unknown(f"it calls another workflow: {_word(job['uses'])}")
    if "if" in job:
        raise _Unknown(f"it runs only if {_word(job['if'])}")
    if job.get("services"):
        raise _Unknown(f"it needs services: {', '.join(map(_word, job['services'])) if isinstance(job['services'], dict) else '…'}")
    if job.get("container"):
        raise _Unknown("it runs in a container")
    if _word(job.get("continue-on-error")) not in ("", "false"):
        raise _Unknown("its failure is passed over, which a check's never is")
    system = _word(job.get("runs-on"))
    with_values = _filled(system, scope)
    if re.search(r"windows|macos", with_values):
        raise _Unknown(f"it runs on {with_values}")


def _step(step: Any, told: str, key: str, scope: _Scope, of: tuple[dict[str, Any], int], found: _Found) -> None:
    """One step as a check or as setup."""
    if not isinstance(step, dict):
        raise _Unknown("it is no table")
    if "uses" in step:
        action = _word(step["uses"]).partition("@")[0]
        raise _Unknown(f"it uses {_word(step['uses'])}: {_TOLD_ACTIONS.get(action, 'actions are not run here')}")
    if not isinstance(step.get("run"), str) or not step["run"].strip():
        raise _Unknown("it runs nothing")
    if "if" in step:
        raise _Unknown(f"it runs only if {_word(step['if'])}")
    if _word(step.get("continue-on-error")) not in ("", "false"):
        raise _Unknown("its failure is passed over, which a check's never is")
    run, setup = _command(step, scope)
    if setup:
        found.setup.append(run)
        return
    if len(found.checks) >= MOST:
        raise _Unknown(f"there are {MOST} checks already")
    job, depth = of
    report = "exit"
    if _PYTEST.search(run) and "--junit" not in run and "\n" not in run:
        run, report = f"{run} --junitxml={{report}}", "junit"
    minutes = re.fullmatch(r"\d{1,4}(\.\d+)?", _word(step.get("timeout-minutes", job.get("timeout-minutes"))))
    found.checks.append(Suggestion(
        name=_free(f"{key}-{told}", found.checks), run=run, report=report, because=f"Job {key}, step {told}.",
        minutes=float(minutes[0]) if minutes and float(minutes[0]) > 0 else None,
        stage=min(9, STAGE + depth) if depth else None,
    ))


def _command(step: dict[str, Any], scope: _Scope) -> tuple[str, bool]:
    """The shell command of a step, and whether it only installs."""
    script = step["run"].strip()
    own, missing = _variables(step.get("env"), scope)
    words = set(re.findall(r"\w+", script))
    for name, because in (*scope.missing.items(), *missing.items()):
        if name in words or name in missing:
            raise _Unknown(f"its variable {name} is not known here: {because}")
    env = {**scope.env, **own}
    script = _filled(script, msgspec.structs.replace(scope, env=env))
    if _ROOT.search(script):
        raise _Unknown("it installs into the system: do that once on this machine")
    shell = _word(step.get("shell") or scope.shell)
    if shell.split(" ")[0] not in ("", "bash", "sh"):
        raise _Unknown(f"its shell is {shell}")
    lines = [line.strip() for line in script.splitlines() if line.strip() and not line.strip().startswith("#")]
    folder = _filled(_word(step.get("working-directory") or scope.folder), scope)
    if folder.startswith("/") or ".." in folder.split("/"):
        raise _Unknown(f"its folder {folder} is outside of the checkout")
    before = [f"cd {shlex.quote(folder)}"] if folder not in ("", ".") else []
    named = words | set(own)
    before += [f"export {name}={shlex.quote(value)}" for name, value in env.items() if name in named]
    simple = len(lines) == 1 and shell != "bash" and "[[" not in script
    body = script if simple else f"bash -e{'o pipefail' if shell == 'bash' else ''} -c {shlex.quote(script)}"
    return " && ".join([*before, body]), bool(lines) and all(_INSTALL.match(line) for line in lines)


def _around(scope: _Scope, table: dict[str, Any], where: str, found: _Found) -> _Scope:
    """What a workflow or a job says for all of its steps."""
    env, missing = _variables(table.get("env"), scope)
    for name, because in missing.items():
        found.skip(where, f"variable {name}: {because}")
    defaults = table.get("defaults") if isinstance(table.get("defaults"), dict) else {}
    run = (defaults or {}).get("run")
    run = run if isinstance(run, dict) else {}
    return msgspec.structs.replace(
        scope, env={**scope.env, **env}, missing={**scope.missing, **missing},
        folder=_word(run.get("working-directory") or scope.folder), shell=_word(run.get("shell") or scope.shell),
    )


def _variables(table: Any, scope: _Scope) -> tuple[dict[str, str], dict[str, str]]:
    """Values that are known here, and why the others are not."""
    known: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, value in (table.items() if isinstance(table, dict) else ()):
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
            missing[str(name)] = "it is no name of a variable"
            continue
        try:
            known[str(name)] = _filled(_word(value), scope)
        except _Unknown as reason:
            missing[str(name)] = str(reason)
    return known, missing


def _filled(text: str, scope: _Scope) -> str:
    """The text with its expressions filled in. Raises _Unknown for one that only GitHub can tell."""
    def value(seen: re.Match[str]) -> str:
        words = seen[1]
        kind, _, name = words.partition(".")
        if kind == "matrix" and name in scope.matrix:
            return scope.matrix[name]
        if kind == "env" and name in scope.env:
            return scope.env[name]
        if kind == "secrets":
            raise _Unknown(f"it needs the secret {name}")
        raise _Unknown(f"only GitHub knows {words[:80]}")
    return _EXPRESSION.sub(value, text)


def _matrix(job: dict[str, Any]) -> dict[str, str]:
    """The first entry of a job's matrix."""
    strategy = job.get("strategy")
    matrix = strategy.get("matrix") if isinstance(strategy, dict) else None
    if matrix is None:
        return {}
    if not isinstance(matrix, dict):
        raise _Unknown("its matrix is made while it runs")
    first: dict[str, str] = {}
    for name, values in matrix.items():
        if name in ("include", "exclude"):
            continue
        if not isinstance(values, list) or not values:
            raise _Unknown(f"its matrix is made while it runs: {name}")
        first[str(name)] = _word(values[0])
    included = matrix.get("include")
    if not first and isinstance(included, list) and included and isinstance(included[0], dict):
        first = {str(name): _word(value) for name, value in included[0].items()}
    return first


def _depth(key: str, jobs: dict[Any, Any], seen: tuple[str, ...] = ()) -> int:
    """How many jobs must have ended before this one."""
    job = jobs.get(key)
    needs = job.get("needs") if isinstance(job, dict) else None
    names = [needs] if isinstance(needs, str) else needs if isinstance(needs, list) else []
    return max((1 + _depth(str(name), jobs, (*seen, key)) for name in names if str(name) not in (*seen, key)), default=0)


def _word(value: Any) -> str:
    """A scalar of YAML as GitHub hands it to a shell. What is none is not unfolded: it may be endless."""
    if isinstance(value, dict | list | set | tuple):
        return "…"
    return "" if value is None else str(value)


def _title(step: Any, number: int) -> str:
    """What a person calls a step."""
    if isinstance(step, dict):
        said = step.get("name") or step.get("id") or step.get("uses")
        run = step.get("run")
        said = said or (run.strip().splitlines()[0] if isinstance(run, str) and run.strip() else "")
        if said:
            return " ".join(_word(said).split())[:60]
    return str(number)


def _free(wanted: str, taken: list[Suggestion]) -> str:
    """A name for a check that no other has."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", wanted).strip("-").lower()[:40].strip("-") or "step"
    names = {one.name for one in taken}
    if plain not in names:
        return plain
    return next(name for number in range(2, MOST + 3) if (name := f"{plain[:36]}-{number}") not in names)
