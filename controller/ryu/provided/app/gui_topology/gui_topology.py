"""``ryu.app.gui_topology.gui_topology``: serves a page that shows the topology as it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from os_ken.app.wsgi import ControllerBase, WSGIApplication, route
from os_ken.base import app_manager
from webob.static import DirectoryApp

PATH = Path(__file__).parent

# Its page asks these.
app_manager.require_app("ryu.app.rest_topology")
app_manager.require_app("ryu.app.ws_topology")
app_manager.require_app("ryu.app.ofctl_rest")


class GUIServerApp(app_manager.OSKenApp):
    """Serves the page at /."""

    _CONTEXTS = {"wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kwargs["wsgi"].register(GUIServerController)


class GUIServerController(ControllerBase):
    """Answers with files."""

    @route("topology", "/{filename:[^/]*}")
    def static_handler(self, req: Any, **_more: Any) -> Any:
        return DirectoryApp(str(PATH / "html"))
