"""Compares what two versions of a manifest or lock file bring in; it must never ask a registry about it."""

import re
from collections.abc import Iterator

from andon.edges.facts.manifests import LOCKS, SCRIPTS, Package, Packages, host_of, reader_of
from andon.edges.facts.patch import File
from andon.schema.facts import Fact, Rule

NAMED = 40
"""Packages of one file that are named one by one."""


def seen(file: File, before: str, after: str) -> Iterator[Fact]:
    """What the change of one manifest or lock file brings. Nothing for a file that is none."""
    read = reader_of(file.path)
    if read is None:
        return
    try:
        old, new = read(before), read(after)
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
        yield Fact(
            rule="unread",
            path=file.path,
            what=f"its dependencies cannot be read ({type(error).__name__}), so nobody knows what it brings in",
        )
        return
    where = _Where(file)
    found = list(_compared(file.path, old, new, where))
    yield from found[:NAMED]
    rest: dict[Rule, int] = {}
    for fact in found[NAMED:]:
        rest[fact.rule] = rest.get(fact.rule, 0) + 1
    for rule, times in rest.items():
        yield Fact(rule=rule, path=file.path, what=f"{times} more of this kind")


def of_lines(file: File, before: str, after: str) -> Iterator[Fact]:
    """The same for changed lines alone: what reads as a package is taken for one."""
    read = reader_of(file.path)
    if read is None:
        return
    sides = []
    for text in (before, after):
        try:
            known = read(text) if text.strip() else {}
        except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
            known = {}
        sides.append(known or by_words(text))
    yield from list(_compared(file.path, sides[0], sides[1], _Where(file)))[:NAMED]


def by_words(text: str) -> Packages:
    """Packages of a fragment: a name with a version, an address or a digest behind it, whatever the format."""
    found: Packages = {}
    last = ""
    for line in text.splitlines():
        if said := re.match(
            r"""^\s*['"]?(?:node_modules/)?([@A-Za-z][\w@./-]*)['"]?\s*[:=]\s*['"{]?\s*(.*?)['"},]*\s*$""", line[:2000]
        ):
            key, value = said[1], said[2]
            last = _field(found, last, key, value)
        elif said := re.match(r"""^\s*['"]([A-Za-z][\w.-]*)\s*(?:\[[^\]]*\])?\s*([=<>!~^][^'"]*)?['"],?\s*$""", line[:2000]):
            found[said[1].lower()] = Package(said[2] or "")
    return found


def _field(found: Packages, last: str, key: str, value: str) -> str:
    """Put one `key: value` where it belongs; the package that the next lines speak of."""
    field = {
        "version": "version",
        "resolved": "source",
        "tarball": "source",
        "source": "source",
        "url": "source",
        "registry": "source",
        "integrity": "digest",
        "checksum": "digest",
        "sha256": "digest",
    }.get(key)
    if key in SCRIPTS and not re.match(r"[\^~<>=]?\d", value):
        found[f"script {key}"] = Package(script=value)
    elif key == "hasInstallScript":
        found[last or "a package"] = Package(script="its own install script")
    elif key == "name":
        found[value] = Package()
        return value
    elif field is None and (
        re.match(r"[\^~<>=*v]*\d|\*|latest|git|http|file:|link:|npm:|github:|[\w-]+/[\w-]+", value) or not value
    ):
        found[key] = Package(
            "" if re.match(r"git|http|file:|link:|github:|[\w-]+/[\w-]+", value) else value,
            value if re.match(r"git|http|file:|link:|github:", value) else "",
        )
        return key
    elif field is not None:
        said = host_of(value) if field == "source" else value
        old = found.get(last or key, Package())
        found[last or key] = Package(
            said if field == "version" else old.version,
            said if field == "source" else old.source,
            said if field == "digest" else old.digest,
            old.script,
        )
    return last


class _Where:
    """Where a package's name stands among the changed lines."""

    def __init__(self, file: File) -> None:
        self._lines = [line for line in file.lines if line.added] or list(file.lines)

    def of(self, name: str) -> int:
        """The first changed line that names it; 0 when none does."""
        word = name.split(" ")[-1].rsplit("/", 1)[-1].rsplit(":", 1)[-1].lower()
        return next((line.number for line in self._lines if word and word in line.text.lower()), 0)


def _compared(path: str, old: Packages, new: Packages, where: _Where) -> Iterator[Fact]:
    lock = bool(LOCKS.search(path))
    for name, package in new.items():
        known = old.get(name)
        line = where.of(name)
        if known is None:
            yield _arrived(path, name, package, line, lock)
            continue
        yield from _changed(path, name, known, package, line)
    for name in old:
        if name not in new:
            yield Fact(rule="dependency", path=path, name=name, line=where.of(name), what=f"{name} is gone")


def _arrived(path: str, name: str, package: Package, line: int, lock: bool) -> Fact:
    if package.script:
        return Fact(
            rule="dependency-script", path=path, name=name, line=line, what=f"{name} runs when it is installed: {package.script}"
        )
    if package.source:
        return Fact(rule="dependency-source", path=path, name=name, line=line, what=f"{name} comes from {package.source}")
    kind = "in the lock file" if lock else "a dependency"
    return Fact(
        rule="dependency-new", path=path, name=name, line=line, what=f"{name} {package.version} is new: {kind}".replace("  ", " ")
    )


def _changed(path: str, name: str, old: Package, new: Package, line: int) -> Iterator[Fact]:
    if new.script and new.script != old.script:
        yield Fact(
            rule="dependency-script", path=path, name=name, line=line, what=f"{name} now runs when it is installed: {new.script}"
        )
    if new.source != old.source:
        told = f"{name} comes from {new.source or 'the registry'}, before from {old.source or 'the registry'}"
        yield Fact(rule="dependency-source", path=path, name=name, line=line, what=told)
    if new.version == old.version and old.digest and new.digest != old.digest and not _fewer(old.digest, new.digest):
        yield Fact(
            rule="dependency-altered", path=path, name=name, line=line, what=f"{name} {new.version} has other bytes than before"
        )
    elif new.version != old.version:
        told = f"{name} {old.version or '(any)'} -> {new.version or '(any)'}"
        yield Fact(rule="dependency", path=path, name=name, line=line, what=told)


def _fewer(old: str, new: str) -> bool:
    """Whether hashes were only dropped. One that comes on top lets other bytes in."""
    return set(re.split(r"\s+", new)) < set(re.split(r"\s+", old))
