"""A person is told of a gate by their own programs: at least once each, for so long and no longer, and a failure is said."""

import json
import sys
from pathlib import Path

import pytest

from andon.edges.routes import tell, tell_problem
from andon.schema.effects import TellGate, TellProblem
from andon.schema.ids import GateId, RepoId, TaskId
from andon.schema.inputs import GateTold
from andon.schema.settings import Routes
from support import wait_until
from wholekit import program


def effect(n: int = 0, **routes: object) -> TellGate:
    return TellGate(
        gate=GateId("G4"), n=n, task=TaskId("T3"), repo=RepoId("shop"), title="paint it", question="Land T3 “paint \x1b[31mit”?",
        recommendation="approve", because="so it is", risk="stop", to="ana", opened_at=1_767_225_600_000,
        routes=Routes(**routes),  # type: ignore[arg-type]
    )


async def test_a_program_gets_the_notice_as_json_with_a_key_and_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    hook = program(tmp_path / "hook", f"cat > {tmp_path}/notice; env > {tmp_path}/env; pwd > {tmp_path}/cwd")
    told = await tell(effect(2, command=(str(hook), "now")))
    assert told == GateTold(gate=GateId("G4"), n=2, told=("command",))
    notice = json.loads((tmp_path / "notice").read_text())
    assert notice["key"] == "gate/G4/2" and notice["times"] == 2 and notice["risk"] == "stop" and notice["for"] == "ana"
    assert notice["question"] == "Land T3 “paint it”?" and notice["since"] == "2026-01-01T00:00:00Z"
    assert (tmp_path / "cwd").read_text() == "/\n"
    env = (tmp_path / "env").read_text()
    assert "PATH=" in env and "ANTHROPIC" not in env and "ANDON" not in env


@pytest.mark.parametrize(("script", "what"), [
    ("echo no such channel >&2; exit 3", "it ended with 3: no such channel"), ("kill -9 $$", "-9"),
])
async def test_a_program_that_fails_is_told_of_and_stops_no_other_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, what: str,
) -> None:
    program(tmp_path / "bin" / "notify-send", f'printf "%s\\n" "$@" > {tmp_path}/shown')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    hook = program(tmp_path / "hook", script)
    told = await tell(effect(1, command=(str(hook),), desktop="stop"))
    assert told.told == ("desktop",) and [one.route for one in told.unheard] == ["command"]
    assert what in told.unheard[0].problem.what and "[routes]" in told.unheard[0].problem.mend
    assert "G4 waits for you (told again, 1x)" in (tmp_path / "shown").read_text()
    assert "--urgency=critical" in (tmp_path / "shown").read_text()


async def test_a_program_that_hangs_is_ended_with_its_children_at_its_limit(tmp_path: Path) -> None:
    hook = program(tmp_path / "hook", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    told = await tell(effect(command=(str(hook),), seconds=0.5))
    assert told.told == () and "within 0.5 s and was ended" in told.unheard[0].problem.what
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    wait_until(lambda: not child.exists() or child.read_text().split()[2] == "Z", 10, what="the child to end")


@pytest.mark.parametrize("missing", [("no-such-program-at-all",), (str(Path("/dev/null")),)])
async def test_a_program_that_is_not_there_is_told_of(missing: tuple[str, ...]) -> None:
    told = await tell(effect(command=missing))
    assert "is not there to tell you of gates" in told.unheard[0].problem.what


async def test_a_program_that_reads_nothing_and_prints_much_does_no_harm(tmp_path: Path) -> None:
    hook = program(tmp_path / "hook", f"{sys.executable} -c 'print(\"x\" * 10_000_000)'")
    assert (await tell(effect(command=(str(hook),)))).told == ("command",)


async def test_nobody_is_called_where_no_route_wants_the_gate() -> None:
    assert await tell(effect()) == GateTold(gate=GateId("G4"), n=0)


async def test_a_problem_goes_the_same_ways(tmp_path: Path) -> None:
    hook = program(tmp_path / "hook", f"cat > {tmp_path}/notice")
    told = await tell_problem(TellProblem(
        problem="disk", at=0, what="it is \x1b[1mfull", where="/", mend="make room", repo=RepoId(""), task=TaskId(""),
        routes=Routes(command=(str(hook),)),
    ))
    assert told.told == ("command",) and told.problem_key == "disk"
    notice = json.loads((tmp_path / "notice").read_text())
    assert (notice["kind"], notice["what"], notice["mend"]) == ("problem", "it is full", "make room")
    assert notice["key"] == "problem/disk/0"
