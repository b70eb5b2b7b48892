"""Logins that sessions refreshed: what goes back to the person, what is handed into other homes, and what is left alone."""

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.edges import login_files
from andon.edges.login_shape import expiry, names_account, parse, why_not
from andon.logins import Copy, Found, settle
from andon.schema.ids import AttemptId
from andon.schema.layout import Layout

NAME = ".agent/auth.json"
NOW = int(time.time() * 1000)
HOUR = 3_600_000


def token(sub: str, until: int, **more: object) -> str:
    """A web token that nobody signed."""
    parts = ({"alg": "none"}, {"sub": sub, "exp": until // 1000, **more})
    return ".".join((*(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "c2lnbmVk"))


def claude(n: int, **more: object) -> dict[str, object]:
    """A login without a name, in its n-th life."""
    return {"claudeAiOauth": {"accessToken": f"sk-ant-oat01-{n:08}", "refreshToken": f"sk-ant-ort01-{n:08}", "scopes": ["a", "b"],
                              "expiresAt": NOW + n * HOUR, "subscriptionType": "max", **more}}


def codex(n: int, sub: str = "me", account: str = "acc-1", **more: object) -> dict[str, object]:
    """A login that names its account."""
    held = {name: token(sub, NOW + n * HOUR, n=n) for name in ("id_token", "access_token")}
    return {"OPENAI_API_KEY": None, "last_refresh": f"2026-01-{n:02}T00:00:00.000000Z",
            "tokens": {**held, "refresh_token": f"rt-{n:08}", "account_id": account}, **more}


def opencode(n: int, key: str = "sk-key") -> dict[str, object]:
    """Several providers in one file."""
    return {"anthropic": {"type": "oauth", "access": f"access-{n:06}", "refresh": f"refresh-{n:06}", "expires": NOW + n * HOUR},
            "openai": {"type": "api", "key": key}}


class Stage:
    """A person with a login, and sessions that were lent it."""

    def __init__(self, top: Path, first: dict[str, object]) -> None:
        self.layout = Layout(home=top / "factory", runtime=top / "run", config=top / "config")
        self.layout.home.mkdir()
        self.mine = top / "person" / "auth.json"
        self.mine.parent.mkdir()
        self.write(self.mine, first)
        self.mine.chmod(0o600)
        self.copies: list[Copy] = []

    def write(self, place: Path, content: object) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(content))

    def session(self, consent: bool = True) -> Path:
        """Lend the login to one more session; its copy."""
        name = AttemptId(f"T{len(self.copies) + 1}.1")
        home, job = self.layout.session_home(name), self.layout.job(name)
        (home / NAME).parent.mkdir(parents=True)
        job.mkdir(parents=True)
        (home / NAME).write_bytes(self.mine.read_bytes())
        login_files.note(self.layout, job, home, ((NAME, str(self.mine)),))
        assert [one.source for one in login_files.noted(job)] == [str(self.mine)]
        self.copies.append(Copy(attempt=name, agent="a", home=home, name=NAME, consent=consent))
        return home / NAME

    def settle(self) -> Found:
        return settle(self.layout, self.mine, self.copies)

    def holds(self) -> object:
        return json.loads(self.mine.read_text())


@pytest.mark.parametrize("login", [claude, codex, opencode])
def test_a_refreshed_login_goes_back_and_into_the_other_homes(tmp_path: Path, login: Callable[[int], dict[str, object]]) -> None:
    stage = Stage(tmp_path, login(1))
    one, other = stage.session(), stage.session()
    stage.write(one, login(2))
    found = stage.settle()
    assert stage.holds() == login(2) and stat.S_IMODE(stage.mine.stat().st_mode) == 0o600
    assert json.loads(other.read_text()) == login(2) and found.told == ""
    assert [(moved.how, moved.attempt) for moved in found.moved] == [("written-back", "T1.1"), ("handed-in", "T2.1")]
    again = stage.settle()
    assert (again.told, again.moved) == ("", ()) and sorted(path.name for path in stage.mine.parent.iterdir()) == ["auth.json"]


def test_without_consent_nothing_goes_back_and_the_person_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, claude(1))
    stage.write(stage.session(consent=False), claude(2))
    found = stage.settle()
    assert stage.holds() == claude(1) and "lost with the attempt" in found.told and "write_back" in found.mend and not found.moved


def test_of_two_refreshes_the_one_that_lasts_longer_wins_everywhere(tmp_path: Path) -> None:
    stage = Stage(tmp_path, codex(1))
    one, other = stage.session(), stage.session()
    stage.write(one, codex(3))
    stage.write(other, codex(2))
    stage.settle()
    assert stage.holds() == codex(3) == json.loads(other.read_text())


def test_what_the_persons_own_program_refreshed_is_handed_in_and_never_overwritten_by_an_older_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, claude(1))
    one = stage.session()
    stage.write(stage.mine, claude(5))
    assert [moved.how for moved in stage.settle().moved] == ["handed-in"] and json.loads(one.read_text()) == claude(5)


def test_a_new_login_of_the_person_is_left_alone_where_the_file_names_no_account(tmp_path: Path) -> None:
    stage = Stage(tmp_path, claude(1))
    stage.write(stage.session(), claude(9))
    stage.write(stage.mine, claude(2))  # they logged in anew, perhaps as somebody else: it cannot be told
    found = stage.settle()
    assert stage.holds() == claude(2) and "logged in anew" in found.told


def test_where_the_file_names_the_account_a_newer_refresh_of_it_still_counts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, codex(1))
    stage.write(stage.session(), codex(9))
    stage.write(stage.mine, codex(2))
    stage.settle()
    assert stage.holds() == codex(9)


FORGED = {
    "another account": codex(2, account="acc-2"), "another holder": codex(2, sub="eve"),
    "a token without a holder": codex(2) | {"tokens": codex(2)["tokens"] | {"id_token": "opaque-token"}},  # type: ignore[operator]
    "more fields": codex(2, extra="x"), "an API key": codex(2) | {"OPENAI_API_KEY": "sk-of-somebody"},
    "no expiry to speak of": codex(1) | {"tokens": codex(1)["tokens"] | {"refresh_token": "rt-changed"}},  # type: ignore[operator]
    "for ever": codex(20_000) | {"last_refresh": "2026-01-02T00:00:00Z"},
    "older": codex(1) | {"last_refresh": "2020-01-01T00:00:00Z"},
    "no login at all": {"a": 1}, "a list": [1, 2], "deep": json.loads("[" * 60 + "]" * 60),
    "a token of control characters": codex(2) | {"tokens": codex(2)["tokens"] | {"refresh_token": "rt-\x1b]0;x\x07-more"}},  # type: ignore[operator]
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_refresh_of_the_same_login_never_goes_back(tmp_path: Path, name: str) -> None:
    stage = Stage(tmp_path, codex(1))
    stage.write(stage.session(), FORGED[name])
    found = stage.settle()
    assert stage.holds() == codex(1) and not found.moved
    assert "sk-of" not in found.told and "rt-" not in found.told and "\x1b" not in found.told
    assert found.told or name == "older"


def test_an_address_or_key_beside_the_tokens_may_not_change(tmp_path: Path) -> None:
    stage = Stage(tmp_path, opencode(1))
    stage.write(stage.session(), opencode(2, key="sk-eve"))
    found = stage.settle()
    assert stage.holds() == opencode(1) and "(key)" in found.told


def link(place: Path) -> None:
    target = place.parent / "elsewhere"
    target.write_text(json.dumps(codex(2)))
    place.unlink()
    place.symlink_to(target)


def folder_link(place: Path) -> None:
    away = place.parent.with_name("away")
    place.parent.rename(away)
    (away / "auth.json").write_text(json.dumps(codex(2)))
    place.parent.symlink_to(away)


def pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def giant(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


def folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def garbage(place: Path) -> None:
    place.write_bytes(b'{"tokens":\xff\xfe')


@pytest.mark.parametrize("trick", [link, folder_link, pipe, giant, folder, garbage])
def test_tricks_in_place_of_the_file_move_nothing_and_are_told(tmp_path: Path, trick: Callable[[Path], None]) -> None:
    stage = Stage(tmp_path, codex(1))
    trick(stage.session())
    other = stage.session()
    found = stage.settle()
    assert stage.holds() == codex(1) == json.loads(other.read_text()) and "not taken over" in found.told and not found.moved


def test_a_login_that_was_removed_inside_is_nobodys_concern(tmp_path: Path) -> None:
    stage = Stage(tmp_path, codex(1))
    stage.session().unlink()
    found = stage.settle()
    assert (found.told, found.moved) == ("", ()) and stage.holds() == codex(1)


def test_the_persons_file_is_swapped_only_while_it_is_what_was_decided_upon(tmp_path: Path) -> None:
    stage = Stage(tmp_path, codex(1))
    before = login_files.digest(stage.mine.read_bytes())
    stage.write(stage.mine, codex(2))
    assert not login_files.swap(stage.mine, before, b"{}") and stage.holds() == codex(2)
    assert [path.name for path in stage.mine.parent.iterdir()] == ["auth.json"]


def test_a_link_of_the_persons_own_stays_a_link(tmp_path: Path) -> None:
    stage = Stage(tmp_path, codex(1))
    real = tmp_path / "dotfiles.json"
    stage.mine.rename(real)
    stage.mine.symlink_to(real)
    stage.write(stage.session(), codex(2))
    stage.settle()
    assert stage.mine.is_symlink() and stage.holds() == codex(2)


KILLED = """
import sys
from pathlib import Path
from andon.logins import Copy, settle
from andon.schema.layout import Layout
top = Path(sys.argv[1])
layout = Layout(home=top / "factory", runtime=top / "run", config=top / "config")
settle(layout, top / "person" / "auth.json", [Copy(attempt=name, agent="a", home=layout.session_home(name), name=sys.argv[2],
                                                   consent=True) for name in ("T1.1", "T2.1")])
"""


@pytest.mark.parametrize("place", ["login.aside", "login.renamed"])
def test_killed_in_the_middle_each_file_is_whole_and_the_next_look_ends_it(tmp_path: Path, place: str) -> None:
    stage = Stage(tmp_path, claude(1))
    one, other = stage.session(), stage.session()
    stage.write(one, claude(2))
    done = subprocess.run((sys.executable, "-c", KILLED, str(tmp_path), NAME), env={**os.environ, "ANDON_FAULT": place},
                          check=False, capture_output=True, timeout=30)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert stage.holds() in (claude(1), claude(2))
    stage.settle()
    assert stage.holds() == claude(2) == json.loads(other.read_text())
    assert [path.name for path in stage.mine.parent.iterdir()] == ["auth.json"]


def test_the_book_of_what_was_lent_holds_digests_and_no_secret(tmp_path: Path) -> None:
    stage = Stage(tmp_path, claude(1))
    stage.write(stage.session(), claude(2))
    stage.settle()
    kept = b"".join(path.read_bytes() for path in stage.layout.home.rglob("logins.json"))
    assert b"sk-ant" not in kept and login_files.digest(json.dumps(claude(2)).encode()).encode() in kept


def test_the_shapes_of_logins_are_read_as_they_are() -> None:
    gemini = {"access_token": "ya29.aaaaaaa", "refresh_token": "1//aaaaaaaa", "scope": "x", "token_type": "Bearer",
              "id_token": token("g", NOW), "expiry_date": NOW + HOUR}
    fresh = gemini | {"access_token": "ya29.bbbbbbb", "expiry_date": NOW + 2 * HOUR, "id_token": token("g", NOW + HOUR)}
    assert why_not(gemini, fresh, NOW) == "" and names_account(gemini) and not names_account(claude(1))
    qwen = {"access_token": "aaaaaaaaaa", "refresh_token": "bbbbbbbbbb", "token_type": "Bearer", "resource_url": "portal.qwen.ai",
            "expiry_date": NOW}
    assert why_not(qwen, qwen | {"access_token": "cccccccccc", "expiry_date": NOW + HOUR}, NOW) == ""
    assert "resource_url" in why_not(qwen, qwen | {"resource_url": "evil.example", "expiry_date": NOW + HOUR}, NOW)
    assert expiry(claude(1)) == NOW + HOUR and parse(b"[]") is None and parse(b"{}") is None
