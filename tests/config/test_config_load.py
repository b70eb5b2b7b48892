"""Which value holds, where it comes from, and what a person is told although nothing is wrong."""

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.schema.errors import Mistake
from andon.schema.settings import (
    Admission,
    AgentSettings,
    Budget,
    Check,
    Checkout,
    FactorySettings,
    Line,
    Loaded,
    Origin,
    Permissions,
    Policy,
    Price,
    ProvenanceSettings,
    Queue,
    Retry,
    Settings,
    Station,
    Step,
)
from andon_config.assemble import FITTING
from andon_config.load import load_person, load_repository
from andon_config.rules import load_rules

PRODUCT = """
[factory]
target = "main"
wip = 6                       # agents at work at once
[agents.default]
use = "claude"                # or command = ["./my-agent", "{prompt_file}"]
[checks.tests]
run = "pytest -q --junitxml={report}"
report = "junit"
[checks.lint]
run = "ruff check --output-format sarif -o {report}"
report = "sarif"
[policy]
ship   = ["docs/**", "tests/**"]
stop   = ["**/auth/**", "migrations/**"]
[budget]
task = { usd = 5, minutes = 90, attempts = 3 }
day  = { usd = 100 }
"""


class Desk:
    """A repository's file, a person's own file, and a committed text."""

    def __init__(self, folder: Path) -> None:
        self.work, self.own = folder / "repo" / "andon.toml", folder / "own" / "andon.toml"
        for file in (self.work, self.own):
            file.parent.mkdir()

    def load(
        self, work: str | None = None, *, person: str | None = None, base: str | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> Loaded:
        for file, text in ((self.work, work), (self.own, person)):
            file.unlink(missing_ok=True)
            if text is not None:
                file.write_text(text)
        return load_repository(work=self.work, base=base, base_where="andon.toml@main", person=self.own, overrides=overrides or {})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def origin(loaded: Loaded, key: str) -> Origin:
    found = [each for each in loaded.origins if each.key == key]
    assert len(found) == 1, [each.key for each in loaded.origins]
    return found[0]


# --- values ----------------------------------------------------------------------------------------------------------


def test_without_any_file_the_default_line_and_the_vocabularys_defaults_hold() -> None:
    settings = load_repository(work=None, base=None, person=None).settings
    stations = (
        Station(name="build", kind="agent"), Station(name="check", kind="check"),
        Station(name="review", kind="gate", when="policy"), Station(name="land", kind="land"),
    )
    assert settings == Settings(
        agents={"default": AgentSettings(name="default", use="claude")}, lines={"build": Line(name="build", stations=stations)},
        provenance=ProvenanceSettings(notes=("andon",)),
    )


def test_the_example_of_the_product_loads_as_it_is_written(desk: Desk) -> None:
    settings = desk.load(PRODUCT).settings
    assert settings.checks == {
        "tests": Check(name="tests", run="pytest -q --junitxml={report}", report="junit"),
        "lint": Check(name="lint", run="ruff check --output-format sarif -o {report}", report="sarif"),
    }
    assert settings.policy == Policy(ship=("docs/**", "tests/**"), stop=("**/auth/**", "migrations/**"))
    assert settings.budget == Budget(attempts=3, minutes=90.0, usd=5.0, day_usd=100.0)


def test_every_key_reaches_the_settings(desk: Desk) -> None:
    settings = desk.load("""
[factory]
target = "release/2"
wip = 2
proving = 3
overlap_minutes = 1.5
[agents.mine]
command = ["./a", "{prompt_file}"]
args = ["-x"]
env = { A = "1" }
minutes = 5
[checks.c]
run = "make c"
report = "exit"
minutes = 2
memory_mb = 0
output_mb = 1
minimum_tests = 7
[lines.docs]
stations = ["write", "prove", "ask", "in"]
wip = 4
[stations.write]
kind = "agent"
agent = "mine"
wip = 1
[stations.prove]
kind = "check"
checks = ["c"]
[stations.ask]
kind = "gate"
when = "always"
[stations.in]
kind = "land"
[policy]
ship = ["a"]
review = ["b"]
stop = ["c"]
[budget]
task = { attempts = 9, minutes = 8 }
[retry]
same_failure = 7
transient = 6
backoff_s = 5
[checkout]
isolation = "worktree"
setup = ["s"]
teardown = ["t"]
ports = 3
keep = ["k"]
""").settings
    assert (settings.target, settings.wip, settings.proving, settings.overlap_minutes) == ("release/2", 2, 3, 1.5)
    assert settings.agents["mine"] == AgentSettings(
        name="mine", use="command", command=("./a", "{prompt_file}"), args=("-x",), env={"A": "1"}, minutes=5.0,
    )
    assert settings.checks["c"] == Check(name="c", run="make c", minutes=2.0, memory_mb=0, output_mb=1, minimum_tests=7)
    assert settings.lines["docs"] == Line(name="docs", wip=4, stations=(
        Station(name="write", kind="agent", agent="mine", wip=1), Station(name="prove", kind="check", checks=("c",)),
        Station(name="ask", kind="gate", when="always"), Station(name="in", kind="land"),
    ))
    assert set(settings.lines) == {"build", "docs"}
    assert settings.policy == Policy(ship=("a",), review=("b",), stop=("c",))
    assert settings.budget == Budget(attempts=9, minutes=8.0)
    assert settings.retry == Retry(same_failure=7, transient=6, backoff_s=5.0)
    assert settings.checkout == Checkout(isolation="worktree", setup=("s",), teardown=("t",), ports=3, keep=("k",))


def test_an_empty_file_and_empty_tables_change_nothing(desk: Desk) -> None:
    plain = load_repository(work=None, base=None, person=None).settings
    sections = ("factory", "agents", "checks", "lines", "stations", "policy", "budget", "retry", "checkout", "stations.build",
                "queue", "queue.contracts", "stations.watch")
    for text in ("", "\ufeff", "# nothing\r\n", *(f"[{section}]\n" for section in sections)):
        assert desk.load(text).settings == plain
        assert desk.load(text, base=text).settings == plain
        assert desk.load(text, base="[stations.check]\nwip = 1\n").settings.lines["build"].stations[1].wip == 1


# --- layers and origins ----------------------------------------------------------------------------------------------


def test_command_line_wins_over_repository_over_person_over_default(desk: Desk) -> None:
    layers = {"person": "[factory]\nwip = 2\n", "work": "[factory]\nwip = 3\n"}
    assert desk.load().settings.wip == 6
    assert desk.load(person=layers["person"]).settings.wip == 2
    assert desk.load(layers["work"], person=layers["person"]).settings.wip == 3
    assert desk.load(layers["work"], person=layers["person"], overrides={"factory.wip": "4"}).settings.wip == 4


def test_each_value_tells_its_layer_and_its_line(desk: Desk) -> None:
    loaded = desk.load(
        "\n[factory]\nproving = 2\n[checks.tests]\nrun = 'make'\n", person="[factory]\n\nwip = 2\n[retry]\ntransient = 1\n",
        overrides={"retry.transient": "9"},
    )
    assert origin(loaded, "factory.wip") == Origin(key="factory.wip", value="2", origin="person", where=f"{desk.own}:3")
    assert origin(loaded, "factory.proving").where == f"{desk.work}:3"
    assert origin(loaded, "factory.proving").origin == "repository"
    assert origin(loaded, "checks.tests.run").value == '"make"'
    assert origin(loaded, "retry.transient") == Origin(
        key="retry.transient", value="9", origin="command line", where="command line: retry.transient",
    )
    assert origin(loaded, "factory.target") == Origin(
        key="factory.target", value='"main"', origin="default", where="defaults.toml:4",
    )
    assert origin(loaded, "checks.tests.minutes") == Origin(key="checks.tests.minutes", value="30.0", origin="default")


def test_a_repository_chooses_anew_whether_a_check_runs_or_comes_along(desk: Desk) -> None:
    for first, second in (('run = "x {report}"\nreport = "junit"', 'use = "secrets"'), ('use = "secrets"', 'run = "x"')):
        check = desk.load(f"[checks.a]\n{second}\n", person=f"[checks.a]\n{first}\n").settings.checks["a"]
        assert (check.use, check.report) == (("secrets", "sarif") if "use" in second else ("", "exit"))


def test_every_leaf_of_the_settings_has_an_origin(desk: Desk) -> None:
    keys = {each.key for each in desk.load(PRODUCT).origins}
    for section in ("agents.default", "checks.tests", "lines.build", "stations.build", "stations.review", "policy", "queue"):
        assert any(key.startswith(f"{section}.") for key in keys)
    wanted = {f"retry.{key}" for key in Retry.__struct_fields__} | {f"checkout.{key}" for key in Checkout.__struct_fields__}
    wanted |= {f"queue.{key}" for key in Queue.__struct_fields__ if key != "contracts"}
    others = {key for key, (_, fits) in FITTING.items() if "junit" not in fits} | {"use", "own_too", "name"}
    wanted |= {f"checks.tests.{key}" for key in Check.__struct_fields__ if key not in others}
    wanted |= {"stations.review.when", "stations.check.checks", "stations.build.agent", "lines.build.wip", "budget.task.attempts"}
    assert wanted <= keys
    assert len(keys) == len(desk.load(PRODUCT).origins)


def test_a_table_completes_and_an_array_replaces(desk: Desk) -> None:
    loaded = desk.load(
        "[checks.tests]\nrun = 'b'\n[policy]\nship = ['x']\n",
        person="[checks.tests]\nrun = 'a'\nminutes = 2\n[policy]\nship = ['y', 'z']\n",
    )
    assert loaded.settings.checks["tests"] == Check(name="tests", run="b", minutes=2.0)
    assert loaded.settings.policy.ship == ("x",)


def test_an_agent_of_the_client_protocol_has_a_command(desk: Desk) -> None:
    spoken = desk.load(BASE + '[agents.spoken]\nuse = "acp"\ncommand = ["gemini", "--acp"]\n').settings.agents["spoken"]
    assert (spoken.use, spoken.command) == ("acp", ("gemini", "--acp"))


def test_choosing_another_agent_drops_the_choice_below_and_keeps_the_rest(desk: Desk) -> None:
    person = '[agents.default]\nuse = "codex"\nargs = ["--fast"]\nminutes = 7\n'
    loaded = desk.load('[agents.default]\ncommand = ["./mine"]\n', person=person)
    assert loaded.settings.agents["default"] == AgentSettings(name="default", use="command", command=("./mine",), minutes=7.0)
    assert desk.load('[agents.default]\nminutes = 1\n', person=person).settings.agents["default"].args == ("--fast",)
    other = desk.load('[agents.default]\nuse = "claude"\n', person='[agents.default]\ncommand = ["x"]\n')
    assert other.settings.agents["default"] == AgentSettings(name="default", use="claude")


def test_another_kind_makes_a_station_anew(desk: Desk) -> None:
    loaded = desk.load('[stations.review]\nkind = "land"\n[lines.build]\nstations = ["build", "check", "review"]\n')
    assert loaded.settings.lines["build"].stations[-1] == Station(name="review", kind="land")


OVERRIDES = {
    "factory.target": ("dev", "dev"), "factory.wip": ("0x10", 16), "factory.overlap_minutes": ("2", 2.0),
    "policy.ship": ('["a", "b"]', ("a", "b")), "checkout.isolation": ("worktree", "worktree"), "budget.task.attempts": ("7", 7),
    "checks.tests.run": ("true", "true"),
}


@pytest.mark.parametrize("key", OVERRIDES)
def test_an_override_is_toml_or_plain_text_for_a_string(key: str) -> None:
    text, value = OVERRIDES[key]
    loaded = load_repository(work=None, base=None, person=None, overrides={key: text})
    section, *rest = key.removeprefix("factory.").replace("budget.task", "budget").split(".")
    found = getattr(loaded.settings, section)
    for word in rest:
        found = found[word] if isinstance(found, dict) else getattr(found, word)
    assert found == value
    assert origin(loaded, key).origin == "command line"


def test_an_override_of_a_string_may_look_like_anything() -> None:
    for text in ("3", "true", "a = b", "1\nx = 2", "release/1.0", '"quoted"'):
        loaded = load_repository(work=None, base=None, person=None, overrides={"checks.c.run": text})
        assert loaded.settings.checks["c"].run == text.strip('"')


# --- what judges -----------------------------------------------------------------------------------------------------

BASE = '[factory]\nwip = 1\n[checks.tests]\nrun = "make test"\n[checkout]\nsetup = ["make deps"]\nports = 1\n'
EDITED = """[factory]
wip = 2
[checks.tests]
run = "true"
[policy]
ship = ["**"]
[checkout]
setup = []
ports = 2
keep = ["c"]
"""


def test_what_judges_comes_from_the_commit_and_the_rest_from_the_file(desk: Desk) -> None:
    loaded = desk.load(EDITED, base=BASE)
    settings = loaded.settings
    assert settings.checks["tests"].run == "make test"
    assert settings.policy.ship == ()
    assert settings.checkout == Checkout(setup=("make deps",), ports=2)
    assert settings.wip == 2
    assert origin(loaded, "checks.tests.run").where == "andon.toml@main:4"
    assert origin(loaded, "factory.wip").where == f"{desk.work}:2"


def test_each_edited_section_that_waits_for_its_commit_is_named(desk: Desk) -> None:
    assert desk.load(EDITED, base=BASE).notes == tuple(
        f"[{section}] edited in andon.toml takes effect once it is committed on main"
        for section in ("checks", "policy", "checkout.setup", "checkout.keep")
    )
    line = '[lines.docs]\nstations = ["s"]\n[stations.s]\nkind = "agent"\n'
    assert [note.split()[0] for note in desk.load(BASE + line, base=BASE).notes] == ["[lines]", "[stations]"]
    assert desk.load(BASE, base=BASE).notes == ()
    assert desk.load(f"# other words\n{BASE}[policy]\n", base=BASE).notes == ()


def test_an_added_or_removed_check_waits_for_its_commit(desk: Desk) -> None:
    assert set(desk.load("", base=BASE).settings.checks) == {"tests"}
    assert desk.load("", base=BASE).notes[0].startswith("[checks] edited")
    added = desk.load(BASE + '[checks.lint]\nrun = "make lint"\n', base=BASE)
    assert set(added.settings.checks) == {"tests"}


def test_the_person_and_the_command_line_still_count_beside_the_commit(desk: Desk) -> None:
    loaded = desk.load("", base=BASE, person="[policy]\nstop = ['x']\n", overrides={"checks.tests.minutes": "1"})
    assert loaded.settings.policy.stop == ("x",)
    assert loaded.settings.checks["tests"].minutes == 1.0


def test_without_a_committed_file_the_edited_one_judges_and_a_note_says_so(desk: Desk) -> None:
    loaded = desk.load(EDITED)
    assert loaded.settings.checks["tests"].run == "true"
    assert loaded.notes == (f"andon.toml is not committed on main yet: until it is, what judges is taken from {desk.work}",)


def test_without_a_file_in_the_checkout_the_committed_one_holds_and_a_note_says_so(desk: Desk) -> None:
    loaded = desk.load(None, base=BASE)
    assert (loaded.settings.wip, loaded.settings.checkout.ports) == (1, 1)
    assert loaded.notes == ("there is no andon.toml in your checkout: the one committed on main holds",)


def test_an_agent_that_a_committed_station_names_stays_known_until_the_commit_changes(desk: Desk) -> None:
    station = '[stations.build]\nkind = "agent"\nagent = "{}"\n'
    base = BASE + '[agents.old]\nuse = "codex"\n' + station.format("old")
    loaded = desk.load(BASE + '[agents.new]\nuse = "codex"\n' + station.format("new"), base=base)
    assert loaded.settings.lines["build"].stations[0].agent == "old"
    assert set(loaded.settings.agents) == {"default", "old", "new"}
    moved = desk.load(base.replace("codex", "claude"), base=base)
    assert moved.settings.agents["old"].use == "claude"


def test_a_broken_agent_of_the_commit_is_not_carried_over(desk: Desk) -> None:
    base = BASE + '[stations.build]\nkind = "agent"\nagent = "old"\n[agents.old]\nuse = 3\n'
    with pytest.raises(Mistake, match="names the agent `old`, which is not in"):
        desk.load(BASE, base=base)


def test_money_is_in_force_and_needs_no_note(desk: Desk) -> None:
    assert desk.load(PRODUCT, base=PRODUCT).notes == ()


def test_having_no_checks_is_said() -> None:
    assert load_repository(work=None, base=None, person=None).notes == (
        "no [checks] are configured: nothing can be proven about a change",
    )


# --- digests and the person's own ------------------------------------------------------------------------------------


def test_digests_are_of_the_settings_and_of_the_commands(desk: Desk) -> None:
    loaded = desk.load(PRODUCT)
    assert loaded.digest == hashlib.sha256(msgspec.json.encode(loaded.settings, order="deterministic")).hexdigest()
    assert loaded.commands == hashlib.sha256("\n".join(loaded.settings.commands()).encode()).hexdigest()
    assert desk.load(f"# a comment\n{PRODUCT}").digest == loaded.digest
    slower = desk.load(PRODUCT.replace("wip = 6", "wip = 5"))
    assert slower.digest != loaded.digest and slower.commands == loaded.commands
    other = desk.load(PRODUCT.replace("pytest -q", "pytest -qq"))
    assert other.commands != loaded.commands


def test_the_order_of_tables_in_a_file_changes_no_digest(desk: Desk) -> None:
    one, two = '[checks.a]\nrun = "a"\n', '[checks.b]\nrun = "b"\n'
    first, second = desk.load(one + two), desk.load(two + one)
    assert (first.digest, first.commands) == (second.digest, second.commands)


def test_settings_survive_the_trip_through_json(desk: Desk) -> None:
    loaded = desk.load(PRODUCT)
    assert msgspec.json.decode(msgspec.json.encode(loaded), type=Loaded) == loaded


def test_the_persons_own_limit_holds_over_all_repositories(desk: Desk) -> None:
    ladders = load_rules(None).ladders
    assert load_person(None) == load_person(desk.own) == FactorySettings(wip=6, ladders=ladders)
    desk.own.write_text("[factory]\nwip = 2\n[agents.default]\nuse = 'codex'\n")
    assert load_person(desk.own) == FactorySettings(wip=2, ladders=ladders)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["person", "work", "line"]), st.integers(1, 1000)))
def test_the_highest_layer_that_speaks_wins(said: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        texts = {layer: f"[factory]\nwip = {wip}\n" for layer, wip in said.items()}
        overrides = {"factory.wip": str(said["line"])} if "line" in said else {}
        loaded = desk.load(texts.get("work"), person=texts.get("person"), overrides=overrides)
    names = {"line": "command line", "work": "repository", "person": "person"}
    top = next((layer for layer in names if layer in said), None)
    assert loaded.settings.wip == (said[top] if top else 6)
    assert origin(loaded, "factory.wip").origin == (names[top] if top else "default")


def test_loading_settings_pulls_in_no_screen_no_daemon_and_no_schema_maker() -> None:
    code = "import sys, andon_config.load as load; load.load_person(None); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(run.stdout.split())
    assert {"andon.schema.settings", "andon_config.load"} <= modules
    assert not modules & {"textual", "asyncio", "sqlite3", "jsonschema", "andon.core", "andon.edges", "andon_config.schema"}


# --- agents, money, permissions --------------------------------------------------------------------------------------

MONEY = """
[budget]
task = { usd = 5, tokens = 100000 }
attempt = { usd = 2 }
day = { usd = 40 }
reserve_usd = 0.5
[lines.build]
usd_day = 30
[permissions]
default = "deny"
allow = ["read", "edit(src/**)"]
ask = ["shell(git push*)"]
deny = ["fetch"]
[agents.default]
use = "claude"
model = "opus"
account = "mine"
approve = "all"
gateway = "off"
upstream = "https://api.example.com/v1"
login = "copy"
usd_day = 12.5
reserve_usd = 3
prices."gpt-5.1" = { input = 1.25, output = 10, cache_read = 0.125 }
"""


def test_every_key_of_money_permissions_and_agents_reaches_the_settings(desk: Desk) -> None:
    told = desk.load(MONEY).settings
    assert told.budget == Budget(usd=5, tokens=100_000, attempt_usd=2, day_usd=40, reserve_usd=0.5)
    assert told.lines["build"].usd_day == 30
    assert told.permissions == Permissions(
        default="deny", allow=("read", "edit(src/**)"), ask=("shell(git push*)",), deny=("fetch",))
    assert told.agents["default"] == AgentSettings(
        name="default", use="claude", model="opus", account="mine", approve="all", gateway="off", login="copy",
        upstream="https://api.example.com/v1", usd_day=12.5, reserve_usd=3,
        prices={"gpt-5.1": Price(input=1.25, output=10, cache_read=0.125)})


def test_each_of_them_says_where_it_comes_from(desk: Desk) -> None:
    loaded = desk.load(MONEY, person="[permissions]\ndeny = ['shell']\n[budget]\nreserve_usd = 9\n")
    assert origin(loaded, "budget.attempt.usd").where == f"{desk.work}:4"
    assert origin(loaded, "permissions.deny").value == '["fetch"]'
    assert origin(loaded, 'agents.default.prices."gpt-5.1".input').where == f"{desk.work}:24"
    assert origin(loaded, "lines.build.usd_day").origin == "repository"
    assert origin(desk.load(""), "budget.reserve_usd").origin == "default"
    assert origin(desk.load("", person="[budget]\nreserve_usd = 9\n"), "budget.reserve_usd").origin == "person"


def test_the_persons_own_file_says_what_holds_for_the_whole_factory(desk: Desk) -> None:
    desk.own.write_text(
        "[factory]\nwip = 3\nday_usd = 50\nbreaker = 2\nrestarts = 1\n[admission]\nload_per_core = 1.5\nfree_memory_mb = 9\n"
        "free_disk_mb = 8\nramp_s = 7\n")
    told = load_person(desk.own)
    assert (told.wip, told.day_usd, told.breaker, told.restarts) == (3, 50, 2, 1)
    assert told.admission == Admission(load_per_core=1.5, free_memory_mb=9, free_disk_mb=8, ramp_s=7)
    assert load_repository(work=None, base=None, person=desk.own).settings.wip == 3


def test_the_persons_own_rules_beside_their_settings_give_the_ladders(desk: Desk) -> None:
    desk.own.with_name("rules.toml").write_text("[ladders]\nthrash = [{ do = 'gate' }]\n")
    told = load_person(desk.own).ladders
    assert told["thrash"] == (Step(do="gate"),)
    assert told["auth"] == load_rules(None).ladders["auth"]


def test_what_a_person_said_of_an_agent_stays_when_the_repository_names_the_same_adapter(desk: Desk) -> None:
    mine = '[agents.default]\nuse = "claude"\nmodel = "opus"\nlogin = "copy"\n'
    same = desk.load('[agents.default]\nuse = "claude"\n', person=mine).settings.agents["default"]
    assert (same.model, same.login) == ("opus", "copy")
    other = desk.load('[agents.default]\nuse = "codex"\n', person=mine).settings.agents["default"]
    assert (other.model, other.login) == ("", "none")


# --- the queue and the watch -----------------------------------------------------------------------------------------

QUEUE = """
[queue]
land = "squash"
history = "green"
confirm = 2
overtake = 0
flaky = 3
revert = "auto"
publish = "pr"
remote = "fork/me"
drivers = ["npm-merge-driver", "ours"]
structured = "propose"
flaky_passes = 7
[queue.contracts]
api = ["openapi.yaml", "src/api/**"]
"""
WATCHED = '[lines.build]\nstations = ["build", "check", "review", "land", "watch"]\n'
SLOW = '[checks.slow]\nrun = "make slow"\n'


def test_every_key_of_the_queue_reaches_the_settings(desk: Desk) -> None:
    assert desk.load(QUEUE).settings.queue == Queue(
        land="squash", history="green", confirm=2, overtake=0, flaky=3, revert="auto", publish="pr", remote="fork/me",
        drivers=("npm-merge-driver", "ours"), structured="propose", flaky_passes=7,
        contracts={"api": ("openapi.yaml", "src/api/**")})
    assert set(msgspec.structs.asdict(Queue())) == {key.partition(" ")[0].strip("[]") for key in QUEUE.splitlines()
                                                    if " = " in key and not key.startswith("api")} | {"contracts"}


def test_each_value_of_the_queue_says_where_it_comes_from(desk: Desk) -> None:
    loaded = desk.load(QUEUE, person="[queue]\novertake = 9\n[queue.contracts]\ndb = ['schema.sql']\n")
    assert origin(loaded, "queue.overtake").where == f"{desk.work}:6"
    assert origin(loaded, "queue.contracts.api").where == f"{desk.work}:15"
    assert origin(loaded, "queue.contracts.db") == Origin(
        key="queue.contracts.db", value='["schema.sql"]', origin="person", where=f"{desk.own}:4")
    assert origin(desk.load(""), "queue.land").origin == "default"


def test_how_changes_land_is_taken_from_the_commit(desk: Desk) -> None:
    loaded = desk.load(BASE + QUEUE, base=BASE)
    assert loaded.settings.queue == Queue()
    assert loaded.notes == ("[queue] edited in andon.toml takes effect once it is committed on main",)
    assert desk.load(BASE, base=BASE + QUEUE).settings.queue.land == "squash"
    assert desk.load(BASE + QUEUE, base=BASE + QUEUE).notes == ()


def test_a_green_history_of_replayed_commits_is_refused_where_the_higher_layer_speaks(desk: Desk) -> None:
    green, rebase = '[queue]\n\nhistory = "green"\n', '[queue]\nland = "rebase"\n'
    for person, work, line in ((green, rebase, 2), (rebase, green, 3)):
        with pytest.raises(Mistake, match="only the last of them is proven") as caught:
            desk.load(work, person=person)
        assert caught.value.problem.where == f"{desk.work}:{line}"
    with pytest.raises(Mistake) as caught:
        desk.load(rebase, overrides={"queue.history": "green"})
    assert caught.value.problem.where == "command line: queue.history"
    assert desk.load(rebase).settings.queue == Queue(land="rebase")
    assert desk.load('[queue]\nland = "squash"\n', person=green).settings.queue == Queue(land="squash", history="green")


def test_publishing_and_merge_drivers_are_part_of_what_a_person_trusts(desk: Desk) -> None:
    plain = desk.load("")
    assert not any(line.startswith(("publish", "merge driver")) for line in plain.settings.commands())
    told = desk.load(QUEUE).settings.commands()
    assert told[-3:] == ("publish: pr fork/me", "merge driver npm-merge-driver", "merge driver ours")
    trusted = {plain.commands}
    for text in ("publish = 'push'", "publish = 'pr'", "publish = 'push'\nremote = 'fork'", "drivers = ['ours']"):
        asked = desk.load(f"[queue]\n{text}\n").commands
        assert asked not in trusted, text
        trusted.add(asked)
    for text in ("remote = 'fork'", "land = 'squash'", "revert = 'auto'", "contracts.api = ['a']"):
        assert desk.load(f"[queue]\n{text}\n").commands == plain.commands, text
    swapped = 'drivers = ["ours", "npm-merge-driver"]'
    assert desk.load(QUEUE.replace('drivers = ["npm-merge-driver", "ours"]', swapped)).commands == desk.load(QUEUE).commands


def test_naming_the_watch_on_the_line_is_enough(desk: Desk) -> None:
    assert [each.name for each in desk.load("").settings.lines["build"].stations] == ["build", "check", "review", "land"]
    assert desk.load(WATCHED).settings.lines["build"].stations[-1] == Station(name="watch", kind="watch")
    loaded = desk.load(WATCHED + SLOW + "[stations.watch]\nchecks = ['slow']\n")
    assert loaded.settings.lines["build"].stations[-1] == Station(name="watch", kind="watch", checks=("slow",))
    assert origin(loaded, "stations.watch.checks").where == f"{desk.work}:6"
    assert origin(desk.load(WATCHED), "stations.watch.checks").value == "[]"


def test_a_watch_of_ones_own_may_bear_any_name(desk: Desk) -> None:
    after = '[stations.after]\nkind = "watch"\nchecks = ["slow"]\n[lines.build]\nstations = ["build", "land", "after"]\n'
    assert desk.load(SLOW + after).settings.lines["build"].stations[-1] == Station(name="after", kind="watch", checks=("slow",))


def test_the_settings_that_the_readme_shows_load_and_its_queue_is_the_default(desk: Desk) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    sections = {part.partition("\n")[0]: re.findall(r"```toml\n(.*?)```", part, re.DOTALL) for part in readme.split("\n## ")}
    loaded = desk.load("".join([*sections.pop("Settings"), *sections.pop("Walls")])).settings
    for block in (block for blocks in sections.values() for block in blocks):
        assert tomllib.loads(block), "a part of a file, and one that reads"
    assert loaded.lines["build"].stations[-1].checks == ("tests", "slow")
    assert msgspec.structs.replace(loaded.queue, contracts={}) == Queue()
    assert (loaded.sandbox.level, loaded.sandbox.registries, loaded.policy.walls) == ("best", ("pypi",), "strict")


@pytest.mark.parametrize("level", ["strict", "partial"])
def test_walls_cannot_be_demanded_around_a_linked_worktree(desk: Desk, level: str) -> None:
    shared = '[checkout]\nisolation = "worktree"\n'
    with pytest.raises(Mistake, match="which no walls can protect"):
        desk.load(f'{shared}[sandbox]\nlevel = "{level}"\n')
    assert desk.load(shared).settings.sandbox.level == "best"
    assert desk.load(f'{shared}[sandbox]\nlevel = "none"\n').settings.sandbox.level == "none"


def test_how_many_checks_run_at_once_is_found_out_unless_somebody_says(desk: Desk) -> None:
    assert desk.load("").settings.proving == 0
    assert desk.load("[factory]\nproving = 3\n").settings.proving == 3
    assert desk.load("[factory]\nproving = 0\n", person="[factory]\nproving = 3\n").settings.proving == 0
