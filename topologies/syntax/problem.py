"""What is wrong with a topology file, in words that lead to the remedy.

Nothing here raises while problems are being looked for, so that a user sees all of them at once:
``Problems`` is what is known, a value; a ``Report`` collects more and lives no longer than what looks for
them, such as one phase of ``topologies.resolve.phases``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

Step = str | int
Path = tuple[Step, ...]

# Beyond so many suggestions nobody reads them, and looking for one costs milliseconds among
# thousands of names: a hostile file must not buy minutes of work with them.
_SUGGESTIONS = 40
_SHOWN = 60


def shown(value: object) -> str:
    """``value`` quoted, on one line, without control characters, and not too long."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def printable(text: str) -> str:
    """``text`` with control characters written as escapes: a file must not steer the user's terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The nearest of the known words, or nothing when none is near; of those as near, one that begins so."""
    import difflib

    candidates = {name.lower(): name for name in known}
    typed = word.lower()[:_SHOWN]
    close = difflib.get_close_matches(typed, candidates, n=8, cutoff=0.55)
    begins = [name for name in close if typed and name.startswith(typed)]
    return candidates[(begins or close)[0]] if close else ""


def path_text(path: Path) -> str:
    """``("links", 3, "delay")`` as ``links[3].delay``; odd keys are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step.isprintable() and step and len(step) <= _SHOWN and not set(step) & set(" .[]:;")
            text += ("." if text else "") + (step if plain else shown(step))
    return text


@dataclass(frozen=True)
class Problem:
    """One thing wrong. ``line`` counts from 1; 0 means the file as a whole.

    ``allowed`` and ``remedy`` may be empty. ``str()`` is the line for people.
    """

    file: str
    line: int
    path: str
    message: str
    allowed: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        file = printable(self.file)
        text = f"{file}:{self.line}: " if self.line else f"{file}: "
        if self.path:
            text += f"{self.path}: "
        text += self.message
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


class Invalid(Exception):
    """A topology file that cannot be used. ``problems``: all of them, sorted by line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.path, p.message)))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[Invalid], tuple[tuple[Problem, ...]]]:
        return Invalid, (self.problems,)


def _the_file(path: Path) -> int:
    """The line of everything in a file without lines: 0, the file as a whole."""
    return 0


@dataclass(frozen=True)
class Problems:
    """The problems of one file that are known, and what decides how further ones are told.

    ``locate`` says on which line a path stands. ``broken``: the paths whose content was unusable and was left
    out; ``incomplete``: the sections with such an entry, where names may be missing. ``suggestions``: how
    many more may be looked for.
    """

    file: str
    locate: Callable[[Path], int] = _the_file
    listed: tuple[Problem, ...] = ()
    broken: AbstractSet[Path] = frozenset()
    incomplete: AbstractSet[str] = frozenset()
    suggestions: int = _SUGGESTIONS

    def report(self) -> Report:
        """An empty report, to collect what comes next."""
        return Report(self.file, self.locate, self.broken, self.incomplete, self.suggestions)

    def and_those_of(self, report: Report) -> Problems:
        """These problems, then those that ``report`` collected."""
        more = report.known()
        return replace(more, listed=(*self.listed, *more.listed)) if self.listed else more

    def check(self) -> None:
        """Raise ``Invalid`` when there is a problem. One that several phases found is told once."""
        if self.listed:
            raise Invalid(dict.fromkeys(self.listed))


class Report:
    """Collects the problems of one file; for its arguments see ``Problems``."""

    def __init__(
        self,
        file: str,
        locate: Callable[[Path], int] = _the_file,
        broken: AbstractSet[Path] = frozenset(),
        incomplete: AbstractSet[str] = frozenset(),
        suggestions: int = _SUGGESTIONS,
    ) -> None:
        self.file = file
        self.locate = locate
        self.problems: list[Problem] = []
        self._seen: set[Problem] = set()
        self.broken, self.incomplete = broken, incomplete
        self._suggestions = suggestions

    def known(self) -> Problems:
        """What was collected, as a value: what this report is told later does not change it."""
        broken, incomplete = frozenset(self.broken), frozenset(self.incomplete)
        return Problems(self.file, self.locate, tuple(self.problems), broken, incomplete, self._suggestions)

    def add(
        self, path: Path, message: str, allowed: str = "", remedy: str = "", line: int | None = None
    ) -> None:
        """Note a problem, unless it only follows from one noted at the same place before."""
        if self.is_broken(path):
            return
        where = self.locate(path) if line is None else line
        texts = (printable(text) for text in (message, allowed, remedy))
        problem = Problem(self.file, where, path_text(path), *texts)
        if problem not in self._seen:  # what is used in many places is looked at as often
            self._seen.add(problem)
            self.problems.append(problem)

    def broke(self, path: Path) -> None:
        """What stands at ``path`` was unusable and was left out: nothing more about it."""
        if not isinstance(self.broken, set):
            self.broken = set(self.broken)
        self.broken.add(path)

    def lacks_names(self, section: str) -> None:
        """An entry of ``section`` was unusable: a name that is missing there may be meant to be there."""
        self.incomplete = {*self.incomplete, section}

    def is_broken(self, path: Path) -> bool:
        return any(path[:n] in self.broken for n in range(1, len(path) + 1))

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """The nearest of the known words, or nothing."""
        if self._suggestions <= 0 or not 0 < len(word) <= 64:
            return ""
        self._suggestions -= 1
        return nearest(word, known)

    def suggest(self, word: str, known: Iterable[str], otherwise: str) -> str:
        """A remedy: ``did you mean 'x'?`` with the nearest of the known words, or ``otherwise``."""
        close = self.nearest(word, known)
        return f"did you mean {shown(close)}?" if close else otherwise

    def no_such(
        self, path: Path, kind: str, name: str, known: Iterable[str], section: str = "", listed: str = ""
    ) -> None:
        """Note a reference to nothing: there is no ``kind`` of this name.

        ``known``: the names that there are; ``section``: where one is added, by default the kind's plural.
        ``listed``: the allowed names as text, by default the first of the known ones.
        """
        names = list(known)
        remedy = self.suggest(name, names, f"add it to {section or kind + 's'}, or change the name")
        self.add(path, f"there is no {kind} {shown(name)}", listed or ", ".join(names[:8]), remedy)

    def check(self) -> None:
        """Raise ``Invalid`` when anything was noted."""
        if self.problems:
            raise Invalid(self.problems)
