"""Keywords about bytes: content with its modifiers, pcre, isdataat, byte_*, bsize, base64 (user guide
"Payload Keywords").
"""

from __future__ import annotations

import re

from nfv.ids.language import text as forms
from nfv.ids.language.buffers import MODIFIERS, PCRE_LETTERS
from nfv.ids.language.builder import Builder
from nfv.ids.language.numbers import bounds, number_or_name, whole
from nfv.ids.language.text import Problem, negation, unquote
from nfv.ids.match.ops import (
    Base64,
    ByteExtract,
    ByteJump,
    ByteMath,
    ByteTest,
    Content,
    IsDataAt,
    Pcre,
    Size,
)
from nfv.ids.match.regex import PatternError, Regex


def content(b: Builder, value: str | None) -> None:
    """A pattern: ``content:"GET |20|/";``, negated by ``!``."""
    negated, rest = negation(value)
    pattern = forms.content("content", unquote("content", rest))
    b.add(Content(pattern=pattern, negated=negated))


def uricontent(b: Builder, value: str | None) -> None:
    """The old form of a content in http_uri."""
    content(b, value)
    b.move("uricontent", "http.uri")


def _last(b: Builder, keyword: str) -> Content:
    op = b.last_content
    if op is None:
        raise Problem(keyword, "needs a content before it")
    return op


def nocase(b: Builder, value: str | None) -> None:
    """Ignore case."""
    op = _last(b, "nocase")
    if value:
        raise Problem("nocase", "takes no value")
    if op.nocase:
        raise Problem("nocase", "is given twice")
    op.nocase = True


def offset(b: Builder, value: str | None) -> None:
    """Bytes from the beginning of the buffer to the beginning of the search."""
    op = _last(b, "offset")
    if op.relative:
        raise Problem("offset", "can't be together with distance or within")
    if op.startswith:
        raise Problem("offset", "can't be together with startswith")
    if op.offset:
        raise Problem("offset", "is given twice")
    op.offset = number_or_name("offset", value or "", 0, 65535, b.names)


def depth(b: Builder, value: str | None) -> None:
    """How many bytes are searched, from offset on."""
    op = _last(b, "depth")
    if op.relative:
        raise Problem("depth", "can't be together with distance or within")
    if op.startswith:
        raise Problem("depth", "can't be together with startswith")
    if op.depth is not None:
        raise Problem("depth", "is given twice")
    op.depth = number_or_name("depth", value or "", 0, 65535, b.names)
    if isinstance(op.depth, int) and op.depth < len(op.pattern):
        raise Problem("depth", f"{op.depth} is less than the pattern's {len(op.pattern)} bytes")


def distance(b: Builder, value: str | None) -> None:
    """Bytes between the end of the previous match and the beginning of the search."""
    op = _last(b, "distance")
    if op.depth is not None or op.offset or op.startswith:
        raise Problem("distance", "can't be together with offset, depth or startswith")
    if op.distance is not None:
        raise Problem("distance", "is given twice")
    op.distance = number_or_name("distance", value or "", -1048576, 1048576, b.names)


def within(b: Builder, value: str | None) -> None:
    """How many bytes after the previous match (and distance) must contain this match."""
    op = _last(b, "within")
    if op.depth is not None or op.offset or op.startswith:
        raise Problem("within", "can't be together with offset, depth or startswith")
    if op.within is not None:
        raise Problem("within", "is given twice")
    op.within = number_or_name("within", value or "", -1048576, 1048576, b.names)
    if isinstance(op.within, int) and op.within < len(op.pattern):
        raise Problem("within", f"{op.within} is less than the pattern's {len(op.pattern)} bytes")


def startswith(b: Builder, value: str | None) -> None:
    """The buffer begins with the pattern."""
    op = _last(b, "startswith")
    if value:
        raise Problem("startswith", "takes no value")
    if op.relative or op.offset or op.depth is not None:
        raise Problem("startswith", "can't be together with offset, depth, distance, within")
    op.startswith = True


def endswith(b: Builder, value: str | None) -> None:
    """The buffer ends with the pattern."""
    op = _last(b, "endswith")
    if value:
        raise Problem("endswith", "takes no value")
    op.endswith = True


def fast_pattern(b: Builder, value: str | None) -> None:
    """The content that the search for candidates uses: ``fast_pattern``, ``:only``, ``:offset,length``."""
    op = _last(b, "fast_pattern")
    if value is not None and value.strip() == "only":
        if op.relative or op.offset or op.depth is not None or op.negated:
            raise Problem("fast_pattern", "'only' can't be with a negated content or one that has a place")
        op.fast_only = True
    elif value:
        match = re.fullmatch(r"(\d+)\s*,\s*(\d+)", value.strip())
        if not match:
            raise Problem("fast_pattern", "allowed are nothing, 'only', or offset,length")
        if int(match[1]) + int(match[2]) > len(op.pattern) or int(match[2]) == 0:
            raise Problem("fast_pattern", f"the part lies outside of the pattern's {len(op.pattern)} bytes")
    if op.negated and (op.relative or op.offset or op.depth is not None):
        raise Problem("fast_pattern", "can't be for a negated content that has a place")
    if op.fast:
        raise Problem("fast_pattern", "is given twice")
    op.fast = True


def rawbytes(b: Builder, value: str | None) -> None:
    """Has no effect, as in Suricata: the payload is always raw."""
    _last(b, "rawbytes")
    if value:
        raise Problem("rawbytes", "takes no value")


def modifier(b: Builder, keyword: str, value: str | None) -> None:
    """The old names of buffers, which follow their content."""
    if value:
        raise Problem(keyword, "takes no value")
    _last(b, keyword)
    b.move(keyword, MODIFIERS[keyword])


def pcre(b: Builder, value: str | None) -> None:
    """A Perl-compatible regular expression, ``/…/`` with flags."""
    negated, rest = negation(value)
    body = unquote("pcre", rest)
    match = re.fullmatch(r"/(.*)/([A-Za-z]*)(\s*,.*)?", body, re.DOTALL) or re.fullmatch(
        r"m(\W)(.*)\1([A-Za-z]*)()", body, re.DOTALL
    )
    if not match:
        raise Problem("pcre", "must be of the form /expression/flags")
    groups = match.groups()
    pattern, letters, captures = groups if len(groups) == 3 else groups[1:4]
    if captures and captures.strip(" ,"):
        raise Problem("pcre", "capturing into variables (flow:, pkt:) is not supported")
    if re.search(r"\(\?P?<(flow|pkt|alert)_", pattern):
        raise Problem("pcre", "capturing into variables is not supported")
    options, buffer, inline = 0, "", ""
    op = Pcre(negated=negated)
    for letter in letters:
        if letter in "imsx":
            inline += letter
        elif letter == "A":
            op.anchored = True
        elif letter == "E":
            options |= 0x10  # PCRE2_DOLLAR_ENDONLY
        elif letter == "G":
            options |= 0x40000  # PCRE2_UNGREEDY
        elif letter == "R":
            op.relative = True
        elif letter in "BO":
            pass  # raw bytes, and no limit of steps: the limit stays
        elif letter in PCRE_LETTERS:
            if buffer and buffer != PCRE_LETTERS[letter]:
                raise Problem("pcre", f"flag {letter}: there is a flag for another buffer already")
            buffer = PCRE_LETTERS[letter]
        else:
            raise Problem("pcre", f"the flag {letter} is unknown")
    own = buffer == b.sticky or (letters.find("Q") >= 0 and b.sticky == "file.data")
    if buffer and b.sticky is not None and not own:
        raise Problem("pcre", f"a flag for {buffer} can't be after the buffer {b.sticky}")
    op.source = pattern.encode("latin-1")
    try:
        op.regex = Regex(op.source, inline + ("A" if op.anchored else ""), options)
    except PatternError as error:
        raise Problem("pcre", f"the expression can't be compiled: {error}") from None
    if op.relative and not b.sticky and not buffer and not b.in_base64 and not b.has_anchor():
        raise Problem("pcre", "the flag R needs a match before it in the same buffer")
    b.add(op, "" if own else buffer)


def isdataat(b: Builder, value: str | None) -> None:
    """The buffer has bytes at a position: ``isdataat:[!]N[,relative]``."""
    negated, rest = negation(value)
    first, *flags = [part.strip() for part in (rest or "").strip('"').split(",")]
    for flag in flags:
        if flag not in ("relative", "rawbytes"):
            raise Problem("isdataat", f"{flag!r} is unknown; there are relative and rawbytes")
    op = IsDataAt(negated=negated, relative="relative" in flags)
    op.at = number_or_name("isdataat", first, 0, 65535, b.names)
    b.add(op)


_BASES = {"hex": 16, "dec": 10, "oct": 8}
_ALTERNATIVES = (
    ("byte orders", ("big", "little", "endian big", "endian little")),
    ("bases", ("hex", "dec", "oct", "string hex", "string dec", "string oct")),
)


def _flags(
    keyword: str, op: ByteTest | ByteJump | ByteExtract | ByteMath, words: list[str], string: list[bool]
) -> list[str]:
    """Parse the common words of all byte keywords; returns the other words."""
    rest = []
    for kind, names in _ALTERNATIVES:
        given = [word for word in words if word in names]
        if len(given) > 1:
            raise Problem(keyword, f"there are two {kind}: {given[0]} and {given[1]}")
    for word in words:
        if word == "relative":
            op.relative = True
        elif word in ("big", "endian big"):
            op.little = False
        elif word in ("little", "endian little"):
            op.little = True
        elif word == "string":
            string[0] = True
        elif word in _BASES or (word.startswith("string ") and word[7:] in _BASES):
            op.base = _BASES[word.removeprefix("string ")]
            string[0] = True
        elif word == "dce":
            raise Problem(keyword, "dce is not supported")
        elif word.startswith("bitmask") and not isinstance(op, ByteExtract):
            op.bitmask = (
                int(word[7:].strip(), 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", word[7:].strip()) else 0
            )
            if not op.bitmask:
                raise Problem(keyword, "bitmask needs a hexadecimal number that is not 0")
        else:
            rest.append(word)
    return rest


_AUTO = -1
"""The base of a ``string`` without base, from the prefixes 0x and 0, as in strtoul."""


def _words(keyword: str, value: str | None, least: int) -> list[str]:
    words = [" ".join(part.split()) for part in (value or "").strip('"').split(",")]
    if len(words) < least:
        raise Problem(keyword, f"needs at least {least} values separated by commas")
    return words


def _size(keyword: str, text: str, string: bool, names: set[str], low: int = 1) -> int | str:
    return number_or_name(keyword, text, low, 23 if string else 8, names)


def byte_test(b: Builder, value: str | None) -> None:
    """Compare bytes with a number: bytes, [!]operator, value, offset, flags."""
    words = _words("byte_test", value, 4)
    op, string = ByteTest(), [False]
    rest = _flags("byte_test", op, words[4:], string)
    if rest:
        raise Problem("byte_test", f"{rest[0]!r} is unknown")
    op.base = op.base or (_AUTO if string[0] else 0)
    op.size = _size("byte_test", words[0], string[0], b.names, 0 if string[0] else 1)
    operator = words[1]
    if operator.startswith("!"):
        op.negated = True
        operator = operator[1:].strip() or "="
    if operator not in ("<", ">", "=", "<=", ">=", "&", "^"):
        raise Problem("byte_test", f"the operator {operator!r} is unknown; there are < > = <= >= & ^")
    op.operator = operator
    op.value = number_or_name("byte_test", words[2], 0, 0xFFFFFFFFFFFFFFFF, b.names)
    op.offset = number_or_name("byte_test", words[3], -65535, 65535, b.names)
    b.add(op)


def byte_jump(b: Builder, value: str | None) -> None:
    """Move by a number in the bytes: bytes, offset, flags."""
    words = _words("byte_jump", value, 2)
    op, string = ByteJump(), [False]
    for word in _flags("byte_jump", op, words[2:], string):
        if word.startswith("multiplier"):
            op.multiplier = whole("byte_jump", word[10:], 1, 65535)
        elif word == "align":
            op.align = True
        elif word == "from_beginning":
            op.from_beginning = True
        elif word == "from_end":
            op.from_end = True
        elif word.startswith("post_offset"):
            op.post_offset = whole("byte_jump", word[11:], -65535, 65535)
        else:
            raise Problem("byte_jump", f"{word!r} is unknown")
    if op.from_beginning and op.from_end:
        raise Problem("byte_jump", "from_beginning and from_end can't be together")
    op.base = op.base or (_AUTO if string[0] else 0)
    op.size = _size("byte_jump", words[0], string[0], b.names, 0)
    op.offset = number_or_name("byte_jump", words[1], -65535, 65535, b.names)
    b.add(op)


def byte_extract(b: Builder, value: str | None) -> None:
    """Store bytes in a variable: bytes, offset, name, flags."""
    words = _words("byte_extract", value, 3)
    op, string = ByteExtract(), [False]
    for word in _flags("byte_extract", op, words[3:], string):
        if word.startswith("multiplier"):
            op.multiplier = whole("byte_extract", word[10:], 1, 65535)
        elif word.startswith("align"):
            op.align = whole("byte_extract", word[5:], 2, 4)
            if op.align == 3:
                raise Problem("byte_extract", "align is 2 or 4")
        else:
            raise Problem("byte_extract", f"{word!r} is unknown")
    op.base = op.base or (_AUTO if string[0] else 0)
    op.size = whole("byte_extract", words[0], 0 if string[0] else 1, 23 if string[0] else 8)
    op.offset = whole("byte_extract", words[1], -65535, 65535)
    op.name = b.new_name("byte_extract", words[2])
    b.add(op)


def byte_math(b: Builder, value: str | None) -> None:
    """Calculate with bytes: bytes N, offset N, oper O, rvalue V, result NAME, flags."""
    words = _words("byte_math", value, 5)
    op, string, given = ByteMath(), [False], {}
    for word in _flags("byte_math", op, words, string):
        name, _, rest = word.partition(" ")
        if name not in ("bytes", "offset", "oper", "rvalue", "result") or name in given:
            raise Problem("byte_math", f"{word!r} is unknown or given twice")
        given[name] = rest.strip()
    missing = [name for name in ("bytes", "offset", "oper", "rvalue", "result") if name not in given]
    if missing:
        raise Problem("byte_math", f"needs {missing[0]}")
    op.base = op.base or (_AUTO if string[0] else 0)
    op.size = _size("byte_math", given["bytes"], string[0], b.names)
    op.offset = whole("byte_math", given["offset"], -65535, 65535)
    if given["oper"] not in ("+", "-", "*", "/", "<<", ">>"):
        raise Problem("byte_math", f"the operator {given['oper']!r} is unknown; there are + - * / << >>")
    op.operator = given["oper"]
    op.value = number_or_name("byte_math", given["rvalue"], 0, 0xFFFFFFFF, b.names)
    if op.operator == "/" and op.value == 0:
        raise Problem("byte_math", "divides by 0")
    op.name = b.new_name("byte_math", given["result"])
    b.add(op)


def bsize(b: Builder, value: str | None) -> None:
    """The length of the buffer."""
    if b.sticky is None:
        raise Problem("bsize", "needs a buffer before it, such as http.uri")
    stripped = (value or "").strip()
    if stripped in b.names:
        b.add(Size(low=stripped, high=stripped))
        return
    low, high, negated = bounds("bsize", value)
    b.add(Size(low=low, high=high, negated=negated))


def base64_decode(b: Builder, value: str | None) -> None:
    """Decode from a position: bytes N, offset N, relative; ``base64_data`` then inspects the result."""
    op = Base64()
    for word in [part.strip() for part in (value or "").split(",") if part.strip()]:
        name, _, rest = word.partition(" ")
        if name == "bytes":
            op.size = whole("base64_decode", rest, 1, 65535)
        elif name == "offset":
            op.offset = whole("base64_decode", rest, 0, 65535)
        elif word == "relative":
            op.relative = True
        else:
            raise Problem("base64_decode", f"{word!r} is unknown; there are bytes N, offset N, relative")
    b.add(op)
    b.base64 = op


def base64_data(b: Builder, value: str | None) -> None:
    """The next conditions inspect the decoded bytes."""
    if b.base64 is None:
        raise Problem("base64_data", "needs a base64_decode before it")
    if value:
        raise Problem("base64_data", "takes no value")
    if b.base64.ops is not None:
        raise Problem("base64_data", "is given twice")
    b.base64.ops = []
    b.into_base64()


KEYWORDS = {
    "content": content,
    "uricontent": uricontent,
    "nocase": nocase,
    "offset": offset,
    "depth": depth,
    "distance": distance,
    "within": within,
    "startswith": startswith,
    "endswith": endswith,
    "fast_pattern": fast_pattern,
    "rawbytes": rawbytes,
    "pcre": pcre,
    "isdataat": isdataat,
    "byte_test": byte_test,
    "byte_jump": byte_jump,
    "byte_extract": byte_extract,
    "byte_math": byte_math,
    "bsize": bsize,
    "base64_decode": base64_decode,
    "base64_data": base64_data,
}
