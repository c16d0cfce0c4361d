"""Ryu's modules by their names: ``ryu`` and ``ryu.*`` are os-ken's modules, each one object with two names.

What os-ken dropped is in ``controller/ryu/provided``, in the place that it has in Ryu:
``provided/app/wsgi.py`` is imported as ``os_ken.app.wsgi``, and as ``ryu.app.wsgi``. The first name is the
real one, since ``from ryu.app import wsgi`` asks the package for its name, which is ``os_ken.app``.

A module that neither has may be in a tree of Ryu's own files: an installed ryu, or a clone with an app of the
user's in its folder ``ryu/app``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_THEIRS, _OURS = "ryu", "os_ken"
_PROVIDED = Path(__file__).resolve().parent / "provided"
OWN_PACKAGES = ("controller", "dataplane", "lab", "linux", "nfv", "sdnlab", "topologies", "wire")
"""Names at the top that this project takes; apps may have modules of the same names."""
VERSION_INFO = (4, 34)
"""The Ryu that apps see: PyPI's last one."""


def canonical(name: str) -> str:
    """The real name of a module of Ryu's: ``ryu.lib.hub`` is ``os_ken.lib.hub``."""
    return _OURS + name[len(_THEIRS) :] if name == _THEIRS or name.startswith(_THEIRS + ".") else name


def ryu_name(name: str) -> str:
    """The name that an app knows: the opposite of ``canonical``."""
    return _THEIRS + name[len(_OURS) :] if name == _OURS or name.startswith(_OURS + ".") else name


def provided() -> dict[str, Path]:
    """The files of ``provided`` by the names of their modules; packages that os-ken has are left out."""
    modules: dict[str, Path] = {}
    for file in sorted(_PROVIDED.rglob("*.py")):
        parts = file.relative_to(_PROVIDED).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and parts != ("app",):
            modules[".".join((_OURS, *parts))] = file
    return modules


class _Alias(Loader):
    """Loads ``ryu.X`` by importing ``os_ken.X``, which stays as it is."""

    def __init__(self, real: str) -> None:
        self._real = real
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._real)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put the alias's there


class RyuFinder(MetaPathFinder):
    """Finds ``ryu`` and ``ryu.*``, and those modules of ``os_ken.*`` that os-ken doesn't have.

    ``trees``: folders that may have a folder ``ryu`` with modules of Ryu's, beside those of ``sys.path``.
    """

    def __init__(self) -> None:
        self._provided = provided()
        self.trees: list[Path] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top == _THEIRS:
            real = canonical(fullname)
            if real in sys.modules or importlib.util.find_spec(real) is not None:
                return ModuleSpec(fullname, _Alias(real), is_package=_is_package(real))
            return None
        if top != _OURS or not rest:
            return None
        if file := self._provided.get(fullname):
            return _spec(fullname, file)
        if rest.startswith("contrib."):
            return self._formerly_bundled(rest.removeprefix("contrib."), fullname)
        return None

    def in_trees(self, fullname: str) -> ModuleSpec | None:
        """A module that os-ken doesn't have, from a tree of Ryu's files."""
        rest = fullname.partition(".")[2].replace(".", "/")
        folders = [*self.trees, *(Path(entry or ".") for entry in sys.path)]
        for folder in folders:
            for file in (folder / _THEIRS / f"{rest}.py", folder / _THEIRS / rest / "__init__.py"):
                if file.is_file():
                    return _spec(fullname, file.resolve())
        return None

    @staticmethod
    def _formerly_bundled(name: str, fullname: str) -> ModuleSpec | None:
        """Old Ryu had copies of other projects in ``ryu.contrib``: those that are installed serve."""
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            return None
        return ModuleSpec(fullname, _Alias(name), is_package=True)


class _TreeFinder(MetaPathFinder):
    """Comes after all others: os-ken's own modules win against those of a tree."""

    def __init__(self, first: RyuFinder) -> None:
        self._first = first

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "tinyrpc":
            return ModuleSpec(fullname, _Alias(f"{_OURS}.app.wsgi_rpc"), is_package=True)
        if not fullname.startswith(_OURS + "."):
            return None
        return self._first.in_trees(fullname)


def _is_package(real: str) -> bool:
    module = sys.modules.get(real)
    if module is not None:
        return hasattr(module, "__path__")
    spec = importlib.util.find_spec(real)
    return spec is not None and spec.submodule_search_locations is not None


def _spec(fullname: str, file: Path) -> ModuleSpec | None:
    package = [str(file.parent)] if file.name == "__init__.py" else None
    return importlib.util.spec_from_file_location(fullname, file, submodule_search_locations=package)


def install() -> RyuFinder:
    """From now on, ``ryu`` and ``ryu.*`` can be imported. Choose os-ken's hub before."""
    finder = RyuFinder()
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(_TreeFinder(finder))
    root = importlib.import_module(_OURS)
    root.version_info = VERSION_INFO  # type: ignore[attr-defined]
    root.version = ".".join(map(str, VERSION_INFO))  # type: ignore[attr-defined]
    return finder


def _require_app(app_name: str, api_style: bool = False) -> None:
    """os-ken's ``require_app``: the module that calls it needs an app; with ``api_style``, the one that
    imports the module that calls it. os-ken's own takes frames of imports, and ours, for an app's."""
    frame = sys._getframe(1)
    callers: list[str] = []
    while frame is not None and len(callers) < 2:
        name = frame.f_globals.get("__name__", "")
        machinery = name.partition(".")[0] in ("importlib", "_frozen_importlib") or name == __name__
        if not machinery and name not in callers:
            callers.append(name)
        frame = frame.f_back  # type: ignore[assignment]
    module = sys.modules.get(callers[-1] if api_style else callers[0])
    if module is not None:
        required = getattr(module, "_REQUIRED_APP", [])
        module._REQUIRED_APP = [*required, app_name]  # type: ignore[attr-defined]


def rename() -> None:
    """Give the classes that os-ken renamed their old names, too."""
    app_manager = importlib.import_module("os_ken.base.app_manager")
    app_manager.require_app = _require_app  # type: ignore[attr-defined]
    app_manager.RyuApp = app_manager.OSKenApp  # type: ignore[attr-defined]
    exception = importlib.import_module("os_ken.exception")
    exception.RyuException = exception.OSKenException  # type: ignore[attr-defined]


def hide_own_packages() -> None:
    """Forget this project's own modules: an app's ``import controller`` means the file beside it.

    Modules that are loaded already work on. They must not import each other later.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES]:
        del sys.modules[name]
