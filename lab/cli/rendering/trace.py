"""The text of ``sdnlab trace``: a lab's answer as a picture that a student reads from top to bottom."""

from __future__ import annotations

from pathlib import Path

from lab.cli.say import Paint
from lab.messages.lab import PlaceState
from lab.messages.trace import CopyState, NoteState, StepState, TraceState, WayState, stop_words

WIDTH = 74
"""Columns of the text; the lines of the file are behind it."""
SHORT = 40
"""Columns of changes that have room behind a step."""


def trace(state: TraceState, paint: Paint, whole: bool = False) -> str:
    """The whole answer. ``whole``: also flows that only lead to the next table, with matches and actions."""
    parts = []
    for difference in state["differences"]:
        what = f"{difference['where']}: {difference['text']}{_of(difference['place'])}"
        lines = [f"{paint('!', 'red', 'bold')} {what}"]
        lines += [f"  {difference['remedy']}"] if difference["remedy"] else []
        parts.append("\n".join(lines))
    how = "predicted, and seen in the lab" if state["observed"] else "predicted from the flow tables"
    parts.append(_way(state["way"], paint, whole, how))
    if state["back"] is not None:
        parts.append(_way(state["back"], paint, whole, "the answer"))
    tail = [paint(f"note: {remark}", "dim") for remark in state["remarks"]]
    tail += [paint(f"note: no answer is traced: {state['why']}", "dim")] if state["why"] else []
    if tail:
        parts.append("\n".join(tail))
    return "\n\n".join(parts)


def _way(way: WayState, paint: Paint, whole: bool, how: str) -> str:
    head = f"{way['source']} -> {way['destination']}: {way['words']}"
    lines = [f"{paint(head, 'bold')}  {paint('(' + how + ')', 'dim')}"]
    if way["steps"]:
        lines += _steps(way["steps"], 0, paint, whole, "  ")
    lines.append(verdict(way, paint))
    return "\n".join(lines)


def verdict(way: WayState, paint: Paint) -> str:
    """What came of a frame, in a line or two."""
    lines = []
    if way["delivered"]:
        names = ", ".join(dict.fromkeys(way["delivered"]))
        good = way["destination"] in way["delivered"] or len(way["delivered"]) == 1
        lines.append(f"{paint('delivered', 'green' if good else 'yellow', 'bold')} to {names}")
    for stop in way["stops"]:
        word = "ends" if not way["delivered"] else "a copy ends"
        lines.append(f"{paint(word, 'red', 'bold')} at {stop_words(stop)}{_of(stop['place'])}")
    return "\n".join(lines) or paint("nothing comes of it", "red", "bold")


def _steps(steps: list[StepState], at: int, paint: Paint, whole: bool, indent: str) -> list[str]:
    """The lines of a step and of those that follow; the copies of a frame are indented."""
    lines = []
    while True:
        step = steps[at]
        came = {"host": "from ", "function": "out of ", "port": "in by "}.get(step["came"], "in by ")
        what = {"link": "link ", "uplink": "the uplink of ", "tunnel": "the tunnel of "}.get(step["came"], "")
        seen = {"": "", "yes": paint("  seen", "green"), "no": paint("  not seen", "red")}[step["seen"]]
        lines.append(f"{indent}{paint(step['switch'], 'cyan', 'bold')}  {came}{what}{step['name']}{seen}")
        if step["seen"] == "no" and not whole:
            return lines  # what is predicted from here on did not happen
        for note in step["notes"]:
            if whole or not note["quiet"]:
                lines += _note(note, paint, whole, indent + "    ")
        if step["fault"]:
            lines.append(f"{indent}    {paint(step['fault'], 'red')}")
        following = []
        for copy in step["copies"]:
            lines += [indent + "    " + line for line in _copy(copy, paint)]
            if copy["step"] is not None:
                following.append(copy["step"])
        if len(following) != 1:
            for number in following:
                lines += _steps(steps, number, paint, whole, indent + "  ")
            return lines
        (at,) = following


def _note(note: NoteState, paint: Paint, whole: bool, indent: str) -> list[str]:
    head = f"{note['table']:9s} " if note["table"] else " " * 10
    text = note["text"] + (f"; one of {note['ways']} ways" if note["ways"] > 1 else "")
    colour = {"miss": "red", "not sent": "red"}.get(note["kind"], "")
    left = f"{indent}{paint(head, 'dim')}{paint(text, colour) if colour else text}"
    room = max(WIDTH - len(indent) - len(head) - len(text), 2)
    place = note["place"]
    lines = [left + (" " * room + paint(_line(place), "dim") if place is not None else "")]
    if whole and note["actions"]:
        under = indent + " " * 10
        if note["match"]:
            lines.append(under + paint(f"priority {note['priority']}: {note['match']}", "dim"))
        lines.append(under + paint(f"-> {note['actions']}", "dim"))
    return lines


def _copy(copy: CopyState, paint: Paint) -> list[str]:
    name, detail = copy["name"], copy["detail"]
    what = {
        "host": f"to {detail + ' ' if detail else ''}{name}",
        "link": f"out by link {name}",
        "function": f"into {name}, {detail}",
        "tap": f"a copy to {name}",
        "uplink": f"out by the uplink of {name}",
        "tunnel": f"into the tunnel of {name}, VNI {copy['vni']}, {' -> '.join(copy['vteps'])}",
        "controller": "a copy to the controller",
        "broken": f"into {name}, which does not work",
    }.get(copy["kind"], f"out by {name}")
    arrow = paint("->", "green" if copy["kind"] == "host" else "cyan")
    changes = copy["changes"]
    if len(", ".join(changes)) <= SHORT:
        return [
            f"{arrow} {what}" + (f"  {paint('(' + ', '.join(changes) + ')', 'yellow')}" if changes else "")
        ]
    return [f"{arrow} {what}", *(f"   {paint(change, 'yellow')}" for change in changes)]


def _line(place: PlaceState) -> str:
    """Only the file's name: the whole page is about one file."""
    return f"{Path(place['file']).name}:{place['line']}"


def _of(place: PlaceState | None) -> str:
    return "" if place is None else f" ({place['file']}:{place['line']})"
