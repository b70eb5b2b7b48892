"""Re-computes what stands behind one change of a landing: its bundle, its policy, what passed and who approved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .signed import (
    APPROVAL,
    CHECKPOINT,
    HEX,
    LANDING,
    OID,
    RUN,
    SUMMARY,
    TEST,
    WORD,
    Refused,
    Unevaluated,
    moment,
    read_json,
    sha256,
    take,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .landing import Case
    from .signed import Envelope

DIFF_LIMIT = 2 * 2**20
"""Bytes of a diff that a person is shown."""
CUT = b"\n[the rest is not shown: the diff is larger than 2 MiB]\n"
DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "-M", "--submodule=short")
CLOCKS_S = 600
"""So far may two clocks be apart."""
FILES = 2_000
"""Files that one check run may name."""
KEPT_FILES = ("log", "report", "passed-tests", "findings", "coverage", "kept")
"""What of a run's `configuration` is a file that is kept; the rest names definitions and trees."""


class Member:
    """A change in a landing."""

    def __init__(self, case: Case, said: dict[str, Any]) -> None:
        self.case, self.evidence, self.repository = case, case.evidence, case.repository
        self.task, self.change, self.bundle = (take(said, str, name) for name in ("task", "change", "bundle"))
        if not OID.fullmatch(self.change) or not HEX.fullmatch(self.bundle):
            raise Refused("a member of the landing names no change or no bundle")
        self.commit = case.repository.commit(take(said, str, "commit"))
        if case.repository.object(self.change)[0] != "commit":
            raise Unevaluated(f"the change {self.change[:12]} of {self.task} is not here: landed as other commits, it is no part of"
                              " the target's history")
        self.head = case.repository.commit(self.change)
        self.tests: dict[str, Envelope] = {}
        self.found: list[Envelope] = []
        self.required: list[str] = []
        self.verdict: dict[str, Any] = {}
        self.policy: dict[str, Any] = {}
        self.ledger = self.policy_named = self.attempt = self.diff = ""
        self.checkpoint: Envelope | None = None

    def told(self) -> dict[str, Any]:
        """Who and what, for a table."""
        approvals = [{"by": one.body.get("approver"), "role": one.body.get("role"), "key": one.key, "time": one.body.get("time"),
                      "signed": one.by != "daemon"} for one in self.found if one.kind == APPROVAL]
        run = next((one.body for one in self.found if one.kind == RUN), {})
        asked = run.get("buildDefinition", {})
        asked = asked.get("externalParameters", {}) if isinstance(asked, dict) else {}
        asked = asked if isinstance(asked, dict) else {}
        names = ("risk", "because", "walls", "attempt", "waivers")
        return {"task": self.task, "change": self.change, "commit": self.commit.oid, "bundle": self.bundle, "approvals": approvals,
                "title": asked.get("title", ""), "asked": asked.get("askedBy", ""),
                "checks": sorted({check_of(one) for one in self.tests.values()}),
                "isolation": sorted({str(one.body.get("isolation", "")) for one in self.tests.values()} - {""}),
                **{name: self.verdict[name] for name in names if name in self.verdict}}

    def look(self, several: bool) -> bool:
        """All points of this change; whether its bundle could be read at all."""
        def point(name: str, look: Callable[[], str], rests: bool = True) -> bool:
            return self.case.point(f"{self.task} {name}" if several else name, look, rests)

        point("trailers", self._trailers)
        whole = point("bundle", self._bundle) and point("signatures", self._signatures)
        known = point("summary", self._summary, whole)
        judged = point("policy", self._policy, known)
        point("checks", self._checks, judged)
        shown = point("shown", self._shown, known)
        point("approval", self._approval, judged and shown)
        point("files", self._files, whole)
        return judged

    def _trailers(self) -> str:
        said = self.commit.trailers
        if said.get("Task") != [self.task] and self.commit.oid in self.case.stood(self):
            return "nothing was left of it to land: it was in the target already"
        wrong = [name for name in ("Task", "Change", "Bundle", "Policy", "Ledger") if len(said.get(name, [])) != 1]
        if wrong:
            raise Refused(f"the commit's message has not exactly one Andon-{wrong[0]}")
        if (said["Task"], said["Change"]) != ([self.task], [self.change]):
            raise Refused(f"the commit's message is about {said['Task'][0]} at {said['Change'][0][:12]}: the landing is not")
        if said["Bundle"] != [f"sha256:{self.bundle}"]:
            raise Refused("the commit's message names another bundle than the landing record")
        self.policy_named, self.ledger = said["Policy"][0].replace("sha256:", "", 1), said["Ledger"][0]
        self.attempt = (said.get("Attempt") or [""])[-1]
        return f"{self.task}, change {self.change[:12]}, bundle {self.bundle[:12]}"

    def _bundle(self) -> str:
        data = self.evidence.file("bundles", self.bundle, ".jsonl")
        if data is None:
            raise Refused(f"the bundle {self.bundle[:12]} is missing")
        if sha256(data) != self.bundle:
            raise Refused(f"the bundle was altered: it is {sha256(data)[:12]} and not {self.bundle[:12]}")
        self._lines = data
        return f"{len(data)} bytes, sha256 as the commit says"

    def _signatures(self) -> str:
        self.found = self.case.envelopes(self._lines, "bundle")
        for one in self.found:
            if one.kind == LANDING:
                raise Refused("a bundle cannot hold a landing record")
            # a run on another commit of the very same tree is as good: a tree is what a check sees
            if one.kind != CHECKPOINT and (one.tree != self.head.tree or (one.kind != TEST and one.commit != self.change)):
                raise Refused(f"{WORD[one.kind]} is about {one.commit[:12]}, and not about the change {self.change[:12]}")
        for kind in (SUMMARY, CHECKPOINT, RUN):
            if sum(one.kind == kind for one in self.found) != 1:
                raise Refused(f"the bundle has not exactly one of its kind: {WORD[kind]}")
        self.tests = {one.digest: one for one in self.found if one.kind == TEST}
        self.checkpoint = next(one for one in self.found if one.kind == CHECKPOINT)
        by = sorted({f"{one.by} {one.key.replace('SHA256:', '')[:10]}" for one in self.found})
        return f"{len(self.found)} statements, each by who may make it: {', '.join(by)}"

    def _summary(self) -> str:
        summary = next(one for one in self.found if one.kind == SUMMARY)
        listed = [take(one, str, "digest", "sha256") for one in take(summary.body, list, "inputAttestations")]
        others = {one.digest for one in self.found} - {summary.digest}
        if len(set(listed)) != len(listed) or set(listed) != others:
            lost, new = sorted(set(listed) - others), sorted(others - set(listed))
            raise Refused(f"the summary lists other statements than the bundle holds: {len(lost)} missing, {len(new)} not listed")
        self.verdict = take(summary.body, dict, "andon")
        self.policy_digest = take(summary.body, str, "policy", "digest", "sha256")
        about = [take(self.verdict, str, name) for name in ("task", "change", "attempt")]
        if about[:2] != [self.task, self.change] or (self.attempt and about[2] != self.attempt):
            raise Refused(f"the summary is about {about[0]} at {about[1][:12]}")
        if take(summary.body, str, "verificationResult") != "PASSED":
            raise Refused(f"the summary says {summary.body['verificationResult']}")
        return f"PASSED over {len(listed)} statements, class {take(self.verdict, str, 'risk')}"

    def _policy(self) -> str:
        if self.policy_named and self.policy_named != self.policy_digest:
            raise Refused("the summary was made under another policy than the commit names")
        allowed = self.case.trust.policies
        if allowed and self.policy_digest not in allowed:
            raise Refused(f"the policy {self.policy_digest[:12]} is none that the trust file allows")
        data = self.evidence.blob(self.policy_digest)
        if data is None:
            raise Unevaluated(f"the policy {self.policy_digest[:12]} is not here")
        self.policy = read_json(data, "policy", floats=True)
        return f"{self.policy_digest[:12]}" + (", as the trust file pins it" if allowed else ", not pinned by the trust file")

    def _checks(self) -> str:
        self.required = texts(self.verdict, "required")
        lacking = demanded(self.policy) - set(self.required)
        if lacking:
            raise Refused(f"the policy demands {', '.join(sorted(lacking))}, and the summary does not")
        for name in self.required:
            runs = [one for one in self.tests.values() if check_of(one) == name]
            if not runs:
                raise Refused(f"the run of the check {name} is missing")
            bad = next((str(one.body.get("result")) for one in runs if one.body.get("result") != "PASSED"), "")
            if bad:
                raise Refused(f"the check {name} did not pass: {bad}")
        return f"{', '.join(self.required) or 'none is demanded'} on tree {self.head.tree[:12]}"

    def _shown(self) -> str:
        """The summary that was, or would have been, shown is about this change, its diff and these runs."""
        digest = take(self.verdict, str, "shown")
        data = self.evidence.blob(digest)
        if data is None:
            raise Unevaluated(f"the summary that was shown ({digest[:12]}) is not here")
        said = read_json(data, "summary that was shown")
        if [take(said, str, name) for name in ("task", "commit", "tree")] != [self.task, self.change, self.head.tree]:
            raise Refused("the summary that was shown is about another change")
        self.diff = self._diff_digest()
        if take(said, str, "diffSha256") != self.diff:
            raise Refused("the diff that was shown is not the diff of the change")
        named = {one.get("evidence") for one in take(said, list, "claims") if isinstance(one, dict) and one.get("evidence")}
        if named != set(self.tests) and named != {one.payload for one in self.tests.values()}:
            raise Refused("the check runs are not those that were shown")
        return f"diff sha256 {self.diff[:12] or 'empty'}, {len(named)} check runs"

    def _diff_digest(self) -> str:
        run = next(one for one in self.found if one.kind == RUN)
        bases = [take(one, str, "digest", "gitCommit") for one in take(run.body, list, "buildDefinition", "resolvedDependencies")
                 if isinstance(one, dict) and one.get("name") == "base"]
        onto = str(self.case.record.get("onto", ""))
        if len(bases) != 1 or not OID.fullmatch(bases[0]):
            raise Refused("the agent run does not name one base")
        for newer, what in ((self.change, "the change does not descend from"), (onto, "the target never had")):
            near = bases[0] in (newer, *(self.repository.commit(newer).parents if newer else ()))
            code = 0 if near else self.repository.run("merge-base", "--is-ancestor", bases[0], newer)[0]
            if code != 0:
                raise (Refused if code == 1 else Unevaluated)(f"{what} the base {bases[0][:12]} of the diff that was shown")
        code, data = self.repository.run(*DIFF, bases[0], self.change, "--", limit=DIFF_LIMIT)
        if code != 0 and len(data) <= DIFF_LIMIT:
            raise Unevaluated("git cannot make the diff of the change here")
        data = data[:DIFF_LIMIT - len(CUT)] + CUT if len(data) > DIFF_LIMIT else data
        return sha256(data) if data else ""

    def _approval(self) -> str:
        risk, given = take(self.verdict, str, "risk"), [one for one in self.found if one.kind == APPROVAL]
        if risk not in ("ship", "review", "stop"):
            raise Refused(f"there is no class {risk}")
        if not given and asks(self.policy, risk):
            raise Refused(f"a change of class {risk} needs an approval, and there is none")
        for one in given:
            self._approved(one)
        if len({(one.body["gate"], one.body["nonce"]) for one in given}) > 1:
            raise Refused("the approvals are of different gates")
        if risk == "stop":
            self._stopped(given)
        told = [f"{one.body['approver']}{' as ' * bool(one.body['role'])}{one.body['role']}"
                + " (recorded, not signed)" * (one.by == "daemon") for one in given]
        return f"class {risk}: {', '.join(told) or 'the policy asks nobody'}"

    def _stopped(self, given: list[Envelope]) -> None:
        """A change of class stop has signatures in every role that the policy names, of as many persons' keys as it asks for."""
        roles, keys = stop_terms(self.policy)
        signed = [one for one in given if one.by != "daemon"]
        if not signed:
            raise Refused("a change of class stop needs a person's own signature, and there is none")
        lacking = roles - {str(one.body["role"]) for one in signed}
        if lacking:
            raise Refused(f"a change of class stop needs a signature in the role {', '.join(sorted(lacking))}")
        count = min(len({one.key for one in signed}), len({one.by for one in signed}))
        if count < keys:
            raise Refused(f"a change of class stop needs {keys} different persons' keys, and has {count}")

    def _approved(self, one: Envelope) -> None:
        body, who = one.body, take(one.body, str, "approver")
        role, nonce, at = take(body, str, "role"), take(body, str, "nonce"), moment(take(body, str, "time"))
        if take(body, str, "decision").lower() not in ("approve", "approved"):
            raise Refused(f"{who} did not approve, but said {body['decision']}")
        if one.by != "daemon" and role and role not in self.case.trust.roles.get(who, []):
            raise Refused(f"the trust file does not give {who} the role {role}")
        if take(body, str, "shown", "summarySha256") != self.verdict["shown"]:
            raise Refused(f"{who} approved another summary than the one that landed")
        if take(body, str, "shown", "diffSha256") != self.diff:
            raise Refused(f"{who} approved another diff than the one that landed")
        if not take(body, str, "gate") or not re.fullmatch(r"[0-9A-Za-z_-]{16,128}", nonce):
            raise Refused("an approval has no gate or no nonce")
        if self.evidence.nonces.setdefault(nonce, self.change) != self.change:
            raise Refused(f"the approval by {who} was given for another change already")
        ended = next((run.body for run in self.found if run.kind == RUN), {})
        end = take(ended, dict, "runDetails", "metadata").get("finishedOn", "")
        if not at or at + CLOCKS_S < moment(str(end)):
            raise Refused(f"the approval by {who} is older than the work that it approves")

    def _files(self) -> str:
        """Each log, report and list that a check run names is here with its hash."""
        named = {(str(item.get("name")), take(item, str, "digest", "sha256")) for one in self.tests.values()
                 for item in take(one.body, list, "configuration")[:FILES] if item.get("name") in KEPT_FILES}
        missing = [f"{name} {digest[:12]}" for name, digest in sorted(named) if self.evidence.blob(digest) is None]
        if missing:
            raise Unevaluated(f"{len(missing)} of {len(named)} named files are missing here: {', '.join(missing[:4])}")
        return f"{len(named)} logs, reports and lists"


def check_of(run: Envelope) -> str:
    """Which check a run was of."""
    listed = run.body.get("configuration")
    names = [str(one.get("name")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return next((name[6:] for name in names if name.startswith("check ")), "?")


def _stations(policy: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    line = policy.get("line")
    found = line.get("stations") if isinstance(line, dict) else None
    return [one for one in found if isinstance(one, dict) and one.get("kind") == kind] if isinstance(found, list) else []


def demanded(policy: dict[str, Any]) -> set[str]:
    """The checks that a policy demands of a change: those of its line's stations, all when a station or the line names none."""
    checks = policy.get("checks")
    every = set(checks) if isinstance(checks, dict) else set()
    stations = _stations(policy, "check")
    return {name for one in stations for name in (one.get("checks") or every) if name in every} if stations else every


def asks(policy: dict[str, Any], risk: str) -> bool:
    """Whether a person must see a change of this class. A line that has no gate asks nobody but for class stop."""
    whens, line = {str(one.get("when", "policy")) for one in _stations(policy, "gate")}, policy.get("line")
    if not isinstance(line, dict):
        return risk != "ship"
    lights = line.get("lights")
    return (risk == "stop" or "always" in whens or (bool(whens) and lights == "on")
            or (risk == "review" and "policy" in whens and lights != "dark"))


def stop_terms(policy: dict[str, Any]) -> tuple[set[str], int]:
    """The roles that must sign for a change of class stop, and how many different keys."""
    said = policy.get("policy")
    said = said if isinstance(said, dict) else {}
    roles, keys = said.get("stop_roles", []), said.get("stop_keys", 1)
    if not isinstance(roles, list) or type(keys) is not int:
        raise Refused("the policy does not say who may let a change of class stop through")
    return {str(role) for role in roles}, max(1, keys, len(roles))
