"""The controllers that a file describes, and which controller each text of the file means. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence

from topologies.model import names
from topologies.model.applications import Application, is_app, is_module
from topologies.model.choices import CONTROLLERS, SDNLAB
from topologies.model.functions import Function
from topologies.model.topology import Switch
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File

LISTENING = (
    "--ofp-tcp-listen-port", "--ofp-ssl-listen-port", "--ofp-listen-host", "--listen-fd", "--report-fd",
)  # fmt: skip
"""Options of ryu-manager that the lab gives itself."""


def resolve(spec: File, folder: str, report: Report) -> tuple[tuple[Application, ...], dict[str, str]]:
    """The applications of a file in natural order, and text of a ``controller`` key -> name of a controller.

    ``folder``: that of the file, to which files of apps are relative.
    """
    some: dict[str, Application] = {}
    for name, entry in (spec.controllers or {}).items():
        path: Path = ("controllers", name)
        if name in CONTROLLERS:
            what = f"{shown(name)} is the name of a controller of every lab"
            report.add(path, what, remedy="choose another name")
            continue
        apps = [app for app in entry.apps or () if app is not None]
        options = [option for option in entry.options or () if option is not None]
        if not apps and not report.is_broken((*path, "apps")):
            report.add(path, "has no apps", "apps: [my_app.py]", "name the files of Ryu apps")
        for index, option in enumerate(entry.options or ()):
            if option is not None and option.partition("=")[0] in LISTENING:
                what = f"{option.partition('=')[0]} is the lab's: it says where switches connect"
                report.add((*path, "options", index), what, remedy="remove it")
        where = tuple(_placed(app, folder) for app in apps)
        some[name] = Application(name=name, apps=where, options=tuple(options))
    meant: dict[str, str] = {}
    for at, text in mentions(spec):
        if text in meant:
            continue
        if text in CONTROLLERS or text in some:
            meant[text] = text
        elif is_app(text):
            application = _of_file(text, folder, some)
            some[application.name] = application
            meant[text] = application.name
        elif not report.is_broken(("controllers", text)):
            known = [*CONTROLLERS, *some]
            near = report.nearest(text, known)
            remedy = f"did you mean {shown(near)}?" if near else ""
            allowed = ", ".join([*known, "a Ryu app like my_app.py"])
            report.add(at, f"{shown(text)} is no controller", allowed, remedy)
    return tuple(some[name] for name in sorted(some, key=names.natural)), meant


def mentions(spec: File) -> list[tuple[Path, str]]:
    """Where the file names controllers, and the texts."""
    texts: list[tuple[Path, str]] = []
    if spec.controller is not None:
        texts.append((("controller",), spec.controller))
    for section in ("domains", "switches"):
        for name, entry in (getattr(spec, section) or {}).items():
            if entry.controller is not None:
                texts.append(((section, name, "controller"), entry.controller))
    return texts


def files(spec: File) -> list[tuple[Path, str]]:
    """Where the file names Python files of apps, and their paths."""
    named = spec.controllers or {}
    texts = [(path, text) for path, text in mentions(spec) if is_app(text) and text not in named]
    for name, entry in named.items():
        texts += [
            (("controllers", name, "apps", index), app)
            for index, app in enumerate(entry.apps or ())
            if app is not None
        ]
    return [(path, text) for path, text in texts if not is_module(text)]


def _placed(app: str, folder: str) -> str:
    return app if is_module(app) else posixpath.normpath(posixpath.join(folder, app))


def _of_file(text: str, folder: str, some: Mapping[str, Application]) -> Application:
    """The application of one app that a switch names, in a controller named after it."""
    apps = (_placed(text, folder),)
    for application in some.values():
        if application.apps == apps and not application.options:
            return application
    stem = text.rpartition(".")[2] if is_module(text) else posixpath.basename(text).removesuffix(".py")
    name = stem if names.is_name(stem) else names.slug(stem, names.MAX_LENGTH - 4) or "app"
    return Application(name=names.unique(name, {*some, *CONTROLLERS}), apps=apps)


def check_functions(functions: Iterable[Function], switches: Sequence[Switch], report: Report) -> None:
    """Report functions at switches that an app controls: only the lab's own controller steers to them."""
    owners = {switch.name: switch.controller for switch in switches}
    for function in functions:
        owner = owners.get(function.switch or "", SDNLAB)
        if owner != SDNLAB:
            what = f"switch {function.switch} belongs to {owner}, which steers nothing to functions"
            report.add(("functions", function.name), what, remedy=f"let sdnlab control {function.switch}")
