"""`andon daemon`: be the daemon, in the foreground. `andon up` starts this, detached."""

import argparse

from andon.cli.reach import place


def arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(args: argparse.Namespace) -> int:
    """Be it until told to leave."""
    from andon.main import run_daemon

    return int(run_daemon(place()))
