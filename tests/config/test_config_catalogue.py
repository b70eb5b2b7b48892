"""Claims in the settings: what is shipped is data, what stations ask for is checked as a whole, with line and nearest name."""

from pathlib import Path

import pytest

from andon.schema.errors import Mistake
from andon.schema.settings import Settings
from andon_config.load import load_repository

CHECKS = '[checks.tests]\nrun = "make test"\n'
SIGNED = CHECKS + '[stations.review]\nkind = "gate"\nwhen = "always"\nclaims = ["sign-off"]\n'


def load(tmp_path: Path, text: str) -> Settings:
    """The settings of a repository with this file."""
    path = tmp_path / "andon.toml"
    path.write_text(text)
    return load_repository(work=path, base=None, person=None).settings


def wrong(tmp_path: Path, text: str) -> str:
    """What is said of it."""
    with pytest.raises(Mistake) as mistake:
        load(tmp_path, text)
    return str(mistake.value)


def test_the_shipped_catalogue_counts_only_once_a_station_asks(tmp_path: Path) -> None:
    assert load(tmp_path, CHECKS).claims == {}
    settings = load(tmp_path, SIGNED + '[stations.land]\nclaims = ["integration"]\n')
    assert list(settings.claims) == ["branch", "unit", "review", "sign-off", "integration"]
    assert [station.claims for station in settings.lines["build"].stations] == [(), (), ("sign-off",), ("integration",)]
    assert settings.claims["sign-off"].producer == "station:review" and settings.claims["sign-off"].requires == ("unit", "review")


def test_the_shipped_catalogue_holds_each_step_from_a_kept_branch_to_the_sign_off(tmp_path: Path) -> None:
    names = ("matrix", "regression", "profiling", "security", "build", "journey")
    checks = "".join(f'[checks.{name}]\nrun = "x"\n' for name in names)
    every = ["branch", "scope", "unit", "positive", "negative", "regression", "profiling", "security", "devops", "journey"]
    asked = f"[stations.check]\nclaims = {every}\n".replace("'", '"')
    settings = load(tmp_path, SIGNED + checks + asked + '[stations.land]\nclaims = ["integration"]\n')
    assert set(settings.claims) == {*every, "review", "integration", "sign-off"}


def test_freshness_is_the_tree_the_target_or_hours(tmp_path: Path) -> None:
    text = CHECKS + '[claims.day]\nproducer = "checks.tests"\nfresh = 24\n[stations.check]\nclaims = ["day", "plain"]\n'
    text += '[claims.plain]\nproducer = "daemon"\n[claims.now]\nproducer = "checks.tests"\nfresh = "target"\n'
    claims = load(tmp_path, text + '[stations.land]\nclaims = ["now"]\n').claims
    assert (claims["day"].fresh, claims["day"].hours, claims["plain"].producer) == ("hours", 24.0, "daemon:work")
    assert claims["now"].fresh == "target"


@pytest.mark.parametrize(("text", "told", "line"), [
    ('[stations.check]\nclaims = ["unitt"]\n', ("asks for the claim `unitt`", "did you mean `unit`?"), 4),
    ('[stations.check]\nclaims = ["security"]\n', ("produced by the check `security`, which is not in [checks]",), 0),
    ('[claims.a]\nrequires = ["branch"]\n', ("claim `a` has no producer",), 3),
    ('[claims.a]\nproducer = "daemon"\nrequires = ["bransh"]\n', ("requires `bransh`", "did you mean `branch`?"), 5),
    ('[claims.a]\nproducer = "daemon"\nrequires = ["b"]\n[claims.b]\nproducer = "daemon"\nrequires = ["a"]\n',
     ("claim `a` requires itself: a → b → a",), 5),
    ('[claims.a]\nproducer = "agent:says"\n', ("a producer: `checks.NAME`",), 4),
    ('[claims.a]\nproducer = "daemon"\nfresh = 3\n', ("only a check can be run again",), 5),
    ('[claims.a]\nproducer = "checks.tests"\nfresh = "week"\n', ("fresh",), 5),
    ('[stations.check]\nclaims = ["integration"]\n', ("which only landing proves", "kind land ask for it"), 4),
    ('[stations.check]\nclaims = ["review"]\n', ("which `review` produces later on line `build`",), 0),
    ('[stations.review]\nkind = "gate"\nclaims = ["sign-off"]\n', ("without asking anybody", 'say `when = "always"`'), 0),
    ('[claims.a]\nproducer = "station:revue"\n[stations.land]\nclaims = ["a"]\n', ("station `revue`", "did you mean `review`?"), 4),
    ('[lines.build]\nstations = ["build", "check", "land", "watch"]\n[stations.watch]\nkind = "watch"\nclaims = ["branch"]\n',
     ("the change has landed before it",), 7),
    ('[stations.check]\nclaim = ["unit"]\n', ("claim", "did you mean `claims`?"), 4),
])
def test_what_makes_no_sense_is_refused_with_its_line_and_the_nearest_name(
    tmp_path: Path, text: str, told: tuple[str, ...], line: int,
) -> None:
    said = wrong(tmp_path, CHECKS + text)
    assert all(part in said for part in told), said
    assert not line or f"andon.toml:{line}" in said, said


def test_claims_are_taken_from_the_target_commit_as_all_that_judges(tmp_path: Path) -> None:
    path = tmp_path / "andon.toml"
    path.write_text(CHECKS)
    loaded = load_repository(work=path, base=SIGNED, person=None)
    assert "sign-off" in loaded.settings.claims
    path.write_text(SIGNED)
    loaded = load_repository(work=path, base=CHECKS, person=None)
    assert loaded.settings.claims == {} and any("[stations]" in note for note in loaded.notes)
    path.write_text(SIGNED + '[claims.sign-off]\nproducer = "daemon"\nrequires = []\n')
    loaded = load_repository(work=path, base=SIGNED, person=None)
    assert loaded.settings.claims["sign-off"].producer == "station:review" and any("[claims]" in note for note in loaded.notes)
