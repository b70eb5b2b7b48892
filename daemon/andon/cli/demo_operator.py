"""The demo's own person: an SSH key that signs what stops, made for this one demo; must never see a real person's keys."""

import shutil
import subprocess
from pathlib import Path

from andon.schema.errors import Mistake

NAME = "visitor"
SETTINGS = """
[operator]
name = "{name}"
key = "{key}"

[operators]
{name} = ["owner"]
"""


def make(config: Path) -> str:
    """Make a key without a passphrase, and say whose it is; the settings that name it. Raises Mistake without ssh-keygen."""
    tool = shutil.which("ssh-keygen")
    if tool is None:
        raise Mistake("ssh-keygen is not installed; a change that stops lands with a signed approval alone", where="PATH",
                      mend="install OpenSSH's client programs with your system's package manager")
    key = config / "operator"
    done = subprocess.run((tool, "-q", "-t", "ed25519", "-N", "", "-C", f"{NAME} of this demo", "-f", str(key)),
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise Mistake(f"no key could be made: {done.stderr.strip()[:200]}", where=str(key))
    public = key.with_suffix(".pub").read_text()
    (config / "allowed_signers").write_text(f'{NAME} namespaces="andon-approval@v1" {public}')
    return SETTINGS.format(name=NAME, key=key.with_suffix(".pub"))
