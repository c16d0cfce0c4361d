"""Extensions: modules of other people that add a file format, a stage of the pipeline or an event to sdnlab.

An extension is a Python module. It adds to the registries when it is imported, so each process of a lab
imports it when it starts. There are two ways to name an extension:

* an installed package declares an entry point in the group ``sdnlab``, whose value is the module;
* the environment variable ``SDNLAB_EXTENSIONS`` names modules and files (``.py``), separated by commas.

Only the command line reads them. The supervisor is a fork of it, and passes the names to each new controller
with ``--extension``. The process of a function is started with the command that its kind gives.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

VARIABLE = "SDNLAB_EXTENSIONS"
GROUP = "sdnlab"
_ROOT = Path(__file__).resolve().parents[1]
_loaded: list[str] = []


class ExtensionError(Exception):
    """An extension cannot be imported: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def named(text: str) -> list[str]:
    """The modules and files that the value of ``SDNLAB_EXTENSIONS`` names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def installed(folders: Iterable[str]) -> list[str]:
    """The modules of all entry points in the group ``sdnlab`` of the packages in these folders.

    The import of importlib.metadata takes 30 ms, so it is used only when a file of entry points has the
    group.
    """
    section = f"[{GROUP}]".encode()
    if not any(section in text for folder in folders for text in _entry_points(folder)):
        return []
    from importlib.metadata import entry_points

    return sorted({entry_point.value.partition(":")[0].strip() for entry_point in entry_points(group=GROUP)})


def _entry_points(folder: str) -> Iterator[bytes]:
    """The content of each entry_points.txt in a folder with packages."""
    try:
        names = os.listdir(folder) if folder else []  # noqa: PTH208 - a tenth of the time
    except OSError:
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            try:
                with open(f"{folder}/{name}/entry_points.txt", "rb") as file:  # noqa: PTH123
                    yield file.read()
            except OSError:
                continue


def loaded() -> tuple[str, ...]:
    """The extensions that this process has imported, as ``load`` in another process takes them."""
    return tuple(_loaded)


def load(names: Iterable[str], check: Callable[[Path], None] = lambda path: None) -> None:
    """Import these modules and files, each once. Raises ``ExtensionError``.

    ``check`` gets each file before it is imported, and may raise ``ExtensionError``, too.
    """
    for name in names:
        file = Path(os.path.realpath(name)) if "/" in name or name.endswith(".py") else None
        full = str(file) if file else name
        if full in _loaded:
            continue
        try:
            if file:
                _import_file(file, check)
            else:
                _import_module(name, check)
        except ExtensionError:
            raise
        except (Exception, SystemExit) as error:
            said = f": {error}" if str(error) else ""
            raise ExtensionError(
                f"the extension {name} can't be imported: {type(error).__name__}{_line(error, full)}{said}",
                f"mend it, or do without it: take it out of {VARIABLE}, or uninstall its package",
            ) from error
        _loaded.append(full)


def _import_file(file: Path, check: Callable[[Path], None]) -> None:
    """Import a file under its own name. Only the file is read, no bytecode that was compiled before."""
    check(file)
    source = file.read_bytes()
    name = file.stem
    if name in sys.modules or find_spec(name) is not None:
        raise ExtensionError(
            f"the extension {file} has the name of another module, {name}", "rename the file"
        )
    spec = spec_from_file_location(name, file)
    if spec is None:
        raise ExtensionError(f"the extension {file} is no Python file", "let its name end with .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source, str(file), "exec"), module.__dict__)


def _import_module(name: str, check: Callable[[Path], None]) -> None:
    spec = find_spec(name.partition(".")[0])
    if spec is not None:
        for place in (spec.origin, *(spec.submodule_search_locations or ())):
            if place and os.path.isabs(place):  # noqa: PTH117 - built in modules have none
                check(Path(os.path.realpath(place)))
    import_module(name)


def _line(error: BaseException, file: str) -> str:
    """The line of the extension's file that raised the error, in words."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" in line {line}" if line else ""


class Place(NamedTuple):
    """A file, or a folder above it, with its owner and mode (inode(7))."""

    path: Path
    uid: int
    gid: int
    mode: int


def changeable_by_others(places: Iterable[Place], uids: Collection[int], gids: Collection[int]) -> str | None:
    """Why a user outside of ``uids`` and ``gids`` can change one of these places; None: nobody can. Pure.

    In a folder with the sticky bit, such as /tmp, nobody can replace the files of others.
    """
    for place in places:
        if place.uid not in uids:
            return f"{place.path} belongs to user {place.uid}"
        if stat.S_ISDIR(place.mode) and place.mode & stat.S_ISVTX:
            continue
        if place.mode & stat.S_IWOTH:
            return f"everybody can write to {place.path}"
        if place.mode & stat.S_IWGRP and place.gid not in gids:
            return f"group {place.gid} can write to {place.path}"
    return None


def check_for_root(file: Path) -> None:
    """Raise ``ExtensionError`` for a file that users can change who can change neither sdnlab nor root's
    files.

    The variable is part of the caller's environment. Where sudo lets a user run sdnlab and keeps the
    environment, root would otherwise run any code of this user.
    """
    own = Path(__file__).stat()
    above = {_ROOT, *_ROOT.parents}  # who can change these can change sdnlab
    try:
        places = [
            Place(path, known.st_uid, known.st_gid, known.st_mode)
            for path in (file, *file.parents)
            if path not in above
            for known in (path.stat(),)
        ]
    except OSError as error:
        raise ExtensionError(
            f"the extension {file} can't be read: {error.strerror}", f"correct {VARIABLE}"
        ) from None
    why = changeable_by_others(places, {0, own.st_uid}, {0, own.st_gid})
    if why:
        raise ExtensionError(
            f"root doesn't import the extension {file}: {why}",
            "start the lab as yourself, or let root alone own and write the file and its folders",
        )


def is_root_for_others(uid: int, uid_map: str) -> bool:
    """Whether a process may have more rights than the user who started it. Pure.

    ``uid``: the effective user ID; ``uid_map``: the content of /proc/self/uid_map (user_namespaces(7)). Root
    in a namespace with a single user has the rights of that user.
    """
    return uid == 0 and uid_map.split()[2:] != ["1"]
