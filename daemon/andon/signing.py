"""A person's own signature under an answer, made by `ssh-keygen` at their terminal; must never see their key, nor send anything.

The public key is named; ssh-keygen signs with the agent that holds it, or asks for the passphrase of the private file beside it, or
waits for the touch of a FIDO key. The terminal is its own for that time. Who interrupts it has answered nothing.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from andon.schema.approval import NAMESPACE, moment, pae, statement, terms
from andon.schema.errors import Mistake
from andon.schema.gate_inputs import Signature
from andon.schema.settings import Operator
from andon.schema.views import GateView

SIGN_S = 180.0
"""How long a person may take for a passphrase or a touch."""
TOOL = "ssh-keygen"


def signs(operator: Operator, gate: GateView) -> bool:
    """Whether an answer to this gate is signed here: what lands is, what is said to an agent is not."""
    return bool(operator.key) and gate.kind == "review" and bool(gate.nonce)


def role_for(gate: GateView, roles: Sequence[str], asked: str = "") -> str:
    """In which role somebody signs: as asked, else the first that is still needed and theirs, else their first; empty: none."""
    open_ = [role for role in gate.roles if role not in {one.role for one in gate.approvals}]
    return asked or next((role for role in open_ if role in roles), next(iter(roles), ""))


def sign(operator: Operator, operators: Mapping[str, Sequence[str]], gate: GateView, option: str, role: str = "") -> Signature:
    """The signature under this answer to the gate as it was shown. Mistake when there is none."""
    chosen, now = role_for(gate, operators.get(operator.name, ()), role), moment(int(time.time() * 1000))
    payload = statement(
        repo=gate.repo, task=gate.task, commit=gate.commit, tree=gate.tree, gate=gate.gate, nonce=gate.nonce, decision=option,
        approver=operator.name, role=chosen, diff=gate.diff, summary=gate.bound, time=now,
    )
    return Signature(approver=operator.name, role=chosen, time=now, sshsig=ssh_sign(operator.key, payload))


def sign_terms(
    operator: Operator, operators: Mapping[str, Sequence[str]], kind: str, repo: str, said: Mapping[str, str], role: str = "",
) -> Signature | None:
    """The signature under what a person lets the policy do; None without a key. Mistake when it was not made."""
    if not operator.key:
        return None
    chosen, now = role or next(iter(operators.get(operator.name, ())), ""), moment(int(time.time() * 1000))
    payload = terms(kind, repo, said, approver=operator.name, role=chosen, time=now)
    return Signature(approver=operator.name, role=chosen, time=now, sshsig=ssh_sign(operator.key, payload))


def ssh_sign(key: str, payload: bytes) -> str:
    """The armored signature of ssh-keygen over a statement. Mistake when it was not made."""
    path = Path(key).expanduser()
    if not path.is_file():
        raise Mistake("the key that signs your approvals is not there", where=str(path),
                      mend="[operator] in your own andon.toml names its public file; `ssh-keygen -t ed25519` makes one")
    tool = shutil.which(TOOL)
    if tool is None:
        raise Mistake(f"{TOOL} is not installed, so nothing can be signed", mend="install OpenSSH's client programs")
    shown = sys.stderr.isatty()
    try:
        done = subprocess.run(
            [tool, "-Y", "sign", "-n", NAMESPACE, "-f", str(path)], input=pae(payload), stdout=subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE, timeout=SIGN_S, check=False,
        )
    except subprocess.TimeoutExpired as late:
        what = f"nothing was signed within {SIGN_S:.0f} s: nothing was answered"
        raise Mistake(what, where=str(path), mend="try again") from late
    text = done.stdout.decode(errors="replace")
    if done.returncode == 0 and text.startswith("-----BEGIN SSH SIGNATURE-----"):
        return text
    lines = [line for line in (done.stderr or b"").decode(errors="replace").splitlines() if line.strip()]
    why = f": {lines[-1][:200]}" if lines else f": {TOOL} ended with {done.returncode}"
    raise Mistake(f"nothing was signed, so nothing was answered{why}", where=str(path),
                  mend="`ssh-add -l` shows what your agent holds; the private key may also lie beside the public file")
