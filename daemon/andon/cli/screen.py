"""`andon` alone: the screen. Loads the face, and only here."""

import argparse

from andon.cli.reach import place


def arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(args: argparse.Namespace) -> int:
    """Hand the terminal to the screen until it is closed."""
    from andon_tui.app import run as open_screen

    return int(open_screen(place()))
