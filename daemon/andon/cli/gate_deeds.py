"""`andon gate snooze`, `wake` and `delegate`: what a person does with a gate that they do not answer now."""

import argparse
import re
from datetime import datetime, timedelta

from andon.cli import codes, out, reach
from andon.schema.errors import Mistake
from andon.schema.gate_inputs import SNOOZE_LIMIT_S, DelegateGate, SnoozeGate

LATER = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h|d)")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TIMES = "write 15:00 (the next time it is that late), a length like 90m, 2h or 1d, or 2026-01-31T09:00"


def arguments(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Their words."""
    snoozing = sub.add_parser("snooze", help=f"hear of gates later: at most {SNOOZE_LIMIT_S // 3600} hours, they stay counted")
    snoozing.add_argument("gate", nargs="+", help="gates like G4, or their tasks like T3")
    snoozing.add_argument("--until", required=True, metavar="TIME", help=TIMES)
    snoozing.add_argument("--because", default="", help="why, for the record")
    waking = sub.add_parser("wake", help="hear of snoozed gates again now")
    waking.add_argument("gate", nargs="+", help="gates like G4, or their tasks like T3")
    leaving = sub.add_parser("delegate", help="say who a gate is for; whoever has the right may still answer it")
    leaving.add_argument("gate", nargs="+", help="gates like G4, or their tasks like T3")
    leaving.add_argument("--to", required=True, metavar="WHO", help="a person, as [operators] names them where it does")
    leaving.add_argument("--because", required=True, help="why")


def snooze(args: argparse.Namespace) -> int:
    """Put them off."""
    seconds = until(args.until, datetime.now().astimezone())
    return _each(args.gate, lambda gate: SnoozeGate(gate=gate, seconds=seconds, because=args.because))


def wake(args: argparse.Namespace) -> int:
    """Take them back."""
    return _each(args.gate, lambda gate: SnoozeGate(gate=gate, seconds=0))


def delegate(args: argparse.Namespace) -> int:
    """Leave them to somebody."""
    return _each(args.gate, lambda gate: DelegateGate(gate=gate, to=args.to, because=args.because))


def until(text: str, now: datetime) -> int:
    """Seconds from `now` to what a person wrote. Mistake for what is no time, or is over."""
    word = text.strip()
    if found := LATER.fullmatch(word):
        return _ahead(float(found[1]) * UNITS[found[2]], text)
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", word):
            hour, minute = map(int, word.split(":"))
            then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return _ahead(((then if then > now else then + timedelta(days=1)) - now).total_seconds(), text)
        then = datetime.fromisoformat(word)
    except ValueError:
        raise Mistake(f"`{text}` is no time", where="--until", mend=TIMES) from None
    return _ahead(((then if then.tzinfo else then.astimezone()) - now).total_seconds(), text)


def _ahead(seconds: float, text: str) -> int:
    if seconds <= 0:
        raise Mistake(f"`{text}` is over", where="--until", mend=TIMES)
    return max(1, round(seconds))


def _each(named: list[str], command: "object") -> int:
    """Send a command for each gate; all must be there before any is sent."""
    assert callable(command)
    with reach.daemon() as client:
        views = client.views()
        gates = [reach.the_gate(views, name) for name in named]
        for gate in gates:
            print(out.clean(client.do(command(gate.gate)).text))
    return codes.OK
