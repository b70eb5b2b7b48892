"""Says of which class a change is, by every rule at once: the highest wins. Pure; facts come from the daemon's own reading."""

import msgspec

from andon.core.globs import matches
from andon.core.state import Work
from andon.schema.events import Risk
from andon.schema.facts import FIXED, GATES, MEANING, Fact, Rule, Watch
from andon.schema.settings import Policy
from andon.schema.verdicts import Classified, Finding

SETTINGS_FILE = "andon.toml"
"""What judges later changes. Where nothing else is known of a change to it, it is of class stop."""
RANK: dict[Risk, int] = {"ship": 0, "review": 1, "stop": 2}
TOLD = 4
"""Reasons of the winning class that one sentence names."""


def watch_of(policy: Policy) -> Watch:
    """What an edge is to look for in a change, so that this policy can judge it."""
    stop, review = (
        tuple(f"{name}:{pattern}" for pattern in patterns)
        for name, patterns in (("stop", policy.symbols.stop), ("review", policy.symbols.review))
    )
    return Watch(symbols=(*stop, *review), data=policy.data)


def classify(policy: Policy, work: Work) -> tuple[Risk, str]:
    """The class of a change and the reasons for it in one sentence."""
    known = classified(policy, work)
    return known.risk, known.because


def classified(policy: Policy, work: Work) -> Classified:
    """The class with every rule that matched, the highest first, and who must look at it."""
    found = [*_paths(policy, work), *_facts(policy, work), *_size(policy, work)]
    found.sort(key=lambda one: -RANK[one.risk])
    risk: Risk = max((one.risk for one in found), key=RANK.__getitem__, default="ship")
    return Classified(risk=risk, because=because_of(risk, found), findings=tuple(found), reviewers=reviewers(work))


def reviewers(work: Work) -> tuple[str, ...]:
    """Who owns something that it changes."""
    seen = work.facts.seen if work.facts else ()
    return tuple(sorted({fact.name for fact in seen if fact.rule == "owner"}))


def loosens(work: Work) -> tuple[Fact, ...]:
    """What makes something that judges judge less, or may."""
    return tuple(fact for fact in (work.facts.seen if work.facts else ()) if fact.rule in GATES)


def because_of(risk: Risk, found: list[Finding]) -> str:
    """The reasons of the winning class in one sentence."""
    top = list(dict.fromkeys(one.because for one in found if one.risk == risk))
    if not top:
        return "every changed path is under [policy] ship"
    more = f"; and {len(top) - TOLD} more" if len(top) > TOLD else ""
    return "; ".join(top[:TOLD]) + more


def _paths(policy: Policy, work: Work) -> list[Finding]:
    """What `[policy]` says of the paths."""
    found: list[Finding] = []
    unsaid: Finding | None = None
    for path in work.paths:
        if path == SETTINGS_FILE and work.facts is None:
            found.append(
                Finding(risk="stop", rule="gate", path=path, because=f"{path} defines the checks and the policy themselves")
            )
        if matches(path, policy.stop):
            found.append(Finding(risk="stop", rule="stop", path=path, because=f"{path} is under [policy] stop"))
        elif matches(path, policy.review):
            found.append(Finding(risk="review", rule="review", path=path, because=f"{path} is under [policy] review"))
        elif not matches(path, policy.ship):
            unsaid = unsaid or Finding(risk="review", rule="unmatched", path=path, because=f"{path} is not under [policy] ship")
    if work.paths_total > len(work.paths):
        said = f"{work.paths_total} paths changed, more than are read for the policy"
        found.append(Finding(risk="stop", rule="unread", because=said))
    return [*found, unsaid] if unsaid else found


def _facts(policy: Policy, work: Work) -> list[Finding]:
    """What was seen in it. What the policy looks for and nobody looked for is not known to be absent."""
    if work.facts is None:
        return []
    found = [finding for fact in work.facts.seen if (finding := _finding(policy, fact)) is not None]
    missing = unlooked(policy, work.facts.looked)
    if missing:
        said = f"it was read before [policy] named {', '.join(missing[:3])}: another attempt reads it again"
        found.append(Finding(risk="stop", rule="unread", because=said))
    return found


def unlooked(policy: Policy, looked: Watch) -> list[str]:
    """What a policy wants looked for that was not."""
    wanted = watch_of(policy)
    missing = [each.split(":", 1)[1] for each in wanted.symbols if each not in looked.symbols]
    return missing + [name for name, patterns in wanted.data.items() if set(patterns) - set(looked.data.get(name, ()))]


def _finding(policy: Policy, fact: Fact) -> Finding | None:
    """A fact as the policy weighs it; None for what it no longer asks for."""
    risk = class_of(policy, fact)
    if fact.rule in ("symbol-stop", "symbol-review"):
        named = policy.symbols.stop if fact.rule == "symbol-stop" else policy.symbols.review
        if fact.name not in named:
            return None
    if fact.rule == "data" and fact.name not in policy.data:
        return None
    if fact.rule == "owner" and risk == "ship":
        return None
    where = f"{fact.path}:{fact.line}" if fact.path and fact.line else fact.path
    head = f"{where}: " if where else ""
    said = (
        f"{fact.name} owns {fact.path}, and [policy.owners] makes that {risk}"
        if fact.rule == "owner"
        else f"{head}{_sense(fact.rule)}{fact.what}"
    )
    return Finding(risk=risk, rule=fact.rule, path=fact.path, line=fact.line, because=said, name=fact.name)


def _sense(rule: Rule) -> str:
    """What a fact is about, where its own words do not say it."""
    return {"loosens": "loosens what judges: ", "unclear": "may loosen what judges: ", "unread": "could not be read: "}.get(
        rule, ""
    )


def class_of(policy: Policy, fact: Fact) -> Risk:
    """The class of one fact under a policy. No setting lowers what loosens a gate, or what could not be read."""
    return policy.owners.get(fact.name, "ship") if fact.rule == "owner" else class_of_rule(policy, fact.rule)


def class_of_rule(policy: Policy, rule: str) -> Risk:
    """The class of a rule, the highest that it can have: what paths and size say included."""
    by_path: dict[str, Risk] = {"stop": "stop", "review": "review", "unmatched": "review", "size": "stop"}
    if rule in by_path:
        return by_path[rule]
    known = MEANING[rule][0]
    asked = policy.classes.get(rule, known)
    return max(known, asked, key=RANK.__getitem__) if rule in FIXED else asked


def _size(policy: Policy, work: Work) -> list[Finding]:
    lines = work.insertions + work.deletions
    size = policy.size
    found = []
    for risk, limit, is_, unit in (
        ("stop", size.stop_lines, lines, "lines"),
        ("review", size.review_lines, lines, "lines"),
        ("stop", size.stop_files, work.paths_total, "files"),
        ("review", size.review_files, work.paths_total, "files"),
    ):
        if limit and is_ >= limit:
            said = f"{is_} {unit} changed; [policy.size] {risk}_{unit} is {limit}"
            found.append(Finding(risk=msgspec.convert(risk, Risk), rule="size", because=said))
    return found
