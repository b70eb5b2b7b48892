"""Rules by which a session is judged: data, not code. A person adds to them without a release; they are read live.

The file that comes with the program is `andon_config/rules.toml`; a person's own is `rules.toml` in the settings directory.
A rule of the same name replaces ours, `enabled = false` takes one away.
"""

from typing import Literal

import msgspec

from andon.schema.health import Cause, Health, Source, Trouble
from andon.schema.settings import Step


class ScreenRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a pane that looks so means. The weakest source: it only speaks where nothing better does."""

    name: str
    agent: str = "*"
    """A glob on the adapter's name."""
    health: Health
    cause: Cause = ""
    all: tuple[str, ...] = ()
    """Regular expressions that must all be found (multi-line, on the rows that `where` names)."""
    none: tuple[str, ...] = ()
    """Expressions of which none may be found."""
    where: str = "all"
    """`all`, `title`, `first:N` or `last:N`: the N last rows that are not blank."""
    keys: dict[str, tuple[str, ...]] = {}
    """For a prompt: the tmux keys that answer `allow`, `deny` or `dismiss` it. Sent only when the pane still matches."""
    trouble: Trouble = "unknown"
    until: str = ""
    """An expression whose first group is seconds until a limit ends."""
    steady_s: float = 0.0
    """So long must the screen look so."""
    confidence: Literal["likely", "guess"] = "likely"
    enabled: bool = True
    example: str = ""
    """A screen that must match: `andon explain --test-rules` tries it."""
    counter: str = ""
    """A screen that must not."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """When silence and repetition mean something. Seconds unless said."""

    hung_s: float = 90.0
    """A model call is open and gives nothing, and nothing else of the session moves."""
    silent_s: float = 600.0
    """No source at all has said anything, no child runs, no file changes."""
    idle_s: float = 20.0
    """At its prompt after a turn, the task open."""
    dead_s: float = 5.0
    """The agent's process is gone for this long while its wrapper stands."""
    same_calls: int = 6
    """Equal calls with equal results in a row."""
    same_cycle: int = 4
    """Times that a cycle of up to four calls repeats."""
    compactions: int = 4
    """Compactions within `compaction_s` without a tool between them."""
    compaction_s: float = 600.0
    reverts: int = 4
    """Times that one file goes back to what it was."""
    flood_mb_s: float = 2.0
    """MB a second into the pane, at every look for `flood_s`: nobody reads that, and no build or test prints as much as that."""
    flood_s: float = 30.0
    disk_gb: float = 10.0
    """GB by which a checkout grew in one sitting."""
    disk_free_mb: float = 2048.0
    """MB left on the checkout's file system below which a session that wrote a tenth of `disk_gb` is named."""
    cpu_share: float = 0.9
    """Of one core, used by a session's whole tree at every look for `cpu_s` without anything to show for it."""
    cpu_s: float = 1800.0
    busy_children: float = 0.02
    """Share of a core above which a child counts as at work."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    screens: tuple[ScreenRule, ...] = ()
    thresholds: Thresholds = Thresholds()
    freshness: dict[Source, float] = {}
    """Seconds for which a source's last word counts while it says nothing more."""
    ladders: dict[Cause, tuple[Step, ...]] = {}
    builders: tuple[str, ...] = ()
    """Globs on names of programs that use a processor for long and are right to: builds, tests, installs, encoders. A person's own
    go on top of ours. While one of them runs, nobody is said to burn the processor."""
