import hashlib
import os
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import ledgerkit
from andon.edges import dsse
from andon.edges.keys import Keys, keyid_of, public_of
from andon.edges.trust import read_trust, write_trust
from andon.schema.errors import Mistake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


# --- made once -------------------------------------------------------------------------------------------------------


def test_keys_are_made_once_for_their_owner_alone_and_are_the_same_ever_after(folder: Path) -> None:
    first, again = Keys.load(folder), Keys.load(folder)
    assert (first.daemon.keyid, first.verifier.keyid, first.origin) == (again.daemon.keyid, again.verifier.keyid, again.origin)
    assert first.daemon.keyid != first.verifier.keyid
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(("daemon", "verifier", "origin"), 0o600)


def test_of_many_that_make_the_keys_at_once_all_get_the_same(folder: Path) -> None:
    start, found = threading.Barrier(8), list[tuple[str, str, str]]()

    def load() -> None:
        start.wait()
        made = Keys.load(folder)
        found.append((made.daemon.keyid, made.verifier.keyid, made.origin))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["daemon", "origin", "verifier"]


def test_what_a_killed_writer_left_half_written_is_taken_away(folder: Path) -> None:
    Keys.load(folder)
    gone = subprocess.Popen(["true"])
    gone.wait()
    (folder / f".tmp-{gone.pid}-x").write_bytes(b"half a key")
    Keys.load(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["daemon", "origin", "verifier"]


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mode"), [("", 0o750), ("", 0o705), ("daemon", 0o640), ("verifier", 0o604), ("origin", 0o660)])
def test_a_folder_or_key_that_others_may_reach_is_refused_and_not_mended(folder: Path, name: str, mode: int) -> None:
    Keys.load(folder)
    (folder / name).chmod(mode)
    with pytest.raises(Mistake, match="can be reached by other users") as told:
        Keys.load(folder)
    assert "chmod" in told.value.problem.mend and (folder / name).stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("name", ["", "daemon"])
def test_what_belongs_to_another_user_is_refused(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Keys.load(folder)
    owner = (folder / name).stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(Mistake, match=f"belongs to user {owner} and not to you"):
        Keys.load(folder)


def test_a_link_in_the_place_of_a_key_or_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    Keys.load(folder)
    elsewhere = tmp_path / "elsewhere"
    (folder / "daemon").rename(elsewhere)
    (folder / "daemon").symlink_to(elsewhere)
    with pytest.raises(Mistake):
        Keys.load(folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(Mistake, match="is not a folder"):
        Keys.load(tmp_path / "link")


@pytest.mark.parametrize("kind", ["rubbish", "nothing", "with a passphrase", "of another kind"])
def test_what_is_no_plain_ed25519_key_is_a_clear_error_and_stays_as_it_is(folder: Path, kind: str) -> None:
    Keys.load(folder)
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "some words", "-a", "1", "-f", str(folder.parent / "locked"))
    subprocess.run(made, check=True)
    locked = (folder.parent / "locked").read_bytes()
    content = {"rubbish": b"rubbish", "nothing": b"", "with a passphrase": locked, "of another kind": other}[kind]
    (folder / "verifier").write_bytes(content)
    with pytest.raises(Mistake) as told:
        Keys.load(folder)
    assert told.value.problem.where.endswith("verifier") and "backup" in told.value.problem.mend
    assert (folder / "verifier").read_bytes() == content


# --- read by others --------------------------------------------------------------------------------------------------


def test_ssh_keygen_reads_our_keys_and_knows_the_same_public_half(folder: Path) -> None:
    made = Keys.load(folder)
    for signer in (made.daemon, made.verifier):
        told = subprocess.run(["ssh-keygen", "-y", "-f", folder / signer.role], capture_output=True, text=True, check=True).stdout
        assert told.split()[:2] == signer.line.split()
        assert public_of(signer.line) == signer.public and keyid_of(signer.public) == hashlib.sha256(signer.public).hexdigest()


def test_openssl_verifies_a_signature_of_ours_and_refuses_it_over_other_bytes(folder: Path, tmp_path: Path) -> None:
    signer = Keys.load(folder).verifier
    envelope = dsse.decode(signer.sign(b'{"a":1}'))
    spki = bytes.fromhex("302a300506032b6570032100") + signer.public
    (tmp_path / "key.der").write_bytes(spki)
    (tmp_path / "sig").write_bytes(envelope.signatures[0].sig)
    for payload, good in ((b'{"a":1}', True), (b'{"a":2}', False)):
        (tmp_path / "data").write_bytes(dsse.pae(payload))
        done = subprocess.run(
            ("openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin", "-in", "data",
             "-sigfile", "sig"), cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is good, done


def test_what_is_no_ed25519_public_key_is_a_mistake() -> None:
    for line in ("", "ssh-ed25519 AAAA", "ssh-rsa " + "A" * 40, "rubbish"):
        with pytest.raises(Mistake):
            public_of(line)


# --- the trust file --------------------------------------------------------------------------------------------------


def test_the_trust_file_names_the_public_keys_and_no_secret_one(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    keys = Keys.load(where.keys)
    told = write_trust(where, keys)
    assert read_trust(where.trust) == told and where.trust.stat().st_mode & 0o777 == 0o600
    assert (told.version, told.origin, told.daemon, told.verifier, told.operators) == (
        1, keys.origin, (keys.daemon.line,), (keys.verifier.line,), "")
    assert b"PRIVATE" not in where.trust.read_bytes()


def test_the_trust_file_is_written_again_only_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CONFIG_HOME", str(tmp_path / "config"))
    where = ledgerkit.factory(tmp_path / "home")
    write_trust(where, Keys.load(where.keys))
    before = where.trust.stat().st_ino
    write_trust(where, Keys.load(where.keys))
    assert where.trust.stat().st_ino == before
    where.config.mkdir()
    where.allowed_signers.write_text("me namespaces=\"andon-approval@v1\" ssh-ed25519 AAAA\n")
    assert write_trust(where, Keys.load(where.keys)).operators == where.allowed_signers.read_text()
    assert where.trust.stat().st_ino != before


def test_new_keys_stand_before_the_old_ones_and_what_a_person_wrote_stays(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    old = write_trust(where, Keys.load(where.keys))
    text = where.trust.read_text().replace('"roles": {}', '"roles": {"me": ["security"]}')
    where.trust.write_text(text.replace('"policies": []', '"policies": ["aa"]'))
    where.keys.rename(where.home / "away")
    new = write_trust(where, keys := Keys.load(where.keys))
    assert new.daemon == (keys.daemon.line, *old.daemon) and new.verifier == (keys.verifier.line, *old.verifier)
    assert new.roles == {"me": ("security",)} and new.policies == ("aa",)


def test_a_damaged_trust_file_is_named_and_left_alone(tmp_path: Path) -> None:
    where = ledgerkit.factory(tmp_path)
    keys = Keys.load(where.keys)
    where.trust.write_text("{")
    with pytest.raises(Mistake, match="trust file cannot be read"):
        write_trust(where, keys)
    assert where.trust.read_text() == "{"
