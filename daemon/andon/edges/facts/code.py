"""Says which symbols and imports the changed lines of a file belong to: Python by its syntax tree, all else by text, and said so.

Theory of operation. In Python both sides are parsed, and a changed line belongs to each definition around it. Elsewhere a changed
line belongs to the heading that git gives its hunk and to what it defines or imports itself; that is a guess by text. Names are cut
into words (`checkPassword`, `check_password`), because what speaks of identity, secrets, permission and encryption says so in its
names, in every language.
"""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import pairwise

from andon.edges.facts.patch import File, Line
from andon.edges.facts.places import is_code, is_prose, is_test
from andon.edges.facts.vocabulary import vocabulary
from andon.schema.facts import Fact, Rule
from andon.schema.globs import matches

_SAID = vocabulary()
IMPORTS, STRONG = tuple(_SAID["imports"]), frozenset(_SAID["words"])
PAIRS = frozenset(tuple(pair.split(" ")) for pair in _SAID["pairs"])
CALLS = re.compile("|".join(_SAID["calls"]))
HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u2060\U000e0000-\U000e007f]")
"""Characters that nobody sees and that change what a line seems to say."""
DATA = re.compile(r"\.(json5?|ya?ml|toml|ini|cfg|conf|properties|xml|env|html?)$", re.I)
CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,120}")
IMPORT = re.compile(
    r"""^\s*(?:from\s+([\w.]+)\s+import|import\s+([\w., ]+)$|import\s+(?:static\s+)?([\w.*]+);|use\s+([\w:]+)|using\s+([\w.]+);"""
    r"""|#\s*include\s*[<"]([^>"]+)[>"]|.*\brequire\(?\s*['"]([^'"]+)['"]|.*\bfrom\s+['"]([^'"]+)['"]|\s*import\s+['"]([^'"]+)['"]"""
    r"""|\s*(?:\w+\s+)?"([\w./-]+)"\s*$|.*\bimport\(\s*['"]([^'"]+)['"])"""
)
DEFINES = re.compile(
    r"^\s*(?:(?:export|pub|public|private|protected|static|async|default|abstract|final)\s+)*"
    r"(?:def|fn|func|function|class|struct|interface|trait|impl|module|type|enum)\s+(?:\([^)]*\)\s*)?([\w.:]+)"
)
WHOLE = 400_000
"""Characters of a Python file that is parsed; a longer one is looked at as text."""


def seen(file: File, before: str, after: str, symbols: tuple[str, ...]) -> Iterator[Fact]:
    """What the changed lines of one file belong to that is watched: always, or by `symbols`."""
    runs = is_code(file.path) and not is_prose(file.path)
    if runs or matches(file.path, _SAID["files"]):
        yield from _place(file)
    if file.binary or not file.lines or is_prose(file.path):
        return
    found = list(_names(file, before, after))
    yield from _watched(file, found, symbols)
    if runs:
        yield from _security(file, found)


Found = tuple[str, str, int, str]
"""(`import` or `symbol`, name, line, how it is known)."""


def _names(file: File, before: str, after: str) -> Iterator[Found]:
    """Imports on changed lines and symbols around them."""
    for added, text in ((True, after), (False, before)):
        lines = [line for line in file.lines if line.added is added]
        tree = _tree(text) if lines and file.path.endswith((".py", ".pyi")) else None
        yield from (_in_tree(tree, {line.number for line in lines}) if tree is not None else _in_text(lines))


def _tree(text: str) -> ast.Module | None:
    """The syntax tree; None when there is none, and then text is what is left."""
    if len(text) > WHOLE or not text.strip():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _in_tree(tree: ast.Module, lines: set[int]) -> Iterator[Found]:
    bound: dict[str, str] = {}
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    used: list[tuple[str, int]] = []
    while stack:
        node, above = stack.pop()
        name = above
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module, local in _imported(node):
                bound[local] = module
                if _touched(node, lines):
                    yield "import", module, node.lineno, "by its syntax"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{above}.{node.name}" if above else node.name
            if hit := _touched(node, lines):
                yield "symbol", name, hit, "by its syntax"
        elif isinstance(node, ast.Name) and node.lineno in lines:
            used.append((node.id, node.lineno))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and (hit := _touched(node, lines)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            yield from (("symbol", f"{above}.{each}" if above else each, hit, "by its syntax") for each in names)
        stack.extend((child, name) for child in ast.iter_child_nodes(node))
    yield from (("import", bound[name], line, "by its use") for name, line in used if name in bound)


def _imported(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """(module, the name it is known by here)."""
    if isinstance(node, ast.Import):
        return [(each.name, (each.asname or each.name).split(".")[0]) for each in node.names]
    module = node.module or ""
    return [(f"{module}.{each.name}" if module else each.name, each.asname or each.name) for each in node.names]


def _touched(node: ast.stmt, lines: set[int]) -> int:
    """The first changed line within; 0 when none is."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    last = node.end_lineno or node.lineno
    if last - first < len(lines):
        return next((line for line in range(first, last + 1) if line in lines), 0)
    return min((line for line in lines if first <= line <= last), default=0)


def _in_text(lines: Iterable[Line]) -> Iterator[Found]:
    for line in lines:
        if found := IMPORT.match(line.text[:500]):
            for module in re.split(r"[,\s]+", next(each for each in found.groups() if each)):
                if module:
                    yield "import", module.replace("::", "."), line.number, "by text"
        for text in (line.within, line.text):
            if (defined := DEFINES.match(text[:500])) is not None:
                yield "symbol", defined[1], line.number, "by text"
        if heading := re.search(r"([A-Za-z_][\w:.]*)\s*\(", line.within):
            yield "symbol", heading[1], line.number, "by text"


def _watched(file: File, found: list[Found], symbols: tuple[str, ...]) -> Iterator[Fact]:
    """What `[policy.symbols]` names. `stop:` or `review:` before a pattern says in which list it stands."""
    for entry in symbols:
        level, pattern = entry.split(":", 1)
        rule: Rule = "symbol-stop" if level == "stop" else "symbol-review"
        wanted = "import" if pattern.startswith("import:") else "symbol"
        glob = pattern.removeprefix("import:")
        hit = next(((name, line, how) for kind, name, line, how in found if kind == wanted and _fits(name, glob, wanted)), None)
        if hit is not None:
            name, line, how = hit
            kind = "an import of" if wanted == "import" else "inside"
            told = f"{kind} {name}, which [policy.symbols] {level} names ({how})"
            yield Fact(rule=rule, path=file.path, line=line, name=pattern, what=told)


def _fits(name: str, glob: str, kind: str) -> bool:
    if fnmatchcase(name, glob):
        return True
    if kind == "import":
        return any(name.startswith(f"{glob}{mark}") for mark in "./")
    return fnmatchcase(name.rsplit(".", 1)[-1], glob) or any(
        fnmatchcase(name[: at.start()], glob) for at in re.finditer(r"\.", name)
    )


def words(name: str) -> list[str]:
    """A name's words, small."""
    return [word.lower() for part in re.split(r"[^A-Za-z0-9]+", name) for word in CAMEL.findall(part)]


@lru_cache(maxsize=16_384)
def speaks(name: str) -> str:
    """The words by which a name says that it is about identity, secrets, permission or encryption; empty when it does not."""
    said = words(name)
    strong = next((word for word in said if word in STRONG), "")
    if strong:
        return strong
    return next((f"{one} {two}" for one, two in pairwise(said) if (one, two) in PAIRS), "")


@lru_cache(maxsize=16_384)
def _module(name: str) -> str:
    """The entry of ours that a module falls under; empty when it falls under none."""
    return next((each for each in IMPORTS if _fits(name, each, "import")), "")


def _place(file: File) -> Iterator[Fact]:
    word = speaks(file.path) or ("keys and trust" if matches(file.path, _SAID["files"]) else "")
    if word:
        rule: Rule = "security-test" if is_test(file.path) else "security"
        yield Fact(rule=rule, path=file.path, name=word, what=f"its path speaks of {word}")


def _security(file: File, found: list[Found]) -> Iterator[Fact]:
    """Imports, symbols and changed lines that are about identity, secrets, permission or encryption: the first of each word."""
    rule: Rule = "security-test" if is_test(file.path) else "security"
    told: set[str] = set()
    data = bool(DATA.search(file.path))
    for kind, name, line, how in found:
        about = _module(name) if kind == "import" else speaks(name)
        if about and about not in told:
            told.add(about)
            said = "an import of" if kind == "import" else "inside"
            yield Fact(rule=rule, path=file.path, line=line, name=name, what=f"{said} {name} ({how})")
    for changed in file.lines:
        if changed.added and "hidden" not in told and HIDDEN.search(changed.text):
            told.add("hidden")
            what = "added line with characters that nobody sees"
            yield Fact(rule="security", path=file.path, line=changed.number, name="hidden", what=what)
        call = CALLS.search(changed.text)
        said = call[0].strip() if call else next((name for name in NAME.findall(_bare(changed.text, data)) if speaks(name)), "")
        about = said if call else speaks(said)
        if said and about not in told:
            told.add(about)
            side = "added" if changed.added else "removed"
            yield Fact(rule=rule, path=file.path, line=changed.number, name=said, what=f"{side} line with `{said[:60]}` (by text)")


def _bare(text: str, data: bool) -> str:
    """A line without its comment, as far as that is plain; of data its key alone, for values say anything."""
    if re.match(r"\s*(#(?!\s*include|\s*define|\s*if)|//|\*\s|/\*|--\s|;)", text):
        return ""
    return re.split(r"[:=]", text, maxsplit=1)[0] if data else text
