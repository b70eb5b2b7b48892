"""What is known of a live session, in rows: its state with its reason, its cost, and the whole explanation. Pure drawing."""

from andon.schema.sentences import plural
from andon.schema.views import SessionView
from andon.schema.wire import AccessIs
from andon_tui import palette
from andon_tui.clock import Clock
from andon_tui.draw import Row, Span, row
from andon_tui.safe import safe

SURE = {"certain": "", "likely": "likely ", "guess": "a guess: "}


def state(view: SessionView) -> Row:
    """Glyph, health and cause."""
    look = palette.health(view.health)
    cause = Span(f" ({view.cause})", look.ink) if view.cause and view.cause not in view.health else Span("")
    return row(Span(f"{look.glyph} {look.word}", look.ink), cause)


def because(view: SessionView, clock: Clock) -> Row:
    """Why it is shown so, by what, how sure, since when."""
    until = f" until {clock.time(view.until)}" if view.until else ""
    told = f"{SURE[view.confidence]}{safe(view.because)}{until}"
    return row(Span(told, "dim"), Span(f" · by {view.source}, {clock.age(view.since)}", "dim"))


def cost(view: SessionView) -> Row:
    """Tokens, dollars and context, or that nothing is known of them."""
    if not view.metered:
        return row(Span("nothing spent yet", "dim"))
    if view.metered == "unmetered":
        return row(Span("unmetered", "ask"))
    money = f"${view.usd:.2f} · " if view.usd else ""
    context = f" · context {view.context:.0%}" if view.context else ""
    return row(Span(f"{money}{short(view.input_tokens)} in, {short(view.output_tokens)} out{context}", "dim"))


def access(reply: AccessIs, clock: Clock) -> str:
    """What an attempt tried to reach, as text to read: refused first, each with its rule below."""
    refused = [each for each in reply.rows if not each.allowed]
    allowed = [each for each in reply.rows if each.allowed]
    parts = [f"{reply.attempt} tried {len(reply.rows)} things, {len(refused)} were refused · walls: {reply.level or 'not known'}"]
    for head, found in (("refused", refused), ("allowed", allowed)):
        parts += ["", head] if found else []
        for each in found:
            often = f", {plural(each.times, 'time')}" if each.times > 1 else ""
            parts.append(f"  {'✗' if head == 'refused' else '✓'} {each.kind:<6}  {safe(each.what)}")
            parts.append(f"            {clock.time(each.at)}{often} · {safe(each.rule) or 'no rule'}")
    if not reply.rows:
        parts += ["", "nothing was seen"]
    return "\n".join([*parts, "", *(safe(note) for note in reply.notes)])


def short(count: int) -> str:
    """`950`, `12k`, `3.4M`."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1_000_000:.1f}M"


def explanation(view: SessionView, clock: Clock) -> str:
    """Everything behind the state, as text to read."""
    parts = [
        f"{view.attempt} is {view.health}{f' ({view.cause})' if view.cause else ''}, {clock.age(view.since)}",
        "", f"because   {safe(view.because)}", f"source    {view.source}", f"rule      {view.rule or 'the monitor itself'}",
        f"sure      {view.confidence}",
    ]
    if view.until:
        parts.append(f"until     {clock.time(view.until)}")
    if view.conflict:
        parts.append(f"but       {safe(view.conflict)}")
    parts += ["", "evidence", *(f"  {safe(each)}" for each in view.evidence)] if view.evidence else ["", "evidence  none was kept"]
    parts += ["", "done about it", *(f"  {safe(each)}" for each in view.ladder)] if view.ladder else []
    parts += [
        "", f"agent     {safe(view.agent)} · account {safe(view.account) or '-'} · channel {view.channel or 'none'}",
        f"sitting   {view.sitting} · conversation {safe(view.conversation) or 'not known: it cannot be resumed'}",
        f"cost      {''.join(span.text for span in cost(view))}",
    ]
    if view.taken:
        parts.append(f"taken     by {safe(view.taken)}: nothing is done to it until it is given back")
    if view.outbox:
        parts.append(f"messages  {view.outbox} wait to be delivered")
    return "\n".join(parts)
