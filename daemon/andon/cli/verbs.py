"""The one table of verbs: name, module, one line of help, group. Imports no verb, so that help costs nothing."""

from typing import NamedTuple


class Verb(NamedTuple):
    """One verb of the command line. Its module has `arguments(parser)`, `run(args) -> int` and may have EXAMPLES,
    and `completed(words) -> words` where a short form stands for a longer one."""

    name: str
    module: str
    help: str
    group: str


GROUPS = ("Set up", "Work", "Steer", "Look", "Decide", "Repair", "Inside a session")
"""In the order of help. A verb of group "" is not listed."""

_TABLE = (
    ("init", "Set up", "put the repository you stand in under the factory"),
    ("up", "Set up", "start the daemon"),
    ("down", "Set up", "stop the daemon; agents go on"),
    ("service", "Set up", "the daemon as a service of yours: install, status, remove"),
    ("trust", "Set up", "trust the commands that a repository brings"),
    ("agents", "Set up", "agents: programs, logins, limits, pages, conformance"),
    ("config", "Set up", "settings with their origin, their check, their schema"),
    ("advisories", "Set up", "known vulnerabilities that are kept here: how old they are; update from a file"),
    ("doctor", "Set up", "look whether everything that is needed is here"),
    ("demo", "Set up", "watch a whole factory at work on a sample repository"),
    ("add", "Work", "add a task: a sentence, a markdown file or standard input"),
    ("cancel", "Work", "end a task; its work is kept"),
    ("retry", "Work", "give a task another attempt"),
    ("wait", "Work", "wait until tasks have landed"),
    ("send", "Steer", "words for a running agent, once, with a receipt"),
    ("interrupt", "Steer", "end an agent's turn, not its session"),
    ("nudge", "Steer", "tell an agent that stands still to go on"),
    ("take", "Steer", "drive a session yourself; --back gives it to the factory again"),
    ("restart", "Steer", "start a session again in its checkout"),
    ("reassign", "Steer", "give a task to another agent; the work so far is offered to it"),
    ("status", "Look", "the factory at a glance"),
    ("list", "Look", "tasks, those that need you first"),
    ("sessions", "Look", "agents at work: state, reason, source, cost"),
    ("show", "Look", "one task on one page; which task a commit is"),
    ("notes", "Look", "git notes of landed commits: show, sync, repair, export"),
    ("why", "Look", "why a task does not run"),
    ("explain", "Look", "why a session is shown as it is; judge a recorded stream; test the rules"),
    ("cost", "Look", "what was spent, by task, agent, account, line or day"),
    ("flaky", "Look", "tests in quarantine: the runs that disagreed, and when they come out"),
    ("prove", "Look", "what holds in a checkout, by name: API, help, schemas, build, journeys"),
    ("log", "Look", "what happened, from the ledger"),
    ("lineage", "Look", "who asked, built, judged, approved and landed a change; holes are listed"),
    ("query", "Look", "ask the record: saved audit questions, or read-only SQL over documented views"),
    ("tail", "Look", "follow an agent's pane as text"),
    ("attach", "Look", "go into an agent's tmux session"),
    ("verify", "Look", "re-compute the evidence of landed commits, offline"),
    ("audit", "Look", "a bundle of what landed that a third party checks without Andon"),
    ("classify", "Look", "of which class a change is, and by which rules: ship, review or stop"),
    ("gate", "Decide", "open questions: ls, show, answer, snooze, delegate, log"),
    ("approve", "Decide", "say yes to what a gate shows"),
    ("reject", "Decide", "send a change back with a reason"),
    ("waive", "Decide", "set a rule aside, for a task or some paths, until a moment"),
    ("waivers", "Decide", "the rules that are set aside"),
    ("lights", "Decide", "how much you see of what a line lands; let one be dark"),
    ("queue", "Decide", "the merge queue: what lands when and why; order, hold, drop, clashes"),
    ("stop", "Repair", "stop a line: running agents go on, nothing new starts or lands"),
    ("resume", "Repair", "let a stopped line move again"),
    ("undo", "Repair", "walk a step backwards: restore an attempt's work, take a landing or an order back"),
    ("revert", "Repair", "take a landed change back, as a new proven commit"),
    ("forget", "Repair", "withhold a secret that got stored, and take it out of what can be changed"),
    ("forward", "Repair", "take your own checkout forward to what has landed"),
    ("agent", "Inside a session", "for agents: say, ask, finished, handoff"),
    ("screen", "", "open the screen (what andon alone does)"),
    ("version", "", "print the version"),
    ("daemon", "", "be the daemon, in the foreground"),
)

VERBS: dict[str, Verb] = {name: Verb(name, f"andon.cli.{name}", told, group) for name, group, told in _TABLE}
"""By name, in the order of help."""
