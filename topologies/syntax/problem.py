"""The problems of a topology file: what is wrong, what is allowed, and the remedy.

Looking for problems raises nothing, so a user sees all of them at once. ``Problems`` is a value: all that are
known. A ``Report`` collects more of them, within one phase of ``topologies.resolve.phases`` for instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from topologies.model.notes import Note

Step = str | int
Path = tuple[Step, ...]

# Nobody reads more suggestions than this, and the search for one takes milliseconds among thousands of
# names: a hostile file must not cause minutes of work.
_SUGGESTIONS = 40
_SHOWN = 60
MOST_NOTES = 300
"""Notes about one file; nobody reads more of them."""


def shown(value: object) -> str:
    """``value`` quoted, on one line, without control characters, and not too long."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def printable(text: str) -> str:
    """``text`` with control characters as escapes: a file must not control the user's terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most similar to ``word``; empty when none is. Words that begin with it go
    first."""
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
    """One problem. ``line`` counts from 1; 0 means the whole file.

    ``allowed`` and ``remedy`` may be empty. ``str()`` gives the line that a user reads.
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
    """A topology file has problems and cannot be used. ``problems``: all of them, sorted by line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.path, p.message)))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[Invalid], tuple[tuple[Problem, ...]]]:
        return Invalid, (self.problems,)


def _itself(path: Path) -> Path:
    """The path of an entry that stands in the file as it is."""
    return path


def _the_file(path: Path) -> int:
    """The line of every path where no lines are known: 0, the whole file."""
    return 0


@dataclass(frozen=True)
class Problems:
    """The known problems of one file, and what the search for further ones needs.

    ``locate`` gives the line of a path. ``broken``: the paths whose content is unusable and left out.
    ``incomplete``: the sections with such an entry, in which names may be missing. ``suggestions``: how many
    more the search may make. ``written``: where the file has what stands at a path after short forms are
    written out.
    """

    file: str
    locate: Callable[[Path], int] = _the_file
    listed: tuple[Problem, ...] = ()
    broken: AbstractSet[Path] = frozenset()
    incomplete: AbstractSet[str] = frozenset()
    suggestions: int = _SUGGESTIONS
    written: Callable[[Path], Path] = _itself

    def report(self) -> Report:
        """An empty report, which collects what comes next."""
        return Report(self.file, self.locate, self.broken, self.incomplete, self.suggestions, self.written)

    def and_those_of(self, report: Report) -> Problems:
        """These problems, then those that ``report`` collected."""
        more = report.known()
        return replace(more, listed=(*self.listed, *more.listed)) if self.listed else more

    def check(self) -> None:
        """Raise ``Invalid`` when there is a problem. One that several phases report is listed once."""
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
        written: Callable[[Path], Path] = _itself,
    ) -> None:
        self.file = file
        self.locate = locate
        self.problems: list[Problem] = []
        self.notes: dict[Note, None] = {}
        self._seen: set[Problem] = set()
        self.broken, self.incomplete = broken, incomplete
        self._suggestions = suggestions
        self._written = written

    def known(self) -> Problems:
        """What is collected so far, as a value that does not change later."""
        broken, incomplete = frozenset(self.broken), frozenset(self.incomplete)
        return Problems(
            self.file,
            self.locate,
            tuple(self.problems),
            broken,
            incomplete,
            self._suggestions,
            self._written,
        )

    def add(
        self, path: Path, message: str, allowed: str = "", remedy: str = "", line: int | None = None
    ) -> None:
        """Add a problem, unless its path is broken: then a problem is listed already, and this one
        follows."""
        path = self._written(path)
        if self.is_broken(path):
            return
        where = self.locate(path) if line is None else line
        texts = (printable(text) for text in (message, allowed, remedy))
        problem = Problem(self.file, where, path_text(path), *texts)
        if problem not in self._seen:  # a group that is used several times is checked several times
            self._seen.add(problem)
            self.problems.append(problem)

    def note(self, what: str, line: int, file: str = "") -> None:
        """The lab has something otherwise than the file of another tool says, or has it not. That is no
        problem: what can run runs. ``file``: another file than that of the report."""
        if len(self.notes) < MOST_NOTES:
            self.notes[Note(file=file or self.file, line=line, what=printable(what))] = None
        elif len(self.notes) == MOST_NOTES:
            self.notes[Note(file=self.file, line=0, what="more notes than these are left out")] = None

    def sorted_notes(self) -> tuple[Note, ...]:
        """The notes in the order of lines, those of the file itself first."""
        return tuple(sorted(self.notes, key=lambda note: (note.file != self.file, note.file, note.line)))

    def broke(self, path: Path) -> None:
        """The content at ``path`` is unusable and left out: no further problem of it is listed."""
        if not isinstance(self.broken, set):
            self.broken = set(self.broken)
        self.broken.add(path)

    def lacks_names(self, section: str) -> None:
        """An entry of ``section`` is unusable, so names may be missing there."""
        self.incomplete = {*self.incomplete, section}

    def is_broken(self, path: Path) -> bool:
        path = self._written(path)
        return any(path[:n] in self.broken for n in range(1, len(path) + 1))

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """The most similar of the known words; empty when there is none, or after too many searches."""
        if self._suggestions <= 0 or not 0 < len(word) <= 64:
            return ""
        self._suggestions -= 1
        return nearest(word, known)

    def suggest(self, word: str, known: Iterable[str], otherwise: str) -> str:
        """A remedy: ``did you mean 'x'?`` with the most similar known word, else ``otherwise``."""
        close = self.nearest(word, known)
        return f"did you mean {shown(close)}?" if close else otherwise

    def no_such(
        self, path: Path, kind: str, name: str, known: Iterable[str], section: str = "", listed: str = ""
    ) -> None:
        """Add a reference to something that does not exist: there is no ``kind`` with this name.

        ``known``: the names that exist; ``section``: where to add one, by default the plural of the kind.
        ``listed``: the allowed names as text, by default the first known ones.
        """
        names = list(known)
        remedy = self.suggest(name, names, f"add it to {section or kind + 's'}, or change the name")
        self.add(path, f"there is no {kind} {shown(name)}", listed or ", ".join(names[:8]), remedy)

    def unknown(self, path: Path, kind: str, name: str, known: Iterable[str], section: str) -> None:
        """``no_such`` for a name in ``section``, except when this section could not be read completely."""
        if section in self.incomplete or self.is_broken((section,)) or self.is_broken((section, name)):
            return
        names = list(known)
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        self.no_such(path, kind, name, names, section, listed)

    def check(self) -> None:
        """Raise ``Invalid`` when there is a problem."""
        if self.problems:
            raise Invalid(self.problems)
