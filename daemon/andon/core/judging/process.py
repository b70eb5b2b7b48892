"""Folds the process table into facts: alive, at work, gone. Gaps between looks are sleep of the machine, not silence."""

from msgspec.structs import replace

from andon.schema.rules import Thresholds
from andon.schema.signals import Tree

from . import runaway, screens
from .facts import Ask, Processes, Watch

GAP_MS = 75_000
"""A gap between two looks longer than this, and than four usual ones, is a machine that slept."""
MANY = 5
"""So many names of children are told at most."""
EXPECTED_MS = 20_000
"""Looks that come regularly come at least so often."""
IO_RATE = 65_536.0
"""Bytes a second of a tree with children that count as work."""
OWN_RATE = 0.08
"""Share of a core above which the agent itself does more than draw its screen."""


def allowed(tree: Processes) -> int:
    """Milliseconds after a look within which the next one may come."""
    return max(GAP_MS, 4 * tree.usual)


def expected(tree: Processes) -> int:
    """Milliseconds after a look by which the next one was due: past them nobody knows whether the machine is awake."""
    return max(EXPECTED_MS, 4 * tree.usual)


def looked(watch: Watch, look: Tree, limits: Thresholds) -> Watch:
    """After one look at the process table. A look older than the last is not counted."""
    old = watch.tree
    if old.at and look.at <= old.at:
        return watch
    names = (watch.agent, *watch.processes)
    if 0 < len(look.commands) < MANY and all(one.startswith(names) for one in look.commands):
        look = replace(look, children=0)  # all that stands below it bears its own name, and draws for it: no command runs
    gap = look.at - old.at if old.at else 0
    slept = gap > allowed(old)
    tree = _alive(runaway.measured(old, _measured(old, look, limits, 0 if slept else gap), look, limits, 0 if slept else gap), look)
    if gap:
        tree = replace(tree, usual=min(max(1, (3 * old.usual + gap) // 4 if not slept else gap), 3_600_000))
    asks = tuple(_base(ask, look) for ask in watch.asks) if watch.asks and not watch.helpers else watch.asks
    asks, gone = _started(asks)
    watch = replace(watch, tree=tree, asks=asks, settled=(*watch.settled, *gone)[-16:], awake=look.at if slept else watch.awake)
    return screens.prompted(watch, look.at)


def _measured(old: Processes, look: Tree, limits: Thresholds, gap: int) -> Processes:
    """Rates over the gap; none when there is no gap to speak of."""
    rate = io = own = 0.0
    if gap >= 50:
        seconds = gap / 1000
        rate = max(0.0, look.child_cpu_s - old.child_cpu) / seconds
        own = max(0.0, (look.cpu_s - look.child_cpu_s) - (old.cpu - old.child_cpu)) / seconds
        io = max(0, look.io_bytes - old.io) / seconds
    working = rate >= limits.busy_children or (look.children > 0 and io >= IO_RATE)
    offline = 0 if look.network != 0 else old.offline or look.at
    return Processes(
        at=look.at, first=old.first or look.at, seen=old.seen, alive=old.alive, wrapper=old.wrapper, dead=old.dead, looks=old.looks,
        children=look.children, alive_with=old.alive_with, children_at=(old.children_at or look.at) if look.children > 0 else 0,
        busy=look.at if working else old.busy, busy_from=_from(old, look, working, gap),
        busy_gap=gap if working else old.busy_gap,
        own=look.at if own >= OWN_RATE else old.own, rate=rate, cpu=look.cpu_s, child_cpu=look.child_cpu_s, io=look.io_bytes,
        network=look.network, offline=offline, commands=look.commands[:5], usual=old.usual, count=old.count + 1,
    )


def _from(old: Processes, look: Tree, working: bool, gap: int) -> int:
    if not working:
        return old.busy_from
    going_on = old.busy and old.busy_from and look.at - old.busy <= max(15_000, 3 * old.usual)
    return old.busy_from if going_on else look.at - gap


def _alive(tree: Processes, look: Tree) -> Processes:
    if look.alive:
        return replace(tree, seen=True, alive=True, wrapper=look.wrapper, dead=0, looks=0, alive_with=look.children)
    return replace(tree, alive=False, wrapper=look.wrapper, dead=tree.dead or look.at, looks=tree.looks + 1)


def _base(ask: Ask, look: Tree) -> Ask:
    """How many children there were while the ask stood; more of them in two looks say that its tool was let run."""
    if look.at <= ask.at or ask.question:
        return ask
    if ask.base < 0 or look.children <= ask.base:
        return replace(ask, base=look.children, more=0)
    return replace(ask, more=ask.more + 1)


def _started(asks: tuple[Ask, ...]) -> tuple[tuple[Ask, ...], tuple[tuple[str, str], ...]]:
    if not any(ask.more >= 2 for ask in asks):
        return asks, ()
    gone = max((ask for ask in asks if ask.more >= 2), key=lambda ask: ask.at)
    return tuple(ask for ask in asks if ask is not gone), ((gone.ask, "its command runs"),)
