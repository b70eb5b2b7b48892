"""A scenario: what the scripted agent does, step by step, as data. Knows the file format; never does a step.

A scenario is a TOML file: `about`, `seed`, `speed`, and one `[[step]]` for each deed. A step has exactly one verb as its
first key (`edit = "src/a.py"`), the verb's own further keys, and, for every verb:

    when = "attempt >= 2"            do it only then; also `sitting == 1`, `answer == "text"`, `!=`, and several joined by `and`
    literal = true                   take {names} in its texts as they stand
    permit = true                    ask for permission first (a sitter does); a denied step is left out, `answer` is `denied`

In texts `{task} {attempt} {number} {title} {answer} {python} {checkout} {job}` are filled in. Seconds are divided by `speed`
and by the environment's ANDON_SCRIPTED_SPEED, except where a field says real seconds.
"""

import re

import msgspec
from msgspec import field


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="verb", forbid_unknown_fields=True):
    """Base of all steps."""

    when: str = ""
    literal: bool = False
    permit: bool = False


# --- what any agent does ---------------------------------------------------------------------------------------------


class Say(Step, frozen=True, kw_only=True, tag="say"):
    """Print a paragraph as the agent's own words."""

    text: str = field(name="say")


class Think(Step, frozen=True, kw_only=True, tag="think"):
    """Show a spinner with this label."""

    text: str = field(name="think")
    seconds: float = 1.0


class Read(Step, frozen=True, kw_only=True, tag="read"):
    """Read a file (or list a folder) and show its first lines."""

    path: str = field(name="read")
    lines: int = 6


class Edit(Step, frozen=True, kw_only=True, tag="edit"):
    """Replace a text that occurs exactly once in a file; one that was replaced by an earlier attempt stays."""

    path: str = field(name="edit")
    find: str
    replace: str


class Append(Step, frozen=True, kw_only=True, tag="append"):
    """Put text at the end of a file, unless it is in it."""

    path: str = field(name="append")
    text: str


class Write(Step, frozen=True, kw_only=True, tag="write"):
    """Write a whole file; folders are made."""

    path: str = field(name="write")
    text: str
    executable: bool = False


class Delete(Step, frozen=True, kw_only=True, tag="delete"):
    """Delete a file of the checkout."""

    path: str = field(name="delete")


class Run(Step, frozen=True, kw_only=True, tag="run"):
    """Run a shell command and show the end of its output."""

    command: str = field(name="run")
    lines: int = 8
    must: bool = False
    """Whether a failure ends the agent; else it goes on, as agents do."""


class Commit(Step, frozen=True, kw_only=True, tag="commit"):
    """Commit everything in the checkout."""

    message: str = field(name="commit")


class Progress(Step, frozen=True, kw_only=True, tag="progress"):
    """Report progress through the outbox."""

    text: str = field(name="progress")


class Ask(Step, frozen=True, kw_only=True, tag="ask"):
    """Ask a person and wait for the inbox or a typed line; the answer is `{answer}` from here on."""

    text: str = field(name="ask")
    options: tuple[str, ...] = ()


class Finished(Step, frozen=True, kw_only=True, tag="finished"):
    """Say that the work is done, at HEAD unless `commit` says otherwise."""

    text: str = field(name="finished")
    commit: str = "HEAD"


class Handoff(Step, frozen=True, kw_only=True, tag="handoff"):
    """Give the task back with a note."""

    text: str = field(name="handoff")


class Idle(Step, frozen=True, kw_only=True, tag="idle"):
    """Sit at an empty prompt for so many real seconds (0: until a line is typed)."""

    seconds: float = field(name="idle")


class Exit(Step, frozen=True, kw_only=True, tag="exit"):
    """Leave now with this exit code."""

    code: int = field(name="exit")


class Slow(Step, frozen=True, kw_only=True, tag="slow"):
    """Work for so many seconds with a spinner, reporting progress at each quarter."""

    seconds: float = field(name="slow")
    text: str = "Working through the files"


# --- what an interactive agent does beside; the one that ends by itself says it and goes on ------------------------------


class TurnEnds(Step, frozen=True, kw_only=True, tag="turn_ends"):
    """Say last words and go back to the prompt; the next message starts the next turn with the step after this one."""

    text: str = field(name="turn_ends")
    trouble: str = ""
    """The turn fails with this word of the provider instead: `rate_limit`, `authentication_error`."""


class Question(Step, frozen=True, kw_only=True, tag="question"):
    """Ask by a tool of its own and stand still; the answer is `{answer}` from here on."""

    text: str = field(name="question")
    options: tuple[str, ...] = ()


class Spend(Step, frozen=True, kw_only=True, tag="spend"):
    """Use so many tokens of input (and half as many of output) in one model call."""

    tokens: int = field(name="spend")


class Retry(Step, frozen=True, kw_only=True, tag="retry"):
    """A model call is refused with this word; it is tried again after so many real seconds."""

    trouble: str = field(name="retry")
    status: int = 429
    seconds: float = 2.0


class Background(Step, frozen=True, kw_only=True, tag="background"):
    """Leave a shell command running in the background."""

    command: str = field(name="background")


class Compact(Step, frozen=True, kw_only=True, tag="compact"):
    """Shorten the conversation, for so many seconds."""

    seconds: float = field(name="compact")


# --- what an agent must never get away with --------------------------------------------------------------------------


class Lie(Step, frozen=True, kw_only=True, tag="lie"):
    """Say finished at HEAD and that all tests pass; commit nothing."""

    text: str = field(name="lie")


class Nothing(Step, frozen=True, kw_only=True, tag="nothing"):
    """Exit 0 at once, without a commit and without a word."""

    really: bool = field(name="nothing")


class EmptyCommit(Step, frozen=True, kw_only=True, tag="empty_commit"):
    """Commit with this message, without any change."""

    message: str = field(name="empty_commit")


class InventSha(Step, frozen=True, kw_only=True, tag="invent_sha"):
    """Say finished with a made-up commit."""

    text: str = field(name="invent_sha")


class Steal(Step, frozen=True, kw_only=True, tag="steal"):
    """Move the branch to another task's commit: this ref or sha, or (empty) the newest foreign commit of the object store."""

    ref: str = field(name="steal")


class DeleteTests(Step, frozen=True, kw_only=True, tag="delete_tests"):
    """Delete the files that match this glob."""

    glob: str = field(name="delete_tests")


class EditChecks(Step, frozen=True, kw_only=True, tag="edit_checks"):
    """Make each check of andon.toml this command."""

    command: str = field(name="edit_checks")


class Crash(Step, frozen=True, kw_only=True, tag="crash"):
    """Die: with an exit code (`crash = 3`) or of a signal (`crash = "SEGV"`)."""

    how: int | str = field(name="crash")
    tool: str = ""
    """The sitter dies while this shell command runs."""


class CrashAfterDone(Step, frozen=True, kw_only=True, tag="crash_after_done"):
    """Say finished, then die as `crash` does."""

    how: int | str = field(name="crash_after_done")


class Hang(Step, frozen=True, kw_only=True, tag="hang"):
    """Do nothing: `silent` or with a `spinner`, for so many real seconds (0: for ever)."""

    how: str = field(name="hang")
    seconds: float = 0.0


class Loop(Step, frozen=True, kw_only=True, tag="loop"):
    """Make the same edit of this file again and again, so many times (0: for ever)."""

    path: str = field(name="loop")
    times: int = 0
    seconds: float = 1.0
    """Between two rounds."""


class Flood(Step, frozen=True, kw_only=True, tag="flood"):
    """Print so many MiB of output, with escape junk (clipboard, titles, links, markup, bidi) unless `junk = false`.

    With `seconds` it goes on for so long, however much that is.
    """

    mb: float = field(name="flood")
    junk: bool = True
    seconds: float = 0.0


class Burn(Step, frozen=True, kw_only=True, tag="burn"):
    """Use a whole core for so many real seconds with nothing to show for it: a shell command below it, or itself."""

    seconds: float = field(name="burn")
    itself: bool = False


class Fill(Step, frozen=True, kw_only=True, tag="fill"):
    """Write so many MiB into files of a directory, 8 MiB each, with a pause of `seconds` between two."""

    path: str = field(name="fill")
    mb: float = 64.0
    seconds: float = 0.1


class IgnoreTerm(Step, frozen=True, kw_only=True, tag="ignore_term"):
    """From here on ignore SIGTERM, SIGHUP and SIGINT; only SIGKILL helps."""

    really: bool = field(name="ignore_term")


class Orphan(Step, frozen=True, kw_only=True, tag="orphan"):
    """Leave a child in a session of its own that lives for so many real seconds, and may write a file at its end."""

    seconds: float = field(name="orphan")
    writes: str = ""


class ForkMany(Step, frozen=True, kw_only=True, tag="fork_many"):
    """Start so many children (at most 500) that live for `seconds` real seconds."""

    count: int = field(name="fork_many")
    seconds: float = 60.0


class WriteOutside(Step, frozen=True, kw_only=True, tag="write_outside"):
    """Write a file outside of the checkout (relative paths start at the checkout, `~` is HOME)."""

    path: str = field(name="write_outside")
    text: str = "written by an agent that left its checkout\n"


class Conflict(Step, frozen=True, kw_only=True, tag="conflict"):
    """Replace one line of a file by text of its own, so that two such tasks clash."""

    path: str = field(name="conflict")
    line: int = 1
    text: str = "changed by {task}"


class Dirty(Step, frozen=True, kw_only=True, tag="dirty"):
    """Leave work lying about: any of `untracked`, `unstaged`, `staged`, `detached`."""

    kinds: tuple[str, ...] = field(name="dirty")


class BigFile(Step, frozen=True, kw_only=True, tag="big_file"):
    """Write a file of so many MiB that does not compress."""

    path: str = field(name="big_file")
    mb: float = 8.0


KINDS: dict[str, type[Step]] = {str(kind.__struct_config__.tag): kind for kind in Step.__subclasses__()}
"""Verb to step."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario, whole."""

    name: str
    about: str = ""
    seed: int = 1
    speed: float = 1.0
    steps: tuple[Step, ...] = ()


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What conditions are judged by."""

    attempt: int = 1
    answer: str = ""
    sitting: int = 1
    """How often the same work was sat down to: 2 after a crash."""


_TERM = re.compile(r'^(?:(attempt|sitting)\s*(==|!=|<=|>=|<|>)\s*(\d+)|(answer)\s*(==|!=)\s*"([^"]*)")$')


def valid(condition: str) -> bool:
    """Whether a `when` can be read."""
    return not condition or all(_TERM.match(term.strip()) for term in condition.split(" and "))


def holds(condition: str, now: Moment) -> bool:
    """Whether a `when` holds; empty always does. Asserts that it is valid."""
    return not condition or all(_term(term.strip(), now) for term in condition.split(" and "))


def _term(term: str, now: Moment) -> bool:
    """One comparison."""
    match = _TERM.match(term)
    assert match is not None, f"not a condition: {term}"
    if match[4]:
        return (now.answer.strip().casefold() == match[6].strip().casefold()) is (match[5] == "==")
    left, right = now.attempt if match[1] == "attempt" else now.sitting, int(match[3])
    return {"==": left == right, "!=": left != right, "<": left < right, "<=": left <= right,
            ">": left > right, ">=": left >= right}[match[2]]
