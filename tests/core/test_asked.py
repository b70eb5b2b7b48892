"""Which paths that an agent names to its tools lie outside of its walls, and which of them a person is told of."""

import pytest

from andon.core import asked
from andon.core.asked import Bounds
from andon.schema.sandbox import Bait, Bind, Sandbox
from andon.schema.signals import AnySignal, PermissionWanted, ToolBegan

BOX = Sandbox(level="strict", home="/s/homes/T1.1", binds=(
    Bind(source="/usr"), Bind(source="/c/T1.1", write=True), Bind(source="/s/homes/T1.1", write=True), Bind(source="/etc/hosts"),
    Bind(source="/cache", write=True),
), baits=(Bait(what="~/.ssh", source="/s/jobs/T1.1/baits/0", targets=("/s/homes/T1.1/.ssh", "/home/ada/.ssh")),))
WALLED = Bounds(checkout="/c/T1.1", home="/s/homes/T1.1", box=BOX, own=("/home/ada", "/s"), job="/s/jobs/T1.1")
OPEN = Bounds(checkout="/c/T1.1", home="/s/homes/T1.1", own=("/home/ada", "/s"), job="/s/jobs/T1.1")


def tool(name: str, target: str) -> AnySignal:
    return ToolBegan(at=1, source="hook", call="c", name=name, target=target)


def found(signal: AnySignal, bounds: Bounds = WALLED) -> list[tuple[str, str]]:
    return [(one.kind, one.path) for one in asked.outside(signal, bounds)]


@pytest.mark.parametrize(("signal", "paths"), [
    (tool("Read", "/home/ada/notes.txt"), [("read", "/home/ada/notes.txt")]),
    (tool("Write", "/usr/lib/x"), [("write", "/usr/lib/x")]),
    (tool("Edit", "/cache/x"), []), (tool("Read", "src/a.py"), []), (tool("Read", "../T2.1/a.py"), [("read", "/c/T2.1/a.py")]),
    (tool("Read", "/etc/hosts"), []), (tool("Read", "/etc"), []), (tool("Read", "/tmp/x"), []), (tool("Write", "~/notes"), []),
    (tool("Read", "~/.ssh/id_rsa"), [("read", "/s/homes/T1.1/.ssh/id_rsa")]),
    (tool("Bash", "pytest -q && cat /home/ada/x > /srv/y 2>/dev/null"), [("write", "/srv/y"), ("read", "/home/ada/x")]),
    (tool("Bash", "echo $(cat /home/ada/x)"), [("read", "/home/ada/x")]),
    (tool("Bash", "curl https://example.org/a/b"), []), (tool("Task", "/home/ada/x"), []), (tool("Read", "/home/*/x"), []),
    (PermissionWanted(at=1, source="api", ask="p", tool="edit", deed="edit", paths=("/home/ada/a", "src/b")),
     [("write", "/home/ada/a")]),
    (PermissionWanted(at=1, source="api", ask="p", tool="other", deed="shell", target="tee /x"), [("read", "/x")]),
])
def test_a_path_is_outside_when_no_bound_place_holds_it(signal: AnySignal, paths: list[tuple[str, str]]) -> None:
    assert found(signal) == paths


@pytest.mark.parametrize(("signal", "exists", "sign"), [
    (tool("Read", "/home/ada/notes.txt"), True, ""), (tool("Read", "/home/ada/notes.txt"), False, "-"),
    (tool("Read", "/app/main.py"), True, "-"), (tool("Write", "/app/main.py"), False, ""),
    (tool("Read", "/home/ada/.ssh/id_rsa"), True, "-"), (tool("Write", "/home/ada/.ssh/authorized_keys"), False, "~/.ssh"),
])
def test_a_person_is_told_of_writes_and_of_what_is_theirs_and_there_and_not_of_guesses(
    signal: AnySignal, exists: bool, sign: str,
) -> None:
    (one,) = asked.outside(signal, WALLED)
    told = asked.told(one, WALLED, exists=exists)
    assert (told.sign, told.allowed) == (sign, False)


def test_without_walls_nothing_is_refused_and_nothing_is_told_as_a_problem() -> None:
    (one,) = asked.outside(tool("Write", "/home/ada/.bashrc"), OPEN)
    told = asked.told(one, OPEN, exists=True)
    assert told.allowed and told.sign == "-" and told.rule == "named to Write; no walls"


def test_a_call_that_names_thousands_of_paths_tells_a_bounded_number() -> None:
    assert len(found(tool("Bash", "cat " + " ".join(f"/x{n}" for n in range(3_000))))) == asked.PATHS
