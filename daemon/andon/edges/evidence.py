"""Writes what a claim rests on as an in-toto statement. Integers and strings only; unsigned, and it says so."""

import platform
import sys
from collections.abc import Mapping, Sequence

import msgspec

from andon.schema.effects import RunCheck
from andon.schema.inputs import CheckRan
from andon.schema.jobs import Exit
from andon.schema.sandbox import shown

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
RESULTS = {"pass": "PASSED", "fail": "FAILED", "unevaluated": "WARNED"}


KEPT = {"junit": "passed-tests", "sarif": "findings", "cobertura": "coverage", "lcov": "coverage"}
"""What a run keeps for runs on later trees, by the format of its report."""


def statement(
    effect: RunCheck, ran: CheckRan, seen: Exit | None, also: Sequence[Mapping[str, object]] = (),
    figures: Sequence[tuple[str, int]] = (),
) -> bytes:
    """The canonical JSON of the statement about one run. Subject is the commit and its tree.

    `isolation` is the level of the walls that the run really had, `isolationAsked` what the settings wanted.
    `also` is what else it was configured with, `figures` what it measured.
    """
    configuration = [
        {"name": f"check {effect.check.name}", "digest": {"sha256": effect.definition}},
        *({"name": name, "digest": {"sha256": digest}} for name, digest in (("log", ran.log), ("report", ran.report)) if digest),
        *([{"name": KEPT.get(effect.check.report, "kept"), "digest": {"sha256": ran.names}}] if ran.names else []),
        *([{"name": "compared-with", "digest": {"sha256": effect.base_names}}] if effect.base_names else []), *also,
    ]
    body = {
        "_type": STATEMENT,
        "subject": [{"name": f"git+{effect.repo}", "digest": {"gitCommit": effect.commit, "gitTree": effect.tree}}],
        "predicateType": PREDICATE,
        "predicate": {
            "result": RESULTS[ran.result], "andonResult": ran.result, "because": ran.because, "cause": ran.cause,
            "passed": ran.passed, "failed": ran.failed, "skipped": ran.skipped, "failedTests": list(ran.failing),
            "lostTests": list(ran.lost_tests), "configuration": configuration,
            "command": effect.check.run or f"use {effect.check.use}",
            "exit": msgspec.to_builtins(seen)["code"] if seen else None, "milliseconds": round(ran.seconds * 1000),
            "isolation": shown(ran.walls), "isolationAsked": effect.walls.level, "checkout": effect.checkout.isolation,
            "signed": False, "run": effect.run, "figures": dict(figures), "base": effect.base,
            "environment": {"system": platform.platform(), "python": sys.version.split()[0], "machine": platform.machine()},
        },
    }
    return msgspec.json.encode(body, order="deterministic")


