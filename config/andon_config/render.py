"""The short andon.toml that a person is shown before it is written. Knows text only; writes no file."""

from collections.abc import Sequence

from andon_config.detect import Detected, Suggestion
from andon_config.source import toml

WIDTH = 118
EXAMPLE = (
    "# [checks.tests]",
    '# run = "./run-tests --junit {report}"',
    '# report = "junit"  # or "sarif", or "exit": the exit code alone',
)


def render(detected: Detected, agents: Sequence[str], target: str, proofs: Sequence[Suggestion] = ()) -> str:
    """An andon.toml for this repository, commented, that loads as it is. `agents` are adapters found here, best first; `proofs`
    are proposed and not switched on."""
    parts = [
        ["# How Andon builds and proves work in this repository. What is not said here has a default: `andon config show`."],
        ["[factory]", f"target = {toml(target)}  # the branch that changes land on"],
        _agents(agents),
        _checks(detected),
        *([_proofs(detected, proofs)] if proofs else []),
        [
            "# Who looks at a change before it lands: ship needs nobody, review one person, stop always one.",
            "[policy]",
            '# ship = ["docs/**"]',
            '# stop = ["migrations/**"]',
            '# walls = "strict"  # built within weaker walls than these, a person is asked all the same',
        ],
        _walls(detected),
        [
            "# What may be spent, in US dollars; at a limit the work is paused and you are asked. Without this there is none.",
            "[budget]",
            "# task = { usd = 5 }",
            "# day = { usd = 50 }",
        ],
        [
            "# What an agent may do without asking you: shell, edit, read, fetch, mcp. Outside its checkout it always asks.",
            "[permissions]",
            '# allow = ["read", "edit", "shell(git *)"]',
        ],
    ]
    if detected.setup:
        parts.append(_checkout(detected))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _agents(agents: Sequence[str]) -> list[str]:
    if not agents:
        return [
            "# No agent was found on this machine. Install one, or name any program that reads a prompt:",
            "# [agents.default]",
            '# command = ["./my-agent", "{prompt_file}"]',
        ]
    others = f"  # also found: {', '.join(_plain(agent) for agent in agents[1:])}" if agents[1:] else ""
    return ["[agents.default]", f"use = {toml(agents[0])}{others}"]


def _checks(detected: Detected) -> list[str]:
    lines = [
        "# Checks are run by the daemon itself, on the exact commit, in a clean checkout without ignored files.",
        *(line for note in detected.notes for line in _comment(f"Note: {note}.")),
    ]
    for number, check in enumerate(detected.checks):
        lines += ["", *_check(check)] if number else _check(check)
    return lines if detected.checks else [*lines, *EXAMPLE]


def _proofs(detected: Detected, proofs: Sequence[Suggestion]) -> list[str]:
    """Proofs that fit, each behind a `#`: what they hold together a person has to want."""
    taken = {check.name for check in detected.checks}
    lines = _comment("Proofs that would fit; `andon prove --help` explains them. Each runs on the base as well: what a change"
                     " takes away fails by name. Take the # away from those that you want.")
    for proof in proofs:
        name = f"{proof.name}-proof" if proof.name in taken else proof.name
        lines += ["#", *_comment(proof.because), f"# [checks.{name}]", f"# run = {toml(proof.run)}"]
        lines.append(f"# report = {toml(proof.report)}")
    return lines


def _check(check: Suggestion) -> list[str]:
    lines = [*_comment(check.because), f"[checks.{check.name}]", f"run = {toml(check.run)}", f"report = {toml(check.report)}"]
    lines += [f"{key} = {toml(value)}" for key, value in (("minutes", check.minutes), ("stage", check.stage)) if value is not None]
    if check.memory_mb is not None:
        lines.append(f"memory_mb = {check.memory_mb}  # Node reserves far more address space than it uses")
    return lines


def _walls(detected: Detected) -> list[str]:
    head = "# Agents and checks run within the best walls that the machine gives: `andon doctor` says which and why."
    if not detected.registries:
        return [head, "# [sandbox]", '# registries = ["pypi"]  # what agents may reach beside their provider; `hosts` for names',
                '# read = ["~/.cache/uv"]  # further paths that exist inside']
    return [head, "[sandbox]", f"registries = {toml(detected.registries)}  # what setup, checks and agents may reach",
            'check_network = "allow-list"']


def _checkout(detected: Detected) -> list[str]:
    lines = [
        "# Run in each new checkout, an agent's and a clean one alike.",
        "[checkout]",
        f"setup = {toml(detected.setup)}",
    ]
    if detected.keep:
        lines.append(f"# keep = {toml(detected.keep)}  # survives between check runs: faster, less strict")
    return lines


def _plain(text: str) -> str:
    """Text that cannot end a comment."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _comment(text: str) -> list[str]:
    lines, line = [], "#"
    for word in _plain(text).split(" "):
        if len(line) + len(word) >= WIDTH and line != "#":
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]
