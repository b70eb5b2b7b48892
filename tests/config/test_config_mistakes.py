"""What a person gets for a wrong settings file: what, where with the line, and how to mend it."""

import time
from pathlib import Path

import pytest

from andon.schema.errors import Mistake, Problem
from andon_config.load import load_person, load_repository
from andon_config.source import SIZE_LIMIT

CHECK = '[checks.tests]\nrun = "pytest"\n'
AGENTS = '[agents.fast]\nuse = "codex"\n'


def problem(tmp_path: Path, text: str | bytes) -> Problem:
    """What is said about this andon.toml."""
    file = tmp_path / "andon.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Mistake) as caught:
        load_repository(work=file, base=None, person=None)
    return caught.value.problem


# (the file, a part of what, the line, a part of mend)
WRONG: dict[str, tuple[str | bytes, str, str, str]] = {
    "not TOML": ("[factory]\nwip 3\n", "andon.toml is not TOML: expected '='", "2:5", "correct line 2, column 5"),
    "a key twice": ("[factory]\nwip = 3\nwip = 4\n", "is not TOML: cannot overwrite a value", "3:8", "correct line 3"),
    "an open string at the end": ('[factory]\ntarget = """main', "is not TOML: ", "2", "the end of the file"),
    "an unknown key": ("[factory]\n\nwpi = 3\n", "unknown key `factory.wpi`", "3", "did you mean `wip`? (known here: target, wip,"),
    "an unknown section": ('[check.tests]\nrun = "x"\n', "unknown key `check`", "1", "did you mean `checks`?"),
    "a key at the wrong place": ("wip = 3\n", "unknown key `wip`", "1", "did you mean `factory.wip`?"),
    "a key like no other": (
        "[retry]\nxyzzy = 3\n", "unknown key `retry.xyzzy`", "2", "known here: same_failure, transient, backoff_s",
    ),
    "an unknown key in an inline table": (
        "[budget]\ntask = { attemps = 3 }\n", "unknown key `budget.task.attemps`", "2", "`attempts`",
    ),
    "an unknown dotted key": ("budget.task.hours = 3\n", "unknown key `budget.task.hours`", "1", "known here: attempts"),
    "hiding without walls": (
        '[sandbox]\nlevel = "none"\nhide = ["x/**"]\n', "nothing stands between an agent and your files", "3", 'level = "strict"',
    ),
    "hiding at a station without walls": (
        '[stations.build]\nkind = "agent"\nhide = ["x/**"]\n[sandbox]\nlevel = "none"\n', "nothing stands between", "3",
        'level = "strict"',
    ),
    "hiding in a linked worktree": (
        '[sandbox]\nlevel = "strict"\nhide = ["x"]\n[checkout]\nisolation = "worktree"\n', "a linked worktree shows", "3", "clone",
    ),
    "hiding from a check": (
        '[stations.check]\nkind = "check"\nhide = ["x"]\n', "is of kind check, which has no `hide`", "3", "agent",
    ),
    "a login to write back that is not given": (
        '[agents.fast]\nuse = "codex"\nwrite_back = true\n', "write a login back that it is not given", "3", 'login = "copy"',
    ),
    "a string for a number": ('[factory]\nwip = "6"\n', '`factory.wip` is "6", but must be a whole number', "2", "make it"),
    "true for a number": ("[factory]\nwip = true\n", "`factory.wip` is true, but must be a whole number", "2", ""),
    "a fraction for a whole number": ("[factory]\nwip = 1.5\n", "must be a whole number", "2", ""),
    "a number for a string": (
        "[factory]\ntarget = 3\n", "`factory.target` is 3, but must be the name of a branch", "2", 'write "3"',
    ),
    "a string for an array": ('[policy]\nship = "docs/**"\n', "must be an array", "2", 'write ["docs/**"]'),
    "a date for a number": ("[retry]\ntransient = 2020-01-01\n", "is a date or time, but must be a whole number", "2", ""),
    "a table for a value": ("[factory.wip]\nx = 1\n", "`factory.wip` is a table, but must be a whole number", "1", ""),
    "a value for a table": ("factory = 3\n", "`factory` is 3, but must be a table", "1", ""),
    "a value for a table of names": ("checks = 3\n", "`checks` is 3, but must be a table of names", "1", ""),
    "an array of tables": ('[[checks]]\nrun = "x"\n', "`checks` is an array, but must be a table of names", "1", ""),
    "a wrong item of an array": ('[checkout]\nsetup = [\n  "true",\n  3,\n]\n', "`checkout.setup[1]` is 3", "4", ""),
    "an environment that is no text": ('[agents.a]\nuse = "x"\nenv = { A = 1 }\n', "`agents.a.env.A` is 1", "3", 'write "1"'),
    "a name of no variable": ('[agents.a]\nuse = "x"\nenv = { "A=B" = "1" }\n', "is no valid name", "3", "environment variable"),
    "a pattern of no deed": (
        '[permissions]\nallow = [\n  "read",\n  "bash(ls)",\n]\n', '`permissions.allow[1]` is "bash(ls)"', "4", "shell(git",
    ),
    "a pattern that is open": ('[permissions]\ndeny = ["shell(rm"]\n', "`permissions.deny[0]` is", "2", "shell(git status*)"),
    "a default that decides nothing": ('[permissions]\ndefault = "maybe"\n', "must be one of allow, ask, deny", "2", "known"),
    "a key of permissions": ("[permissions]\nalow = []\n", "unknown key `permissions.alow`", "2", "did you mean `allow`?"),
    "a price without its half": (
        '[agents.a]\nuse = "codex"\n[agents.a.prices."gpt-5"]\ninput = 1\n', "does not say what output costs", "3", "per million",
    ),
    "an upstream that is no address": ('[agents.a]\nuse = "x"\nupstream = "api.x.com"\n', "an address such as", "3", "address"),
    "a way to approve that is none": ('[agents.a]\nuse = "x"\napprove = "none"\n', "one of all, policy", "3", "known here"),
    "money below nothing": ("[budget]\nday = { usd = -1 }\n", "`budget.day.usd` is -1, but must be at least 0", "2", ""),
    "the day's money of the factory in a repository": (
        "[factory]\nday_usd = 5\n", "`factory.day_usd` holds for the whole factory", "2", "your own settings directory",
    ),
    "admission in a repository": (
        "[admission]\nfree_disk_mb = 5\n", "`admission.free_disk_mb` holds for the whole factory", "2", "your own settings",
    ),
    "no agents at all": ("[factory]\nwip = 0\n", "`factory.wip` is 0, but must be at least 1", "2", "make it at least 1"),
    "no room to prove": ("[factory]\nproving = -1\n", "must be at least 0", "2", ""),
    "far too much to prove": ("[factory]\nproving = 65\n", "must be at most 64", "2", ""),
    "far too many agents": ("[factory]\nwip = 99999999999999999999999\n", "must be at most 1000", "2", ""),
    "a number that Python will not print": (f"[factory]\nwip = 0x1{'0' * 5000}\n", "must be at most 1000", "2", ""),
    "time that runs backwards": ("[factory]\noverlap_minutes = -1\n", "must be at least 0", "2", ""),
    "no time at all": (f"{CHECK}minutes = 0\n", "`checks.tests.minutes` is 0, but must be more than 0", "3", ""),
    "endless time": (f"{CHECK}minutes = inf\n", "`checks.tests.minutes` is inf, but must be at most 10080", "3", ""),
    "time that is no number": (f"{CHECK}minutes = nan\n", "`checks.tests.minutes` is nan, but must be more than 0", "3", ""),
    "zero tests enough": (f"{CHECK}minimum_tests = 0\n", "must be at least 1", "3", ""),
    "a command that does nothing": ('[checks.tests]\nrun = "  "\n', "must be a shell command that is not empty", "2", ""),
    "a null byte in a command": ('[checks.tests]\nrun = "a\\u0000b"\n', "must be a shell command", "2", ""),
    "a branch with a space": ('[factory]\ntarget = "my main"\n', "must be the name of a branch", "2", ""),
    "a ref for a branch": ('[factory]\ntarget = "refs/heads/main"\n', "must be the name of a branch", "2", ""),
    "a branch that is an option": ('[factory]\ntarget = "--force"\n', "must be the name of a branch", "2", ""),
    "a branch that ends the line": ('[factory]\ntarget = "main\\n"\n', "must be the name of a branch", "2", ""),
    "a name with a dot": ('[checks."a.b"]\nrun = "x"\n', '`checks."a.b"` is no valid name', "1", "letters, digits"),
    "a name that ends the line": ('[checks."a\\n"]\nrun = "x"\n', "is no valid name", "1", "letters, digits"),
    "a kept folder outside": ('[checkout]\nkeep = ["../other"]\n', "must be a path inside the repository", "2", ""),
    "a kept git folder": ('[checkout]\nkeep = [".git"]\n', "must be a path inside the repository", "2", ""),
    "an isolation of no kind": (
        '[checkout]\nisolation = "clones"\n', "must be one of clone, worktree", "2", "did you mean `clone`?",
    ),
    "an unknown station kind": ('[stations.s]\nkind = "chek"\n', '`stations.s.kind` is "chek"', "2", "did you mean `check`?"),
    "a kind that comes later": (
        '[stations.s]\nkind = "verify"\n', "must be one of agent, check, gate, land, watch", "2", "known here: agent,",
    ),
    "an unknown report": (f'{CHECK}report = "junti"\n', "one of cobertura, exit, junit, lcov, sarif", "3", "did you mean `junit`?"),
    "a report that nobody writes": (f'{CHECK}report = "junit"\n', "never names `{report}`", "2", "--junitxml={report}"),
    "a sarif that nobody writes": (f'{CHECK}report = "sarif"\n', "never names `{report}`", "2", "sarif -o {report}"),
    "a coverage that nobody writes": (f'{CHECK}report = "lcov"\n', "never names `{report}`", "2", "coverage lcov -o {report}"),
    "a check that comes along and a command": (f'{CHECK}use = "secrets"\n', "says both", "2", "remove `run`, or `use`"),
    "a check that comes along of no kind": ('[checks.a]\nuse = "secret"\n', "one of dependencies, rules, secrets", "2", "did"),
    "a baseline of tests": (f'{CHECK}report = "junit"\nbaseline = true\n', "`baseline`, which only counts with", "4", "remove"),
    "a minimum of no coverage": (f"{CHECK}minimum = 80\n", "`minimum`, which only counts with", "3", "remove `minimum`"),
    "a level that fails nothing": (f'{CHECK}fail_on = "none"\n', "one of error, note, warning", "3", "known here"),
    "more than all": (f'{CHECK}report = "lcov"\nminimum = 101\n', "at most 100", "4", "at most 100"),
    "a stage past the last": (f"{CHECK}stage = 10\n", "at most 9", "3", ""),
    "an age of nothing": (f"{CHECK}max_age_days = 3\n", 'which only counts with `use = "dependencies"`', "3", "remove"),
    "protection from outside": (f'{CHECK}protect = ["/etc"]\n', "from the repository's root", "3", ""),
    "both ways of nothing": (f"{CHECK}own_too = false\n", "only counts with `protect`", "3", "name the protected paths"),
    "a check without a command": ("[checks.tests]\nminutes = 3\n", "check `tests` has no command", "1", "give it `run"),
    "a check that says nothing": ("\n[checks.tests]\n", "check `tests` has no command", "2", "give it `run"),
    "an agent that says nothing": ("[agents.fast]\nminutes = 3\n", "agent `fast` says neither", "1", 'use = "claude"'),
    "an empty command": ("[agents.fast]\ncommand = []\n", "agent `fast` says neither", "2", "command = ["),
    "an agent that says both": ('[agents.fast]\nuse = "codex"\ncommand = ["x"]\n', "says both", "3", "keep one"),
    "a station without a kind": ("[stations.s]\nwip = 3\n", "station `s` has no kind", "1", "agent, check, gate, land or watch"),
    "an unknown agent": (
        f'{AGENTS}[stations.build]\nkind = "agent"\nagent = "fats"\n', "names the agent `fats`", "5", "did you mean `fast`?",
    ),
    "an unknown check": (
        f'{CHECK}[stations.check]\nchecks = [\n"tests",\n"test"]\n', "names the check `test`", "6", "did you mean `tests`?",
    ),
    "no check to name": ('[stations.check]\nchecks = ["tests"]\n', "names the check `tests`", "2", "known here: none"),
    "a gate with an agent": ('[stations.review]\nagent = "default"\n', "of kind gate, which has no `agent`", "2", "remove `agent`"),
    "an unknown station": (
        '[lines.build]\nstations = ["build",\n "chekc", "land"]\n', "names the station `chekc`", "3", "did you mean `check`?",
    ),
    "an empty line": ("[lines.build]\nstations = []\n", "`lines.build.stations` is empty", "2", "at least 1"),
    "a line without stations": ("[lines.docs]\nwip = 1\n", "line `docs` has no stations", "1", "stations = ["),
    "a station twice": ('[lines.build]\nstations = ["build", "build"]\n', "names the station `build` twice", "2", "another name"),
    "a check before any work": (
        '[lines.build]\nstations = ["check", "build"]\n', "before any agent has worked", "2", "put an agent first",
    ),
    "two agents on a line": (
        '[stations.again]\nkind = "agent"\n[lines.build]\nstations = ["build", "again", "check"]\n', "a second agent station", "4",
        "name one agent station",
    ),
    "work after landing": (
        '[lines.build]\nstations = [\n"build", "land",\n"review"]\n', "goes on with `review` after the change has landed", "4",
        "put `review` before landing",
    ),
    "landing twice": (
        '[stations.again]\nkind = "land"\n[lines.build]\nstations = ["build", "land", "watch", "again"]\n',
        "goes on with `again` after the change has landed", "4", "only a station of kind watch",
    ),
    "a watch before landing": (
        '[lines.build]\nstations = ["build",\n"watch", "land"]\n', "has `watch` before anything has landed", "3", "kind land",
    ),
    "a watch where nothing lands": (
        '[lines.build]\nstations = ["build", "check", "watch"]\n', "before anything has landed", "2", "put it after a station",
    ),
    "two watches": (
        '[stations.slow]\nkind = "watch"\n[lines.build]\nstations = ["build", "land", "watch", "slow"]\n',
        "has a second watch station, `slow`", "4", "into the first",
    ),
    "an unknown check to watch": (
        f'{CHECK}[stations.watch]\nchecks = ["test"]\n', "names the check `test`", "4", "did you mean `tests`?",
    ),
    "a watch with an agent": (
        '[stations.watch]\nagent = "default"\n', "of kind watch, which has no `agent`", "2", "make the kind agent",
    ),
    "a gate with checks": (
        '[stations.review]\nchecks = []\n', "of kind gate, which has no `checks`", "2", "make the kind check or watch",
    ),
    "a key of the queue": ("[queue]\noverteke = 3\n", "unknown key `queue.overteke`", "2", "did you mean `overtake`?"),
    "the queue's word alone": ('land = "squash"\n', "unknown key `land`", "1", "did you mean `queue.land`?"),
    "a way to land that is none": ('[queue]\nland = "squish"\n', "one of merge, rebase, squash", "2", "did you mean `squash`?"),
    "a history that is none": ('[queue]\nhistory = "linear"\n', "one of green, tips", "2", "known here"),
    "a green history of replayed commits": (
        '[queue]\nhistory = "green"\nland = "rebase"\n', "only the last of them is proven: not green", "2",
        "land by merge or squash",
    ),
    "endless confirmation": ("[queue]\nconfirm = 11\n", "`queue.confirm` is 11, but must be at most 10", "2", ""),
    "overtaking below nothing": ("[queue]\novertake = -1\n", "must be at least 0", "2", ""),
    "more flakes than anybody mends": ("[queue]\nflaky = 1001\n", "must be at most 1000", "2", ""),
    "a revert by chance": ('[queue]\nrevert = "maybe"\n', "one of ask, auto", "2", "known here: ask, auto"),
    "true for a place to publish": ("[queue]\npublish = true\n", "one of none, pr, push", "2", "known here"),
    "a remote that is an address": (
        '[queue]\nremote = "https://example.com/x.git"\n', "must be the name of a remote of this repository", "2", "`origin`",
    ),
    "a remote that is a program": ('[queue]\nremote = "ext::sh -c id"\n', "must be the name of a remote", "2", ""),
    "a remote that is an option": ('[queue]\nremote = "--force"\n', "must be the name of a remote", "2", ""),
    "a remote that is a path": ('[queue]\nremote = "../other"\n', "must be the name of a remote", "2", ""),
    "a driver with a command": ('[queue]\ndrivers = [\n"ours",\n"x; id"]\n', "`queue.drivers[1]` is", "4", "merge driver"),
    "a contract without a name": ('[queue.contracts]\n"a b" = ["x"]\n', "is no valid name", "2", "letters, digits"),
    "a contract that is one path": ('[queue.contracts]\napi = "x"\n', "must be an array", "2", 'write ["x"]'),
    "a contract elsewhere": ('[queue.contracts]\napi = ["/etc"]\n', "`queue.contracts.api[0]`", "2", "a pattern for paths"),
    "a proposal of no kind": ('[queue]\nstructured = "on"\n', "one of off, propose", "2", "known here: off, propose"),
    "not UTF-8": (b"[factory]\ntarget = '\xff'\n", "andon.toml is not UTF-8", "2", "save it as UTF-8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_what_where_and_mend(case: str, tmp_path: Path) -> None:
    text, what, line, mend = WRONG[case]
    said = problem(tmp_path, text)
    assert what in said.what
    assert said.where == f"{tmp_path / 'andon.toml'}:{line}"
    assert mend in said.mend and said.mend


def test_the_first_wrong_line_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    said = problem(tmp_path, '[policy]\nship = 3\n[factory]\nwip = "a"\nproving = 99\n[checks.a]\nrum = "x"\n')
    assert said.where.endswith("andon.toml:2")
    assert said.what.endswith("(3 more in this file)")
    said = problem(tmp_path, "[checks.a]\nrun = 'x'\n[factory]\nwip = 0\n[checks.b]\nrun = 3\n")
    assert said.where.endswith("andon.toml:4")


def test_what_is_missing_is_asked_for_in_the_highest_layer_that_speaks_of_it(tmp_path: Path) -> None:
    work, own = tmp_path / "andon.toml", tmp_path / "own.toml"
    own.write_text("\n\n[checks.tests]\nminutes = 3\n")
    work.write_text("[checks.tests]\noutput_mb = 3\n")
    with pytest.raises(Mistake, match="has no command") as caught:
        load_repository(work=work, base=None, person=own)
    assert caught.value.problem.where == f"{work}:1"


def test_a_file_that_is_nested_past_reason_is_refused(tmp_path: Path) -> None:
    assert "nested too deeply" in problem(tmp_path, f"a = {'[' * 20_000}{']' * 20_000}").what


def test_a_hostile_file_costs_a_moment_and_a_short_answer(tmp_path: Path) -> None:
    """Each of these took minutes or gigabytes before its bound."""
    long = [
        ".".join(["a"] * 100_000) + " = 1", f"[{' . '.join(['a'] * 50_000)}]", f"x = {{ {'.'.join(['a'] * 100_000)} = 1 }}",
        "".join(f"key{number} = 1\n" for number in range(15_000)),
        '"""' * 50_000, "'" * 200_001, '"\\' * 100_000, '"""\\"' * 50_000,
        "a" * 200_000,
        "".join(f"[agents.a{number}]\nuse='x'\n" for number in range(8_000)) + '[stations.build]\nkind="agent"\nagent="b"\n',
    ]
    for text in long:
        start = time.process_time()
        assert len(str(problem(tmp_path, text))) < 1_500
        assert time.process_time() - start < 5


def test_a_file_past_its_size_is_refused(tmp_path: Path) -> None:
    said = problem(tmp_path, "#" * (SIZE_LIMIT + 1))
    assert "larger than 256 KB" in said.what
    with pytest.raises(Mistake, match="larger than 256 KB"):
        load_repository(work=None, base="#" * (SIZE_LIMIT + 1), person=None)


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "andon.toml").mkdir()
    with pytest.raises(Mistake, match="cannot read") as caught:
        load_repository(work=tmp_path / "andon.toml", base=None, person=None)
    assert caught.value.problem.where == str(tmp_path / "andon.toml")


def test_a_mistake_in_a_persons_own_file_names_that_file(tmp_path: Path) -> None:
    own = tmp_path / "own" / "andon.toml"
    own.parent.mkdir()
    own.write_text("[factory]\nwip = 0\n")
    for load in (lambda: load_person(own), lambda: load_repository(work=None, base=None, person=own)):
        with pytest.raises(Mistake) as caught:
            load()
        assert caught.value.problem.where == f"{own}:2"


def test_a_mistake_in_the_committed_file_says_that_mending_takes_a_commit(tmp_path: Path) -> None:
    for base in ("[checks.tests]\nrun = 3\n", "[checks\n", "[check.tests]\nrun = 'x'\n", "[checks.tests]\nminutes = 3\n"):
        for work in (None, tmp_path / "andon.toml"):
            if work:
                work.write_text("")
            with pytest.raises(Mistake) as caught:
                load_repository(work=work, base=base, base_where="andon.toml on main", person=None)
            assert caught.value.problem.where.startswith("andon.toml on main:")
            assert caught.value.problem.mend.endswith("and commit it")


def test_a_fault_of_the_commit_in_what_it_does_not_decide_does_not_block_the_mended_file(tmp_path: Path) -> None:
    work = tmp_path / "andon.toml"
    work.write_text("[factory]\nwip = 3\n")
    base = "[factory]\nwip = 0\n[agents]\ndefault = 3\n[checkout]\nports = 'x'\nsetup = ['make deps']\n"
    loaded = load_repository(work=work, base=base, person=None)
    assert loaded.settings.wip == 3
    assert loaded.settings.checkout.setup == ("make deps",)
    with pytest.raises(Mistake, match=r"factory\.wip"):
        load_repository(work=None, base=base, person=None)
    with pytest.raises(Mistake, match=r"checkout\.setup"):
        load_repository(work=work, base="[checkout]\nsetup = 'x'\n", person=None)
    with pytest.raises(Mistake, match="`checkout` is 3"):
        load_repository(work=work, base="checkout = 3\n", person=None)


def test_what_is_edited_has_to_be_sound_although_the_commit_still_judges(tmp_path: Path) -> None:
    work = tmp_path / "andon.toml"
    work.write_text('[checks.tests]\nrun = "pytest"\nreport = "junit"\n')
    with pytest.raises(Mistake, match="never names") as caught:
        load_repository(work=work, base='[checks.tests]\nrun = "true"\n', person=None)
    assert caught.value.problem.where == f"{work}:2"


BAD_OVERRIDES = {
    "factory.wpi": ("3", "unknown key"), "factory.wip": ("0", "at least 1"), "wip": ("3", "unknown key"),
    "checks.tests.report": ("pdf", "one of cobertura, exit, junit"), "policy.ship": ("docs", "must be an array"),
    "": ("1", "unknown key"),
}


@pytest.mark.parametrize("key", BAD_OVERRIDES)
def test_a_wrong_override_is_refused_and_names_the_command_line(key: str) -> None:
    value, what = BAD_OVERRIDES[key]
    with pytest.raises(Mistake, match=what) as caught:
        load_repository(work=None, base=None, person=None, overrides={key: value})
    assert caught.value.problem.where.startswith("command line: ")


def test_an_override_below_another_value_is_refused() -> None:
    with pytest.raises(Mistake, match="below another value"):
        load_repository(work=None, base=None, person=None, overrides={"factory.wip": "3", "factory.wip.x": "4"})


def test_no_error_text_carries_a_destructive_command(tmp_path: Path) -> None:
    for text, *_ in WRONG.values():
        said = str(problem(tmp_path, text))
        assert not any(word in said for word in ("rm ", "git reset", "git clean", "--hard", "delete"))
