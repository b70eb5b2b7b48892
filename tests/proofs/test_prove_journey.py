"""The real application is started and driven, and leaves nothing behind; what does not boot fails with its log."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from andon.proofs.fact import Fact, read
from andon.schema.errors import Mistake
from provekit import facts, lay

SERVER = """\
    import http.server, json, os, subprocess, sys
    items = []
    class Shop(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(200 if self.path in ("/health", "/cart") else 404, {"items": items})
        def do_POST(self):
            items.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(201, {"items": items})
        def answer(self, status, told):
            body = json.dumps(told).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *words): ...
    if "--broken" in sys.argv:
        print("cannot open settings.ini")
        raise SystemExit(3)
    if "--litter" in sys.argv:
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    print("listening", flush=True)
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
    """
TILL = """\
    import sys, termios, tty
    tty.setcbreak(0)
    total = 0
    while True:
        sys.stdout.write("\\x1b[2J\\x1b[3;10H\\x1b[1mTo\\x1b[31mtal\\x1b[0m " + str(total))
        sys.stdout.flush()
        key = sys.stdin.read(1)
        if key == "q":
            break
        total += 5 if key == "+" else 0
    sys.stdout.write("\\x1b[2J\\x1b[1;1HSold for " + str(total) + "\\n")
    sys.stdout.flush()
    sys.stdin.read(1)
    """
BOOTS = f"""\
    [journey]
    name = "shop"
    end_within = 1.0
    [[step]]
    name = "it boots"
    start = "{sys.executable} -S server.py %s"
    ready = {{ http = "/health" }}
    """
DRIVEN = BOOTS % "" + f"""
    [[step]]
    name = "an item is added"
    http = "POST /cart"
    send = '{{"id": 7}}'
    status = 201
    json = {{ "items.0.id" = 7 }}
    [[step]]
    name = "it stays"
    http = "GET /cart"
    body = ['"id": 7']
    [[step]]
    name = "a command sees the port"
    run = "{sys.executable} -S -c 'import os; print(os.environ[\\"PORT\\"] == \\"{{port}}\\")'"
    out = ["True"]
    [[step]]
    name = "the till opens"
    pty = "{sys.executable} -S till.py"
    app = "till"
    screen = ["Total 0"]
    [[step]]
    name = "keys are heard"
    app = "till"
    keys = "++q"
    screen = ["Sold for 10"]
    gone = ["Total"]
    """


def walked(root: Path, text: str) -> dict[str, Fact]:
    """The facts of a journey by name."""
    lay(root, {"server.py": SERVER, "till.py": TILL, "j.toml": text})
    return {fact.name: fact for fact in facts("journey", root, "j.toml")}


def ours() -> list[int]:
    """Processes below this one."""
    return [one.pid for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


def test_a_server_a_command_and_a_terminal_are_driven_and_nothing_is_left(tmp_path: Path) -> None:
    before = ours()
    found = walked(tmp_path, DRIVEN)
    assert {name: fact.told for name, fact in found.items() if fact.state != "holds"} == {}
    assert list(found) == ["it boots", "an item is added", "it stays", "a command sees the port", "the till opens",
                           "keys are heard", "app ends when it is asked to",
                           "till ends when it is asked to", "nothing is left running"]
    assert ours() == before


def test_an_application_that_does_not_boot_fails_with_its_log_and_the_rest_is_not_reached(tmp_path: Path) -> None:
    found = walked(tmp_path, BOOTS % "--broken" + '[[step]]\n    name = "later"\n    http = "GET /health"\n')
    assert found["it boots"].state == "fails"
    assert "exit code 3 before it was ready" in found["it boots"].told and "cannot open settings.ini" in found["it boots"].told
    assert found["later"].state == "skipped" and "not reached" in found["later"].told


def test_an_application_that_never_gets_ready_fails_at_its_deadline(tmp_path: Path) -> None:
    text = f'[[step]]\nname = "it boots"\nstart = "{sys.executable} -S -c \'input()\'"\nready = {{ port = true }}\nwithin = 0.3\n'
    text = text.replace("input()", "import signal; print(5, flush=True); signal.pause()")
    found = walked(tmp_path, text)
    assert found["it boots"].state == "fails" and "not ready within 0.3 s (its port)" in found["it boots"].told


def test_a_line_by_which_an_application_says_that_it_is_ready_is_found_behind_many_others(tmp_path: Path) -> None:
    code = "print(\\\"open for business\\\"); print(\\\"x\\\" * 9000, flush=True); import signal; signal.pause()"
    text = f'[[step]]\nname = "it boots"\nstart = "{sys.executable} -S -c \'{code}\'"\nready = {{ line = "open for business" }}\n'
    assert {fact.state for fact in walked(tmp_path, text).values()} == {"holds"}


def test_a_process_that_an_application_leaves_behind_fails_it_and_is_ended(tmp_path: Path) -> None:
    before = ours()
    found = walked(tmp_path, BOOTS % "--litter")
    fact = found["app ends when it is asked to"]
    assert found["it boots"].state == "holds" and fact.state == "fails" and "sleep 600" in fact.told
    assert ours() == before


@pytest.mark.parametrize(("step", "told"), [
    ('http = "GET /nowhere"', "status 404, expected 200"),
    ('http = "GET /cart"\njson = { "items.0.id" = 1 }', "`items.0.id` is None, expected 1"),
    ('http = "GET /cart"\nbody = ["milk"]', "does not contain 'milk'"),
    ('http = "GET http://192.0.2.1/"', "is not on this machine"),
    (f'run = "{sys.executable} -S -c \'print(1); raise SystemExit(2)\'"', "exit code 2, expected 0"),
    (f'pty = "{sys.executable} -S till.py"\napp = "till"\nscreen = ["Nothing"]\nwithin = 0.3', "'Nothing' is not on the screen"),
])
def test_a_step_that_does_not_hold_says_what_was_seen(tmp_path: Path, step: str, told: str) -> None:
    fact = walked(tmp_path, BOOTS.replace("    ", "") % "" + f'[[step]]\nname = "it does"\n{step}\n')["it does"]
    assert fact.state == "fails" and told in fact.told


def test_a_program_that_the_machine_lacks_is_unevaluated(tmp_path: Path) -> None:
    assert walked(tmp_path, '[[step]]\nname = "a"\nstart = "no-such-program"\n')["a"].state == "unevaluated"
    assert walked(tmp_path, '[[step]]\nname = "a"\nstart = "./no-such-file"\n')["a"].state == "fails"


@pytest.mark.parametrize(("text", "told"), [
    ('[[step]]\nname = "a"\nhttp = "GET /"\nstatsu = 200\n', "did you mean `status`?"),
    ('[[step]]\nname = "a"\nhttp = "GET /"\nrun = "x"\n', "says http and run"),
    ('[[step]]\nname = "a"\n', "says nothing to do"),
    ('[[step]]\nname = "a"\nrun = "x"\n[[step]]\nname = "a"\nrun = "y"\n', "two steps are named `a`"),
    ('[journey]\nname = "a"\n', "between 1 and"),
    ("[[step", "cannot be read"),
    ('[[step]]\nname = "a"\nrun = 7\n', "Expected `str"),
])
def test_a_journey_that_makes_no_sense_says_where(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Mistake) as wrong:
        walked(tmp_path, text)
    assert told in str(wrong.value) and "j.toml" in str(wrong.value)


def test_the_verb_drives_a_journey_and_reports_each_step(tmp_path: Path) -> None:
    lay(tmp_path, {"server.py": SERVER, "j.toml": BOOTS % ""})
    done = subprocess.run([sys.executable, "-m", "andon.cli.main", "prove", "journey", "j.toml", "--report", "r.xml"], cwd=tmp_path,
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [case.name for case in read(tmp_path / "r.xml")]
    assert names == ["it boots", "app ends when it is asked to", "nothing is left running"]
