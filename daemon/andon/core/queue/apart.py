"""Which changes to prove apart from the queue, and who is to blame there. It must never know tasks, git or time itself.

*Theory of operation.* A queue that is proved by its prefixes meets one culprit after the other. Where many changes fail for
themselves and many proofs run at once, slots are left that prefixes have little use for: they prove small groups of later changes
on the trunk alone. Who stood in a group is a smaller risk in the queue. A group that fails is halved until one change is left;
those in doubt step aside meanwhile, and the one goes back when it fails alone as often as any rejection needs. Nothing ever lands
for a proof apart, so what was seen stays known when the trunk moves.
"""

from collections.abc import Iterator

from .look import UNEVALUATED, Entry, Look, Tried, Want

MANY = 1 / 3
"""Groups are proved where so many culprits are expected among as many changes as there are slots."""
EVEN = 0.75
"""How likely a group passes: larger ones tell more of each run and take longer to blame one."""
LARGEST = 16
"""Members of a group."""
AHEAD = 8
"""Groups are made of so many changes a slot: what is proved too early is proved on a trunk that is long gone."""
LIKELY = 0.8
"""Groups begin where the first failure of the queue has so likely been met."""
GROUP = 0.5
"""What a group is worth beside cuts of prefixes."""
BLAME = 0.6
"""What finding the culprit of a group that failed is worth."""

Members = tuple[str, ...]


class Apart:
    """What is known of changes apart from the queue, and what to ask next."""

    def __init__(self, look: Look) -> None:
        """Nothing is kept beyond one plan."""
        self.look = look
        self.entries = {entry.key: entry for entry in look.order}
        self.known = {tried.members: tried for tried in look.apart}
        self.running: dict[Members, int] = {}
        self.idle = tuple(self._idle())
        """Landings under way whose result would tell nothing any more."""
        self.suspects = tuple(self._suspects())
        """The smallest groups of which one is to blame, as far as is known; those in them step aside."""
        self.aside = frozenset(key for group in self.suspects for key in group)
        self.busy = frozenset(key for members in self.running for key in members)
        self.untold = frozenset(key for tried in look.apart if tried.unevaluated >= UNEVALUATED for key in tried.members)

    def _idle(self) -> Iterator[str]:
        for run in self.look.running:
            if run.why != "apart":
                continue
            asked = all(key in self.entries for key in run.members) and self.of_use(run.members)
            if asked and self.running.get(run.members, 0) < (self.owed(run.members) if len(run.members) == 1 else 1):
                self.running[run.members] = self.running.get(run.members, 0) + 1
            else:
                yield run.landing

    def of_use(self, members: Members) -> bool:
        """Whether one more proof of them could tell something."""
        if len(members) == 1 and members in self.known and self.known[members].fails:
            return not self.known[members].passed(self.look.confirm)
        return not all(self.entries[key].stood for key in members) and bool(members)

    def owed(self, alone: Members) -> int:
        """Failures that one change alone still needs before it goes back."""
        known = self.known.get(alone, Tried(members=alone))
        return max(1, (1 + self.look.confirm) * (1 + known.passes) - known.fails)

    def in_doubt(self, tried: Tried) -> Members:
        """Those of a failed group who may be to blame and may wait; of one alone, it alone."""
        alone = len(tried.members) == 1
        if not (tried.fails and not tried.passed(self.look.confirm) if alone else tried.failed()):
            return ()
        here = (entry for key in tried.members if (entry := self.entries.get(key)))
        return tuple(entry.key for entry in here if not entry.late and (alone or not entry.stood))

    def _suspects(self) -> Iterator[Members]:
        seen: list[set[str]] = []
        for tried in sorted(self.known.values(), key=lambda tried: len(tried.members)):
            left = self.in_doubt(tried)
            if left and not any(smaller <= set(tried.members) for smaller in seen) and self.can_tell(left):
                seen.append(set(left))
                yield left

    def can_tell(self, group: Members) -> bool:
        """Whether what would be asked next of a group can be evaluated: else its members are proved where they stand."""
        known = self.known.get(question(group))
        return known is None or known.unevaluated < UNEVALUATED

    def guilty(self) -> str:
        """Who failed alone as often as a rejection needs; empty when nobody did."""
        alone = (self.known[group] for group in self.suspects if group in self.known and len(group) == 1)
        return next((tried.members[0] for tried in alone if tried.guilty(self.look.confirm)), "")

    def blame(self) -> Iterator[Want]:
        """The next proofs of groups that failed."""
        for group in self.suspects:
            asked = question(group)
            times = self.owed(asked) - self.running.get(asked, 0) if len(group) == 1 else int(self.busy.isdisjoint(group))
            for _ in range(times):
                yield Want(members=asked, why="apart", suspect=group[0])

    def groups(self, after: int) -> Iterator[Want]:
        """Groups of changes that nothing is known of, behind so many others."""
        if self.look.alone * self.look.slots < MANY:
            return
        group: list[str] = []
        for entry in self.look.order[after: after + AHEAD * self.look.slots]:
            if self.is_new(entry) and not any(self.clash(entry.key, other) for other in group):
                group.append(entry.key)
            if len(group) == LARGEST or (1 - self.look.alone) ** len(group) <= EVEN:
                yield Want(members=tuple(group), why="apart")
                group = []

    def is_new(self, entry: Entry) -> bool:
        """Nothing is known of it, nothing is asked, and it can be proved without others."""
        known = entry.stood or entry.key in self.untold or entry.key in self.aside or entry.key in self.busy
        return not (known or entry.late or entry.needs)

    def clash(self, one: str, other: str) -> bool:
        """Whether they are known not to merge with each other."""
        return (one, other) in self.look.clashes or (other, one) in self.look.clashes


def question(group: Members) -> Members:
    """Of whom to ask next in a group with a culprit: its first half."""
    return group[: max(1, len(group) // 2)]
