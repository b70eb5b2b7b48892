"""Writes findings as SARIF 2.1.0. Knows no scanner."""

import json
from pathlib import Path
from typing import Any


def finding(rule: str, path: str, line: int, level: str, text: str, mark: str = "") -> dict[str, Any]:
    """One result; `mark` tells it apart from others of its rule, wherever it stands."""
    place = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": max(1, line)}}}
    found = {"ruleId": rule, "level": level, "message": {"text": text}, "locations": [place]}
    return found | ({"partialFingerprints": {"andon/v1": mark}} if mark else {})


def write(report: Path, tool: str, version: str, found: list[dict[str, Any]]) -> None:
    """The report of one run of one tool."""
    driver = {"name": tool, "version": version}
    run = {"tool": {"driver": driver}, "results": found, "invocations": [{"executionSuccessful": True}]}
    report.write_text(json.dumps({"version": "2.1.0", "runs": [run]}), encoding="utf-8")
