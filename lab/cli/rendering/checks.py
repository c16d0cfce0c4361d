"""Results of checks as text and as JUnit's XML: pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from lab.cli.say import Paint, count, table
from lab.messages.checks import CheckResult, Finding
from lab.messages.lab import PlaceState

_WORDS = {"passed": ("passed", "green"), "failed": ("FAILED", "red"), "error": ("ERROR", "yellow")}
# The characters that XML 1.0 allows (section 2.2)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def checks(results: Sequence[CheckResult], seconds: float, paint: Paint) -> str:
    """The table of ``sdnlab check``, and then what is wrong."""
    rows = []
    for result in results:
        word, colour = _WORDS[result["verdict"]]
        tried = f"{result['tried'] - result['failed']} of {result['tried']}"
        rows.append([paint(word, colour), tried, f"{result['seconds']:.2f} s", result["name"]])
    parts = [table(["RESULT", "HELD", "AFTER", "CHECK"], rows, paint, right=(1, 2))]
    parts += [_failure(result, paint) for result in results if result["verdict"] != "passed"]
    parts.append(summary(results, seconds, paint))
    return "\n\n".join(parts)


def summary(results: Sequence[CheckResult], seconds: float, paint: Paint) -> str:
    """The last line: how many have passed."""
    passed = sum(result["verdict"] == "passed" for result in results)
    failed = sum(result["verdict"] == "failed" for result in results)
    wrong = [f"{failed} failed"] if failed else []
    if passed + failed < len(results):
        wrong.append(f"{len(results) - passed - failed} could not be carried out")
    words = f"{passed} of {count(len(results), 'check')} passed" + "".join(f", {word}" for word in wrong)
    return paint(words, "red" if wrong else "green") + f" in {seconds:.1f} s"


def _failure(result: CheckResult, paint: Paint) -> str:
    place = f" ({_place(result['place'])})" if result["place"] else ""
    lines = [paint(result["name"], "bold") + place, f"  expected:   {result['expected']}"]
    for finding in result["findings"]:
        lines += _finding(finding)
    more = result["failed"] - len(result["findings"])
    if more > 0:
        lines.append(f"  … and {more} more")
    if result["note"]:
        lines.append(f"  note:       {result['note']}")
    if result["hint"]:
        lines.append(f"  hint:       {paint(result['hint'], 'cyan')}")
    return "\n".join(lines)


def _finding(finding: Finding) -> list[str]:
    lines = [f"  seen:       {finding['what']}: {finding['seen']}"]
    lines += [f"                {packet}" for packet in finding["packets"]]
    if finding["last_seen"]:
        lines.append(f"  last seen:  {finding['last_seen']}")
    if finding["stopped_by"]:
        place = f" ({_place(finding['place'])})" if finding["place"] else ""
        lines.append(f"  stopped by: {finding['stopped_by']}{place}")
    return lines


def _place(place: PlaceState | None) -> str:
    return "" if place is None else f"{PurePath(place['file']).name}:{place['line']}"


def junit(lab: str, results: Sequence[CheckResult], seconds: float, unfinished: str = "") -> str:
    """The results as JUnit's XML, as test servers read it. ``unfinished``: why there are no more results."""
    failures = sum(result["verdict"] == "failed" for result in results)
    errors = sum(result["verdict"] == "error" for result in results) + bool(unfinished)
    number = len(results) + bool(unfinished)
    head = f'name="{_xml(lab)}" tests="{number}" failures="{failures}" errors="{errors}" time="{seconds:.3f}"'
    cases = [_case(lab, result) for result in results]
    if unfinished:
        cases.append(
            f'    <testcase classname="{_xml(lab)}" name="all checks" time="0">\n'
            f'      <error message="{_xml(unfinished)}"/>\n    </testcase>\n'
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites>\n  <testsuite {head}>\n{''.join(cases)}  </testsuite>\n</testsuites>\n"
    )


def _case(lab: str, result: CheckResult) -> str:
    place = result["place"]
    where = f' file="{_xml(place["file"])}" line="{place["line"]}"' if place else ""
    classname = f"{lab}.{result['verb']}"
    head = (
        f'    <testcase classname="{_xml(classname)}" name="{_xml(result["name"])}" '
        f'time="{result["seconds"]:.3f}"{where}'
    )
    if result["verdict"] == "passed":
        return head + "/>\n"
    element = "failure" if result["verdict"] == "failed" else "error"
    findings = result["findings"]
    message = findings[0]["seen"] if findings else result["expected"]
    text = _failure(result, Paint(False))
    return f'{head}>\n      <{element} message="{_xml(message)}">{_xml(text)}</{element}>\n    </testcase>\n'


def _xml(text: str) -> str:
    """The text in XML: characters that XML can't have as escapes of Python."""
    plain = _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("\n", "&#10;")):
        plain = plain.replace(character, name)
    return plain.replace("\r", "&#13;").replace("\t", "&#9;")
