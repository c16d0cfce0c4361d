"""Recognises files that are Python 2, and converts copies of them."""

from __future__ import annotations

import importlib
import re
import tempfile
from pathlib import Path
from typing import Any

_SIGNS = (
    (re.compile(r"^\s*print(\s+[^\s(=.,\[]|\s*$|\s+\(.*\)\s*%|\s*>>)"), "print statement"),
    (re.compile(r"^\s*except\s+[\w.()\s,]+,\s*\w+\s*:"), "'except X, e'"),
    (re.compile(r"^\s*raise\s+[\w.]+\s*,"), "'raise X, value'"),
    (re.compile(r"^\s*exec\s+[^\s(=]"), "exec statement"),
    (re.compile(r"<>"), "operator <>"),
    (re.compile(r"\b0[0-7]+\b(?![.xob])"), "octal number like 0777"),
    (re.compile(r"\b(0[xX][0-9a-fA-F]+|\d+)[lL]\b"), "long number like 10L"),
    (re.compile(r"`[^`]+`"), "backquotes"),
    (re.compile(r"\bur?'|\bur\""), "string like ur''"),
)

NAMES = ("basestring", "raw_input", "reduce", "unichr", "unicode", "xrange")
"""Names that Python 3 does not have by themselves."""
METHODS = ("has_key", "iteritems", "iterkeys", "itervalues")
"""Methods of dictionaries that Python 3 does not have."""
MODULES = {
    "ConfigParser": "configparser",
    "Queue": "queue",
    "SocketServer": "socketserver",
    "StringIO": "io",
    "cPickle": "pickle",
    "commands": "subprocess",
    "httplib": "http.client",
    "thread": "_thread",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
}
"""Modules of Python 2, and their names in Python 3."""
_NAMES = re.compile(
    rf"\b(?:{'|'.join(NAMES)})\s*\(|\.(?:{'|'.join(METHODS)})\s*\("
    rf"|^\s*(?:import|from)\s+(?:{'|'.join(MODULES)})\b",
    re.MULTILINE,
)


def recognise_text(source: str) -> str | None:
    """Why a source that Python 3 refuses is Python 2, as ``line 12: print statement: this is Python 2``."""
    try:
        compile(source, "app", "exec", dont_inherit=True)
        return None
    except (SyntaxError, ValueError) as error:
        wrong = getattr(error, "lineno", None) or 1
    lines = source.splitlines()
    # The line that Python 3 complains of comes first; a tab beside spaces is told of lines later.
    order = [wrong, *(number for number in range(1, len(lines) + 1) if number != wrong)]
    for number in order:
        code = lines[number - 1] if number <= len(lines) else ""
        if code.lstrip().startswith("#"):
            continue
        for pattern, what in _SIGNS:
            if pattern.search(code):
                return f"line {number}: {what}: this is Python 2"
    return None


def recognise(file: str) -> str | None:
    """As ``recognise_text``, of a file; None if it can't be read."""
    try:
        return recognise_text(Path(file).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _compiles(source: str) -> bool:
    try:
        compile(source, "app", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def converted(file: Path) -> Path:
    """A copy of the file as Python 3, in a folder for temporary files; the file itself if nothing is old, or
    if it is wrong in any Python: then its own syntax error says where.

    A source that Python 3 can read may use names of Python 2; then its calls of ``print`` stay as they are.
    """
    source = file.read_text(encoding="utf-8", errors="replace")
    new = _compiles(source)
    if new and not _NAMES.search(source):
        return file
    refactor: Any = importlib.import_module("fissix.refactor")
    fixers = refactor.get_fixers_from_package("fissix.fixes")
    tool = refactor.RefactoringTool(fixers, {"print_function": True} if new else None)
    try:
        text = str(tool.refactor_string(source.expandtabs() + "\n", str(file)))
    except importlib.import_module("fissix.pgen2.parse").ParseError:
        return file
    copy = Path(tempfile.mkdtemp(prefix="sdnlab-python3-")) / file.name
    copy.write_text(text, encoding="utf-8")
    return copy
