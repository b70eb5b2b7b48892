"""`make accuracy`: how often the board is right on recorded and random streams, beside two peers. Fails below the bars."""

import argparse
import gzip
import sys
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:] = [str(HERE.parent), *(path for path in sys.path if Path(path).resolve() != HERE)]

from accuracy import peers, synthetic, variations  # noqa: E402
from accuracy.pack import CORPUS, split  # noqa: E402
from accuracy.scoring import Card, Moment  # noqa: E402
from andon import replay  # noqa: E402
from andon.cli.explain import reader  # noqa: E402
from andon.schema.rules import Rules  # noqa: E402
from andon.schema.signals import Line, Recording  # noqa: E402
from andon_config.rules import load_rules  # noqa: E402

Streams = list[tuple[Recording, tuple[Line, ...]]]
PEERS: dict[str, Callable[[tuple[Line, ...], replay.Reader, int], Iterable[peers.Said]]] = {
    "pane hash": peers.pane_hash, "hook file": peers.hook_file,
}


def corpus() -> Streams:
    """The recorded streams: each file holds one or many, one after the other."""
    packs = (gzip.decompress(path.read_bytes()) for path in sorted(CORPUS.glob("*.jsonl.gz")))
    opened = (replay.opened(one.splitlines()) for pack in packs for one in split(pack))
    return [(stream.recording, stream.lines) for stream in opened]


def without(streams: Streams, sources: str) -> Streams:
    """The same streams as they are seen where these sources are missing."""
    missing = sources.split(",")
    return [(recording, tuple(line for line in lines if line.source not in missing)) for recording, lines in streams]


def scored(streams: Streams, rules: Rules) -> list[Card]:
    """Ours first, then the peers."""
    cards = [Card("andon"), *(Card(name) for name in PEERS)]
    for recording, lines in streams:
        read, end = judged(cards[0], recording, lines, rules)
        for card, peer in zip(cards[1:], PEERS.values(), strict=True):
            card.add(recording, [Moment(said.at, said.health) for said in peer(lines, read, end)])
    return cards


def judged(card: Card, recording: Recording, lines: tuple[Line, ...], rules: Rules) -> tuple[replay.Reader, int]:
    """Ours, of one stream. Gives its reader and its end."""
    read = reader(recording.agent)
    end = max((label.end for label in recording.labels), default=lines[-1].at if lines else 0)
    found = replay.verdicts(lines, read, rules, agent=recording.agent, open_task=recording.open_task, end=end)
    card.add(recording, [Moment(at, verdict.health, verdict.cause) for at, verdict in found])
    return read, end


def shown(cards: list[Card], title: str, *, wrong: int) -> None:
    """A table a judge a line, then our confusion matrix and what we got wrong."""
    ours = cards[0]
    streams = len(ours.time)
    print(f"\n== {title}: {streams} streams, {len(ours.spans)} spans")
    print(f"{'judge':<12}{'time right':>12}{'spans right':>13}{'false kills':>13}{'kill rate':>11}{'waits at work':>15}"
          f"{'p50 s':>8}{'p95 s':>8}")
    for card in cards:
        late = sorted(one for times in card.detect.values() for one in times if one < inf)
        kills = len({row.partition(":")[0] for row in card.false_kills})
        print(f"{card.name:<12}{card.accuracy:>12.2%}{card.by_span:>13.2%}{kills:>13}{kills / streams:>11.1%}"
              f"{len(card.idle_lies):>15}{_at(late, 0.5):>8}{_at(late, 0.95):>8}")
    print("\ntruth (spans) and what andon said, in per cent")
    for truth, said in sorted(ours.confusion.items()):
        total = sum(said.values())
        parts = ", ".join(f"{health} {share / total:.1%}" for health, share in sorted(said.items(), key=lambda one: -one[1])[:5])
        print(f"  {truth:<20}{total:>6.0f}  {parts}")
    print("\nseconds to the right state, by cause or state (p50, p95, missed of n)")
    print(f"  {'':<20}{'n':>5}  " + "".join(f"{card.name:>26}" for card in cards))
    for truth in sorted(ours.detect):
        print(f"  {truth:<20}{len(ours.detect[truth]):>5}  " + "".join(_seconds(card.detect[truth]) for card in cards))
    print("\nseconds from the moment a cause is due to its name (p50, p95, missed)")
    for cause, times in sorted(ours.stuck.items()):
        known = sorted(one for one in times if one < inf)
        print(f"  {cause:<20}{len(times):>5}  {_at(known, 0.5):>8}{_at(known, 0.95):>8}{len(times) - len(known):>6}")
    lies = [f"AT WORK {row}" for row in ours.idle_lies]
    for row in [*(f"FALSE KILL {row}" for row in ours.false_kills), *lies, *ours.wrong][:wrong]:
        print(f"  ! {row}")


def _seconds(times: list[float]) -> str:
    known = sorted(one for one in times if one < inf)
    return f"{_at(known, 0.5):>10}{_at(known, 0.95):>8}{len(times) - len(known):>8}"


def robust(streams: Streams, rules: Rules) -> None:
    """How right we are when words are lost, late, doubled, or whole sources missing. No bar but that nothing is killed."""
    print("\n== recorded, in variations (time right, spans right, streams killed in error, waits at work)")
    for kind in variations.KINDS:
        card = Card(kind)
        for recording, lines in variations.varied(streams, kind):
            judged(card, recording, lines, rules)
        print(f"  {kind:<18}{len(card.time):>5}{card.accuracy:>9.2%}{card.by_span:>9.2%}{len(set(card.false_kills)):>5}"
              f"{len(card.idle_lies):>5}")


def _at(times: list[float], share: float) -> str:
    return f"{(median(times) if share == 0.5 else times[int(len(times) * share)]):.1f}" if times else "-"


def failures(cards: list[Card]) -> list[str]:
    """Bars that our judge does not hold."""
    ours = cards[0]
    told = [f"{ours.accuracy:.2%} of the time right, 98 % wanted"] if ours.accuracy < 0.98 else []
    told += [f"{len(ours.false_kills)} false kills"] if ours.false_kills else []
    told += [f"waiting or finished {len(ours.idle_lies)} times while work ran"] if ours.idle_lies else []
    return told


def main() -> int:
    """Score, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=300, help="random streams (0: none)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wrong", type=int, default=30, help="mistakes to print")
    parser.add_argument("--without", action="append", default=[], help="also without these sources: api,hook,transcript")
    parser.add_argument("--only", default="", help="one scenario")
    parser.add_argument("--vary", action="store_true", help="also variations of the recorded streams")
    args = parser.parse_args()
    rules = load_rules(None)
    made = synthetic.streams(args.random, args.seed)
    sets = {"recorded": corpus(), "random": made}
    for missing in filter(None, args.without):
        shown(scored(without(made, missing), rules), f"random, without {missing} (no bar)", wrong=0)
    if args.vary:
        robust(sets["recorded"], rules)
    bad = []
    for title, streams in sets.items():
        streams = [one for one in streams if args.only in one[0].scenario]
        if streams:
            cards = scored(streams, rules)
            shown(cards, title, wrong=args.wrong)
            bad += [f"{title}: {row}" for row in failures(cards)]
    for row in bad:
        print(f"BELOW THE BAR: {row}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
