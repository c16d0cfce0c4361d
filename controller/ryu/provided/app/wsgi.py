"""``ryu.app.wsgi``: the HTTP server of Ryu's apps, on WebOb and Routes.

Written anew from what apps import of it and from Ryu's documentation; the names are Ryu's.
"""

from __future__ import annotations

import inspect
import json
import logging
from typing import Any

from os_ken import cfg
from os_ken.app.wsgi_rpc import (
    WebSocketDisconnectedError,
    WebSocketRPCClient,
    WebSocketRPCServer,
)
from os_ken.app.wsgi_rpc import (
    public as rpc_public,
)
from os_ken.lib import hub
from routes import Mapper
from routes.util import URLGenerator
from webob import Request as WebobRequest
from webob import Response as WebobResponse
from webob import exc

__all__ = [
    "CONF",
    "DEFAULT_WSGI_HOST",
    "DEFAULT_WSGI_PORT",
    "DIGIT_PATTERN",
    "HEX_PATTERN",
    "ControllerBase",
    "Request",
    "Response",
    "WSGIApplication",
    "WSGIServer",
    "WebSocketDisconnectedError",
    "WebSocketManager",
    "WebSocketRPCClient",
    "WebSocketRPCServer",
    "rest_command",
    "route",
    "rpc_public",
    "start_service",
    "websocket",
]

LOG = logging.getLogger("ryu.app.wsgi")

DEFAULT_WSGI_HOST = "0.0.0.0"
DEFAULT_WSGI_PORT = 8080
HEX_PATTERN = r"0x[0-9a-z]+"
DIGIT_PATTERN = r"[1-9][0-9]*"

CONF = cfg.CONF
CONF.register_cli_opts(
    [
        cfg.StrOpt("wsapi-host", default=DEFAULT_WSGI_HOST, help="address of the apps' HTTP server"),
        cfg.IntOpt("wsapi-port", default=DEFAULT_WSGI_PORT, help="port of the apps' HTTP server"),
    ]
)


class Request(WebobRequest):
    """A request; text in it is UTF-8 unless it says otherwise."""

    DEFAULT_CHARSET = "UTF-8"

    def __init__(self, environ: Any, charset: str = DEFAULT_CHARSET, *args: Any, **kwargs: Any) -> None:
        super().__init__(environ, *args, charset=charset, **kwargs)


class Response(WebobResponse):
    """A response; text in it is UTF-8 unless the app says otherwise."""

    DEFAULT_CHARSET = "UTF-8"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        body = kwargs.get("body")
        if isinstance(body, str):  # apps of Python 2's time
            kwargs["body"] = body.encode()
        charset = kwargs.pop("charset", self.DEFAULT_CHARSET)
        if args and args[0] == self.DEFAULT_CHARSET:
            args = args[1:]
        super().__init__(*args, charset=charset, **kwargs)


def route(name: str, path: str, methods: Any = None, requirements: Any = None) -> Any:
    """Decorates a controller's method: requests of this path, and of these methods, are its own."""

    def mark(method: Any) -> Any:
        method.routing_info = {"name": name, "path": path, "methods": methods, "requirements": requirements}
        return method

    return mark


def websocket(name: str, path: str) -> Any:
    """Decorates a controller's method: it has the WebSocket that a request of this path opens."""

    def mark(method: Any) -> Any:
        def opened(self: Any, req: Any, **_variables: Any) -> Any:
            manager = self.parent.websocketmanager

            def serve(ws: Any) -> None:
                manager.add_connection(ws)
                try:
                    method(self, ws)
                finally:
                    manager.delete_connection(ws)

            return hub.WebSocketWSGI(serve)  # a WSGI application, as a response is

        opened.routing_info = {  # type: ignore[attr-defined]
            "name": name,
            "path": path,
            "methods": None,
            "requirements": None,
        }
        return opened

    return mark


def rest_command(function: Any) -> Any:
    """Decorates a controller's method whose result is answered as JSON; its errors become statuses."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except SyntaxError as problem:
            return Response(status=400, body=str(problem))
        except NameError as problem:
            return Response(status=404, body=str(problem))
        if isinstance(result, WebobResponse):
            return result
        return Response(content_type="application/json", body=json.dumps(result))

    answer.__name__, answer.__doc__ = function.__name__, function.__doc__
    return answer


class ControllerBase:
    """What apps derive their controllers from: one object for each request.

    ``data`` is what the app registered; ``parent`` is the ``WSGIApplication``.
    """

    special_vars = ("action", "controller")

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        self.req, self.link, self.data = req, link, data
        self.parent: Any = None
        for name, value in config.items():
            setattr(self, name, value)

    def __call__(self, req: Any) -> Any:
        variables = dict(self.req.urlvars)
        action = variables.pop("action", "index")
        variables.pop("controller", None)
        before = getattr(self, "__before__", None)
        if before is not None:
            before()
        return getattr(self, action)(req, **variables)


class WebSocketManager:
    """The open WebSockets of an application."""

    def __init__(self) -> None:
        self._connections: list[Any] = []

    def add_connection(self, ws: Any) -> None:
        self._connections.append(ws)

    def delete_connection(self, ws: Any) -> None:
        self._connections.remove(ws)

    def broadcast(self, msg: Any) -> None:
        """Send a message to all; one that is gone does not keep it from the others."""
        for connection in list(self._connections):
            try:
                connection.send(msg)
            except OSError:
                LOG.debug("a WebSocket is gone")


class WSGIApplication:
    """The context ``wsgi``: routes requests to the controllers that apps register."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.mapper = Mapper()
        self.registory: dict[str, Any] = {}  # Ryu's spelling
        self._wsmanager = WebSocketManager()

    @property
    def websocketmanager(self) -> WebSocketManager:
        return self._wsmanager

    def register(self, controller: Any, data: Any = None) -> None:
        """Route to a controller's decorated methods; its objects get ``data``."""
        for action, method in inspect.getmembers(controller, inspect.isroutine):
            info = getattr(method, "routing_info", None)
            if info is None:
                continue
            self.mapper.connect(
                info["name"],
                info["path"],
                controller=controller,
                action=action,
                requirements=info.get("requirements") or {},
                conditions={"method": info["methods"]} if info.get("methods") else {},
            )
        if data is not None:
            self.registory[controller.__name__] = data

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        request.start_response = start_response
        try:
            answer = self._answer(request, environ)
        except exc.HTTPException as problem:
            answer = problem
        if answer is None:
            answer = Response()
        elif isinstance(answer, str | bytes):
            answer = Response(body=answer)
        return answer(environ, start_response)

    def _answer(self, request: Any, environ: Any) -> Any:
        match = self.mapper.match(environ=environ)
        if not match:
            return exc.HTTPNotFound()
        request.urlvars = match
        kind = match["controller"]
        link = URLGenerator(self.mapper, environ)
        controller = kind(request, link, self.registory.get(kind.__name__), **self.config)
        controller.parent = self
        return controller(request)


class WSGIServer(hub.WSGIServer):
    """Serves an application at the address that the options say."""

    def __init__(self, application: Any, **config: Any) -> None:
        super().__init__((CONF.wsapi_host, CONF.wsapi_port), application, **config)

    def __call__(self) -> None:
        self.serve_forever()


def start_service(app_mgr: Any) -> WSGIServer | None:
    """The server of the apps' ``WSGIApplication``, if an app has that context."""
    for context in app_mgr.contexts.values():
        if isinstance(context, WSGIApplication):
            return WSGIServer(context)
    return None
