"""Laid over every verdict: a session that floods its pane, fills the disk, or burns the processor with nothing to show. Pure.

Theory of operation. None of the three is a state: who does it works, thinks or stands at a prompt, and that verdict stays; only its
cause is named, and only where nothing else is wrong. A flood and a burn are measured between two looks at the process table and
must be found at every look for as long as the rules say: one quiet look and it begins anew. What burns counts only when nothing
at all came of it: nothing written, no word of the agent, no model call, no new picture but a spinner, no program known to build or
test. That is still no more than a guess.
"""

import re
from functools import lru_cache

from msgspec.structs import replace

from andon.schema.health import Cause
from andon.schema.rules import Thresholds
from andon.schema.signals import Disk, Tree, Verdict

from .facts import Processes, Watch, Weight
from .moment import Moment, Sure

MB, MIB, GB = 1_000_000, 1024 * 1024, 1_000_000_000
FLOOD_GAP_MS = 20_000
"""Over a longer gap between two looks a burst cannot be told from a flood: it counts only from there."""
SILENT_PANE_MS = 45_000
"""A pane of which tmux heard nothing for so long is not flooded, whatever was counted."""
QUIET_IO = 1024.0
"""Bytes a second that children read and write, below which they do nothing to show for it."""
KNOWN_MS = 150_000
"""A look so old still says that it burns: looks at a session that is silent come once a minute."""
ALL = 5
"""So many names of commands are told at most: where there are so many, there may be others."""
_WORD = re.compile(r"[\w.+@/-]+")


# --- folding ---------------------------------------------------------------------------------------------------------


def measured(old: Processes, new: Processes, look: Tree, limits: Thresholds, gap: int) -> Processes:
    """`new` with what this look shows of floods and burns. `gap`: milliseconds since the last look; 0: nothing lasts over it."""
    new = replace(new, poured=look.pane_bytes, written=look.written)
    return _burning(old, _flooding(old, new, limits, gap), look, limits, gap)


def _flooding(old: Processes, new: Processes, limits: Thresholds, gap: int) -> Processes:
    if gap < 50 or old.poured < 0 or new.poured < 0:
        return new
    pouring = max(0, new.poured - old.poured) * 1000 / gap
    if pouring < limits.flood_mb_s * MB or not limits.flood_mb_s:
        return replace(new, pouring=pouring)
    if gap > FLOOD_GAP_MS:
        return replace(new, pouring=pouring, flood_from=new.at)
    return replace(new, pouring=pouring, flood_from=old.flood_from or new.at - gap, floods=old.floods + 1)


def _burning(old: Processes, new: Processes, look: Tree, limits: Thresholds, gap: int) -> Processes:
    if gap < 50 or old.written < 0 or look.written != old.written or not limits.cpu_share:
        return new  # where nobody counts what is written, nobody can say that nothing is
    seconds = gap / 1000
    if (new.cpu - old.cpu) / seconds < limits.cpu_share or (new.io - old.io) / seconds >= QUIET_IO:
        return new
    if old.burn_from:
        return replace(new, burn_from=old.burn_from, burn_cpu=old.burn_cpu)
    return replace(new, burn_from=new.at - gap, burn_cpu=old.cpu)


def weighed(watch: Watch, signal: Disk, limits: Thresholds) -> Watch:
    """After the checkout was weighed."""
    old = watch.disk
    if signal.at < old.at:
        return watch
    new = Weight(at=signal.at, weight=signal.weight, grown=signal.grown, free=signal.free, written=signal.written,
                 whole=signal.whole)
    return replace(watch, disk=replace(new, since=(old.since or signal.at) if _too_much(new, limits) else 0))


def _too_much(disk: Weight, limits: Thresholds) -> bool:
    return _grew(disk, limits) or _full(disk, limits)


def _grew(disk: Weight, limits: Thresholds) -> bool:
    return 0 < limits.disk_gb * GB <= disk.grown


def _full(disk: Weight, limits: Thresholds) -> bool:
    """The file system runs full, and this session has a part in it."""
    return 0 <= disk.free < limits.disk_free_mb * MIB and disk.written > 0 and disk.written * 10 >= limits.disk_gb * GB


# --- judging ---------------------------------------------------------------------------------------------------------


def named(m: Moment, verdict: Verdict) -> Verdict:
    """The verdict with the cause that it has by what it does to the machine, where it has no worse one."""
    if verdict.cause not in ("", "idle-at-prompt") or verdict.health in ("crashed", "finished", "suspended"):
        return verdict
    return _floods(m, verdict) or _fills(m, verdict) or _burns(m, verdict) or _soon(m, verdict)


def _floods(m: Moment, verdict: Verdict) -> Verdict | None:
    tree, drew = m.watch.tree, m.watch.pane.activity
    if tree.floods < 2 or not m.fresh("process", tree.at) or tree.at - tree.flood_from < m.limits.flood_s * 1000:
        return None
    if drew and tree.at - drew * 1000 > SILENT_PANE_MS:
        return None  # tmux says that nothing came: what was counted went elsewhere, while another pane was flooded
    because = f"floods its terminal: {tree.pouring / MB:.1f} MB a second, for {m.seconds(tree.flood_from)}"
    return _over(m, verdict, "flooding", because, "pane-floods", tree.flood_from, again=10.0,
                 told=f"process: {tree.poured / MB:.0f} MB into its terminal so far")


def _fills(m: Moment, verdict: Verdict) -> Verdict | None:
    disk, limits = m.watch.disk, m.limits
    if not disk.since or not _too_much(disk, limits):
        return None
    least = "" if disk.whole else "at least "
    told = (f"disk: the checkout takes {least}{disk.weight / GB:.1f} GB, {disk.free / GB:.1f} GB are free on its file system, "
            f"its processes wrote {disk.written / GB:.1f} GB; weighed {m.seconds(disk.at)} ago")
    if _grew(disk, limits):
        because = f"its checkout grew by {least}{disk.grown / GB:.1f} GB in this sitting (the bound is {limits.disk_gb:g})"
        return _over(m, verdict, "disk", because, "checkout-grows", disk.since, told=told)
    because = f"{disk.free // MIB} MB are left on its file system, and it wrote {disk.written / GB:.1f} GB"
    return _over(m, verdict, "disk", because, "disk-nearly-full", disk.since, told=told)


def _burns(m: Moment, verdict: Verdict) -> Verdict | None:
    """The processor burns, and nothing came of it."""
    tree = m.watch.tree
    since = _fruitless(m)
    if not since or verdict.cause or m.silence(tree.at) > KNOWN_MS or tree.at - since < m.limits.cpu_s * 1000 or _builds(m):
        return None
    share = (tree.cpu - tree.burn_cpu) * 1000 / max(1, tree.at - tree.burn_from)
    because = (f"uses {share:.1f} core(s) for {m.seconds(since)} and has nothing to show for it: nothing written, no word, "
               f"no known build or test ({m.commands('itself')})")
    return _over(m, verdict, "cpu", because, "processor-burns", since, sure="guess", again=60.0,
                 told=f"process: {tree.cpu - tree.burn_cpu:.0f} s of processor since it began")


def _fruitless(m: Moment) -> int:
    """Since when the processor burns and nothing else moves; 0: it does not burn, or a person is at it."""
    watch, pane, model = m.watch, m.watch.pane, m.watch.model
    if not watch.tree.burn_from or watch.attended:
        return 0
    picture = 0 if pane.health in ("working", "thinking") else pane.changed  # a spinner that turns shows nothing
    return max(watch.tree.burn_from, watch.sign, watch.files, watch.awake, model.asked, model.ended, model.spoke, m.flight, picture)


def _builds(m: Moment) -> bool:
    """Whether a program runs, or is named in a command that was told, that may well take long. Among many there may be one."""
    commands = m.watch.tree.commands
    told = [word.rpartition("/")[2] for tool in m.watch.tools for word in _WORD.findall(tool.target)]
    return len(commands) >= ALL or any(_known(m.rules.builders, name) for name in (*commands, *told))


def _known(builders: tuple[str, ...], name: str) -> bool:
    pattern = _globs(builders)
    return pattern is not None and bool(pattern.fullmatch(name))


@lru_cache(maxsize=4)
def _globs(builders: tuple[str, ...]) -> re.Pattern[str] | None:
    """All globs as one expression; None when there are none."""
    if not builders:
        return None
    return re.compile("|".join(re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in builders))


def _over(m: Moment, verdict: Verdict, cause: Cause, because: str, rule: str, since: int, *, told: str, sure: Sure = "likely",
          again: float = 0.0) -> Verdict:
    """The same state with a cause, and what it would be without. `again`: seconds after which another look may end it."""
    ahead = m.due(m.watch.tree.at, again) if again else 0
    found = m.say(verdict.health, because, "process", since, rule, cause=cause, sure=sure, numbers=(told, *m.numbers()),
                  look=(verdict.look_at, ahead))
    return replace(found, until=verdict.until, conflict=verdict.conflict or f"{verdict.source}: {verdict.because}"[:300])


def _soon(m: Moment, verdict: Verdict) -> Verdict:
    """The verdict as it is, with the moment at which what began may have lasted for long enough."""
    tree, since = m.watch.tree, _fruitless(m)
    ahead = [m.due(tree.flood_from, m.limits.flood_s)] if tree.flood_from else []
    ahead += [m.due(since, m.limits.cpu_s)] if since and not _builds(m) else []
    ahead = [one for one in (verdict.look_at, *ahead) if one > m.at]
    return replace(verdict, look_at=min(ahead)) if ahead and min(ahead) != verdict.look_at else verdict
