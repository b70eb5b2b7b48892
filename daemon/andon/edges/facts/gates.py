"""Says what a change does to what judges changes: does it judge less, more, or does nobody know. It never runs any of it.

Theory of operation. What judges by code (a conftest, a hook, a target that checks call) may judge less by anything that is added,
so a changed line of it that is no comment is `unclear` at least. What judges by settings is compared, value by value where it is
TOML or JSON and line by line elsewhere. Unclear counts like loosened: a person looks.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from andon.edges import withheld
from andon.edges.facts.patch import File, Line
from andon.edges.facts.places import kind_of_gate
from andon.edges.facts.trees import FLOOR, LETTING, differences, sense_of
from andon.edges.facts.vocabulary import vocabulary
from andon.schema.errors import Mistake
from andon.schema.facts import Fact, Rule

Compare = Callable[[str, str], tuple[str, ...]]
"""Two texts of andon.toml -> what the second judges less. Mistake when one of them cannot be read."""


def comment(path: str, line: Line) -> bool:
    """Whether a line is empty or a comment of its file's own kind."""
    if re.search(r"\.([cm]?[jt]sx?|json5?|jsonc|groovy|gradle)$|(^|/)(Jenkinsfile|Dangerfile)", path):
        return bool(COMMENTS["//"].match(line.text))
    return bool(COMMENTS[";" if re.search(r"\.(ini|cfg)$|rc$|flake8$", path) else "#"].match(line.text))


def nobody(before: str, after: str) -> tuple[str, ...]:
    """Where nobody can compare settings, a change of them is not known to be harmless."""
    raise Mistake("nobody here can read settings", mend="ask the daemon")


TOOLS = (
    "pytest",
    "coverage",
    "ruff",
    "mypy",
    "tox",
    "nox",
    "pyright",
    "basedpyright",
    "pylint",
    "flake8",
    "bandit",
    "hatch",
    "poe",
    "taskipy",
    "importlinter",
    "cibuildwheel",
    "pydocstyle",
    "interrogate",
    "vulture",
    "isort",
    "black",
    "codespell",
    "pytype",
    "ty",
    "semgrep",
    "typos",
    "deptry",
    "creosote",
    "towncrier",
    "check-manifest",
    "commitizen",
    "refurb",
    "doit",
    "djlint",
    "sqlfluff",
    "mutmut",
    "repo-review",
)
NPM_KEYS = (
    "jest",
    "eslintConfig",
    "eslintIgnore",
    "mocha",
    "nyc",
    "ava",
    "c8",
    "lint-staged",
    "husky",
    "pre-commit",
    "standard",
    "xo",
    "tap",
    "vitest",
    "prettier",
    "stylelint",
    "bundlesize",
    "size-limit",
    "pre-push",
)
RUN = re.compile(
    r"test|check|lint|ci|verify|audit|cover|type|valid|sec|scan|pre|post|e2e|spec|all|default|PHONY|format|build", re.I
)
COMMENTS = {"#": re.compile(r"^\s*(#|$)"), "//": re.compile(r"^\s*(//|$)"), ";": re.compile(r"^\s*([#;]|$)")}
"""Lines that say nothing, by the sign that begins them."""
TAME = re.compile("|".join(vocabulary()["tame"]), re.I)
"""What makes a step of a pipeline, a hook or a target say yes whatever happens, or gives it more than it had."""
PIN = re.compile(r"^\s*-?\s*(?:uses|image):\s*['\"]?([^@\s'\"]+)[@:]\S+")
VALUE = re.compile(r"""^\s*-?\s*['"]?([\w.:/-]+)['"]?\s*(?:[:=])\s*(.*?)\s*[,;]?\s*$""")
WORDS = re.compile(r"^\s*-?\s*(name|description):", re.I)


def seen(file: File, before: str, after: str, compare: Compare) -> Iterator[Fact]:
    """What the change of one file does to what judges; nothing for a file that does not judge."""
    kind = kind_of_gate(file.path)
    name = file.path.rsplit("/", 1)[-1]
    trees = TREES.get(name)
    if trees is not None:
        yield from _trees(file, before, after, trees)
    if not kind:
        return
    if file.gone:
        yield _fact("loosens", file, f"{file.path} is gone, and it judged changes")
        return
    if not file.added and file.old_mode != file.new_mode:
        yield _fact("unclear", file, f"the mode of {file.path} went from {file.old_mode} to {file.new_mode}")
    if kind != "ours" and file.lines and all(comment(file.path, line) for line in file.lines) and not file.binary:
        yield _fact("gate", file, "only comments and empty lines differ")
    elif kind == "ours":
        yield from _ours(file, before, after, compare)
    elif kind == "workflow":
        yield from _workflow(file)
    elif kind == "script":
        yield from _script(file, before, after)
    else:
        yield from _config(file, before, after)


def _fact(rule: Rule, file: File, what: str, line: Line | None = None) -> Fact:
    return Fact(rule=rule, path=file.path, line=line.number if line else 0, what=what)


def _quoted(line: Line) -> str:
    return f"`{withheld.text(line.text.strip())[:90]}`"


def _ours(file: File, before: str, after: str, compare: Compare) -> Iterator[Fact]:
    if file.added:
        yield _fact("unclear", file, "it is new: from now on it says what judges")
        return
    try:
        told = compare(before, after)
    except Mistake as mistake:
        yield _fact("unread", file, f"what it does to the settings cannot be said: {mistake.problem.what}")
        return
    for what in told:
        yield _fact("loosens", file, what)
    if not told:
        yield _fact("gate", file, "nothing in it judges less than before")


def _workflow(file: File) -> Iterator[Fact]:
    """A pipeline: other pins of the same actions are harmless as such, everything else runs something else."""
    removed, added = (
        [line for line in file.lines if line.added is side and not comment(file.path, line)] for side in (False, True)
    )
    old, new = _pins(removed), _pins(added)
    rest = [line for line in (*removed, *added) if not PIN.match(line.text) and not WORDS.match(line.text)]
    tame = [line for line in added if TAME.search(line.text)]
    for line in tame[:3]:
        yield _fact("loosens", file, f"it now has {_quoted(line)}", line)
    if removed and not added:
        yield _fact("loosens", file, f"it runs less: {_quoted(removed[0])} is gone", removed[0])
    if file.lines and not file.added and not rest and old == new and not tame:
        yield _fact("gate", file, "only the versions of its actions or images, or their names, differ")
        return
    first = next(iter(rest or added or removed), None)
    yield _fact("ci", file, f"what the pipeline runs changed: {_quoted(first)}" if first else "the pipeline changed", first)


def _pins(lines: Sequence[Line]) -> list[str]:
    return sorted(found[1] for line in lines if (found := PIN.match(line.text)))


def _script(file: File, before: str, after: str) -> Iterator[Fact]:
    name = file.path.rsplit("/", 1)[-1].lower()
    if (name.endswith("makefile") or name.endswith(".mk")) and not _called(file, before, after):
        yield _fact("gate", file, "targets changed, none of which a check is likely to call")
        return
    lines = [line for line in file.lines if not comment(file.path, line)]
    tame = next((line for line in lines if line.added and TAME.search(line.text)), None)
    if tame is not None:
        yield _fact("loosens", file, f"it now has {_quoted(tame)}", tame)
        return
    first = lines[0] if lines else None
    yield _fact(
        "unclear",
        file,
        f"it judges by code, and this changed: {_quoted(first)}" if first else "it judges by code, and changed",
        first,
    )


def _called(file: File, before: str, after: str) -> bool:
    """Whether a changed line of a makefile stands outside of rules, or in a rule that looks like a check."""
    for line in file.lines:
        if comment(file.path, line):
            continue
        above = (after if line.added else before).splitlines()[: line.number]
        target = ""
        for text in reversed(above):
            if found := re.match(r"^([A-Za-z0-9_.%/$(){} -]+):(?!=)", text):
                target = found[1]
                break
            if text.strip() and not text.startswith(("\t", " ", "#")):
                return True
        if not target or RUN.search(target):
            return True
    return False


def _config(file: File, before: str, after: str) -> Iterator[Fact]:
    if file.path.endswith("CODEOWNERS"):
        first = next((line for line in file.lines if not comment(file.path, line)), None)
        gone = any(not line.added for line in file.lines)
        yield _fact(
            "loosens" if gone else "unclear",
            file,
            "who must look at what was taken out or changed"
            if gone
            else "the last line that fits a path wins: what was added may take others their say",
            first,
        )
        return
    try:
        both = _parsed(file.path, before), _parsed(file.path, after)
    except (ValueError, RecursionError):
        both = None, None
    if both[0] is not None and both[1] is not None and not file.added:
        yield from _told(file, list(differences(*both)))
        return
    yield from _by_lines(file, before, after)


def _parsed(path: str, text: str) -> Any:
    if path.endswith((".toml", "Pipfile")):
        return tomllib.loads(text)
    if path.endswith((".json", ".eslintrc", ".nycrc", ".c8rc")):
        return json.loads(text)
    return None


def _told(file: File, found: list[tuple[str, str]]) -> Iterator[Fact]:
    """One fact for each value that judges less or is unclear; one for all that judge more."""
    for sense, what in found[:20]:
        if sense != "more":
            where = _line_of(file, what)
            yield Fact(rule="loosens" if sense == "less" else "unclear", path=file.path, line=where, what=what)
    if len(found) > 20 and not any(sense != "more" for sense, _ in found[:20]):
        yield _fact("unclear", file, f"{len(found)} values differ")
    if all(sense == "more" for sense, _ in found):
        yield _fact("gate", file, "nothing in it judges less than before")


def _line_of(file: File, what: str) -> int:
    key = what.split(":", 1)[0].rsplit(".", 1)[-1]
    return next((line.number for line in file.lines if key in line.text), file.lines[0].number if file.lines else 0)


def _by_lines(file: File, before: str, after: str) -> Iterator[Fact]:
    """Lines of a format that nobody parses here: what went, what came, under which key."""
    told: list[tuple[str, str]] = []
    sides = {
        side: {found[1]: found[2] for line in file.lines if line.added is side and (found := VALUE.match(line.text))}
        for side in (True, False)
    }
    for line in file.lines:
        if comment(file.path, line):
            continue
        found = VALUE.match(line.text)
        key = found[1] if found else _key_above((after if line.added else before).splitlines(), line)
        other = sides[not line.added].get(key) if found else None
        if found and other is not None:
            if line.added and key not in ("rev", "version", "additional_dependencies"):
                told.append((sense_of(key, other, found[2]), f"{key}: {other[:60]} -> {found[2][:60]}"))
            continue
        if TAME.search(line.text) and line.added:
            told.append(("less", f"it now has {_quoted(line)}"))
        elif LETTING.search(f"{key} {line.text}"):
            told.append(
                (
                    "less" if line.added else "more",
                    f"{'gains' if line.added else 'loses'} {_quoted(line)}{f' under {key}' if key else ''}",
                )
            )
        elif line.added:
            told.append(("unclear" if file.path.endswith(".gitattributes") else "more", f"gains {_quoted(line)}"))
        else:
            told.append(("less", f"loses {_quoted(line)}"))
    if not told and not file.lines:
        told.append(("unclear", f"{file.path} changed"))
    yield from _told(file, told)


def _key_above(lines: Sequence[str], line: Line) -> str:
    """The key that an item stands under."""
    depth = len(line.text) - len(line.text.lstrip())
    for text in reversed(lines[: max(line.number - 1, 0)][-400:]):
        found = re.match(r"""^(\s*)(?:-\s*)?['"]?([\w.-]+)['"]?\s*[:=]""", text)
        if found and (len(found[1]) < depth or (depth == len(found[1]) == 0)):
            return found[2]
    return ""


def of_lines(file: File, compare: Compare) -> Iterator[Fact]:
    """The same as far as the changed lines alone tell, for a diff without its files."""
    name = file.path.rsplit("/", 1)[-1]
    if name in TREES and not file.gone:
        odd = next((line for line in file.lines if _may_judge(name, line)), None)
        if odd is not None and not file.added:
            yield _fact("unclear", file, f"it may judge, and a diff alone does not say where this stands: {_quoted(odd)}", odd)
    if kind_of_gate(file.path) == "config" and not file.path.endswith("CODEOWNERS") and not file.gone and file.lines:
        yield from _by_lines(file, "", "")
    else:
        yield from seen(file, "", "", compare) if name not in TREES else ()


def _may_judge(name: str, line: Line) -> bool:
    """Whether a line of a manifest may belong to what judges: it names a tool, or runs something."""
    said = VALUE.match(line.text)
    if name == "package.json":
        return bool(
            said and (RUN.search(said[1]) or said[1] in NPM_KEYS) and not re.match(r"['\"]?[\^~<>=*\d]", said[2].strip("\"' "))
        )
    return bool(
        re.search(rf"\[(tool|lints?|profile)|\b({'|'.join(TOOLS)})\b\s*[.\]=]", line.text)
        or (said and (LETTING.search(said[1]) or FLOOR.search(said[1])))
    )


def _trees(file: File, before: str, after: str, pick: Callable[[str], Any]) -> Iterator[Fact]:
    """The parts of a manifest that judge."""
    if file.gone:
        return
    try:
        old, new = pick(before) if not file.added else {}, pick(after)
    except (ValueError, RecursionError, AttributeError, TypeError):
        yield _fact("unread", file, "it cannot be read, so nobody knows what it does to what judges")
        return
    if file.added or old == new:
        return
    yield from _told(file, [(sense, what) for sense, what in differences(old, new)])


def _pyproject(text: str) -> Any:
    tool = tomllib.loads(text).get("tool", {})
    return {name: tool[name] for name in TOOLS if name in tool}


def _npm(text: str) -> Any:
    file = json.loads(text or "{}")
    scripts = {name: run for name, run in (file.get("scripts") or {}).items() if RUN.search(name) or "test" in str(run)}
    return {"scripts run": scripts} | {key: file[key] for key in NPM_KEYS if key in file}


def _cargo(text: str) -> Any:
    file = tomllib.loads(text)
    return {key: file[key] for key in ("lints", "profile") if key in file} | {
        "workspace": {"lints": file.get("workspace", {}).get("lints", {})}
    }


def _composer(text: str) -> Any:
    return {"scripts run": json.loads(text or "{}").get("scripts") or {}}


TREES: dict[str, Callable[[str], Any]] = {
    "pyproject.toml": _pyproject,
    "package.json": _npm,
    "Cargo.toml": _cargo,
    "composer.json": _composer,
}
"""Manifests that hold settings of what judges too."""
