"""Who signs is read from OpenSSH's own file, and a signature counts only when OpenSSH says so."""

from pathlib import Path

import pytest

from andon.edges.operators import signers, verify
from andon.schema.approval import NAMESPACE
from andon.schema.errors import Mistake
from andon.signing import ssh_sign
from signkit import allow, fingerprint, key, sign_for
from wholekit import program


@pytest.fixture
def ana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return key(tmp_path / "keys", "ana")


def test_exact_names_are_read_and_patterns_comments_and_broken_lines_are_nobody(tmp_path: Path, ana: Path) -> None:
    path = tmp_path / "allowed_signers"
    public = ana.read_text().strip()
    path.write_text(
        f'# people\n\nana,ana@example.org namespaces="{NAMESPACE}" {public}\n*@example.org cert-authority {public}\n'
        f'"ben" {public}\n"unclosed {public}\nana {public}\n',
    )
    path.chmod(0o600)
    assert signers(path) == ("ana", "ana@example.org", "ben")
    assert signers(tmp_path / "none") == ()


def test_a_list_that_others_may_write_is_refused(tmp_path: Path, ana: Path) -> None:
    allow(tmp_path, ana=ana)
    (tmp_path / "allowed_signers").chmod(0o662)
    with pytest.raises(Mistake, match="others may write"):
        signers(tmp_path / "allowed_signers")


async def test_a_good_signature_tells_its_key_and_one_changed_byte_is_none(tmp_path: Path, ana: Path) -> None:
    allow(tmp_path, ana=ana)
    sig = ssh_sign(str(ana), b"payload")
    where = tmp_path / "allowed_signers"
    assert await verify(where, "ana", b"payload", sig) == fingerprint(ana)
    for payload, name, text in ((b"Payload", "ana", sig), (b"payload", "ben", sig), (b"payload", "ana", sig.replace("A", "B", 9))):
        with pytest.raises(Mistake, match="no signature of") as told:
            await verify(where, name, payload, text)
        assert told.value.problem.mend


async def test_a_key_that_is_over_or_kept_for_another_purpose_does_not_count(tmp_path: Path, ana: Path) -> None:
    where, sig = tmp_path / "allowed_signers", ssh_sign(str(ana), b"payload")
    for options in ('valid-before="20200101"', 'namespaces="git"'):
        allow(tmp_path, ana=ana, options=options)
        with pytest.raises(Mistake, match="no signature of ana"):
            await verify(where, "ana", b"payload", sig)


async def test_a_signature_for_another_purpose_does_not_count(tmp_path: Path, ana: Path) -> None:
    allow(tmp_path, ana=ana)
    with pytest.raises(Mistake, match="no signature of ana"):
        await verify(tmp_path / "allowed_signers", "ana", b"payload", sign_for("file", ana, b"payload"))


async def test_what_cannot_be_looked_at_is_an_error_with_a_mend_and_never_a_yes(tmp_path: Path, ana: Path) -> None:
    sig = ssh_sign(str(ana), b"payload")
    with pytest.raises(Mistake, match="nobody's key is known here"):
        await verify(tmp_path / "allowed_signers", "ana", b"payload", sig)
    allow(tmp_path, ana=ana)
    for name, text, tool, says in (
        ("ana", sig, "no-such-keygen", "is not installed"), ("-Overify-time=1", sig, "ssh-keygen", "is no name of a person"),
        ("ana", "x" * 70_000, "ssh-keygen", "far too long"), ("ana", "", "ssh-keygen", "no signature of ana"),
    ):
        with pytest.raises(Mistake, match=says) as told:
            await verify(tmp_path / "allowed_signers", name, b"payload", text, tool=tool)
        assert told.value.problem.mend


async def test_a_program_that_says_yes_in_other_words_is_not_believed(tmp_path: Path, ana: Path) -> None:
    allow(tmp_path, ana=ana)
    fake = tmp_path / "keygen"
    good = f'Good "{NAMESPACE}" signature for %s with ED25519 key {fingerprint(ana)}'
    for says, code in (("all is well", 0), (good % "ben", 0), (good % "ana", 1), (good.replace(NAMESPACE, "git") % "ana", 0)):
        program(fake, f"cat > /dev/null\necho '{says}'\nexit {code}")
        with pytest.raises(Mistake, match="no signature of ana"):
            await verify(tmp_path / "allowed_signers", "ana", b"payload", "sig", tool=str(fake))
    program(fake, f"cat > /dev/null\necho '{good % 'ana'}'")
    assert await verify(tmp_path / "allowed_signers", "ana", b"payload", "sig", tool=str(fake)) == fingerprint(ana), "the control"


def test_a_key_that_is_not_there_signs_nothing_and_says_so(tmp_path: Path, ana: Path) -> None:
    with pytest.raises(Mistake, match="is not there"):
        ssh_sign(str(tmp_path / "none.pub"), b"x")
    ana.with_suffix("").unlink()
    with pytest.raises(Mistake, match="nothing was signed, so nothing was answered") as told:
        ssh_sign(str(ana), b"x")
    assert "ssh-add -l" in told.value.problem.mend
