"""Paths that an agent can influence are opened by one helper: a list of those places, and of all others with their reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "daemon" / "andon"
OPENING = {
    "open", "fdopen", "read_text", "read_bytes", "copyfile", "copy2", "copytree", "scandir", "iterdir", "walk", "glob", "rglob",
}
OTHER = {"Store", "Control", "doors", "beneath", "ast", "kernel"}
"""What is called so and opens no file by its path."""
HELPERS = {"beneath.opened", "beneath.read", "beneath.tail", "beneath.head", "beneath.folder", "beneath.write_whole",
           "beneath.facts", "beneath.names", "beneath.make_folders", "read_plain"}
THEIRS = {
    ("edges/jobs.py", "_read_message"): "a message in the outbox",
    ("edges/jobs.py", "hear"): "the outbox itself",
    ("edges/jobs.py", "write_answer"): "the inbox, to which an answer is written",
    ("edges/jobs.py", "_read"): "`start` and `exit.json`",
    ("edges/jobs.py", "read_job"): "`job.json`",
    ("edges/jobs.py", "_sitting"): "which sitting it is",
    ("edges/lines.py", "read"): "hooks.jsonl, channel.jsonl, gateway.jsonl, and the transcript that an agent names",
    ("edges/lines.py", "append"): "the same, written to by us",
    ("edges/scratch.py", "read_plain"): "HEAD, refs, logs, index and packs of an agent's git directory",
    ("edges/scratch.py", "_list"): "folders of the same",
    ("edges/scratch.py", "mentioned"): "every file of it that may name a commit",
    ("edges/salvage.py", "_copy_index"): "its index",
    ("edges/checkout.py", "_loose_branch"): "its branch",
    ("edges/checkout.py", "_unsound"): "its configuration, as bytes",
    ("edges/check.py", "_log_of"): "the log of a check",
    ("edges/report.py", "content"): "the report of a check",
    ("edges/report.py", "readable"): "the same, looked at",
    ("edges/weight.py", "walk"): "the checkout, weighed",
    ("edges/homes.py", "_laid"): "the private home of a session, written to",
    ("edges/surroundings.py", "_copy_one"): "what `.worktreeinclude` names",
    ("edges/withheld.py", "read_list"): "the list of forgotten secrets",
    ("forgetting.py", "_overwritten"): "files of sessions, written to",
    ("forgetting.py", "_holds"): "the same, read",
    ("edges/tried.py", "add"): "access.jsonl, written to by us",
    ("access.py", "walls_of"): "`walls.json`",
    ("edges/baits.py", "_empty"): "what an earlier sitting left in its private home",
    ("session_reader.py", "_git_dir"): "a `.git` file in a checkout",
    ("steering.py", "_told"): "the last of a session's raw lines",
    ("perform.py", "_tell_facts"): "`facts.json`",
}
"""Where the daemon opens what an agent can put there or replace: each goes through the helper."""
OURS: dict[str, tuple[set[str], str]] = {
    "access.py": ({"sittings"}, "names of job directories, in a folder of ours"),
    "attacks.py": ({"*"}, "plays the agent, and looks at its prey, in a place made for that"),
    "attempts.py": ({"*"}, "runs inside the walls, as the agent"),
    "beneath.py": ({"_below", "_clear_asides", "_open", "names", "walk"}, "the helper itself"),
    "blobs.py": ({"_holds", "get", "sweep"}, "blobs, named by us"),
    "bubblewrap.py": ({"*"}, "the kernel's own files"),
    "cgroup.py": ({"*"}, "the kernel's own files"),
    "check.py": ({"sweep"}, "names of job directories, in a folder of ours"),
    "checkout.py": ({"_clear_way", "_publish"}, "a checkout in the making: no agent was in it"),
    "client.py": ({"_log_end", "start_daemon"}, "our log"),
    "commits.py": ({"_write", "_plain"}, "a file of ours without a name, and objects of the person's repository"),
    "daemon_log.py": ({"*"}, "our log"),
    "doors.py": ({"*"}, "/proc of the shim"),
    "durable.py": ({"clear_left", "sync_dir", "write_file"}, "files of ours, and names alone"),
    "enclose.py": ({"objects_of"}, "read before the first start of a sitting"),
    "forward.py": ({"_git_inside", "_open", "_verdict"}, "the person's own checkout, and our journal"),
    "gateway.py": (
        {"_answering", "_control", "_route"},
        "our gateway's folder; a route is opened by no link and without waiting"),
    "evidence_ref.py": ({"_clear_keeps"}, "the person's own git directory, where no agent writes"),
    "git.py": ({"held", "make_git_dir", "written"}, "the person's repository, and our locks"),
    "homes.py": ({"_copied"}, "a file of the person's that is to be copied in"),
    "housekeeping.py": ({"snapshots_of"}, "names of our snapshots"),
    "inside.py": ({"*"}, "/dev/null"),
    "jobs.py": ({"hear"}, "a descriptor that the helper gave"),
    "keys.py": ({"_make", "_once"}, "the factory's own keys, in a folder that no session sees"),
    "landlock.py": ({"*"}, "paths that the daemon chose"),
    "ledger_file.py": ({"*"}, "the ledger"),
    "lock.py": ({"*"}, "our lock"),
    "login_files.py": ({"_known", "locked", "own", "swap"}, "the person's own file and its folder, and a record of ours"),
    "lookout.py": ({"*"}, "in the shim's own process, in a job directory whose other names do not exist inside"),
    "machine.py": ({"*"}, "/proc"),
    "manifests.py": ({""}, "a table of ours, in the package"),
    "marker.py": ({"read", "write"}, "our records beside checkouts"),
    "mirror.py": ({"_half_way"}, "the person's git directory"),
    "operators.py": ({"_read"}, "the person's own list of who signs, and no agent reaches their settings"),
    "peer.py": ({"_read"}, "/proc"),
    "perform.py": ({"_clear_scratch"}, "a folder of ours"),
    "process.py": ({"_marked"}, "/proc"),
    "proctable.py": ({"*"}, "/proc"),
    "proving.py": ({"_throw_away", "_unlock"}, "git directories of ours, and an index of ours"),
    "retention.py": ({"_entries", "_untouched", "_weighed"}, "walks that follow no link and open nothing"),
    "salvage.py": ({"_has_content", "_leftovers", "_our_entries"}, "names alone, in folders of ours and the repository's"),
    "sandbox.py": ({"*"}, "programs of the machine"),
    "scratch.py": ({"_lay", "_tellers"}, "our index, and a walk that follows no link: what it names is read by the helper"),
    "served.py": ({"*"}, "a unit file of ours"),
    "shim.py": ({"*"}, "files of a job that nobody started yet, and its pipes"),
    "shim_files.py": ({"*"}, "the same files"),
    "snapshots.py": ({"*"}, "our snapshots"),
    "surroundings.py": ({"_copy_one"}, "a link as a link, into a fresh checkout; descriptors that the helper gave"),
    "tmux.py": ({"_write_config"}, "our configuration"),
    "tree.py": ({"*"}, "/proc"),
    "treeio.py": ({"*"}, "/proc"),
    "trust.py": ({"_operators"}, "the person's own `allowed_signers`"),
    "upgrade.py": ({"*"}, "backups of ours"),
    "vocabulary.py": ({"vocabulary"}, "words of ours, in the package"),
    "veil.py": ({"_lay"}, "a git directory in the making: no agent was in it"),
    "walls.py": ({"*"}, "in the shim's own process, before or beside the job"),
    "watch.py": ({"_read"}, "names alone"),
    "weight.py": ({"walk", "weigh"}, "a descriptor that the helper gave"),
    "whatif.py": ({"_in_memory", "_sweep"}, "folders of ours in memory"),
}
"""Every other opening, by file: in which functions (`*`: in any), and why no agent has a say in it."""


def modules() -> list[Path]:
    return [*sorted((ROOT / "edges").rglob("*.py")), *sorted(ROOT.glob("*.py"))]


def functions(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the function that it stands in."""
    def visit(node: ast.AST, inside: str) -> Iterator[tuple[str, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield inside, child
            yield from visit(child, child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else inside)
    yield from visit(ast.parse(path.read_text()), "")


def called(call: ast.Call) -> tuple[str, str]:
    """Owner and name of what is called."""
    told = call.func
    if isinstance(told, ast.Attribute):
        return (told.value.id if isinstance(told.value, ast.Name) else "", told.attr)
    return "", told.id if isinstance(told, ast.Name) else ""


def openings(path: Path) -> set[str]:
    """The functions of a module that open something by its path, past the helper."""
    return {inside for inside, call in functions(path) for owner, name in (called(call),) if name in OPENING and owner not in OTHER}


def test_each_place_where_an_agent_has_a_say_goes_through_the_helper() -> None:
    for (module, function), what in THEIRS.items():
        names = set()
        for inside, call in functions(ROOT / module):
            if inside == function:
                names.add(".".join(filter(None, called(call))))
                names |= {word.id for word in call.args if isinstance(word, ast.Name)}
        assert names & HELPERS, f"{module}: {function} reads {what} past the helper"


def test_no_other_opening_exists_than_those_that_say_why() -> None:
    found = {(path.name, function) for path in modules() for function in openings(path)}
    known = {(name, function) for name, (functions_, _) in OURS.items() for function in functions_}
    whole = {name for name, (functions_, _) in OURS.items() if "*" in functions_}
    left = {(name, function) for name, function in found - known if name not in whole}
    assert left == set(), "open what an agent may have put there through andon.edges.beneath, or say here why none has a say"
    assert set(OURS) - {path.name for path in ROOT.rglob("*.py")} == set()


def test_the_search_finds_an_opening(tmp_path: Path) -> None:
    code = "def f(p):\n    with p.open('rb') as x: return x.read()\ndef g(p): return os.open(p, 0)\n"
    code += "def h(p): return beneath.read(p, 'x', 1)\n"
    (tmp_path / "bad.py").write_text(code)
    assert openings(tmp_path / "bad.py") == {"f", "g"}
