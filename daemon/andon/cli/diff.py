"""Prints a diff that an agent wrote: cleaned, coloured where that is wanted, never through a pager."""

from andon.cli import out
from andon.client import Client
from andon.schema import wire
from andon.schema.clean import clean
from andon.schema.ids import Digest


def print_blob(client: Client, digest: Digest) -> None:
    """Print a blob of the daemon as a diff; says so when it is not whole."""
    reply = client.ask(wire.GetBlob(digest=digest))
    if not isinstance(reply, wire.BlobIs):
        return
    for line in reply.text.split("\n"):
        print(out.paint(clean(line), _style(line)))
    if reply.truncated:
        out.say("andon: the diff is longer than what is shown")


def _style(line: str) -> str:
    if line.startswith(("diff --git ", "index ", "--- ", "+++ ")):
        return "bold"
    return {"+": "add", "-": "del", "@": "hunk"}.get(line[:1], "")
