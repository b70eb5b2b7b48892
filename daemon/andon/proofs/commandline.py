"""What a command line offers, as facts: its `--help`, walked through all subcommands; it never runs anything but help."""

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

from andon.proofs import running
from andon.proofs.fact import Fact, Unevaluated

HELP = "options and subcommands of programs, as `--help` tells them"
CALLS, DEPTH, SECONDS = 400, 5, 20.0
"""Bounds of one program: helps that are asked for, subcommands within each other, seconds of one help."""
_WORD = r"-{1,2}[A-Za-z0-9?][^\s,\[=<]*"
_OPTION = re.compile(rf"^\s{{1,12}}(?:[│|]\s*)?(?:\*\s+)?(?P<said>{_WORD}(?:(?:,\s*|\s+/\s+|\s+(?=-)){_WORD})*)")
_HEAD = re.compile(r"^(?:[╭┌]─+\s*)?(?P<head>[A-Za-z][\w /()-]*?)(?::|\s*─+.*)\s*$")
_COMMANDS = re.compile(r"\b(?:sub)?(?:commands?|verbs?)\b|^(?:positional arguments)$", re.IGNORECASE)
_ENTRY = re.compile(r"^\s{1,8}(?:[│|]\s*)?(?P<name>[A-Za-z0-9][\w:.-]*)(?:,\s*[\w-]+)*(?:\s{2,}\S|\s*$|\s*\()")
_CHOICES = re.compile(r"\{([A-Za-z0-9][\w.,:-]*)\}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which programs."""
    parser.add_argument("programs", nargs="+", metavar="COMMAND", help="a program with its first words: \"python3 -m shop\"")
    parser.add_argument("--flat", action="store_true", help="do not look into subcommands")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each option and subcommand of each program."""
    for command in args.programs:
        words = running.words_of(command, "the command line")
        yield from _walk(words, root, DEPTH if not args.flat else 0)


def _walk(program: list[str], root: Path, depth: int) -> Iterator[Fact]:
    """Help of help, breadth first, within the bounds."""
    env = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PAGER": "cat"}
    waiting: list[list[str]] = [[]]
    calls, texts = 0, set()
    while waiting:
        below = waiting.pop(0)
        calls += 1
        if calls > CALLS:
            raise Unevaluated(f"{' '.join(program)} has more than {CALLS} subcommands: name some of them, with --flat")
        ran = running.run([*program, *below, "--help"], cwd=root, env=env, seconds=SECONDS)
        text = ran.out if ran.out.strip() else ran.err
        group = f"cli {' '.join([*program, *below])}"
        if ran.code != 0 or not text.strip():
            yield Fact(group=group, name="--help", state="fails", told=f"exit code {ran.code}\n{ran.told}")
            continue
        if below and text in texts:  # it answers every word with the same page: there is nothing below
            continue
        texts.add(text)
        yield Fact(group=group, name="--help")
        options, commands = read(text)
        yield from (Fact(group=group, name=f"option {option}") for option in options)
        yield from (Fact(group=group, name=f"command {name}") for name in commands)
        if len(below) < depth:
            waiting += [[*below, name] for name in commands if name != "help" and name not in below]


def read(text: str) -> tuple[list[str], list[str]]:
    """Options and subcommands of a page of help: argparse, click, typer, cobra, clap and what looks like them."""
    options: list[str] = []
    commands: list[str] = []
    section = ""
    for line in text.expandtabs().splitlines():
        head = _HEAD.match(line)
        if head and not line.startswith(" "):
            section = head["head"].strip()
            continue
        option = _OPTION.match(line)
        if option:
            options += re.findall(r"(?<![\w-])-{1,2}[A-Za-z0-9?][\w.?-]*", option["said"])
            continue
        if _COMMANDS.search(section):
            said = _CHOICES.match(line.strip())
            entry = _ENTRY.match(line)
            if said:
                commands += said[1].split(",")
            elif entry and section.lower() != "positional arguments":
                commands.append(entry["name"])
    return sorted(set(options)), list(dict.fromkeys(commands))
