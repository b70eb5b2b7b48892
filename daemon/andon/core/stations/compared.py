"""What a check is held against besides its own tree, and in which order checks start. Pure; it plans nothing itself.

A check that is held against a base has a result for a tree *and* a base: a result that was made against another one is not used
again. With protected paths a change is also run with what judges as its base has it; that is another definition, so it is never
taken for a run of the tree as it stands, nor the other way about.
"""

from collections.abc import Iterable, Iterator

import msgspec

from andon.core.state import Proof, Task
from andon.schema.ids import Oid
from andon.schema.settings import Check, Settings

COVERAGE = ("cobertura", "lcov")


def against_base(check: Check) -> bool:
    """Whether its result is about a tree and the base that it was compared with; lost tests are counted apart from a result."""
    return check.baseline or check.report in COVERAGE or bool(check.use) or bool(check.protect)


def base_run(check: Check) -> bool:
    """Whether the base has to be run too before a change can be judged."""
    return check.report in ("junit", *COVERAGE) or check.baseline


def as_it_stands(check: Check) -> Check:
    """The check of a tree as it stands: nothing is taken from elsewhere."""
    return msgspec.structs.replace(check, protect=()) if check.protect else check


def of_change(check: Check, task: Task | None) -> Check:
    """The check of a task's change: a task that may remove tests is judged by its own."""
    return as_it_stands(check) if task is not None and task.may_remove_tests else check


def comparable(check: Check, proof: Proof, base_tree: Oid) -> bool:
    """Whether a known result was made against this base, where that matters."""
    return not against_base(check) or proof.base_tree == base_tree


def staged(checks: Iterable[Check]) -> Iterator[list[Check]]:
    """The checks stage by stage, in their order."""
    known = list(checks)
    for stage in sorted({check.stage for check in known}):
        yield [check for check in known if check.stage == stage]


def rules_of(check: Check, settings: Settings) -> tuple[tuple[str, str], ...]:
    """For `use = "rules"`: every glob of the settings that lets a change through or holds a path back, and where it stands."""
    if check.use != "rules":
        return ()
    said = [("policy.ship", settings.policy.ship), ("sandbox.hide", settings.sandbox.hide),
            ("sandbox.read_only", settings.sandbox.read_only)]
    said += [(f"checks.{one.name}.{key}", globs) for one in settings.checks.values()
             for key, globs in (("protect", one.protect), ("inputs", one.inputs))]
    stations = {station.name: station for line in settings.lines.values() for station in line.stations}
    said += [(f"stations.{name}.{key}", globs) for name, station in stations.items()
             for key, globs in (("hide", station.hide), ("read_only", station.read_only))]
    return tuple((where, glob) for where, globs in said for glob in globs)
