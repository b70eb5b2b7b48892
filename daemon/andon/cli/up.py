"""`andon up`: starts the daemon."""

import argparse

from andon.cli import codes, out, reach
from andon.client import VERSION, connect, running
from andon.schema.views import FactoryView

EXAMPLES = """\
examples:
  andon up
  andon up --foreground      stay in this terminal, for a service manager
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where it runs."""
    parser.add_argument("--foreground", action="store_true", help="be the daemon in this terminal")


def run(args: argparse.Namespace) -> int:
    """Start it and see it answer."""
    layout = reach.place()
    if args.foreground:
        from andon.cli import daemon

        return daemon.run(args)
    ran = running(layout)
    with connect(layout, start=True, say=lambda _: None) as client:
        told = client.welcome
        factory = next(iter(reach.of(FactoryView, client.views())), None)
    print(f"the daemon {'runs already' if ran else 'is up'}: version {told.version}, pid {told.pid}, home {told.home}")
    if told.version != VERSION:
        print(f"it is another version than this command ({VERSION}): `andon down` and `andon up` change that; agents go on")
    if factory is not None and factory.mode != "running":
        out.say(f"andon: it is {factory.mode}: {out.clean_lines(factory.because)}")
        return codes.NOT_SO
    return codes.OK
