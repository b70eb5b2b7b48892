"""Writes what a claim rests on as an in-toto statement. Integers and strings only; who signs it is the verifier, in `check`."""

import os
import platform
import sys
from collections.abc import Iterable
from math import ceil
from typing import Any

from andon.edges import dsse, statements, withheld
from andon.schema.effects import RunCheck
from andon.schema.evidence import STATEMENT, TEST_RESULT
from andon.schema.inputs import CheckRan
from andon.schema.jobs import Exit
from andon.schema.sandbox import shown
from andon.schema.settings import Check

RESULTS = {"pass": "PASSED", "fail": "FAILED", "unevaluated": "WARNED"}


def statement(effect: RunCheck, ran: CheckRan, seen: Exit | None, variables: Iterable[str] = ()) -> bytes:
    """The canonical JSON of the statement about one run, without secrets. Subject is the commit and its tree.

    `isolation` is the level of the walls that the run really had, `isolationAsked` what the settings wanted. `variables`:
    names of those that the run got of the daemon's own environment, where they are set.
    """
    configuration = [
        {"name": f"check {effect.check.name}", "digest": {"sha256": effect.definition}},
        *({"name": name, "digest": {"sha256": digest}} for name, digest in (("log", ran.log), ("report", ran.report)) if digest),
        *([{"name": "passed-tests", "digest": {"sha256": ran.names}}] if ran.names else []),
    ]
    body = {
        "_type": STATEMENT,
        "subject": [{"name": f"git+{effect.repo}", "digest": {"gitCommit": effect.commit, "gitTree": effect.tree}}],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": RESULTS[ran.result], "andonResult": ran.result, "because": ran.because, "cause": ran.cause,
            "passed": ran.passed, "failed": ran.failed, "skipped": ran.skipped, "failedTests": list(ran.failing),
            "lostTests": list(ran.lost_tests), "configuration": configuration, "command": effect.check.run,
            **({} if seen is None or seen.code is None else {"exit": seen.code}), "milliseconds": round(ran.seconds * 1000),
            "isolation": shown(ran.walls), "isolationAsked": effect.walls.level, "checkout": effect.checkout.isolation,
            "run": effect.run, "setup": list(effect.checkout.setup), "limits": _limits(effect.check),
            "environment": environment(variables),
        },
    }
    return dsse.canonical(withheld.redactor().struct(body))


def environment(variables: Iterable[str]) -> dict[str, Any]:
    """What somebody needs to run it again elsewhere: the machine and what of our own environment a run is given, by name."""
    return {
        "system": platform.platform(), "machine": platform.machine(), "cores": os.cpu_count() or 0,
        "python": sys.version.split()[0], "andon": statements.version(), "variables": sorted(set(variables) & os.environ.keys()),
        "locale": os.environ.get("LC_ALL") or os.environ.get("LANG") or "C",
        "timezone": os.environ.get("TZ", ""),
    }


def _limits(check: Check) -> dict[str, int]:
    """Whole numbers: a limit below one of its units is rounded up."""
    return {"seconds": ceil(check.minutes * 60), "memoryMb": ceil(check.memory_mb), "outputMb": ceil(check.output_mb)}


