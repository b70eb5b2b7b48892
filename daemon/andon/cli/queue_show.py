"""`andon queue`: prints queues with their entries, what is proved now, and their figures. Decides nothing."""

import argparse
import time
from collections.abc import Sequence

from andon.cli import codes, out, reach
from andon.schema.sentences import plural
from andon.schema.views import AnyView, EntryView, FlowView, ProofView, QueueView, RepositoryView

SIGNS = {
    "waiting": "·", "proving": "▸", "suspect": "!", "confirming": "◐", "proven": "✓", "moving": "↑", "held": "‖", "clashing": "≈",
    "gate": "?",
}
"""One sign for each state of an entry."""
RUNS = {"planned": "·", "running": "▸", "pass": "✓", "fail": "✗", "unevaluated": "?"}
"""One sign for each state of a check's run."""


def run(args: argparse.Namespace) -> int:
    """Print the queues of all repositories, or of one."""
    with reach.daemon() as client:
        views = client.views()
    queues = queues_of(views, args.repo)
    entries = {queue.repo: entries_of(views, queue) for queue in queues}
    if args.json:
        out.dump([each for queue in queues for each in (queue, *entries[queue.repo])])
        return codes.OK
    if not queues:
        out.say("no repository has a queue yet" if reach.of(RepositoryView, views) else
                "no repository yet: run `andon init` in one")
    for n, queue in enumerate(queues):
        if n:
            print()
        _queue(queue, entries[queue.repo])
    return codes.OK


def queues_of(views: Sequence[AnyView], repo: str) -> list[QueueView]:
    """The queues of the repository that a person named, or all. Mistake when there is no such repository."""
    wanted = reach.the_repository(views, repo).repo if repo else ""
    queues = [queue for queue in reach.of(QueueView, views) if not wanted or queue.repo == wanted]
    return sorted(queues, key=lambda queue: queue.repo)


def entries_of(views: Sequence[AnyView], queue: QueueView) -> list[EntryView]:
    """The entries of a queue: those in line by their place, then the others by age."""
    mine = [entry for entry in reach.of(EntryView, views) if entry.repo == queue.repo]
    return sorted(mine, key=lambda entry: (not entry.position, entry.position, entry.since))


def span(seconds: float) -> str:
    """A length of time for people: `40s`, `3m`, `1h20m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes = whole // 60
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def _queue(queue: QueueView, entries: Sequence[EntryView]) -> None:
    oldest = f", the oldest for {out.age(queue.oldest)}" if queue.oldest else ""
    print(out.paint(f"{queue.repo}: {plural(queue.entries, 'change')} to land on {out.clean(queue.target)} at {queue.trunk[:10]}"
                    f"{oldest}", "bold"))
    for name, value in _facts(queue):
        if value:
            print(f"  {name:<10} {out.clean(value)}")
    for red in queue.red:
        since = f" for {out.age(red.since)}" if red.since else ""
        blamed = f"; likeliest: {', '.join(red.suspects)}" if red.suspects else ""
        print(f"  {out.paint('red', 'failed'):<10} {out.clean(red.check)} fails on {out.clean(queue.target)} at {red.commit[:10]}"
              f"{since}: {out.clean(red.because)} ({red.run}){blamed}")
    _proofs(queue)
    _entries(queue, entries)


def _facts(queue: QueueView) -> list[tuple[str, str]]:
    by = f" ({queue.held_by}, {out.age(queue.held_at)} ago)" if queue.held_by or queue.held_at else ""
    slots = plural(queue.slots, "proof") + " at once" + (f": {queue.slots_because}" if queue.slots_because else "")
    waits = ", ".join(f"{count} {cause}" for cause, count in queue.flow.waits)
    return [
        ("held", f"nothing lands: {queue.held}{by}; `andon queue resume {queue.repo}`" if queue.held else ""),
        ("your side", f"your checkout does not follow: {queue.behind}" + (f" ({queue.mend})" if queue.mend else "")
         if queue.behind else ""),
        ("lands by", f"{queue.land}, history {queue.history}, {slots}"),
        ("published", queue.published),
        ("figures", figures(queue.flow)),
        ("waits", waits),
        ("flaky", f"failures are excused of {', '.join(queue.flaky)}" if queue.flaky else ""),
    ]


def figures(flow: FlowView) -> str:
    """The queue's own figures in one line; what is not known is not told."""
    parts = [f"{flow.landed} landed ({flow.landed_hour} in the last hour)", f"{flow.sent_back} sent back"]
    if flow.proofs:
        parts.append(plural(flow.proofs, "proof") + (f", {flow.wasted} wasted" if flow.wasted else ""))
    if flow.per_landed:
        parts.append(f"{flow.per_landed:.2f} proofs a landed change")
    if flow.proof_s:
        parts.append(f"a proof takes {span(flow.proof_s)}")
    if flow.failing or flow.flaking:
        parts.append(f"{flow.failing:.1%} of changes fail, {flow.flaking:.1%} of trees flake")
    return "; ".join(parts)


def _proofs(queue: QueueView) -> None:
    if not queue.proving:
        return
    print(out.paint("\n  proved now", "bold"))
    out.table([_proof(proof) for proof in queue.proving], ("PROOF", "WHAT", "TREE", "TIME", "CHECKS", "MEMBERS"), indent="  ")
    if queue.bracket:
        confirmed = any(proof.why == "confirm" for proof in queue.proving)
        told = f"; {queue.suspect} is {'proved once more, alone' if confirmed else 'suspected'}" if queue.suspect else ""
        one = f"one of {', '.join(queue.bracket)} is the culprit" if len(queue.bracket) > 1 else f"{queue.bracket[0]} fails"
        print(f"  ! {one}{told}")


def _proof(proof: ProofView) -> tuple[str, ...]:
    told = {"prefix": "prefix", "confirm": f"{proof.suspect} alone", "without": f"without {proof.suspect}", "apart": "apart"}
    expected = f" of about {span(proof.expected_s)}" if proof.expected_s else ""
    took = (out.age(proof.since) or "-") + expected
    checks = " ".join(f"{RUNS.get(state, '?')} {check}" for check, _, state in proof.runs)
    tree = proof.tree[:10] or "merging"
    return proof.landing, told[proof.why], tree, took, checks or "-", " ".join(proof.members)


def _entries(queue: QueueView, entries: Sequence[EntryView]) -> None:
    if not entries:
        out.say(f"nothing waits to land in {queue.repo}: `andon list` shows what is on its way")
        return
    print()
    head = ("POS", "TASK", "STATE", "AGE", "LANDS", "AGENT", "CLASHES", "TITLE")
    out.table([_entry(entry) for entry in entries], head, indent="  ")


def _entry(entry: EntryView) -> tuple[str, ...]:
    state = f"{SIGNS.get(entry.state, ' ')} {entry.state}"
    later = entry.expected_at / 1000 - time.time()
    lands = f"in {span(later)}" if entry.expected_at and later >= 1 else "soon" if entry.expected_at else "-"
    undone = f"takes {entry.reverts} back: " if entry.reverts else ""
    why = f" — {entry.why}" if entry.why else ""
    clashes = " ".join(entry.clashes) or "-"
    return (str(entry.position or "-"), entry.task, state, out.age(entry.since), lands, entry.agent, clashes,
            f"{undone}{entry.title}{why}")
