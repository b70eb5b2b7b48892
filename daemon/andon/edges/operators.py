"""Who may sign approvals, and whether one is theirs: `allowed_signers` and `ssh-keygen -Y verify`. It never signs, never decides.

The file is OpenSSH's own (`man ssh-keygen`, ALLOWED SIGNERS): `ana ssh-ed25519 AAAA…`, with `namespaces=`, `valid-before=` and
`cert-authority` as OpenSSH reads them. Only exact names count as somebody who could be asked; a pattern can still verify.
"""

import asyncio
import os
import re
import shlex
import shutil
import stat
import tempfile
from pathlib import Path

from andon.edges.spawn import spawn
from andon.schema.approval import FINGERPRINT, NAMESPACE, PRINCIPAL, SIGNATURE_LIMIT, pae
from andon.schema.clean import clean
from andon.schema.errors import Mistake

FILE_BYTES = 256 * 1024
"""Of allowed_signers."""
VERIFY_S = 10.0
TOOL = "ssh-keygen"
_GOOD = re.compile(rf'Good "{re.escape(NAMESPACE)}" signature for (\S+) with \S+ key ({FINGERPRINT.pattern})')


def signers(path: Path) -> tuple[str, ...]:
    """The principals that the file names exactly, in their order; none when there is no file. Mistake when it cannot be used."""
    text = _read(path)
    found: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            first = shlex.split(line)[0]
        except (ValueError, IndexError):
            continue  # ssh-keygen refuses such a line when it matters
        found += [name for name in first.split(",") if PRINCIPAL.fullmatch(name)]
    return tuple(dict.fromkeys(found))


def _read(path: Path) -> str:
    """Its text; empty when there is no file. What others can write to says nothing about who signs."""
    try:
        with path.open("rb") as file:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > FILE_BYTES:
                raise Mistake("the list of who signs approvals is no ordinary file of a sensible size", where=str(path),
                              mend=f"let it be a file of at most {FILE_BYTES // 1024} KiB")
            if seen.st_mode & 0o022 or seen.st_uid not in (os.getuid(), 0):
                raise Mistake("others may write to the list of who signs approvals", where=str(path), mend=f"chmod 600 {path}")
            return file.read(FILE_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Mistake(f"the list of who signs approvals cannot be read: {error.strerror}", where=str(path),
                      mend="make it readable for you") from error


async def verify(path: Path, principal: str, payload: bytes, sshsig: str, *, tool: str = TOOL) -> str:
    """The fingerprint of the key with which this person signed this payload. Mistake when it was not so, or cannot be looked at."""
    if not PRINCIPAL.fullmatch(principal):
        raise Mistake(f"`{principal[:80]}` is no name of a person who signs", mend=f"a name as in {path}, such as `ana`")
    if len(sshsig) > SIGNATURE_LIMIT:
        raise Mistake("the signature is far too long to be one", mend="sign it with ssh-keygen, as `andon approve` does")
    if not await asyncio.to_thread(_read, path):
        raise Mistake("nobody's key is known here, so no signature can be looked at", where=str(path),
                      mend=f"put `{principal} ssh-ed25519 AAAA…` into it: the name, and the content of the public key file")
    found = shutil.which(tool)
    if found is None:
        raise Mistake(f"{tool} is not installed, so no signature can be looked at", mend="install OpenSSH's client programs")
    with tempfile.TemporaryDirectory(prefix="andon-sig-") as folder:
        signature = Path(folder) / "sig"
        await asyncio.to_thread(signature.write_text, sshsig)
        code, told = await _run((found, "-Y", "verify", "-f", str(path), "-I", principal, "-n", NAMESPACE, "-s", str(signature)),
                                pae(payload))
    good = _GOOD.search(told)
    if code == 0 and good is not None and good[1] == principal:
        return good[2]
    last = next((line for line in reversed(told.splitlines()) if line.strip()), "") if code else "it said nothing that is known"
    raise Mistake(
        f"this is no signature of {principal} under this answer: {clean(last)[:200] or 'it does not fit'}", where=str(path),
        mend="it must be made by their key, for exactly this gate, option, diff and moment: look at the gate and answer it again",
    )


async def _run(argv: tuple[str, ...], data: bytes) -> tuple[int, str]:
    """Exit code and words of the tool. It gets no environment but a path: no agent, no home, no locale of ours."""
    process = await spawn(
        *argv, env={"PATH": os.defpath, "LC_ALL": "C"}, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(VERIFY_S):
            out, _ = await process.communicate(data)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Mistake(f"{TOOL} did not look at the signature within {VERIFY_S:.0f} s", mend="try again") from None
    return process.returncode or 0, out.decode(errors="replace")
