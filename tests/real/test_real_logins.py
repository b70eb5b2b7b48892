"""The real Codex renews its login at a token server of the test's own, and what it writes is taken for what it is."""

import base64
import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from andon.edges import login_files
from andon.logins import Copy, settle
from andon.schema.ids import AttemptId
from andon.schema.layout import Layout
from realkit import cli

NAME = ".codex/auth.json"


def token(until: float) -> str:
    """A web token as the provider makes them, but for its signature."""
    about = {"chatgpt_account_id": "acc", "chatgpt_plan_type": "plus", "chatgpt_user_id": "me"}
    parts = ({"alg": "none"}, {"sub": "me", "email": "me@example.org", "exp": int(until), "https://api.openai.com/auth": about})
    return ".".join((*(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "c2lnbmVk"))


class Provider(http.server.BaseHTTPRequestHandler):
    """Renews tokens, and refuses everything else."""

    asked: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        new = token(time.time() + 9_000)
        fresh = {"id_token": new, "access_token": new, "refresh_token": "rt-renewed-2"}
        renews = self.path == "/oauth/token"
        if renews:
            self.asked.append(body)
        told = json.dumps(fresh if renews else {"error": {"message": "not here"}}).encode()
        self.send_response(200 if renews else 400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def provider() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_codex_renews_in_a_private_home_goes_back_and_into_the_other_home(tmp_path: Path, provider: str) -> None:
    binary = cli("codex")
    layout = Layout(home=tmp_path / "factory", runtime=tmp_path / "run", config=tmp_path / "config")
    layout.home.mkdir()
    mine, stale = tmp_path / "mine" / "auth.json", token(time.time() - 60)
    mine.parent.mkdir()
    mine.write_text(json.dumps({
        "OPENAI_API_KEY": None, "auth_mode": "chatgpt", "last_refresh": "2026-01-01T00:00:00Z",
        "tokens": {"id_token": stale, "access_token": stale, "refresh_token": "rt-first-1", "account_id": "acc"}}))
    copies = []
    for name in (AttemptId("T1.1"), AttemptId("T2.1")):
        home, job = layout.session_home(name), layout.job(name)
        (home / NAME).parent.mkdir(parents=True)
        job.mkdir(parents=True)
        (home / NAME).write_bytes(mine.read_bytes())
        login_files.note(layout, job, home, ((NAME, str(mine)),))
        copies.append(Copy(attempt=name, agent="codex", home=home, name=NAME, consent=True))
    work = tmp_path / "work"
    work.mkdir()
    own = copies[0].home
    env = {"PATH": os.environ["PATH"], "HOME": str(own), "CODEX_HOME": str(own / ".codex"), "TMPDIR": str(work),
           "CODEX_REFRESH_TOKEN_URL_OVERRIDE": f"{provider}/oauth/token"}
    subprocess.run((binary, "exec", "-c", f'chatgpt_base_url="{provider}/backend"', "-c", f'openai_base_url="{provider}/v1"',
                    "--skip-git-repo-check", "hello"), cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                   check=False, timeout=60)
    assert Provider.asked and b"rt-first-1" in Provider.asked[0], "codex did not ask for a new token"
    found = settle(layout, mine, copies)
    assert [moved.how for moved in found.moved] == ["written-back", "handed-in"], found
    assert all(json.loads(place.read_text())["tokens"]["refresh_token"] == "rt-renewed-2"
               for place in (mine, own / NAME, copies[1].home / NAME))
