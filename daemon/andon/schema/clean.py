r"""The boundary for text that an agent wrote: what a terminal would obey is taken out. It must never know where the text goes.

Escape sequences, control characters (C0 but newline and tab, DEL, C1), bidirectional controls, characters that hide text
(zero width, tags, variation selectors beyond emoji) and lone surrogates never get past here. An unfinished sequence loses
its introducer only, so nothing that a person should read can hide behind one.
"""

import re

_CSI = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{0,65536}(?:\x07|\x1b\\|\x9c)"
"""OSC, DCS, SOS, PM, APC, with their terminator and on one line."""
_SHORT = r"\x1b[ -/]+[0-~]|\x1b[0-OQ-WYZ\\`-~]|\x1b[\[\]PX^_]?"
"""Two- and three-character escapes; then an introducer without an end."""
_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff"
)
_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_SGR = re.compile(r"\x1b\[[0-9;:]{0,128}m")
_BAD = re.compile(f"{_CSI}|{_STRING}|{_SHORT}|[{_CONTROL}{_HIDDEN}]")
_LINE_ENDS = re.compile("\r\n|[\u2028\u2029]")
_UNSEEN = re.compile(f"[{_CONTROL}{_HIDDEN}\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without anything that a terminal would obey or a reader would not see. Newlines and tabs stay."""
    text = _SURROGATE.sub("\ufffd", _LINE_ENDS.sub("\n", text))
    return _BAD.sub("", text)


def clean_row(row: str) -> str:
    """One row of a screen: as `clean`, but colours and styles (SGR) stay, and tab and newline become a space."""
    row = _SURROGATE.sub("\ufffd", row.translate({9: " ", 10: " ", 0x2028: " ", 0x2029: " "}))
    return _BAD.sub(lambda found: found[0] if _SGR.fullmatch(found[0]) else "", row)


def plain_json(data: bytes) -> str:
    """A JSON document as text that a terminal can show: what it would obey or hide stands as its number, so nothing is lost."""
    return _UNSEEN.sub(_escaped, data.decode("utf-8", "replace"))


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
