"""Loads apps as ryu-manager does: files by their paths, modules by their names, and what they require."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from controller.ryu import missing, python2
from controller.ryu.names import canonical

LOG = logging.getLogger("ryu-manager")


@dataclass(eq=False)
class LoadFailed(Exception):
    """An app can't be loaded or started. The attributes are those of ``reports.AppFailed``."""

    app: str
    file: str
    error: str
    traceback: str
    remedy: str | None = None

    def __str__(self) -> str:
        return self.error


def is_file(name: str) -> bool:
    """Whether an app is named by a path rather than by a module's name."""
    return name.endswith(".py") or "/" in name or Path(name).is_file()


def module_name(file: Path, taken: dict[str, str | None]) -> str:
    """The name for the module of an app's file: the file's own, unless a module of another file has it.

    Apps find each other's events by this name; an app that imports the file beside it gets the same module.
    ``taken``: loaded modules and their files. A module of the standard library counts as loaded.
    """
    name = file.stem
    free = name not in taken and name not in sys.stdlib_module_names and name not in ("ryu", "os_ken")
    if free or taken.get(name) == str(file):
        return name
    number = 2
    while (other := f"app{number}.{name}") in taken and taken[other] != str(file):
        number += 1
    return other


def load_file(file: Path, convert: bool = False) -> ModuleType:
    """The module of an app's file. Raises ``LoadFailed``. ``convert``: Python 2 is converted to Python 3."""
    if not file.is_file():
        raise LoadFailed(file.stem, str(file), f"{file}: there is no such file", "")
    taken = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if module}
    name = module_name(file, taken)
    if name in sys.modules:
        return sys.modules[name]
    source = file
    try:
        if convert:
            source = python2.converted(file)
        spec = importlib.util.spec_from_file_location(name, source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(file)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        raise failed(file.stem, str(file), error) from error
    return module


def load_module(name: str) -> ModuleType:
    """The module of an app that is named so. Raises ``LoadFailed``."""
    try:
        return importlib.import_module(canonical(name))
    except BaseException as error:
        raise failed(name, _file_of(name), error) from error


def failed(app: str, file: str, error: BaseException) -> LoadFailed:
    """An exception at an app's start, for its author: one line, the part of the traceback that is theirs, and
    the way out."""
    if isinstance(error, LoadFailed):
        return error
    if isinstance(error, KeyboardInterrupt):
        raise error
    trace = "".join(traceback.format_exception(type(error), error, theirs(error.__traceback__)))
    if isinstance(error, SyntaxError):
        where = error.filename or file
        old = python2.recognise(where)
        if old is not None:
            remedy = (
                "convert it: the option --fix-py2 of ryu-manager and of up --app runs a converted copy; "
                "in a topology file: controllers: {NAME: {apps: [FILE], options: [--fix-py2]}}"
            )
            return LoadFailed(app, file, f"{where}: {old}", trace, remedy)
        return LoadFailed(app, file, f"{where}: line {error.lineno}: syntax error: {error.msg}", trace, None)
    if isinstance(error, ImportError):
        text = str(error).replace("'os_ken.", "'ryu.")
        return LoadFailed(app, file, f"{file}: {text}", trace, missing.remedy(error))
    if isinstance(error, SystemExit):
        return LoadFailed(
            app, file, f"{file}: it ends its process as it is loaded (exit {error.code})", trace
        )
    words = str(error).strip().splitlines()
    line = f"{file}: {type(error).__name__}{': ' + words[0] if words else ''}"
    return LoadFailed(app, file, line, trace, missing.remedy_of(error))


def theirs(trace: Any) -> Any:
    """A traceback without the frames of this launcher and of the import system at its begin."""
    first = trace
    while first is not None:
        name = first.tb_frame.f_code.co_filename
        if not name.startswith("<frozen importlib") and not _ours(name):
            return first
        first = first.tb_next
    return trace if trace is None else None


def _ours(name: str) -> bool:
    return Path(name).parent == Path(__file__).parent or "/importlib/" in name


def _file_of(name: str) -> str:
    try:
        spec = importlib.util.find_spec(canonical(name))
    except (ImportError, ValueError):
        return name
    return spec.origin or name if spec else name


def app_classes(module: ModuleType, base: type) -> list[type]:
    """The app classes that a module defines, in the order of their names: ryu-manager runs the first."""
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, base) and kind.__module__ == module.__name__
    ]


def versions(numbers: Any) -> tuple[str, ...]:
    """OpenFlow versions in words: 4 is 1.3."""
    return tuple(f"1.{number - 1}" for number in sorted(numbers or ()))
