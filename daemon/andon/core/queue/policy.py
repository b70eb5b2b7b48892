"""The queue's policy, prefix search: what to prove, land, reject and cancel now. It must never know tasks, git or time itself.

*Theory of operation.* Free slots prove prefixes of the queue, cut where they tell most of where the first failing change stands
(`cuts`). The longest pass lands; the smallest failing prefix brackets a culprit; a culprit that stands alone on the trunk is proved
again. Each change in the bracket is also a hypothesis: if it is the culprit, the queue goes on *without* it, and that queue has
prefixes of its own, and failures, and hypotheses. Slots go to the cut that parts most, weighed by how likely its queue comes true;
where cuts part little, to groups of changes apart from the queue (`apart`).
Nothing is remembered: the proofs of a queue without a suspect become proofs of a prefix when the suspect is gone.
"""

import heapq
from collections.abc import Iterator

import msgspec

from .apart import BLAME, GROUP, LIKELY, Apart
from .cuts import Ruler, first_failure
from .look import UNEVALUATED, Entry, Look, Plan, Running, Tried, Want

LONGEST = 128
"""Members of one proof, at most."""
LEAST = 0.1
"""A proof that is less likely than this to part anything is not worth a run."""
SURE = 0.95
"""How likely a change that failed alone fails again."""
SCENES = 96
"""Queues that are looked at in one plan, at most."""

Useful = dict[tuple[str, ...], tuple[int, float]]
"""Members being proved: how many times at once, and how far the farthest got."""


class Scene(msgspec.Struct, frozen=True):
    """The queue as it would be without some of its changes, and what is known of its prefixes."""

    gone: tuple[str, ...]
    """Left out, in order of the queue: each is the first culprit of the queue without those before it."""
    line: tuple[Entry, ...]
    """Who stands in it: nobody who clashes with one before."""
    keys: tuple[str, ...]
    low: int
    """The longest prefix that passed, or is good if the hypotheses are."""
    high: int
    """The shortest longer one that failed; one past the end when none did."""
    stop: int
    """The shortest longer one that cannot be evaluated; one past the end when all can."""
    book: Tried
    """What is known of the prefix of length `high`."""

    @property
    def failing(self) -> bool:
        """A prefix fails, so one of (low, high] is to blame."""
        return self.high <= len(self.line)

    @property
    def narrowed(self) -> bool:
        """It can only be the last of that prefix."""
        return self.failing and self.high == self.low + 1


class Book:
    """One look, read so that questions about it are cheap."""

    def __init__(self, look: Look) -> None:
        """Nothing is kept beyond one plan."""
        self.look = look
        self.foes: dict[str, set[str]] = {}
        for one, other in look.clashes:
            self.foes.setdefault(one, set()).add(other)
            self.foes.setdefault(other, set()).add(one)
        self.all = frozenset(entry.key for entry in look.order)
        self.apart = Apart(look)
        self.scenes: dict[tuple[str, ...], Scene] = {}

    def scene(self, gone: tuple[str, ...], floor: int) -> Scene:
        """The queue without `gone`; its first `floor` members are taken for good."""
        if gone not in self.scenes:
            self.scenes[gone] = self._scene(gone, floor)
        return self.scenes[gone]

    def _scene(self, gone: tuple[str, ...], floor: int) -> Scene:
        line = tuple(self._standing(frozenset(gone)))
        keys = tuple(entry.key for entry in line)
        known = {len(t.members): t for t in self.look.tried if t.members and keys[: len(t.members)] == t.members}
        confirm, past = self.look.confirm, len(line) + 1
        low = max([floor, *(n for n, t in known.items() if t.passed(confirm))])
        high = min([past, *(n for n, t in known.items() if n > low and (t.failed() or t.guilty(confirm)))])
        stop = min([past, *(n for n, t in known.items() if n > low and t.unevaluated >= UNEVALUATED)])
        return Scene(gone, line, keys, low, high, stop, known.get(high, Tried(members=())))

    def _standing(self, gone: frozenset[str]) -> Iterator[Entry]:
        """Those who are neither gone nor aside nor clash with one before them nor need one who does not stand before them."""
        standing: set[str] = set()
        out = gone | self.apart.aside
        for entry in self.look.order:
            if entry.key in out or entry.key in standing or not standing.isdisjoint(self.foes.get(entry.key, ())):
                continue
            if any(need in self.all and need not in standing for need in entry.needs):
                continue
            standing.add(entry.key)
            yield entry
            if len(standing) == LONGEST:
                return

    def owed(self, scene: Scene) -> int:
        """Further failures that a narrowed scene needs before its suspect is guilty; none if it cannot be evaluated."""
        if not scene.narrowed or scene.stop <= scene.high or scene.book.guilty(self.look.confirm):
            return 0
        return (1 + self.look.confirm) * (1 + scene.book.passes) - scene.book.fails

    def home(self, members: tuple[str, ...]) -> Scene | None:
        """The scene of which these members are a prefix, and in which proving them could still change something."""
        scene = self.scene((), 0)
        for _ in range(LONGEST):
            same = shared(members, scene.keys)
            if same == len(members):
                asked = scene.low < same < scene.high or (same == scene.high and self.owed(scene) > 0)
                return scene if asked else None
            if not scene.failing or not scene.low <= same < scene.high:
                return None
            scene = self.scene((*scene.gone, scene.keys[same]), same)
        return None


def shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many members they have in common from the start."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))


def sort(book: Book) -> tuple[Useful, tuple[str, ...]]:
    """Which proofs under way are of use, and the landings that are of none."""
    useful: Useful = {}
    cancel = list(book.apart.idle)
    for run in book.look.running:
        if run.why == "apart":
            continue
        count, spent = useful.get(run.members, (0, 0.0))
        if of_use(book, run, count):
            useful[run.members] = count + 1, max(spent, run.spent)
        else:
            cancel.append(run.landing)
    return useful, tuple(cancel)


def of_use(book: Book, run: Running, same: int) -> bool:
    """Its result could change something, and `same` others of the same members do not give it already."""
    scene = book.home(run.members) if run.members else None
    if scene is None:
        return False
    return same < (book.owed(scene) if len(run.members) == scene.high else 1)


class Field:
    """A scene whose cuts compete for slots with those of other scenes."""

    def __init__(self, scene: Scene, weight: float, useful: Useful, soonest: float) -> None:
        """`weight`: how likely the scene comes true; `useful`: proofs under way."""
        self.scene, self.weight = scene, weight
        top = min(scene.high, scene.stop)
        made = {len(m): far for m, (_, far) in useful.items() if scene.low < len(m) < top and scene.keys[: len(m)] == m}
        self.so_far = first_failure([entry.risk for entry in scene.line], scene.low, top, made, soonest)
        self.ruler = Ruler(self.so_far, scene.low, top, tuple(made)) if top - scene.low > 1 else None

    def worth(self) -> float:
        """What its next cut is worth."""
        return self.weight * self.ruler.worth() if self.ruler else 0.0

    def wants(self) -> Iterator[Want]:
        """The cuts that it got."""
        gone = self.scene.gone
        for n in self.ruler.cuts() if self.ruler else ():
            yield Want(members=self.scene.keys[:n], why="without" if gone else "prefix", suspect=gone[0] if gone else "")


class Share:
    """Gives free slots to what parts most: cuts of scenes, repeats of suspects, and scenes that are only hypotheses."""

    def __init__(self, book: Book, useful: Useful) -> None:
        """`useful`: proofs under way."""
        self.book, self.useful = book, useful
        self.heap: list[tuple[float, int, Field | Scene | Want | tuple[tuple[str, ...], int]]] = []
        self.weights: dict[int, float] = {}
        self.fields: list[Field] = []
        self.repeats: list[Want] = []
        self.pushed = 0
        self.open(book.scene((), 0), 1.0)
        for want in book.apart.blame():
            self.push(BLAME, want)
        for want in book.apart.groups(self.met()):
            self.push(GROUP, want)

    def met(self) -> int:
        """Behind how many of the queue its first failure is likely."""
        so_far = self.fields[0].so_far
        return next((n for n, mass in enumerate(so_far) if mass >= LIKELY), len(so_far))

    def push(self, worth: float, what: Field | Scene | Want | tuple[tuple[str, ...], int]) -> None:
        """Something that a slot may be spent on, or a hypothesis to look into."""
        if worth >= LEAST:
            self.pushed += 1
            heapq.heappush(self.heap, (-worth, self.pushed, what))

    def open(self, scene: Scene, weight: float) -> None:
        """Enter a scene: what it would prove, and the hypotheses that it leads to."""
        for _ in range(self.book.owed(scene) - self.useful.get(scene.keys[: scene.high], (0, 0.0))[0]):
            self.push(weight, scene)
        field = Field(scene, weight, self.useful, self.book.look.soonest)
        self.fields.append(field)
        self.push(max(field.worth(), LEAST if weight == 1.0 and field.worth() > 0 else 0.0), field)
        if scene.failing and scene.stop > scene.high:
            for at in range(scene.low, scene.high):
                likely = (field.so_far[at + 1] - field.so_far[at]) * weight * SURE
                self.push(likely, ((*scene.gone, scene.keys[at]), at))

    def spend(self, free: int) -> tuple[Want, ...]:
        """At most `free` proofs, the ones that part most."""
        while free > 0 and self.heap:
            worth, _, what = heapq.heappop(self.heap)
            if isinstance(what, Field):
                if what.ruler:
                    what.ruler.add()
                    self.push(what.worth(), what)
                free -= 1
            elif isinstance(what, Want):
                self.repeats.append(what)
                free -= 1
            elif isinstance(what, Scene):
                self.repeats.append(Want(members=what.keys[: what.high], why="confirm", suspect=what.keys[what.high - 1]))
                free -= 1
            elif len(self.book.scenes) < SCENES:
                self.open(self.book.scene(*what), -worth)
        return (*self.repeats, *(want for field in self.fields for want in field.wants()))


def plan(look: Look) -> Plan:
    """What to do now. The same look always gets the same answer; what it starts, it neither starts again nor cancels while nothing
    else changes."""
    book = Book(look)
    scene = book.scene((), 0)
    guilty = book.apart.guilty()
    if guilty:
        return Plan(reject=guilty, suspect=guilty)
    if scene.low:
        return Plan(land=scene.keys[: scene.low])
    suspect = scene.keys[0] if scene.narrowed else ""
    bracket = scene.high if scene.failing else 0
    if suspect and scene.book.guilty(look.confirm):
        return Plan(reject=suspect, suspect=suspect, bracket=bracket)
    useful, cancel = sort(book)
    free = look.slots - len(look.running)
    start = Share(book, useful).spend(free) if free > 0 else ()
    stuck = scene.keys[: scene.stop] if scene.stop <= len(scene.line) else ()
    aside = tuple(entry.key for entry in look.order if entry.key in book.apart.aside)
    return Plan(start=start, cancel=cancel, suspect=suspect, bracket=bracket, aside=aside, unevaluated=stuck)
