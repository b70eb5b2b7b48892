"""Says what a second version of the settings judges less, or more, than the first. Pure; knows no file and no change.

A difference counts as loosening when a change could land after it that could not land before, with less seen or proven, or when
an agent could reach more. What cannot be compared (a check's command) counts as loosening: whoever changes it may have taken
everything out of it.
"""

from collections.abc import Iterable, Iterator, Sequence

from andon.schema.eventbase import Risk
from andon.schema.facts import FIXED, MEANING
from andon.schema.settings import Check, Line, Policy, Queue, Settings, Walls

FINDINGS = {"note": 0, "warning": 1, "error": 2}
"""The least level of a finding that counts: a higher one lets more through."""
KNOWN = ("name", "run", "report", "minimum_tests", "minutes", "memory_mb", "output_mb", "stage", "minimum", "minimum_changed",
         "protect", "inputs", "fail_on", "baseline", "own_too", "max_age_days")
"""Fields of a check that there is a rule for, or that let nothing through."""
RANK: dict[str, int] = {"ship": 0, "review": 1, "stop": 2}
LEVEL = {"none": 0, "partial": 1, "strict": 2, "best": 2}
WHEN = {"never": 0, "policy": 1, "always": 2}
LIGHTS = {"on": 0, "dim": 1, "dark": 2}


def loosened(before: Settings, after: Settings) -> tuple[str, ...]:
    """What judges less in `after`, each in a few words; empty when nothing does."""
    return tuple(
        dict.fromkeys(
            (
                *_checks(before.checks, after.checks),
                *_policy(before.policy, after.policy),
                *_lines(before.lines, after.lines),
                *_walls(before.sandbox, after.sandbox),
                *_queue(before.queue, after.queue),
                *_permissions(before, after),
                *_rest(before, after),
            )
        )
    )


def _gained(before: Iterable[str], after: Iterable[str]) -> list[str]:
    known = set(before)
    return [value for value in after if value not in known]


def _lists(pairs: Sequence[tuple[str, Iterable[str], Iterable[str]]]) -> Iterator[str]:
    """Lists in which every entry lets more through: (name, before, after)."""
    for name, before, after in pairs:
        for value in _gained(before, after):
            yield f"{name} gains {value}"


def _lost(pairs: Sequence[tuple[str, Iterable[str], Iterable[str]]]) -> Iterator[str]:
    """Lists in which every entry holds something back."""
    for name, before, after in pairs:
        for value in _gained(after, before):
            yield f"{name} loses {value}"


def _checks(before: dict[str, Check], after: dict[str, Check]) -> Iterator[str]:
    for name, old in sorted(before.items()):
        new = after.get(name)
        if new is None:
            yield f"removes check {name}"
            continue
        if new.run != old.run:
            yield f"check {name} runs another command"
        if new.report != old.report:
            yield f"check {name} is read as {new.report}, not as {old.report}"
        if new.minimum_tests < old.minimum_tests:
            yield f"check {name}: minimum_tests {old.minimum_tests} -> {new.minimum_tests}"
        yield from _asked(name, old, new)
        yield from _unknown(f"check {name}", old, new, KNOWN)


def _asked(name: str, old: Check, new: Check) -> Iterator[str]:
    """What a check asks for beside its command."""
    for field in ("minimum", "minimum_changed"):
        if getattr(new, field) < getattr(old, field):
            yield f"check {name}: {field} {getattr(old, field):g} -> {getattr(new, field):g}"
    yield from _lost(((f"check {name} protect", old.protect, new.protect), (f"check {name} inputs", old.inputs, new.inputs)))
    if FINDINGS.get(new.fail_on, 0) > FINDINGS.get(old.fail_on, 0):
        yield f"check {name}: fail_on {old.fail_on} -> {new.fail_on}"
    if new.baseline and not old.baseline:
        yield f"check {name} lets findings of the base pass"
    if old.own_too and not new.own_too:
        yield f"check {name} no longer runs with a change's own files"
    if new.max_age_days > old.max_age_days:
        yield f"check {name}: max_age_days {old.max_age_days} -> {new.max_age_days}"


def _unknown(where: str, before: object, after: object, known: tuple[str, ...]) -> Iterator[str]:
    """Fields that this module has no rule for: another value may mean anything, so it counts."""
    fields: tuple[str, ...] = getattr(before, "__struct_fields__", ())
    for field in fields:
        if field not in known and getattr(before, field) != getattr(after, field):
            yield f"{where}: {field} changed"


def class_of(policy: Policy, rule: str) -> Risk:
    """The class that a fact of this kind has under a policy."""
    known = MEANING[rule][0]
    asked = policy.classes.get(rule, known)
    return max(known, asked, key=RANK.__getitem__) if rule in FIXED else asked


def _policy(before: Policy, after: Policy) -> Iterator[str]:
    yield from _lists((("[policy] ship", before.ship, after.ship),))
    yield from _lost(
        (
            ("[policy] review", before.review, after.review),
            ("[policy] stop", before.stop, after.stop),
            ("[policy.symbols] stop", before.symbols.stop, after.symbols.stop),
            ("[policy.symbols] review", before.symbols.review, (*after.symbols.review, *after.symbols.stop)),
            *((f"[policy.data] {name}", globs, after.data.get(name, ())) for name, globs in sorted(before.data.items())),
        )
    )
    if LEVEL[after.walls] < LEVEL[before.walls]:
        yield f"[policy] walls {before.walls} -> {after.walls}"
    for rule in MEANING:
        old, new = class_of(before, rule), class_of(after, rule)
        if RANK[new] < RANK[old]:
            yield f"[policy.classes] {rule} {old} -> {new}"
    for owner, old in sorted(before.owners.items()):
        new = after.owners.get(owner, "ship")
        if RANK[new] < RANK[old]:
            yield f"[policy.owners] {owner} {old} -> {new}"
    for field in ("review_lines", "stop_lines", "review_files", "stop_files"):
        yield from _limit(f"[policy.size] {field}", getattr(before.size, field), getattr(after.size, field))
    if after.waiver_days > before.waiver_days:
        yield f"[policy] waiver_days {before.waiver_days} -> {after.waiver_days}"
    yield from _lost((("[policy] stop_roles", before.stop_roles, after.stop_roles),))
    if after.stop_keys < before.stop_keys:
        yield f"[policy] stop_keys {before.stop_keys} -> {after.stop_keys}"
    known = ("ship", "review", "stop", "walls", "symbols", "data", "classes", "owners", "size", "waiver_days", "floors",
             "stop_roles", "stop_keys")
    yield from _unknown("[policy]", before, after, known)
    yield from _unknown("[policy.floors]", before.floors, after.floors, ())


def _limit(name: str, before: float, after: float) -> Iterator[str]:
    """A limit of which 0 means none."""
    if before and (not after or after > before):
        yield f"{name} {before:g} -> {f'{after:g}' if after else 'no limit'}"


def _lines(before: dict[str, Line], after: dict[str, Line]) -> Iterator[str]:
    for name, new in sorted(after.items()):
        old = before.get(name)
        if old is None:
            if not any(station.kind == "check" for station in new.stations) or any(
                station.kind == "gate" and station.when == "never" for station in new.stations
            ):
                yield f"a new line {name} lands with less than its checks and its gate"
            if LIGHTS[new.lights]:
                yield f"a new line {name} with lights = {new.lights}"
            continue
        if LIGHTS[new.lights] > LIGHTS[old.lights]:
            yield f"line {name}: lights {old.lights} -> {new.lights}"
        yield from _stations(name, old, new)


def _stations(name: str, before: Line, after: Line) -> Iterator[str]:
    stations = {station.name: station for station in after.stations}
    for old in before.stations:
        new = stations.get(old.name)
        if new is None or new.kind != old.kind:
            if old.kind not in ("agent", "land"):
                yield f"line {name} loses the {old.kind} station {old.name}"
            continue
        if new.checks != old.checks and new.checks and (not old.checks or set(old.checks) - set(new.checks)):
            yield f"station {old.name} proves fewer checks"
        if WHEN.get(new.when, 0) < WHEN.get(old.when, 0):
            yield f"station {old.name}: when {old.when} -> {new.when}"
        yield from _lost(
            ((f"station {old.name} hide", old.hide, new.hide), (f"station {old.name} read_only", old.read_only, new.read_only))
        )
        yield from _unknown(
            f"station {old.name}", old, new, ("name", "kind", "wip", "agent", "checks", "when", "hide", "read_only")
        )
    order = [station.name for station in after.stations if station.name in {old.name for old in before.stations}]
    if order != [old.name for old in before.stations if old.name in order]:
        yield f"line {name} has its stations in another order"


def _walls(before: Walls, after: Walls) -> Iterator[str]:
    yield from _lists(
        tuple(
            (f"[sandbox] {field}", getattr(before, field), getattr(after, field))
            for field in ("hosts", "registries", "read", "write", "devices", "env", "secrets", "unbaited")
        )
    )
    yield from _lost((("[sandbox] hide", before.hide, after.hide), ("[sandbox] read_only", before.read_only, after.read_only)))
    if LEVEL[after.level] < LEVEL[before.level] or (before.level, after.level) == ("strict", "best"):
        yield f"[sandbox] level {before.level} -> {after.level}"
    order = {"none": 0, "allow-list": 1, "host": 2}
    for field in ("network", "check_network"):
        old, new = getattr(before, field), getattr(after, field)
        if order[new] > order[old]:
            yield f"[sandbox] {field} {old} -> {new}"
    if before.baits and not after.baits:
        yield "[sandbox] baits are off"


def _queue(before: Queue, after: Queue) -> Iterator[str]:
    if (before.history, after.history) == ("green", "tips"):
        yield "[queue] history green -> tips"
    if after.flaky > before.flaky:
        yield f"[queue] flaky {before.flaky} -> {after.flaky}"
    if (before.revert, after.revert) == ("ask", "auto"):
        yield "[queue] revert ask -> auto"
    if before.publish == "none" and after.publish != "none":
        yield f"[queue] publish none -> {after.publish}"
    yield from _lists((("[queue] drivers", before.drivers, after.drivers),))


def _permissions(before: Settings, after: Settings) -> Iterator[str]:
    old, new = before.permissions, after.permissions
    yield from _lists((("[permissions] allow", old.allow, new.allow),))
    yield from _lost((("[permissions] deny", old.deny, new.deny), ("[permissions] ask", old.ask, (*new.ask, *new.deny))))
    order = {"deny": 0, "ask": 1, "allow": 2}
    if order.get(new.default, 2) > order.get(old.default, 2):
        yield f"[permissions] default {old.default} -> {new.default}"


def _rest(before: Settings, after: Settings) -> Iterator[str]:
    for name, agent in sorted(after.agents.items()):
        known = before.agents.get(name)
        if agent.approve == "all" and (known is None or known.approve != "all"):
            yield f"agent {name} is told to ask nothing"
        if agent.login == "copy" and (known is None or known.login != "copy"):
            yield f"agent {name} is given your login"
    if after.target != before.target:
        yield f"[factory] target {before.target} -> {after.target}"
    if (before.checkout.isolation, after.checkout.isolation) == ("clone", "worktree"):
        yield "[checkout] isolation clone -> worktree"
    yield from _lists((("[checkout] keep", before.checkout.keep, after.checkout.keep),))
    if before.checkout.setup != after.checkout.setup:
        yield "[checkout] setup runs other commands"
    for field in ("usd", "tokens", "attempt_usd", "day_usd"):
        yield from _limit(f"[budget] {field}", getattr(before.budget, field), getattr(after.budget, field))
