"""`andon version`."""

import argparse

from andon.cli import codes
from andon.client import VERSION


def arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(f"andon {VERSION}")
    return codes.OK
