# ruff: noqa: E501 (a row of the table quotes the line that it changes)
"""The guards of isolation as a table: each one as the mutation that takes it away, and the tests that must turn red without it.

`take` names one by its text, which stands exactly once in its file; `each` makes one of every entry of a table in the code, so
that an entry added there is a guard here without anybody's doing.
"""

import ast
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EDGES, SCHEMA = "daemon/andon/edges", "daemon/andon/schema"


class Guard(NamedTuple):
    """One guard."""

    area: str
    name: str
    file: str
    """Below the repository."""
    old: str
    """Stands exactly once in it."""
    new: str
    tests: tuple[str, ...]
    """`file::function` or a file, below tests/."""
    why: str = ""
    """Why no test of a running product can miss it: another guard, which is named, holds the same attack. Empty: one must."""


class Unclear(Exception):
    """A mutation that cannot be carried out as it is written."""


@lru_cache
def source_of(file: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / file).read_text()


def there(guard: Guard) -> str:
    """The file that a guard stands in, where it stands exactly once. Raises Unclear."""
    text = source_of(guard.file)
    if text.count(guard.old) != 1:
        raise Unclear(f"{guard.area}/{guard.name}: {guard.old!r} stands {text.count(guard.old)} times in {guard.file}")
    return text


def mutated(guard: Guard) -> str:
    """Its file without it. Raises Unclear."""
    made = there(guard).replace(guard.old, guard.new)
    try:
        if guard.file.endswith(".py"):
            ast.parse(made)
    except SyntaxError as error:
        raise Unclear(f"{guard.area}/{guard.name}: what is left is no Python: {error}") from error
    return made


@lru_cache
def value_of(file: str, table: str) -> tuple[str, ast.expr]:
    """The source of a file, and the expression that a name in it is given."""
    source = source_of(file)
    for node in ast.walk(ast.parse(source)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == table for target in targets):
            value = node.value  # type: ignore[attr-defined]  # both kinds of assignment have one
            if isinstance(value, ast.expr):
                return source, value
    raise Unclear(f"there is no {table} in {file}")


def each(area: str, file: str, table: str, tests: tuple[str, ...], spare: dict[str, str] | None = None) -> list[Guard]:
    """One guard an entry of a tuple, a set or a dict; `spare` says of entries by which other guard their attack is held."""
    source, value = value_of(file, table)
    whole = ast.get_source_segment(source, value) or ""
    if isinstance(value, ast.Dict):
        parts = [f"{_text(source, key)}: {_text(source, one)}" for key, one in zip(value.keys, value.values, strict=True)]
        ends = "{}"
    elif isinstance(value, ast.Tuple):
        parts, ends = [_text(source, one) for one in value.elts], "()"
    else:
        raise Unclear(f"{table} in {file} is no table")
    made = []
    for n, part in enumerate(parts):
        left = parts[:n] + parts[n + 1:]
        new = f"{ends[0]}{', '.join(left)}{',' if left else ''}{ends[1]}"
        name = f"{table}: {' '.join(part.split())[:60]}"
        why = next((why for key, why in (spare or {}).items() if key in part), "")
        made.append(Guard(area, name, file, whole, new, tests, why))
    return made


def _text(source: str, node: ast.expr | None) -> str:
    return (ast.get_source_segment(source, node) or "") if node is not None else "**"


def take(area: str, name: str, file: str, old: str, new: str, *tests: str, why: str = "") -> Guard:
    """One guard by its text."""
    return Guard(area, name, file, old, new, tests, why)


# --- walls -------------------------------------------------------------------------------------------------------------------

SAND = "edges/test_sandbox.py"
ATTACKS = "edges/test_attacks.py"
STRICT_MATRIX = f"{ATTACKS}::test_behind_strict_walls_no_attack_succeeds_and_committing_works"
PARTIAL_MATRIX = f"{ATTACKS}::test_behind_landlock_the_report_names_exactly_what_is_left_open"
EXISTS = f"{SAND}::test_only_what_is_bound_exists_and_only_what_is_writable_can_be_written"
OWN = f"{SAND}::test_it_sees_its_own_processes_alone_and_has_its_own_name"
CALLS = f"{SAND}::test_system_calls_that_reach_past_the_walls_are_refused"
RULES = f"{SAND}::test_the_rules_hold_to_the_bit_on_every_machine_that_has_them"
WORDS = "edges/test_wall_words.py"
BWRAP, INSIDE, WALLS = f"{EDGES}/bubblewrap.py", f"{EDGES}/inside.py", f"{EDGES}/walls.py"
SECCOMP, LANDLOCK = f"{EDGES}/seccomp.py", f"{EDGES}/landlock.py"


def walls() -> Iterable[Guard]:
    """bubblewrap: its words, and what stands around them."""
    def bwrap(name: str, old: str, new: str, *tests: str, why: str = "") -> Guard:
        return take("bubblewrap", name, BWRAP, old, new, *tests, why=why)
    yield bwrap("all namespaces", '"--unshare-all", "--unshare-user", ', '"--unshare-user", ', STRICT_MATRIX, OWN)
    yield bwrap("a user namespace for certain", '"--unshare-user", "--die', '"--die', WORDS)
    yield bwrap("die with parent", '"--die-with-parent", ', "", f"{SAND}::test_a_shim_that_is_killed_takes_everything_with_it")
    yield bwrap("no powers", '"--cap-drop", "ALL", ', "", OWN, WORDS)
    yield bwrap("cleared environment", '"--clearenv", ', "", f"{SAND}::test_home_is_its_own_and_the_environment_is_exactly_the_jobs",
                f"{SAND}::test_secrets_of_the_environment_are_on_no_command_line_and_in_no_environment_of_the_walls", WORDS)
    yield bwrap("a name of its own", ', "--hostname", "andon")', ")", OWN)
    yield bwrap("network only when asked", 'if box.get("network") == "host"', "if True", STRICT_MATRIX)
    yield bwrap("a process table of its own", '"--proc", "/proc", "--dev"', '"--ro-bind", "/proc", "/proc", "--dev"', OWN, WORDS)
    yield bwrap("devices of its own", '"--dev", "/dev", "--size"', '"--dev-bind", "/dev", "/dev", "--size"', WORDS, STRICT_MATRIX)
    yield bwrap("size of shared memory", '"--size", str(SHM_MB << 20), "--tmpfs", "/dev/shm"', '"--tmpfs", "/dev/shm"', WORDS)
    yield bwrap("size of /tmp", '["--size", str(megabytes << 20)] if megabytes else []', "[]",
                f"{SAND}::test_limits_of_memory_files_tmp_and_core_hold")
    yield bwrap("a /tmp of its own", '*size, "--tmpfs", "/tmp"]', '"--ro-bind", "/tmp", "/tmp"]', EXISTS, STRICT_MATRIX)
    yield bwrap("the root is read-only", ', "--remount-ro", "/"]', "]", EXISTS)
    yield bwrap("read-only binds", 'else "--bind" if write else "--ro-bind"', 'else "--bind"', EXISTS, STRICT_MATRIX)
    yield bwrap("root is somebody else", "if os.geteuid() == 0 else []), \"--remount-ro\"", "if False else []), \"--remount-ro\"", WORDS,
                f"{SAND}::test_an_agent_may_bring_walls_of_its_own")
    yield bwrap("what must exist inside lies over the binds", "        words += _mount(path, path, False, False, writable)",
                "        words += _mount(path, path, True, False, writable)", WORDS)
    yield bwrap("what is hidden", "    for path in box.get(\"hide\") or ():\n        words += _hide(path, binds, writable)\n", "",
                f"{SAND}::test_what_is_hidden_looks_empty_and_cannot_be_changed", STRICT_MATRIX)
    yield bwrap("a hidden folder cannot be filled", ', "--remount-ro", path]', "]", WORDS)
    yield bwrap("no mount through a planted link", "            if os.path.islink(here):", "            if False:",
                f"{SAND}::test_a_link_planted_where_the_job_writes_leads_no_later_mount_away")
    yield bwrap("no hiding through a planted link", "    straight(source, writable)\n    if stat", "    if stat",
                f"{SAND}::test_a_link_planted_where_the_job_writes_leads_no_later_mount_away")
    yield bwrap("whole paths only", 'not path.startswith("/") or "/../" in f"{path}/"', "False", WORDS)
    yield take("walls", "seccomp given to bwrap", WALLS, '"--seccomp", str(self.rules), ', "", CALLS, STRICT_MATRIX)
    yield take("walls", "no environment for bwrap", WALLS, 'if name == "ANDON_TREE"}', "}",
               f"{SAND}::test_secrets_of_the_environment_are_on_no_command_line_and_in_no_environment_of_the_walls")
    yield take("walls", "doors in the network of the job", WALLS, 'init if self.box.get("network") != "host" else 0', "0",
               "edges/test_doors.py::test_a_door_carries_every_byte_of_many_callers_and_the_end_of_each_direction")
    yield take("walls", "doors die with their shim", WALLS, "    os.setpgid(0, 0)\n    die_with_parent()\n", "    os.setpgid(0, 0)\n",
               f"{SAND}::test_a_shim_that_is_killed_takes_everything_with_it", WORDS)
    yield take("walls", "walls fall with the job", WALLS, "            send(self.init, signal.SIGKILL)", "            pass",
               f"{SAND}::test_a_pane_that_is_closed_ends_the_job", f"{SAND}::test_a_shim_that_is_killed_takes_everything_with_it",
               why="the shim kills its children, bwrap dies with it, and with bwrap its namespace")
    yield take("walls", "an unknown level is refused", WALLS, "    if level not in kinds:", "    if False:", WORDS)
    yield take("walls", "Landlock is enforced", WALLS, "        self.rules.enforce()\n", "", PARTIAL_MATRIX)
    yield take("walls", "seccomp behind Landlock", WALLS, "        seccomp.load(self.filter)\n", "", PARTIAL_MATRIX)
    yield take("walls", "limits behind Landlock", WALLS, "        inside.limit(self.bounds)\n", "", WORDS)
    yield take("walls", "no namespaces behind Landlock", WALLS, "nested=False, unix=False", "nested=True, unix=False",
               f"{SAND}::test_behind_landlock_there_is_no_unix_socket_and_only_the_network_that_it_may_have")
    yield take("walls", "no unix sockets behind Landlock", WALLS, "nested=False, unix=False", "nested=False, unix=True", PARTIAL_MATRIX)
    yield take("walls", "no core files", WALLS, 'named = {"core": 0}', 'named = dict[str, int]()', WORDS)
    yield take("walls", "a limit of memory", WALLS, '            named["memory"] = min(memory) << 20\n', "",
               f"{SAND}::test_limits_of_memory_files_tmp_and_core_hold")
    yield take("walls", "a limit of file sizes", WALLS, '            named["file"] = int(asked["file_mb"]) << 20', "            pass",
               f"{SAND}::test_limits_of_memory_files_tmp_and_core_hold")
    yield take("walls", "a limit of processes", WALLS, '                named["processes"] = int(asked["processes"])', "                pass",
               f"{SAND}::test_a_user_who_is_not_root_gets_the_same_walls_and_a_limit_of_processes")
    yield take("witness", "no descriptor for the job", INSIDE, "        os.set_inheritable(fd, False)", "        os.set_inheritable(fd, True)",
               f"{SAND}::test_it_inherits_no_descriptor_of_the_shim_or_of_its_walls")
    yield take("walls", "rubbish of the job is no status", WALLS, "if word.isdigit() and len(word) < 6]", "if word.isdigit()]",
               f"{SAND}::test_rubbish_on_the_line_between_the_walls_and_the_shim_harms_nothing",
               why="the shim asks for one that fits in 16 bits as well; either alone holds")


def system_calls() -> Iterable[Guard]:
    """seccomp, rule by rule."""
    for table in ("NEVER", "ABSENT", "MOUNTING"):
        yield from each("seccomp", SECCOMP, table, ("edges/test_wall_calls.py",))
    for name, old, new in (
        ("typing into the terminal", "(_EQUAL, 1, 0, TIOCSTI), (_EQUAL, 0, 1, TIOCLINUX)", "(_EQUAL, 0, 1, TIOCLINUX)"),
        ("the console's way of typing", "(_EQUAL, 1, 0, TIOCSTI), (_EQUAL, 0, 1, TIOCLINUX)", "(_EQUAL, 0, 1, TIOCSTI)"),
        ("another instruction set", "(_EQUAL, 1, 0, arch), _refuse(errno.ENOSYS)", "(_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _ALLOW)"),
        ("the x32 instruction set", "        code += [(_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)]\n", "        pass\n"),
        ("families of sockets", '    code += _when(number["socket"], _families(unix, inet))\n', ""),
        ("netlink only for routes", "(_EQUAL, 1, 0, 0), _refuse(errno.EPERM)]  # protocol", "]  # protocol"),
        ("unknown families", "    tail.append(_refuse(errno.EAFNOSUPPORT))\n", "    tail.append((_RETURN, 0, 0, _ALLOW))\n"),
        ("pairs of datagrams", "    if not unix:  # an unconnected", "    if False:  # an unconnected"),
        ("new namespaces", '        code += _when(number["unshare"]', '        0 and _when(number["unshare"]'),
        ("clone into namespaces", '        code += _when(number["clone"]', '        0 and _when(number["clone"]'),
        ("clone3", '        code += [(_EQUAL, 0, 1, number["clone3"]), _refuse(errno.ENOSYS)]', "        code += []"),
        ("TCP alone", "stream = [*_masked(1, _TYPE_BITS), (_EQUAL, 1, 0, _STREAM), _refuse(errno.EACCES)]", "stream: list[Step] = []"),
    ):
        yield take("seccomp", name, SECCOMP, old, new, "edges/test_wall_calls.py", RULES)
    partial = f"{SAND}::test_behind_landlock_there_is_no_unix_socket_and_only_the_network_that_it_may_have"
    for name, old, new in (
        ("reading what is not allowed", "    known = (1 << 13) - 1\n", "    known = ((1 << 13) - 1) & ~_READ\n"),
        ("writing what is not allowed", "    known = (1 << 13) - 1\n", "    known = ((1 << 13) - 1) & ~_WRITE\n"),
        ("making what is not allowed", "    known = (1 << 13) - 1\n", "    known = ((1 << 13) - 1) & ~_CHANGE\n"),
        ("truncating", "| (_TRUNCATE if abi >= 3 else 0)", ""),
        ("devices", "| (_IOCTL if abi >= 5 else 0)", ""),
        ("ports", "network = _CONNECT_TCP if self.ports is not None else 0", "network = 0"),
        ("signals", "(_SCOPE_ABSTRACT | _SCOPE_SIGNAL)", "_SCOPE_ABSTRACT"),
        ("root without its powers", "        if os.geteuid() == 0:\n            drop_capabilities()\n", ""),
        ("no way through a planted link", "            straight(source, writable)\n", ""),
        ("what is read is not written", "((_WRITE | _CHANGE | _REFER | _TRUNCATE | _IOCTL) if write else 0)",
         "(_WRITE | _CHANGE | _REFER | _TRUNCATE | _IOCTL)"),
    ):
        yield take("landlock", name, LANDLOCK, old, new, "edges/test_landlock_rules.py", partial, PARTIAL_MATRIX)
    yield take("landlock", "abstract sockets", LANDLOCK, "(_SCOPE_ABSTRACT | _SCOPE_SIGNAL)", "_SCOPE_SIGNAL", PARTIAL_MATRIX,
               why="seccomp behind Landlock makes no unix sockets at all")


# --- git, and paths of agents ----------------------------------------------------------------------------------------------------

GIT, BENEATH, PEER = f"{EDGES}/git.py", f"{EDGES}/beneath.py", f"{EDGES}/peer.py"
LIFE = "edges/test_gitcalls.py::test_each_git_of_a_whole_life_is_run_so_that_no_agent_has_a_say"
POISON = "edges/test_gitpoison.py"
PLAIN_GIT = "edges/test_git_environment.py"


def gits() -> Iterable[Guard]:
    """How git is run, over every call."""
    tests = (PLAIN_GIT,)
    for table in ("_BOTH", "_STRICT"):
        yield from each("git", GIT, table, tests)
    yield from each("git", GIT, "_ENV", tests)
    yield from each("git", GIT, "_STRICT_ENV", tests)
    yield from each("git", GIT, "FETCH", tests)
    for name, old, new in (
        ("no variable of the person's", 'env = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ} | _ENV',
         "env = {**os.environ} | _ENV"),
        ("no GIT_ variable even where the person's settings count",
         'if not key.startswith("GIT_") or key == "GIT_CONFIG_NOSYSTEM"}', "}"),
        ("strict settings unless in the person's checkout", "*(() if trusted else _STRICT)", "*()"),
        ("a bound on what is read", "_finish(process, limit, seconds", "_finish(process, None, seconds"),
        ("a git that is stuck is ended", "_finish(process, limit, seconds", "_finish(process, limit, 1e9"),
        ("a bad exit is an error", "if check and output.code != 0 and not truncated", "if False"),
        ("a git directory of our own has no hooks", 'for name in ("refs/heads", "objects/info", "info"):',
         'for name in ("refs/heads", "objects/info", "info", "hooks"):'),
    ):
        yield take("git", name, GIT, old, new, PLAIN_GIT)


def paths() -> Iterable[Guard]:
    """Files of agents."""
    tests = ("edges/test_beneath.py", "edges/test_beneath_flags.py")
    for name, old, new, why in (
        ("beneath", "_NO_SYMLINKS | _BENEATH", "_NO_SYMLINKS", ""),
        ("no links", "RESOLVE = _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH", "RESOLVE = _NO_MAGICLINKS | _BENEATH", ""),
        ("no magic links", "RESOLVE = _NO_MAGICLINKS | _NO_SYMLINKS", "RESOLVE = _NO_SYMLINKS", ""),
        ("the kernel is asked", "        if not self.there or self._call is None:", "        if True:", ""),
        ("no link at the end", "os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_CLOEXEC | os.O_NONBLOCK", ""),
        ("no waiting", "os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY", "os.O_NOFOLLOW | os.O_NOCTTY", ""),
        ("no terminal of ours", "os.O_NONBLOCK | os.O_NOCTTY", "os.O_NONBLOCK", ""),
        ("no descriptor for children", "_ALWAYS = os.O_CLOEXEC | ", "_ALWAYS = ", ""),
        ("plain files only", "        if not stat.S_ISREG(facts.st_mode):", "        if False:", ""),
        ("nothing is written through a second name", "and facts.st_nlink > 1", "and False", ""),
        ("no climbing and no absolute names", '    if name.startswith("/") or ".." in parts or len(parts) > DEPTH:',
         "    if len(parts) > DEPTH:", ""),
        ("a bound on depth", " or len(parts) > DEPTH:", ":", ""),
        ("names that are none", '    if not name or "\\0" in name:', "    if False:", ""),
        ("the root is no link", "os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)\n    try:\n        return _below",
         "os.O_DIRECTORY | os.O_CLOEXEC)\n    try:\n        return _below", ""),
        ("no link on the way, without the kernel", "os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=here)",
         "os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)", ""),
        ("a file that is made is new", "os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)", "os.O_WRONLY | os.O_CREAT, mode)",
         "what stood there was unlinked just before, and no link is followed: what is left is a race of two writers in a folder of ours"),
        ("facts of a link itself", "dir_fd=place, follow_symlinks=False)", "dir_fd=place)", ""),
    ):
        yield take("openat2", name, BENEATH, old, new, *tests, why=why)


def doors() -> Iterable[Guard]:
    """Who may speak for the person."""
    file, server, door = "edges/test_peer.py", f"{EDGES}/server.py", f"{EDGES}/doorway.py"
    judged = "test_the_daemon_answers_the_person_and_refuses_an_agent_before_it_says_anything"
    yield from each("peer", PEER, "NAMESPACES", (file,))
    for name, old, new in (
        ("the uid", "    if peer.uid != os.getuid():", "    if False:"),
        ("a peer that cannot be seen", "    if peer.pid <= 0:", "    if False:"),
        ("a peer that is gone", '            return "it is gone already"', "            pass"),
        ("the namespaces", "return _sandboxed(peer.pid) or _descended", "return _descended"),
        ("its ancestors", "return _sandboxed(peer.pid) or _descended(peer.pid, os.path.realpath(jobs))", "return _sandboxed(peer.pid)"),
        ("a namespace that cannot be seen", """            return f"its {name} namespace cannot be seen: {error.strerror}\"""", "            continue"),
        ("the shim by its words", "        if word.endswith(\"/andon/edges/shim.py\") and", "        if False and"),
        ("the marker", "        if key in (os.fsencode(MARKER), b\"ANDON_JOB\") and", "        if False and"),
        ("the older marker", 'key in (os.fsencode(MARKER), b"ANDON_JOB")', "key in (os.fsencode(MARKER),)"),
        ("the way up past the first parent", "        pid = parent\n    return f", "        return \"\"\n    return f"),
        ("too many parents", '    return f"more than {DEPTH} processes stand above it"', '    return ""'),
    ):
        yield take("peer", name, PEER, old, new, file, ALONE)
    yield take("server", "the judgement is asked", server, "        if told:\n            return Problem(what=f\"this program may not",
               "        if False:\n            return Problem(what=f\"this program may not", f"{file}::{judged}")
    yield take("server", "the uid at the door", server, "        if uid != os.getuid():", "        if False:",
               "edges/test_server.py::test_another_user_is_refused_before_a_word_is_read")
    yield take("doorway", "no link in the way", door, "    if path.is_symlink() or (path.exists()", "    if (path.exists()",
               "edges/test_doorway.py", "edges/test_server.py::test_a_file_that_is_no_socket_is_never_removed",
               why="a link is no socket by its own facts, and no socket is bound over one that leads nowhere")
    yield take("doorway", "the socket is 0600", door, "    path.chmod(0o600)\n", "    path.chmod(0o666)\n",
               "edges/test_server.py::test_the_socket_is_private_in_a_private_directory")
    yield take("doorway", "0600 from the first moment", door, "os.umask(0o177)", "os.umask(0)", "edges/test_doorway.py")
    yield take("doorway", "the folder is 0700", door, "        path.chmod(0o700)", "        pass",
               "edges/test_server.py::test_the_socket_is_private_in_a_private_directory", "edges/test_doorway.py")
    yield take("doorway", "the folder is ours and no link", door, "    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():",
               "    if False:", "edges/test_server.py::test_a_runtime_directory_that_is_a_link_is_refused")
    yield take("doorway", "a live socket is left alone", door, "        if answers(path):", "        if False:",
               "edges/test_server.py::test_a_live_socket_is_left_alone_and_named")


# --- words and secrets -----------------------------------------------------------------------------------------------------------

CRASHES = "e2e/test_secrets.py::test_"
CLEAN, REDACT, CLI_TEXT = f"{SCHEMA}/clean.py", f"{SCHEMA}/redact.py", "cli/test_cli_hostile_text.py"
SECRETS, INGRESS, ALONE = "edges/test_redact.py", "edges/test_ingress.py", "edges/test_guards_alone.py"


def texts() -> Iterable[Guard]:
    """What a terminal would obey."""
    for name, old, new in (
        ("CSI", 'f"{_CSI}|{_STRING}', 'f"{_STRING}'), ("strings", '|{_STRING}|{_SHORT}', '|{_SHORT}'),
        ("short escapes", '|{_SHORT}|[{_CONTROL}{_HIDDEN}]")\n_LINE', '|[{_CONTROL}{_HIDDEN}]")\n_LINE'),
        ("control characters", '|{_SHORT}|[{_CONTROL}{_HIDDEN}]")', '|{_SHORT}|[{_HIDDEN}]")'),
        ("hidden characters", '|{_SHORT}|[{_CONTROL}{_HIDDEN}]")', '|{_SHORT}|[{_CONTROL}]")'),
        ("lone surrogates", '    text = _SURROGATE.sub("\\ufffd", _LINE_ENDS.sub("\\n", text))', '    text = _LINE_ENDS.sub("\\n", text)'),
        ("line ends", '_SURROGATE.sub("\\ufffd", _LINE_ENDS.sub("\\n", text))', '_SURROGATE.sub("\\ufffd", text)'),
        ("rows keep colours alone", 'lambda found: found[0] if _SGR.fullmatch(found[0]) else ""', "lambda found: found[0]"),
        ("rows have no tabs and newlines", '{9: " ", 10: " ", 0x2028: " ", 0x2029: " "}', "{}"),
        ("JSON for a terminal", '    return _UNSEEN.sub(_escaped, data.decode("utf-8", "replace"))', '    return data.decode("utf-8", "replace")'),
    ):
        yield take("clean", name, CLEAN, old, new, CLI_TEXT, ALONE)
    tui, screens = "tui/andon_tui", "tui/test_hostile_text.py"
    yield take("screen", "one line", f"{tui}/safe.py", "    return clean(text.translate(_BLANKS))", "    return text", screens)
    yield take("screen", "lines", f"{tui}/safe.py", "    return cut if cut.isascii() and cut.isprintable() else clean(cut)",
               "    return cut", screens)
    yield take("screen", "live panes", f"{tui}/widgets/livepane.py", "self._decoder.decode_line(clean_row(text))",
               "self._decoder.decode_line(text)", screens, "tui/test_hostile_bytes.py")
    pane = f"{EDGES}/pane.py"
    yield take("panes", "rows of a live pane", pane, "[clean_row(row) for row in rows[:height]]", "rows[:height]", INGRESS)
    yield take("panes", "secrets in the rows of a live pane", pane, "_without_secrets([clean_row(row) for row in rows[:height]], width)",
               "[clean_row(row) for row in rows[:height]]", INGRESS)
    yield take("panes", "glances", pane, 'else clean(row).replace("\\n", " ").replace("\\t", " ") for row in rows[:last])',
               "else row for row in rows[:last])", INGRESS, "edges/test_pane.py")
    yield take("panes", "secrets in glances", pane, "    return withheld.redactor().rows(plain, max(map(len, plain), default=0))",
               "    return plain", INGRESS)
    yield take("panes", "titles", f"{EDGES}/tmux.py", 'title=clean(title.decode(errors="replace")).replace("\\n", " ")',
               'title=title.decode(errors="replace")', INGRESS, "edges/test_tmux.py")
    conf = f"{EDGES}/tmux.conf"
    escape = "edges/test_tmux_escape.py::test_no_sequence_of_a_pane_reaches_the_persons_terminal_or_clipboard"
    own = "edges/test_tmux.py::test_the_servers_settings_are_ours"
    for name, old, new in (("clipboard", "set -s set-clipboard off", "set -s set-clipboard on"),
                           ("passthrough", "set -gqw allow-passthrough off", "set -gqw allow-passthrough on"),
                           ("titles", "set -g set-titles off", "set -g set-titles on"),
                           ("renaming", "set -gw allow-rename off", "set -gw allow-rename on"),
                           ("the environment of clients", 'set -g update-environment ""', 'set -g update-environment "SECRET HOME"'),
                           ("bells", "set -g bell-action none", "set -g bell-action any"),
                           ("panes that stay after their end", "set -gw remain-on-exit on", "set -gw remain-on-exit off"),
                           ("no keys that end or split", "unbind -a -T prefix\nunbind -a -T root\n", "")):
        yield take("tmux", name, conf, old, new, escape, own, ALONE)


def secrets() -> Iterable[Guard]:
    """What must not be kept or passed on."""
    yield from each("redaction", REDACT, "FORMATS", (SECRETS,))
    yield from each("redaction", REDACT, "COMPRESSED", (INGRESS,))
    yield from each("redaction", REDACT, "PROVIDERS", (INGRESS,), {
        '"AWS_SECRET_ACCESS_KEY"': "the name's ending says so as well", '"AWS_ACCESS_KEY_ID"': "the name's ending says so as well",
        '"CLAUDE_CODE_OAUTH_TOKEN"': "the name's ending says so as well", '"ANTHROPIC_AUTH_TOKEN"': "the name's ending says so as well",
        '"AWS_SESSION_TOKEN"': "the name's ending says so as well"})
    for name, old, new in (
        ("exact values", "re.compile(b\"|\".join(map(re.escape, self._values))) if self._values else None", "None"),
        ("what was forgotten", "            self._forgotten.setdefault(pattern, set()).add(one.digest)", "            pass"),
        ("what is too large or compressed", "        if reason:\n            return UNSCANNED % reason\n", ""),
        ("wide text", "            return data if self._scan(thin) is thin else UNSCANNED % b\"it is wide text, and holds one\"",
         "            return data"),
        ("base64", "        found += [core, core.replace(b\"+\", b\"-\").replace(b\"/\", b\"_\")]", "        pass"),
        ("JSON and URLs", "    if plain:\n", "    if False:\n"),
    ):
        yield take("redaction", name, REDACT, old, new, SECRETS)
    for name, file, old, new in (
        ("words of agents", "jobs.py", "withheld.text(said.text), ", "said.text, "),
        ("options of agents", "jobs.py", "tuple(withheld.text(one) for one in said.options[:20])", "tuple(said.options[:20])"),
        ("commits that agents name", "jobs.py", "withheld.text(said.commit)[:200]", "said.commit[:200]"),
        ("raw lines", "lines.py", "[withheld.data(row) for row in rows if row.strip()]", "[row for row in rows if row.strip()]"),
        ("lines of channels", "channels.py", "data=withheld.struct(line.data)", "data=line.data"),
        ("blobs", "blobs.py", "        data = withheld.data(data)\n", ""),
        ("messages to faces", "encoded.py", "else withheld.data(told)", "else told"),
        ("errors of git", "git.py", 'withheld.text(f"git {args[0]} failed: {fatal[0]}")', 'f"git {args[0]} failed: {fatal[0]}"'),
        ("commands of git in errors", "git.py", """withheld.text(f"{where}: git {' '.join(args)}")""", """f"{where}: git {' '.join(args)}\""""),
        ("the tail of a check's log", "check.py", 'withheld.text(log[-20_000:].decode(errors="replace"))', 'log[-20_000:].decode(errors="replace")'),
        ("names in reports", "reports/junit.py", """withheld.text(f"{case.classname or ''}::{case.name or ''}")""",
         """f"{case.classname or ''}::{case.name or ''}\""""),
        ("failures in reports", "reports/junit.py", 'withheld.text(str(bad.text or bad.message or ""))', 'str(bad.text or bad.message or "")'),
        ("findings in reports", "reports/sarif.py",
         """withheld.text(f"{where}:{line} {result.get('ruleId', '')} {result.get('message', {}).get('text', '')}")""",
         """f"{where}:{line} {result.get('ruleId', '')} {result.get('message', {}).get('text', '')}\""""),
        ("errors of checks", "report.py", "withheld.text(seen.error)", "seen.error"),
        ("last screens", "tmux.py", 'withheld.text(told).rstrip()', 'told.rstrip()'),
        ("what was forgotten and cannot be read", "withheld.py", "        if _kept.redactor is None:\n            raise\n", ""),
        ("a newer list", "withheld.py", "    stamp = _stamp(_kept.home)\n", "    stamp = _kept.stamp\n"),
        ("log lines", "withheld.py", "            told = text(super().format(record))", "            told = super().format(record)"),
        ("log lines that cannot be looked through", "withheld.py", "except (TypeError, ValueError, Mistake) as error", "except (TypeError, ValueError) as error"),
        ("a private list", "withheld.py", "indent=1), 0o600)", "indent=1), 0o644)"),
    ):
        yield take("secrets", name, f"{EDGES}/{file}", old, new, INGRESS, ALONE, SECRETS)
    yield take("secrets", "reports that cannot be read", f"{EDGES}/reports/junit.py", "withheld.text(str(error))", "str(error)", INGRESS,
               why="the parser's words name a line and quote nothing, and the loop withholds every answer of an edge once more")
    office = "daemon/andon/office.py"
    for name, old, new in (
        ("a person's own words", "            plain = withheld.struct(unsigned(command))", "            plain = command"),
        ("settings of a repository", "        need_plain(loaded, str(path / SETTINGS))\n", ""),
        ("settings with a secret", "    if withheld.struct(settings) is not settings:", "    if False:"),
    ):
        yield take("secrets", name, office, old, new, INGRESS, f"{CRASHES}settings_with_a_secret_are_refused_before_they_are_kept")
    yield take("secrets", "what lies in an outbox", f"{EDGES}/jobs.py", "            if withheld.struct(said) is not said:", "            if False:",
               ALONE)
    yield take("secrets", "the environment of a started job", f"{EDGES}/shim.py", "    strip(folder, job)\n", "",
               "edges/test_guards_alone.py")
    yield take("secrets", "crash reports", "daemon/andon/main.py", "    daemon_log.tell_of_crashes(log)\n", "",
               f"{CRASHES}a_daemon_that_crashes_tells_it_without_secrets_or_control_codes")
    yield take("secrets", "inputs of the loop", "daemon/andon/loop.py", "Item(withheld.struct(given))", "Item(given)", SECRETS)
    yield take("secrets", "answers of effects", "daemon/andon/loop.py", "withheld.struct(await self.perform(effect))",
               "await self.perform(effect)", SECRETS)


# --- the ledger and the machine --------------------------------------------------------------------------------------------------


def state() -> Iterable[Guard]:
    """One writer, room in reserve, no newer ledger, nothing removed that is not ours."""
    lock, upgrade, ballast = f"{EDGES}/lock.py", f"{EDGES}/upgrade.py", f"{EDGES}/ballast.py"
    yield take("lock", "flock", lock, "        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)", "        pass", "edges/test_store_lock.py")
    yield take("lock", "alone", lock, "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "edges/test_store_lock.py")
    yield take("lock", "the very file", lock, "if _locked(handle) and _still_there(handle, layout.lock):", "if _locked(handle):",
               ALONE)
    yield take("lock", "no child holds it", lock, "os.O_RDWR | os.O_CREAT | os.O_CLOEXEC", "os.O_RDWR | os.O_CREAT",
               "edges/test_store_lock.py", why="Python makes no descriptor that a child inherits, unless it is asked to")
    yield take("ledger", "a newer format", "daemon/andon/ledger_reader.py", "    if found > FORMAT:", "    if False:", "edges/test_upgrade.py")
    yield take("ledger", "a file of somebody else's", "daemon/andon/ledger_reader.py",
               "    if application not in (0, APPLICATION) or (application == 0 and tables):", "    if False:", ALONE)
    for name, old, new in (
        ("a backup first", "        kept = _back_up(layout, found, wrote)", "        kept = None"),
        ("no format is raised without a backup", "        if found < to:\n            raise\n", ""),
        ("no way is made up", "    if missing:\n", "    if False:\n"),
        ("all steps or none", '            db.execute("BEGIN IMMEDIATE")\n', ""),
        ("events stay as they were", "            if _head(db) != before:", "            if False:"),
    ):
        yield take("upgrade", name, upgrade, old, new, "edges/test_upgrade.py")
    yield take("ballast", "it takes room", ballast, "        write_file(layout.ballast, os.urandom(wanted), alone=True)", "        pass",
               "edges/test_ballast.py")
    yield take("ballast", "it is given away", ballast, "    layout.ballast.unlink(missing_ok=True)\n", "", "edges/test_ballast.py")


def all_guards() -> list[Guard]:
    """Every guard of the table. Raises Unclear for one that the code no longer has."""
    from fault import guards_evidence as evidence

    parts = (walls, system_calls, gits, paths, doors, texts, secrets, state, evidence.seals, evidence.keys)
    found = [guard for part in parts for guard in part()]
    for guard in found:
        there(guard)
    return found
