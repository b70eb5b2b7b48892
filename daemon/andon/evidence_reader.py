"""Opens a claim: its statement, files and command, out of ledger and store. It reports what they say and judges nothing."""

import base64
import binascii
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from andon.edges.blobs import Blobs
from andon.ledger_reader import read_log
from andon.schema import events as e
from andon.schema.clean import clean
from andon.schema.errors import Mistake
from andon.schema.evidence_views import NOT_HERE, Evidence, EvidenceFile
from andon.schema.ids import Digest, Oid, RunId
from andon.schema.layout import Layout
from andon.schema.settings import Settings
from andon.schema.views import ClaimCell, TaskView

STATEMENT_BYTES = 4 * 2**20
"""A larger statement is not opened."""
SHOWN = 200
"""Names of tests and entries of an environment that are told, at most."""
KINDS = ("run.planned", "run.finished")


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a claim beside its statement."""

    view: TaskView
    path: str
    """The person's repository."""
    settings: Settings
    tree: Oid = Oid("")
    """Of the change as it stands."""
    diff: Digest = Digest("")


def open_claim(layout: Layout, blobs: Blobs, around: Around, rows: Sequence[e.Recorded], claim: str, digest: Digest) -> Evidence:
    """The evidence of a claim by its name, or of the statement with this digest. Mistake when the task has no such thing.

    `rows` are the task's own in the ledger; a proof that another task's run made is looked up.
    """
    if digest:
        row = next((row for row in rows if isinstance(row.event, e.RunFinished) and row.event.evidence == digest), None)
        if row is None:
            raise Mistake(f"{around.view.task} has no evidence {digest[:12]}", mend=f"`andon show {around.view.task}` lists it")
        cell = next((cell for cell in around.view.claims if cell.run == getattr(row.event, "run", "")), None)
        return _of_run(layout, blobs, around, rows, cell, RunId(getattr(row.event, "run", "")))
    cells = around.view.claims
    found = next((cell for cell in cells if cell.claim == claim), None)
    if found is None:
        known = ", ".join(cell.claim for cell in cells) or "none yet"
        raise Mistake(f"{around.view.task} has no claim {clean(claim)[:80]!r}", mend=f"its claims: {known}")
    return _of_run(layout, blobs, around, rows, found, found.run)


def _of_run(layout: Layout, blobs: Blobs, around: Around, rows: Sequence[e.Recorded], cell: ClaimCell | None,
            run: RunId) -> Evidence:
    """What a run left, under the claim that it bears."""
    ours = [row for row in rows if getattr(row.event, "run", "") == run and e.kind_of(row.event) in KINDS]
    if run and not any(isinstance(row.event, e.RunFinished) for row in ours):
        ours = read_log(layout, kinds=KINDS, subject=run)
    planned = next((row.event for row in ours if isinstance(row.event, e.RunPlanned)), None)
    finished = next((row for row in reversed(ours) if isinstance(row.event, e.RunFinished)), None)
    told = Evidence(
        task=around.view.task, repo=around.view.repo, claim=cell.claim if cell else planned.check if planned else "",
        status=cell.status if cell else "", because=cell.because if cell else "", run=run,
        at=finished.at if finished else cell.at if cell else 0, commit=cell.commit if cell else Oid(""),
        files=_files(layout, [("diff", around.diff)]),
    )
    if finished is None or not isinstance(finished.event, e.RunFinished):
        return msgspec.structs.replace(told, notes=(_without(told, planned is not None),))
    event = finished.event
    if cell is None:
        status = {"pass": "proven", "fail": "refuted"}.get(event.result, "unevaluated")
        told = msgspec.structs.replace(told, status=status, because=event.because)
    named = [("statement", event.evidence), ("report", event.report), ("log", event.log), ("names", event.names)]
    told = msgspec.structs.replace(told, files=(*_files(layout, named), *told.files))
    return _stated(blobs, around, told, event, planned)


def _without(told: Evidence, planned: bool) -> str:
    """Why there is no statement."""
    if told.status in ("planned", "running") or planned:
        return "its run has not ended: there is no statement yet"
    if told.run:
        return f"the ledger no longer tells what {told.run} showed: it says neither yes nor no"
    return "the daemon judged this from git itself: no command ran, so there is no statement and nothing to run again"


def _files(layout: Layout, named: Sequence[tuple[str, Digest]]) -> tuple[EvidenceFile, ...]:
    found = []
    for name, digest in named:
        if digest:
            try:
                size = layout.blob(digest).stat().st_size
            except OSError:
                size = NOT_HERE
            found.append(EvidenceFile(name=name, digest=digest, size=size))
    return tuple(found)


def _stated(blobs: Blobs, around: Around, told: Evidence, event: e.RunFinished, planned: e.RunPlanned | None) -> Evidence:
    """What the run's statement says; where it cannot be read, what the ledger says of the run, and that this is so."""
    if planned is not None:
        told = msgspec.structs.replace(told, tree=planned.tree, commit=planned.commit, definition=planned.definition)
    told = msgspec.structs.replace(
        told, milliseconds=round(event.seconds * 1000), passed=event.passed, failed=event.failed, skipped=event.skipped,
        failing=event.failing, lost=event.lost_tests, isolation=event.walls,
    )
    try:
        body, keys = statement_of(blobs.get(event.evidence))
    except Mistake as mistake:
        missing = f"the statement cannot be read: {mistake.problem.what} What stands here is the ledger's own row"
        return msgspec.structs.replace(told, notes=(missing,))
    told = msgspec.structs.replace(_read(told, body), keys=keys, role="verifier" if keys else "")
    notes = [] if keys else ["the statement is not signed: it is as good as the store that holds it"]
    change = around.view.commit
    if change and around.tree and told.commit != change:
        same, merged = told.tree == around.tree, "the change merged with the target, " if told.claim.endswith("@merge") else ""
        notes.append(f"it was run on {told.commit[:12]}; the change {change[:12]} has the very same tree" if same else
                     f"it is about {told.commit[:12]}: {merged}another tree than that of the change {change[:12]}")
    again = again_of(around, told) if told.command else ""
    setup = ("its setup commands are those configured now",) if again and around.settings.checkout.setup else ()
    outside = ("run by hand it has no walls around it and uses your tools, so it may say something else",) if again else ()
    return msgspec.structs.replace(told, again=again, notes=(*notes, *setup, *outside))


def statement_of(data: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The statement in a blob, plain or in its DSSE envelope, and the ids of the keys that signed it. Mistake when it is neither.

    The signatures themselves are not looked at.
    """
    try:
        if len(data) > STATEMENT_BYTES:
            raise ValueError(f"it has {len(data)} bytes")
        body = msgspec.json.decode(data, type=dict[str, Any])
        keys: tuple[str, ...] = ()
        if "payload" in body and "payloadType" in body:
            signatures = body.get("signatures")
            keys = tuple(_text(_table(one).get("keyid")) for one in signatures[:SHOWN]) if isinstance(signatures, list) else ()
            body = msgspec.json.decode(base64.b64decode(str(body["payload"]), validate=True), type=dict[str, Any])
        if not isinstance(body.get("predicate"), dict):
            raise ValueError("it has no predicate")
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
        raise Mistake(f"it is no in-toto statement ({str(error)[:120]}).", mend="`andon verify` names what is wrong") from error
    return body, keys


def _read(told: Evidence, body: Mapping[str, Any]) -> Evidence:
    """The statement's own words in place of the ledger's."""
    predicate = _table(body.get("predicate"))
    subjects = body.get("subject")
    subject = _table(_table(subjects[0]).get("digest")) if isinstance(subjects, list) and subjects else {}
    configured = predicate.get("configuration")
    named = [_table(one) for one in configured] if isinstance(configured, list) else []
    check = next((_table(one.get("digest")).get("sha256", "") for one in named if _text(one.get("name")).startswith("check ")), "")
    around = [(_text(key), _text(value)) for key, value in sorted(_table(predicate.get("environment")).items())]
    return msgspec.structs.replace(
        told, kind=_text(body.get("predicateType")), commit=Oid(_text(subject.get("gitCommit"))),
        tree=Oid(_text(subject.get("gitTree"))), result=_text(predicate.get("result")), command=_text(predicate.get("command")),
        exit=_number(predicate.get("exit")), milliseconds=_number(predicate.get("milliseconds")),
        passed=_number(predicate.get("passed")), failed=_number(predicate.get("failed")),
        skipped=_number(predicate.get("skipped")), failing=_texts(predicate.get("failedTests")),
        lost=_texts(predicate.get("lostTests")), environment=tuple(around[:SHOWN]), checkout=_text(predicate.get("checkout")),
        isolation=_text(predicate.get("isolation")), asked=_text(predicate.get("isolationAsked")),
        definition=Digest(_text(check)) or told.definition,
    )


def again_of(around: Around, told: Evidence) -> str:
    """One line for a person's shell: the exact commit in a fresh clone of its own, setup, then the very command that ran."""
    if not told.commit or any(sign not in "0123456789abcdef" for sign in told.commit):
        return ""
    run = told.command.replace("{report}", '"$d/report"')
    steps = [f"( {command}\n)" if "#" in command or "\n" in command else f"( {command} )"
             for command in (*around.settings.checkout.setup, run)]
    clone = f'git clone -q --shared --no-checkout {shlex.quote(around.path)} "$d/again"'
    return " && ".join(['d=$(mktemp -d)', clone, 'cd "$d/again"', f"git checkout -q --detach {told.commit}", *steps])


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)[:1000]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in value[:SHOWN]) if isinstance(value, list) else ()


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
