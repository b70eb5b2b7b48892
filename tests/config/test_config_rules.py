"""Rules of judging: ours are sound, a person's go on top of them, and what is wrong is said with its line."""

import re
from pathlib import Path

import pytest

from andon.schema.errors import Mistake, Problem
from andon.schema.rules import Rules, Thresholds
from andon.schema.settings import Step
from andon_config import rules
from andon_config.rules import load_rules

SCREEN = "[[screens]]\nname = 'mine'\nhealth = 'auth'\nall = ['log in']\n"


def loaded(tmp_path: Path, text: str) -> Rules:
    """The rules with this file of a person."""
    file = tmp_path / "rules.toml"
    file.write_text(text)
    return load_rules(file)


def problem(tmp_path: Path, text: str) -> Problem:
    """What is said about this file."""
    with pytest.raises(Mistake) as caught:
        loaded(tmp_path, text)
    return caught.value.problem


def test_the_rules_that_come_with_the_program_say_every_threshold_and_a_ladder_for_every_cause_of_trouble() -> None:
    ours = load_rules(None)
    assert set(rules.packaged()["thresholds"]) == set(Thresholds.__struct_fields__)
    wanted = {cause for cause in rules.shape().fields[3].type.key_type.values if cause}  # type: ignore[attr-defined]
    assert wanted - set(ours.ladders) == {"permission", "question"}
    assert all(ladder[-1].do == "gate" for ladder in ours.ladders.values()), "the last rung is always a person"
    for screen in ours.screens:
        assert all(re.compile(each) for each in (*screen.all, *screen.none))


def test_without_a_file_of_the_person_ours_hold(tmp_path: Path) -> None:
    assert load_rules(tmp_path / "rules.toml") == load_rules(None) == loaded(tmp_path, "")


def test_a_person_says_single_thresholds_and_whole_ladders_anew(tmp_path: Path) -> None:
    told = loaded(tmp_path, "[thresholds]\nhung_s = 5\n[freshness]\npane = 2\n[ladders]\nthrash = [{ do = 'nudge', times = 3 }]\n")
    ours = load_rules(None)
    assert (told.thresholds.hung_s, told.thresholds.idle_s) == (5.0, ours.thresholds.idle_s)
    assert (told.freshness["pane"], told.freshness["hook"]) == (2.0, ours.freshness["hook"])
    assert told.ladders["thrash"] == (Step(do="nudge", times=3),)
    assert told.ladders["auth"] == ours.ladders["auth"]


def test_a_persons_builders_are_added_to_ours(tmp_path: Path) -> None:
    told, ours = loaded(tmp_path, "builders = ['solve-*', 'make']\n").builders, load_rules(None).builders
    assert "make" in ours and told[:2] == ("solve-*", "make") and set(told) == {*ours, "solve-*"} and len(told) == len(ours) + 1


def test_a_screen_of_the_same_name_replaces_ours_and_one_can_be_taken_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = {"screens": [{"name": name, "health": "working", "all": ["x"]} for name in ("one", "two", "three")]}
    monkeypatch.setattr(rules, "packaged", lambda: ours)
    told = loaded(tmp_path, SCREEN + "[[screens]]\nname = 'two'\nenabled = false\n"
                  "[[screens]]\nname = 'three'\nhealth = 'auth'\nall = ['y']\n").screens
    assert [(screen.name, screen.health) for screen in told] == [("mine", "auth"), ("one", "working"), ("three", "auth")]


WRONG = {
    "an unknown part": ("[threshold]\nhung_s = 1\n", "unknown key `threshold`", 1, "did you mean `thresholds`?"),
    "an unknown threshold": ("[thresholds]\nhungs = 1\n", "unknown key `thresholds.hungs`", 2, "did you mean `hung_s`?"),
    "a threshold below nothing": ("[thresholds]\nhung_s = -1\n", "`thresholds.hung_s` is less than 0", 2, "0 or more"),
    "a text for a number": ("[thresholds]\nhung_s = '1'\n", "must be a number", 2, ""),
    "a source that is none": ("[freshness]\npanes = 1\n", "unknown key `freshness.panes`", 2, "did you mean `pane`?"),
    "a cause that is none": ("[ladders]\nhung = [{ do = 'gate' }]\n", "unknown key `ladders.hung`", 2, "known here: "),
    "a rung that is none": ("[ladders]\nthrash = [\n{ do = 'gate' },\n{ do = 'kill' },\n]\n", 'is "kill"', 4, "known here: "),
    "a step without a deed": ("[ladders]\nthrash = [{ times = 2 }]\n", "does not say what to do", 2, "nudge"),
    "a step that is never taken": ("[ladders]\nthrash = [{ do = 'gate', times = 0 }]\n", "is less than 1", 2, "remove the step"),
    "a screen without a name": ("[[screens]]\nhealth = 'auth'\nall = ['x']\n", "has no name", 1, "name = "),
    "a screen without a meaning": ("[[screens]]\nname = 'a'\nall = ['x']\n", "does not say what it means", 1, "health = "),
    "a screen that matches anything": ("[[screens]]\nname = 'a'\nhealth = 'auth'\n", "would match anything", 1, "all = "),
    "a screen twice": (SCREEN + SCREEN, "there are two screens `mine`", 6, "another name"),
    "a health that is none": (SCREEN.replace("auth", "dead"), 'is "dead"', 3, "known here: "),
    "no expression": (SCREEN.replace("log in", "log (in"), "is no regular expression: missing )", 4, "single quotes"),
    "an unknown key of a screen": (SCREEN + "colour = 'red'\n", "unknown key `screens[0].colour`", 5, "known here: "),
    "no place to look": (SCREEN + "where = 'bottom:3'\n", "looks at `bottom:3`", 5, "last:N"),
    "keys for nothing": (SCREEN + "keys = { maybe = ['y'] }\n", "has keys for `maybe`", 5, "allow, deny, dismiss"),
    "an end without a group": (SCREEN + "until = 'in \\d+s'\n", "has no group", 5, "(\\d+)s"),
    "a word for yes": (SCREEN + "enabled = 'no'\n", "must be true or false", 5, ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_line_and_its_mend(name: str, tmp_path: Path) -> None:
    text, what, line, mend = WRONG[name]
    said = problem(tmp_path, text)
    assert what in said.what
    assert said.where == f"{tmp_path / 'rules.toml'}:{line}"
    assert mend in said.mend
