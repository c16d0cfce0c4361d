"""Controllers that are a user's own: Ryu applications, which decide alone what their switches do."""

from __future__ import annotations

from topologies.model.values import Frozen

BY_OPTION = "app"
"""The name of the controller that ``sdnlab up --app`` makes."""


class Application(Frozen):
    """Ryu applications that run in one process, and are the controller of some switches.

    ``apps``: absolute paths of Python files, and names of modules like ``ryu.app.simple_switch_13``.
    ``options``: further words for ryu-manager.
    """

    name: str
    apps: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The apps that are files."""
        return tuple(app for app in self.apps if not is_module(app))


def is_module(text: str) -> bool:
    """Whether a text is the name of a module that Ryu has."""
    return text.startswith(("ryu.", "os_ken.")) and "/" not in text and not text.endswith(".py")


def is_app(text: str) -> bool:
    """Whether a text names an app, not a controller: a Python file, or a module of Ryu."""
    return text.endswith(".py") or "/" in text or is_module(text)
