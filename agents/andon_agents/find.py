"""Which adapters there are: the entry points of everybody, ours among them, and the presets. Starts none of them."""

import difflib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import msgspec

from andon.schema.agent import ENTRY_POINTS, Adapter, Assignment, Installed, Launch
from andon.schema.errors import Mistake
from andon.schema.layout import layout
from andon.schema.settings import AgentSettings

from .command import presets
from .hooked import hooked

FILES_LIMIT = 100
"""Files of a person's own that are read."""
FOREIGN = (ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, NameError, OSError, RuntimeError,
           SyntaxError, TypeError, ValueError)
"""What somebody else's module may raise while it is imported."""


class BrokenAdapter(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in for an entry point that could not be loaded, so that the others work and this one says why."""

    name: str
    because: str
    origin: str

    def detect(self) -> tuple[Installed, ...]:
        """Nothing."""
        return ()

    def launch(self, assignment: Assignment) -> Launch:
        """Raises Mistake with the reason."""
        raise Mistake(f"the adapter `{self.name}` cannot be used: {self.because}", where=self.origin,
                      mend=f"repair or update that package, or choose another `use` in [agents.{assignment.agent.name}]")


def adapters() -> Mapping[str, Adapter]:
    """All adapters by the word that `use` takes. An entry point beats a person's file, that beats a preset."""
    found: dict[str, Adapter] = dict(presets())
    found.update(of_person())
    points: dict[str, set[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        points.setdefault(point.name, set()).add(point)
    found.update({name: _opened(name, same) for name, same in points.items()})
    return dict(sorted(found.items()))


def of_person() -> dict[str, Adapter]:
    """The adapters that a person described in `agents/*.toml` of the settings directory. One with a mistake says so when used."""
    found: dict[str, Adapter] = {}
    folder = layout(Path("/")).config / "agents"  # the settings directory does not depend on where the factory lives
    for path in sorted(folder.glob("*.toml"))[:FILES_LIMIT]:
        try:
            found.update(hooked(path.read_text("utf-8"), str(path)))
        except (Mistake, OSError, UnicodeDecodeError) as error:
            because = error.problem.what if isinstance(error, Mistake) else str(error)
            found[path.stem] = BrokenAdapter(name=path.stem, because=because, origin=str(path))
    return found


def adapter_for(agent: AgentSettings) -> Adapter:
    """The adapter of a configured agent. Raises Mistake, with the nearest name, when there is none."""
    known = adapters()
    if agent.use in known:
        return known[agent.use]
    near = difflib.get_close_matches(agent.use, known, n=1, cutoff=0.5)
    hint = f'did you mean use = "{near[0]}"?' if near else 'write use = "command" and command = ["program", "{prompt_file}"]'
    raise Mistake(f"agent `{agent.name}` uses `{agent.use}`, and there is no such adapter",
                  where=f"[agents.{agent.name}] in andon.toml", mend=f"{hint} Known: {', '.join(known)}")


def installed() -> tuple[Installed, ...]:
    """The agent CLIs found on this machine, over all adapters."""
    return tuple(one for adapter in adapters().values() for one in adapter.detect())


def _opened(name: str, points: set[EntryPoint]) -> Adapter:
    """The object behind an entry point, or why it cannot be had."""
    targets = sorted({point.value for point in points})
    packages = sorted({point.dist.name for point in points if point.dist})
    origin = f"entry point `{name}` = `{'` and `'.join(targets)}`, of {' and '.join(packages) or 'an unnamed package'}"
    if len(targets) > 1:
        return BrokenAdapter(name=name, because=f"{len(targets)} packages claim this name", origin=origin)
    try:
        loaded = next(iter(points)).load()
    except FOREIGN as error:
        return BrokenAdapter(name=name, because=f"{type(error).__name__}: {error}", origin=origin)
    if not (isinstance(getattr(loaded, "name", None), str) and callable(getattr(loaded, "detect", None))
            and callable(getattr(loaded, "launch", None))):
        return BrokenAdapter(name=name, because="it has no name, detect and launch", origin=origin)
    adapter: Adapter = loaded
    return adapter
