"""`andon explain`: why a session is shown as it is, how a recorded stream is judged, whether the rules hold their examples."""

import argparse
import gzip
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from andon.cli import codes, out, reach
from andon.schema.errors import Mistake
from andon.schema.views import SessionView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from andon.replay import Reader
    from andon.schema.rules import Rules
    from andon.schema.signals import Verdict

EXAMPLES = """\
examples:
  andon explain T3                          state, cause, rule and the raw evidence of its session
  andon explain --replay stream.jsonl       every change of the verdict over a recorded stream
  andon explain --replay hooks.jsonl --agent claude
  andon explain --test-rules                tries the examples of all rules, ours and yours
"""
LIMIT = 200_000_000
"""Bytes of a recorded stream."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """A session, a recorded stream, or the rules."""
    parser.add_argument("session", nargs="?", default="", help="a task like T3, or an attempt like T3.1")
    parser.add_argument("--replay", metavar="FILE", default="", help="judge a recorded stream (- for standard input)")
    parser.add_argument("--agent", default="", help="with --replay: the adapter that reads it")
    parser.add_argument("--all", action="store_true", help="with --replay: each judgement, not only changes")
    parser.add_argument("--test-rules", action="store_true", help="try each rule's example and counter-example")
    parser.add_argument("--json", action="store_true", help="as a JSON array")


def run(args: argparse.Namespace) -> int:
    """One of the three."""
    if args.test_rules:
        return _test_rules(as_json=args.json)
    if args.replay:
        return _replay(args)
    if not args.session:
        raise Mistake("nothing to explain", mend="name a session (`andon explain T3`), or give --replay FILE or --test-rules")
    with reach.daemon() as client:
        session = reach.the_session(client.views(), args.session)
    if args.json:
        out.dump([session])
    else:
        for row in told(session):
            print(row)
    return codes.OK


def told(view: SessionView) -> list[str]:
    """A session's state with everything that it rests on."""
    head = f"{view.attempt} ({view.agent}) is {view.health}" + (f", cause: {view.cause}" if view.cause else "")
    rows = [out.clean(f"{head}, for {out.age(view.since) or 'an unknown time'}"), f"  {out.clean(view.because)}"]
    facts = [
        ("rule", view.rule), ("source", view.source), ("confidence", view.confidence),
        ("until", out.moment(view.until) if view.until else ""), ("but", view.conflict), ("channel", view.channel),
        ("account", view.account), ("conversation", view.conversation), ("sitting", str(view.sitting) if view.sitting > 1 else ""),
        ("spent", _spent(view)), ("taken over by", view.taken),
    ]
    rows += [f"  {name:<13} {out.clean(value)}" for name, value in facts if value]
    rows += [f"  {'evidence' if n == 0 else '':<13} {out.clean(row)}" for n, row in enumerate(view.evidence)]
    rows += [f"  {'done about it' if n == 0 else '':<13} {out.clean(row)}" for n, row in enumerate(view.ladder)]
    return rows


def _spent(view: SessionView) -> str:
    if not view.metered:
        return ""
    tokens = f"{view.input_tokens} tokens in, {view.output_tokens} out"
    share = f", context {view.context:.0%} full" if view.context else ""
    return f"{tokens}, ${view.usd:.2f} ({view.metered}){share}" if view.metered != "unmetered" else "unmetered"


def _rules() -> "Rules":
    from andon_config.rules import load_rules

    return load_rules(reach.place().person_rules)


def _replay(args: argparse.Namespace) -> int:
    """Print when the verdict changed, and to what."""
    from andon import replay

    stream = replay.opened(_lines(args.replay), args.agent)
    recording = stream.recording
    end = max((label.end for label in recording.labels), default=0)
    found = replay.verdicts(stream.lines, reader(recording.agent), _rules(), agent=recording.agent, open_task=recording.open_task,
                            end=end)
    kept = list(found) if args.all else list(changes(found))
    if args.json:
        out.dump(kept)
        return codes.OK
    start = stream.lines[0].at if stream.lines else 0
    out.say(f"{len(stream.lines)} lines of {recording.agent}" + (f", {recording.scenario}" if recording.scenario else ""))
    out.table([row_of(at, verdict, start) for at, verdict in kept], ("AFTER", "STATE", "CAUSE", "SOURCE", "RULE", "WHY"))
    return codes.OK


def changes(found: "Iterable[tuple[int, Verdict]]") -> "Iterable[tuple[int, Verdict]]":
    """Only those that differ from the one before in health, cause or rule."""
    before = None
    for at, verdict in found:
        now = (verdict.health, verdict.cause, verdict.rule)
        if now != before:
            yield at, verdict
        before = now


def row_of(at: int, verdict: "Verdict", start: int) -> tuple[str, ...]:
    """A line of the timeline."""
    sure = "" if verdict.confidence == "certain" else f" ({verdict.confidence})"
    because = verdict.because + (f" | but {verdict.conflict}" if verdict.conflict else "")
    return (f"{(at - start) / 1000:.1f} s", verdict.health + sure, verdict.cause, verdict.source, verdict.rule, because)


def reader(agent: str) -> "Reader":
    """What reads this agent's lines: its adapter; for one that is not understood, nobody."""
    from andon.schema.agent import Supervised
    from andon_agents.find import adapters

    adapter = adapters().get(agent)
    return adapter.read if isinstance(adapter, Supervised) else lambda line: ()


def _lines(name: str) -> list[bytes]:
    """The raw lines of a file, packed or not."""
    try:
        raw = sys.stdin.buffer.read(LIMIT) if name == "-" else Path(name).expanduser().read_bytes()[:LIMIT]
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).splitlines()
    except (OSError, EOFError) as error:
        mend = "give a file of JSON lines, plain or packed with gzip"
        raise Mistake(f"the stream cannot be read: {error}", where=name, mend=mend) from error


def _test_rules(*, as_json: bool) -> int:
    """Which rules do not do what their examples say."""
    from andon import replay

    rules = _rules()
    faults = replay.faults(rules)
    if as_json:
        out.dump([{"rule": name, "fault": fault} for name, fault in faults])
    else:
        tried = sum(bool(rule.example) + bool(rule.counter) for rule in rules.screens)
        for name, fault in faults:
            print(f"{name}: {out.clean(fault)}")
        out.say(f"{len(rules.screens)} screen rules, {tried} examples tried, {len(faults)} fault(s)")
    return codes.NOT_SO if faults else codes.OK
