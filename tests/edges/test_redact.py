"""Secrets are withheld on every way in and out; ordinary text stays as it is; what cannot be looked through is held back."""

import asyncio
import base64
import gzip
import logging
import os
import random
import string
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from andon.core.state import State
from andon.edges import jobs, withheld
from andon.edges.blobs import Blobs
from andon.edges.clock import Clock
from andon.edges.encoded import Encoded, encoder
from andon.edges.git import GitFailed, Output
from andon.edges.lines import Tail, append
from andon.edges.store import Store
from andon.loop import Loop
from andon.schema import inputs as i, wire
from andon.schema.effects import Effect, MirrorTarget
from andon.schema.errors import Mistake, Problem
from andon.schema.ids import AttemptId, Oid, RepoId
from andon.schema.jobs import Said
from andon.schema.layout import layout
from andon.schema.redact import COMPRESSED, FORMATS, Forgotten, Redactor, holds_secret, remember, spellings, values_of
from andon.schema.signals import Line
from fakeoffice import a_task

ALNUM = string.ascii_letters + string.digits


def made(n: int, signs: str = ALNUM) -> str:
    """Signs as a provider would make them, and never the same ones in the source of this file: it holds no token."""
    chance = random.Random(n)
    return "7" + "".join(chance.choice(signs) for _ in range(n - 1))


TOKENS = {
    "anthropic": "sk-ant-" + "api03-" + made(40), "openai": "sk-" + "proj-" + made(48), "openai-old": "sk-" + made(48),
    "openrouter": "sk-" + "or-v1-" + made(64, "0123456789abcdef"), "github": "ghp_" + made(36), "github-app": "ghs_" + made(36),
    "github-fine": "github_pat_" + made(60), "gitlab": "glpat-" + made(20),
    "aws": "AKIA" + made(16, "ABCDEFGH234567").replace("7", "A"),
    "aws-secret": made(40), "google": "AIza" + made(35), "google-oauth": "ya29." + made(60),
    "slack": "xoxb-" + made(12) + "-" + made(24),
    "slack-app": "xapp-" + "1-" + made(30), "stripe": "sk_live_" + made(24), "npm": "npm_" + made(36), "pypi": "pypi-" + made(90),
    "hf": "hf_" + made(34), "groq": "gsk_" + made(52), "xai": "xai-" + made(80), "replicate": "r8_" + made(37),
    "digitalocean": "dop_v1_" + made(64, "0123456789abcdef"), "sendgrid": "SG." + made(22) + "." + made(43),
    "vault": "hvs." + made(30),
    "linear": "lin_api_" + made(40), "databricks": "dapi" + made(32, "0123456789abcdef"), "docker": "dckr_pat_" + made(27),
    "telegram": "123456789" + ":AA" + made(33), "jwt": "eyJ" + made(30) + ".eyJ" + made(40) + "." + made(43),
}
AROUND = {"aws-secret": 'aws_secret_access_key = "{}"'}
CONTEXTS = {
    "header": ("Authorization: Bearer {}", made(40)), "json header": ('{{"authorization": "Bearer {}"}}', made(40)),
    "api key header": ("x-api-key: {}", made(32)), "basic": ("Authorization: Basic {}", made(40)),
    "url": ("fatal: unable to access 'https://me:{}@example.com/x.git/'", "hunter2pass"),
    "dsn": ("postgres://app:{}@db:5432/x", "s3cr-et!"),
    "slack hook": ("curl https://hooks.slack.com/{}", "services/T0/B0/" + made(24)),
    "account": ("AccountKey={};Endpoint", base64.b64encode(made(64).encode()).decode()),
}
VALUE = "correct horse/battery+staple=9"


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of its own as far as secrets go: one variable that holds one."""
    monkeypatch.setenv("SHOP_API_KEY", VALUE)
    monkeypatch.setattr(withheld, "_kept", withheld._Kept())
    monkeypatch.setattr(withheld, "LOOK_S", 0.0)
    yield


def pem(cut: bool = False) -> str:
    body = "\n".join(made(64) for _ in range(20))
    return "-----BEGIN RSA " + "PRIVATE KEY-----\n" + body + ("" if cut else "\n-----END RSA " + "PRIVATE KEY-----")


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("around", ["{}", "export X={}", '{{"key":"{}"}}', "a\n{}\nb", "é{}·", "('{}')", "+{}"])
def test_each_known_form_is_withheld_wherever_it_stands(name: str, around: str) -> None:
    token = TOKENS[name]
    shown = Redactor().text(around.format(AROUND.get(name, "{}").format(token)))
    assert token not in shown and token[-12:] not in shown and "[secret withheld: " in shown


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_its_surroundings_tell_is_withheld_and_they_stay(name: str) -> None:
    around, value = CONTEXTS[name]
    shown = Redactor().text(around.format(value))
    before, _, after = around.format("\0").partition("\0")
    assert value not in shown and shown.startswith(before) and shown.endswith(after)


def test_every_format_of_the_table_was_seen_to_work() -> None:
    shown = [AROUND.get(name, "{}").format(token) for name, token in TOKENS.items()]
    texts = [text.encode() for text in [*shown, *(around.format(value) for around, value in CONTEXTS.values())]]
    for form in FORMATS:
        hit = [text for text in texts if any(literal in text for literal in form.literals) and form.pattern.search(text)]
        assert hit, f"{form.name} {form.pattern.pattern!r} is not tried here"


@pytest.mark.parametrize("cut", [False, True])
def test_a_private_key_goes_whole_and_what_follows_it_stays(cut: bool) -> None:
    shown = Redactor().text(f"before\n{pem(cut)}\n" + ("" if cut else "after it"))
    assert made(64) not in shown and shown.startswith("before\n[secret") and (cut or shown.endswith("\nafter it"))
    row = msgspec.json.encode({"text": pem(cut), "next": "kept"})
    told = msgspec.json.decode(Redactor().data(row))
    assert told["next"] == "kept" and made(64) not in told["text"]


@pytest.mark.parametrize("spelled", [
    lambda v: v, lambda v: msgspec.json.encode(v).decode(), lambda v: quote(v, safe=""),
    lambda v: base64.b64encode(v.encode()).decode(), lambda v: base64.b64encode(b"x" + v.encode() + b"yz").decode(),
    lambda v: base64.urlsafe_b64encode(b"xy:" + v.encode()).decode(),
    lambda v: f"--password={v};",
], ids=["plain", "json", "url", "base64", "base64+1", "base64+3", "argument"])
@pytest.mark.parametrize("value", [VALUE, 'with "quotes" and ü', made(32)])
def test_a_named_value_is_found_in_every_common_spelling(value: str, spelled: object) -> None:
    assert callable(spelled)
    whole = f"told {spelled(value)} so"
    shown = Redactor([value]).text(whole)
    assert shown != whole and value not in shown and spelled(value) not in shown
    assert Redactor().text(whole) == whole


def test_a_forgotten_value_is_known_by_its_digest_alone() -> None:
    one = remember(b"hunter2hunter2", b"key")
    assert b"hunter2" not in msgspec.json.encode(one)
    redactor = Redactor(forgotten=[one], key=b"key")
    assert redactor.text("xhunter2hunter2hunter2") == "x[secret withheld: forgotten]"
    assert redactor.text("hunter2hunter") == "hunter2hunter"
    assert Redactor(forgotten=[one], key=b"other").text("hunter2hunter2") == "hunter2hunter2"


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(sorted(TOKENS)))
def test_no_text_around_a_token_lets_it_through_but_a_word_that_it_is_part_of(before: str, after: str, name: str) -> None:
    text = before + "\n" + AROUND.get(name, "{}").format(TOKENS[name]) + "\n" + after
    assert TOKENS[name] not in Redactor().text(text.encode("utf-8", "replace").decode())


# --- what is not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "", "ordinary words", "a" * 40, "4be21c9d0f" * 4, "sk-learn is a library", "task-sk-1", "https://example.com/a:b@c", "http://host:8080/x",
    "git@github.com:me/x.git", "Authorization: required", "the bearer of this letter was here", "api_key = os.environ['X_API_KEY']",
    "eyJ is how it begins", "AKIA", "npm_config_cache=/tmp", "from hf_hub import x", "ssh://git@host/x",
    "-----BEGIN CERTIFICATE-----\nMII",
    "pypi-publish", "uuid 123e4567-e89b-12d3-a456-426614174000", "sha256:" + "0f" * 32, "postgres://user:${PASSWORD}@db/x",
    "token: abc", "toolu_01A09q90qw90lq917835lq9", "msg_01XFDUDYJgAACzvnptvVoYEL", "call_abc123def456ghi789jkl012",
])
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert Redactor(values_of(os.environ)).text(text) is text


def test_our_own_sources_hold_hardly_anything_that_is_taken_for_a_secret() -> None:
    top = Path(withheld.__file__).parents[1]
    redactor = Redactor()
    found = [(path.name, redactor.text(text)) for path in top.rglob("*.py") if redactor.text(text := path.read_text()) is not text]
    assert found == []


@settings(max_examples=200)
@given(st.binary(max_size=2000))
def test_bytes_of_any_kind_come_out_as_they_went_in_or_marked(data: bytes) -> None:
    kept = Redactor().data(data)
    assert kept is data or b"withheld" in kept


@pytest.mark.parametrize("text", ["sk-" * 60_000, "eyJ-" * 50_000, "authorization=" * 14_000,
                                  "-----BEGIN RSA PRIVATE KEY-----!" * 6_000,
                                  "http://a:" * 20_000, "bearer " * 30_000, "://" + "a:" * 100_000,
                                  "-----BEGIN PRIVATE KEY-----" * 6_000,
                                  "eyJaaaaaaaa.eyJaaaaaaaa." * 9_000, "xox" * 60_000])
def test_no_text_makes_the_search_slow(text: str) -> None:
    began = time.process_time()
    Redactor(["some exact value"]).text(text)
    assert time.process_time() - began < 1.5


def test_variables_are_known_by_name_and_ordinary_values_are_no_secrets() -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GH_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL",
                 "NPM_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "X_PASSWORD", "SENTRY_DSN", "SSH_KEY"):
        assert holds_secret(name), name
    for name in ("PATH", "HOME", "SSH_AUTH_SOCK", "KEYBOARD", "TOKENIZERS_PARALLELISM", "MONKEY"):
        assert not holds_secret(name), name
    env = {"A_TOKEN": "abcdefgh1", "B_TOKEN": "/run/secrets/token", "C_TOKEN": "short", "D_KEY": "disabled", "E": "abcdefgh2",
           "F": "named-one"}
    assert values_of(env, ["F", "MISSING"]) == ("abcdefgh1", "named-one")
    assert spellings(b"short") == ()


# --- what cannot be looked through -----------------------------------------------------------------------------------


def test_what_cannot_be_looked_through_is_withheld_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    token = TOKENS["github"].encode()
    packed = gzip.compress(token)
    for data in (packed, *(magic + b"rest" for magic in COMPRESSED)):
        assert Redactor().data(data).startswith(b"[withheld: it cannot be looked through")
    wide = TOKENS["github"].encode("utf-16")
    assert token not in Redactor().data(wide) and b"withheld" in Redactor().data(wide)
    assert Redactor().data("ordinary".encode("utf-16")) == "ordinary".encode("utf-16")
    monkeypatch.setattr("andon.schema.redact.SCAN_BYTES", 10)
    assert b"withheld" in Redactor().data(b"x" * 11)


def test_a_list_of_forgotten_ones_that_cannot_be_read_holds_everything_back(tmp_path: Path) -> None:
    (tmp_path / withheld.FILE).write_text("{")
    with pytest.raises(Mistake, match="forgotten"):
        withheld.keep(tmp_path)
    with pytest.raises(Mistake, match="forgotten"):
        withheld.text("anything")
    record = logging.LogRecord("andon", logging.INFO, "", 0, "hello %s", ("x",), None)
    assert "withheld" in withheld.PlainFormatter().format(record) and "hello" not in withheld.PlainFormatter().format(record)


def test_a_list_that_goes_bad_later_holds_on_as_it_was(tmp_path: Path) -> None:
    withheld.write_list(tmp_path, withheld.List(key="00ff", values=(remember(b"hunter2hunter2", b"\0\xff"),)))
    withheld.keep(tmp_path)
    (tmp_path / withheld.FILE).write_text("{")
    assert withheld.text("say hunter2hunter2") == "say [secret withheld: forgotten]"


def test_a_variable_of_any_name_is_held_back_once_the_settings_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_LICENCE", "licence-of-the-shop-1")
    assert withheld.text("licence-of-the-shop-1") == "licence-of-the-shop-1"
    withheld.name(("SHOP_LICENCE",))
    assert withheld.text("licence-of-the-shop-1").startswith("[secret withheld")
    withheld.name(())
    assert withheld.text("licence-of-the-shop-1").startswith("[secret withheld")


def test_what_was_forgotten_meanwhile_is_held_back_from_then_on(tmp_path: Path) -> None:
    withheld.keep(tmp_path)
    assert withheld.text("say hunter2hunter2") == "say hunter2hunter2"
    withheld.write_list(tmp_path, withheld.List(key="00ff", values=(remember(b"hunter2hunter2", b"\0\xff"),)))
    assert withheld.text("say hunter2hunter2") == "say [secret withheld: forgotten]"
    assert (tmp_path / withheld.FILE).stat().st_mode & 0o777 == 0o600


# --- every way in and out --------------------------------------------------------------------------------------------

SECRETS = (TOKENS["github"], VALUE)


@pytest.mark.parametrize("lead", ["\n", "\t", "\r\n", "\x1b", "\x07", " ", '"', "\\"])
@pytest.mark.parametrize("name", TOKENS)
def test_a_token_is_found_in_json_whatever_stands_before_it_there(name: str, lead: str) -> None:
    words = AROUND.get(name, "{}").format(TOKENS[name])
    row = msgspec.json.encode({"said": f"first line{lead}{words}\nlast", "more": [1]})
    told = msgspec.json.decode(Redactor().data(row))
    assert told["more"] == [1] and told["said"].startswith("first line")
    assert TOKENS[name] not in told["said"]


@pytest.mark.parametrize("words", ["authorization:\n{}", "Bearer\n{}", "\nBearer {}", "x\tx-api-key:\t{}"])
def test_its_surroundings_are_known_in_json_too(words: str) -> None:
    row = msgspec.json.encode({"said": words.format(made(40))})
    assert made(40) not in msgspec.json.decode(Redactor().data(row))["said"]


def test_structs_lose_their_secrets_and_others_stay_the_very_same() -> None:
    clean = a_task(title="Say hello")
    assert Redactor([VALUE]).struct(clean) is clean
    told = Redactor([VALUE]).struct(a_task(title=f"Use {TOKENS['npm']} and {VALUE}", paths=("a", VALUE)))
    assert TOKENS["npm"] not in repr(told) and VALUE not in repr(told) and told.task == clean.task


@pytest.mark.parametrize("secret", SECRETS)
def test_an_agents_words_come_in_without_secrets(tmp_path: Path, secret: str) -> None:
    folder = tmp_path / "T1.1"
    (folder / "outbox").mkdir(parents=True)
    said = Said(n=1, kind="ask", text=f"may I use {secret}?", options=(f"yes {secret}", "no"))
    (folder / "outbox" / "1.json").write_bytes(msgspec.json.encode(said))
    heard = jobs.hear(folder, 0).said
    assert len(heard) == 1 and secret not in repr(heard) and "may I use [secret withheld" in heard[0].text


@pytest.mark.parametrize("secret", SECRETS)
def test_raw_lines_come_in_without_secrets_and_stay_lines(tmp_path: Path, secret: str) -> None:
    file = tmp_path / "hooks.jsonl"
    data = msgspec.Raw(msgspec.json.encode({"command": f"curl -H 'x: {secret}'", "more": ["kept"]}))
    assert append(file, Line(at=1, source="hook", data=data))
    (row,) = Tail(file).read()
    assert secret.encode() not in row
    line = msgspec.json.decode(row, type=Line)
    assert msgspec.json.decode(line.data)["more"] == ["kept"]


@pytest.mark.parametrize("secret", SECRETS)
def test_blobs_are_kept_without_secrets(secret: str) -> None:
    blobs = Blobs(layout())
    digest = blobs.put(f"log line\n{secret}\nlast".encode())
    kept = blobs.get(digest)
    assert secret.encode() not in kept and kept.startswith(b"log line\n[secret") and kept.endswith(b"\nlast")
    files = [path for path in layout().home.rglob("*") if path.is_file()]
    assert files and not [path for path in files if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_goes_out_over_the_operators_socket_with_a_secret(secret: str) -> None:
    view = a_task(title=f"Use {secret}")
    told = [bytes(raw) for raw in Encoded().all({"task/T1": view})]
    told.append(encoder.encode(wire.BlobIs(id=1, text=f"diff\n+{secret}\n")))
    told.append(encoder.encode(wire.PaneIs(attempt=AttemptId("T1.1"), rows=(f"$ echo {secret}",), width=80, height=1)))
    for message in told:
        assert secret.encode() not in message and b"withheld" in message
        msgspec.json.decode(message)


@pytest.mark.parametrize("secret", SECRETS)
def test_errors_of_git_and_lines_of_the_log_carry_none(secret: str) -> None:
    failed = GitFailed(("push", f"https://me:{secret}@host/x"), Output(1, b"", f"fatal: {secret} refused"), "/x")
    assert secret not in str(failed) and "refused" in str(failed)
    words = "it said %s\x1b]52;c;eA==\x07 and\r\n2026 andon INFO forged"
    record = logging.LogRecord("andon", logging.INFO, "", 0, words, (secret,), None)
    line = withheld.PlainFormatter("%(name)s %(message)s").format(record)
    assert secret not in line and "\x1b" not in line and "\n    2026 andon INFO forged" in line


def test_a_secret_that_goes_on_in_the_next_row_of_a_screen_is_dotted_out() -> None:
    token = TOKENS["github"]
    width = 30
    rows = (f"$ echo {token}"[:width], f"$ echo {token}"[width:], "next row")
    shown = Redactor().rows(rows, width)
    assert [len(row) for row in shown] == [len(row) for row in rows] and shown[2] == "next row"
    assert token[4:20] not in "".join(shown) and shown[0].startswith("$ echo •••")
    plain = ("a", "b")
    assert Redactor().rows(plain, 80) is plain


def test_a_forgotten_value_is_a_struct_of_five_facts_and_none_of_them_tells_it() -> None:
    assert Forgotten.__struct_fields__ == ("length", "first", "last", "digest")


async def test_what_an_edge_tells_the_loop_comes_without_secrets() -> None:
    store = await Store.open(layout())
    try:
        await store.load()
        async with asyncio.TaskGroup() as group:
            loop = Loop(store, State(), Clock(), group, lambda changed, gone: None)
            problem = Problem(what=f"fatal:\n{TOKENS['github']}", where=VALUE, mend="look")
            loop.give(i.TroubleSeen(key="x", problem=problem))
            failed = i.EffectFailed(key="k", kind="mirror-target", subject="s", problem=problem)

            async def perform(_: Effect) -> i.Input:
                return failed
            loop.perform = perform
            await loop._do(MirrorTarget(repo=RepoId("shop"), git_dir="", path="", target="main", oid=Oid("0" * 40)))
            for given in (loop._inputs.get_nowait().given, loop._inputs.get_nowait().given):
                assert isinstance(given, i.TroubleSeen | i.EffectFailed)
                assert TOKENS["github"] not in repr(given) and VALUE not in repr(given) and given.problem.mend == "look"
    finally:
        await store.close()
