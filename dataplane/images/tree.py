"""The files of packages before they become an archive, and which of them an image needs. Pure."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataplane.images import elf

_MERGED = re.compile(r"^(bin|sbin|lib|lib32|lib64|libx32)(?=/|$)")
"""Folders that are links to those of /usr in the image, as in the distributions since 2021."""


@dataclass(frozen=True)
class File:
    """A regular file, or a symbolic link whose target is ``data``."""

    mode: int
    data: bytes

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


Tree = Mapping[str, File]
"""Files by their path, which has no slash at its begin and is below usr/."""


def merged(path: str) -> str:
    """A path of a package as the image has it."""
    clean = path.removeprefix(".").strip("/")
    return _MERGED.sub(r"usr/\1", clean).replace("usr/sbin/", "usr/bin/", 1)


# sitecustomize.py leads to a file of the machine on which the image is built
_NOT_KEPT = re.compile(
    r"""
    /(?:idlelib|tkinter|turtledemo|lib2to3|distutils|ensurepip|venv|test|tests|unittest|pydoc_data
       |sqlite3|dbm|curses|wsgiref|xmlrpc|msilib|__pycache__|_pyrepl)/
    | /sitecustomize\.py$
    | /(?:turtle|pydoc|doctest|pdb|cgi|nntplib|mailbox|imaplib|smtpd|_osx_support|_aix_support
         |this|antigravity)\.py$
    | ^usr/share/
    """,
    re.VERBOSE,
)


def of_python(tree: Tree, python: str) -> dict[str, File]:
    """The interpreter (``python``: such as python3.11), the modules that programs of a host use, and the
    libraries that they need.

    An extension module whose libraries are not in ``tree`` is left out.
    """
    program = f"usr/bin/{python}"
    library = f"usr/lib/{python}/"
    by_name = {path.rpartition("/")[2]: path for path in tree if ".so" in path}
    kept: dict[str, File] = {program: tree[program]}
    for path, file in tree.items():
        if path.startswith(library) and not _NOT_KEPT.search(path):
            if elf.is_elf(file.data) and not all(name in by_name for name in elf.needed(file.data)):
                continue
            kept[path] = file
    kept.update(libraries(tree, kept.values()))
    return kept


def libraries(tree: Tree, files: Iterable[File]) -> dict[str, File]:
    """The libraries that ``files`` need, and those that these need; links as well as what they lead to."""
    by_name: dict[str, list[str]] = {}
    for path in tree:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    kept: dict[str, File] = {}
    left = [name for file in files for name in elf.needed(file.data)]
    while left:
        for path in by_name.get(left.pop(), []):
            if path not in kept:
                kept[path] = file = tree[path]
                target = file.data.decode().rpartition("/")[2] if file.is_link else ""
                left.extend([target] if target else elf.needed(file.data))
    return kept
