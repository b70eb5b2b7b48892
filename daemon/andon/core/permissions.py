"""Who answers an agent's request: the patterns of the settings, or a person. Pure; touches no disk, so it follows no links.

Theory of operation. A pattern names a deed and, in brackets, a glob on what it touches. `deny` beats `ask` beats `allow`. A
shell command is taken apart into its simple commands, and is allowed only when each of them is; what cannot be taken apart
with certainty (substitutions, expansions, here-documents, brackets) is never allowed by a pattern. Nor is anything that
names a place outside the checkout. In doubt a person is asked.
"""

import posixpath
import re
import shlex
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from andon.core.globs import matches
from andon.core.state import Ask
from andon.schema.settings import Permissions

Word = Literal["allow", "ask", "deny"]
PATTERN = re.compile(r"\s*([a-z*]+)\s*(?:\((.*)\))?\s*", re.DOTALL)
SEPARATORS = {";", "&&", "||", "|", "&", "\n", "|&"}
REDIRECTIONS = {">", ">>", ">|", "<", "&>", "&>>", ">&", "<&"}
OPERATORS = tuple("();<>|&\n")
WRAPPERS = {"sudo", "env", "command", "exec", "nohup", "time", "nice", "builtin", "xargs", "then", "do", "else", "!", "{"}
"""Words before a command that change nothing about what a `deny` means."""
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
PIECES = re.compile(r"""[\s=:,{}'"();<>|&@]+""")
ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
GOES = ("cd", "pushd", "popd")
"""Without a place of their own they lead elsewhere."""
HARMLESS = {"/dev/null", "/dev/stdout", "/dev/stderr"}
LIMIT, PATHS = 20_000, 200
"""Characters and paths of a request that are judged; a longer one is for a person."""


class Ruling(NamedTuple):
    """What the settings say of a request, and why."""

    word: Word
    because: str


class Shell(NamedTuple):
    """A command taken apart."""

    simple: tuple[tuple[str, ...], ...]
    """The words of each simple command."""
    written: tuple[str, ...] = ()
    """Files that redirections write."""
    read: tuple[str, ...] = ()
    unclear: str = ""
    """Why it could not be taken apart with certainty; empty when it could."""


def rule(permissions: Permissions, ask: Ask, checkout: str) -> Ruling:
    """The word of the settings on one request."""
    shell = take_apart(ask.target) if ask.deed == "shell" else None
    denied = named_by(permissions.deny, ask, checkout, shell, every=False)
    if denied:
        return Ruling("deny", f"denied by {denied}")
    outside = outside_of(ask, checkout, shell)
    if outside:
        word: Word = "deny" if permissions.default == "deny" else "ask"
        return Ruling(word, f"{outside} is outside its checkout")
    if len(ask.target) > LIMIT or len(ask.paths) > PATHS:
        return Ruling("deny" if permissions.default == "deny" else "ask", "it is too long to be judged by a pattern")
    asked = named_by(permissions.ask, ask, checkout, shell, every=False)
    if asked:
        return Ruling("ask", f"{asked} asks a person")
    return allowed(permissions, ask, checkout, shell)


def allowed(permissions: Permissions, ask: Ask, checkout: str, shell: Shell | None) -> Ruling:
    """What no `deny` and no `ask` names, and what lies inside the checkout."""
    if shell is not None and shell.unclear:
        return Ruling("deny" if permissions.default == "deny" else "ask", shell.unclear)
    if ask.deed in ("edit", "read") and not places(ask):
        return Ruling("deny" if permissions.default == "deny" else "ask", "it does not say which files it touches")
    pattern = named_by(permissions.allow, ask, checkout, shell, every=True)
    if pattern:
        return Ruling("allow", f"allowed by {pattern}")
    told = "no pattern of [permissions] names it"
    if permissions.default == "allow":
        return Ruling("allow", f"{told}, and default is allow")
    if permissions.default == "deny":
        return Ruling("deny", f"{told}, and default is deny")
    return Ruling("ask", told)


def named_by(patterns: Iterable[str], ask: Ask, checkout: str, shell: Shell | None, *, every: bool) -> str:
    """The pattern that names the request: all parts of it (`every`), which may take several patterns, or any part."""
    patterns = tuple(patterns)
    parts = parts_of(ask, checkout, shell, whole=every)
    found = [next((pattern for pattern in patterns if names(pattern, deed, forms)), "") for deed, forms in parts]
    if every:
        return ", ".join(dict.fromkeys(found)) if found and all(found) else ""
    return next((pattern for pattern in found if pattern), "")


def names(pattern: str, deed: str, forms: tuple[str, ...]) -> bool:
    """Whether a pattern names a part, in any of the forms in which it may be written."""
    read = PATTERN.fullmatch(pattern)
    if read is None or read.group(1) not in (deed, "*"):
        return False
    glob = read.group(2)
    if glob is None or glob.strip() in ("*", "**"):
        return True
    if deed in ("edit", "read"):
        return any(matches(form, (glob.strip(),)) for form in forms)
    return any(fnmatchcase(form, glob.strip()) for form in forms)


def parts_of(ask: Ask, checkout: str, shell: Shell | None, *, whole: bool) -> list[tuple[str, tuple[str, ...]]]:
    """What a request consists of, each part with its deed and the forms that a pattern may name it by."""
    if shell is not None:
        return shell_parts(ask.target, checkout, shell, whole=whole)
    if ask.deed in ("edit", "read"):
        return [(ask.deed, (inside(path, checkout), *(() if whole else (path,)))) for path in places(ask)] or [(ask.deed, ())]
    if ask.deed == "fetch":
        return [("fetch", (host_of(ask.target), ask.target))]
    if ask.deed == "mcp":
        return [("mcp", tuple(dict.fromkeys((dotted(ask.tool), dotted(ask.target), ask.tool))))]
    return [("other", tuple(dict.fromkeys((ask.tool, f"{ask.tool} {ask.target}".strip()))))]


def shell_parts(command: str, checkout: str, shell: Shell, *, whole: bool) -> list[tuple[str, tuple[str, ...]]]:
    """The simple commands and the files that redirections write. For `deny` and `ask` also what hides behind wrappers."""
    parts: list[tuple[str, tuple[str, ...]]] = []
    for words in shell.simple:
        forms = [" ".join(words)]
        if not whole:
            bare = unwrapped(words)
            forms += [" ".join(bare), " ".join((posixpath.basename(bare[0]), *bare[1:])) if bare else ""]
        parts.append(("shell", tuple(dict.fromkeys(form for form in forms if form))))
    parts += [("edit", (inside(path, checkout), *(() if whole else (path,)))) for path in shell.written]
    if not whole:
        parts.append(("shell", (command.strip(),)))
        parts += [("shell", (piece.strip(),)) for piece in re.split(r"[;&|\n`(){}]+", command[:LIMIT]) if piece.strip()]
    return parts


def unwrapped(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command without assignments, `sudo` and the like before it."""
    index = 0
    while index < len(words) - 1 and (ASSIGNMENT.match(words[index]) or posixpath.basename(words[index]) in WRAPPERS):
        index += 1
    return words[index:]


# --- shell commands --------------------------------------------------------------------------------------------------


def take_apart(command: str) -> Shell:
    """The simple commands of a shell command, or why that cannot be said with certainty."""
    if len(command) > LIMIT:
        return Shell((), unclear="the command is too long to be judged by a pattern")
    if "\\\n" in command:
        if "'" in command:
            return Shell((), unclear="the command holds a continued line beside quotes, which no pattern can judge")
        command = command.replace("\\\n", "")
    odd = oddity(command)
    if odd:
        return Shell((), unclear=f"the command holds {odd}, which no pattern can judge")
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        tokens = list(lexer)
    except ValueError:
        return Shell((), unclear="the command cannot be taken apart: its quotes do not match")
    return assemble(tokens)


def oddity(command: str) -> str:
    """What the shell reads otherwise than words: `` ` `` or `$` outside of single quotes, or a comment; empty when nothing.

    A comment matters because a quote inside of it is none for the shell, and would hide the next line from us.
    """
    quote, escaped, before = "", False, " "
    for letter in command:
        if escaped:
            escaped = False
        elif letter == "#" and not quote and before in " \t\r\n;&|()<>":
            return "a comment"
        elif letter == "\\" and quote != "'":
            escaped = True
        elif letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        elif letter in "`$" and quote != "'":
            return "a substitution or expansion"
        before = letter
    return ""


def assemble(tokens: list[str]) -> Shell:
    """Tokens as simple commands and redirections."""
    simple: list[tuple[str, ...]] = []
    words: list[str] = []
    files: dict[str, list[str]] = {"written": [], "read": []}
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if not token or token[0] not in OPERATORS:
            words.append(token)
        elif token.strip("\n") == "" or token.replace("\n", "") in SEPARATORS:
            simple += [tuple(words)] if words else []
            words = []
        elif token in REDIRECTIONS and at < len(tokens) and tokens[at][:1] not in OPERATORS:
            words = words[:-1] if words and words[-1].isdigit() else words
            if not (token in (">&", "<&") and (tokens[at].isdigit() or tokens[at] == "-")) and tokens[at] not in HARMLESS:
                files["read" if token == "<" else "written"].append(tokens[at])
            at += 1
        else:
            return Shell((), unclear=f"the command holds {token.strip() or token!r}, which no pattern can judge")
    simple += [tuple(words)] if words else []
    if not simple:
        return Shell((), unclear="there is no command in it")
    moves = files["written"] and any(words[0] in GOES for words in simple)
    odd = "it changes its folder before it writes, which no pattern can judge" if moves else ""
    return Shell(tuple(simple), tuple(files["written"]), tuple(files["read"]), unclear=odd)


# --- places ----------------------------------------------------------------------------------------------------------


def places(ask: Ask) -> tuple[str, ...]:
    """The files that an edit or a read names."""
    return ask.paths or ((ask.target,) if ask.target else ())


def outside_of(ask: Ask, checkout: str, shell: Shell | None) -> str:
    """The first place outside the checkout that a request names; empty when it names none."""
    named = list(ask.paths)
    if ask.deed in ("edit", "read"):
        named = list(places(ask))
    elif ask.deed == "shell":
        known = shell is not None and not shell.unclear
        spoken = [word for words in shell.simple for word in words] + list(shell.read) if shell and known else ask.target.split()
        named += [place for word in spoken for place in places_in(word)]
        named += ["~" for words in (shell.simple if shell else ()) if words[0] in GOES and words[1:] in ((), ("-",))]
        named += list(shell.written) if shell else []
    elif ask.deed in ("fetch", "other"):
        named += places_in(ask.target)
    return next((place for place in named if place not in HARMLESS and is_outside(place, checkout)), "")


def places_in(word: str) -> list[str]:
    """What in a word of a command looks like a place that could be elsewhere: absolute, with `..`, or with `~`."""
    if ADDRESS.match(word):
        return []
    pieces = [piece for piece in PIECES.split(word) if piece]
    pieces += [piece[piece.index("/"):] for piece in pieces if re.match(r"-\w+/", piece)]
    return [piece for piece in pieces if piece.startswith(("/", "~")) or any(is_up(part) for part in piece.split("/"))]


def is_up(part: str) -> bool:
    """Whether a component is `..`, or a glob that may become it."""
    return part == ".." or bool(re.match(r"\.{1,2}[*?\[]", part))


def is_outside(place: str, checkout: str) -> bool:
    """Whether a place may lie outside the checkout. Without a checkout everything does."""
    if not checkout or place.startswith("~") or any(is_up(part) and part != ".." for part in place.split("/")):
        return True
    base = posixpath.normpath(checkout)
    found = posixpath.normpath(posixpath.join(base, place))
    return found != base and not found.startswith(f"{base}/")


def inside(place: str, checkout: str) -> str:
    """The place as a path of the repository, as far as it lies in the checkout."""
    base = posixpath.normpath(checkout or "/")
    found = posixpath.normpath(posixpath.join(base, place))
    return found.removeprefix(f"{base}/")


def host_of(address: str) -> str:
    """The host of an address, in small letters."""
    rest = address.partition("://")[2] or address
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].lower()


def dotted(tool: str) -> str:
    """`mcp__server__tool` as `server.tool`."""
    return tool.removeprefix("mcp__").replace("__", ".") if tool.startswith("mcp__") else tool
