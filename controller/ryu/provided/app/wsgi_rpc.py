"""JSON-RPC 2.0 over the WebSockets of ``ryu.app.wsgi``: both ends of what Ryu takes from tinyrpc.

Where tinyrpc is not installed, this module serves under the names that apps import from it, too
(``from tinyrpc.exc import InvalidReplyError``).  Source: the specification of JSON-RPC 2.0.
"""

from __future__ import annotations

import inspect
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

from os_ken.lib import hub

LOG = logging.getLogger("ryu.app.wsgi")

__path__: list[str] = []  # so that it can serve as the package tinyrpc
_PARSE_ERROR = -32700
_INVALID_REQUEST = -32600
_METHOD_NOT_FOUND = -32601
_INVALID_PARAMS = -32602
_SERVER_ERROR = -32000
_PUBLIC = "_rpc_public_name"


class RPCError(Exception):
    """What all errors of this module are."""


class BadReplyError(RPCError):
    """A reply can't be used."""


class InvalidReplyError(BadReplyError):
    """A reply is no reply of JSON-RPC."""


class InvalidRequestError(RPCError):
    """A request is no request of JSON-RPC."""


class MethodNotFoundError(RPCError):
    """No public method has the name of the request."""


class WebSocketDisconnectedError(OSError):
    """The other end is gone."""


def public(name: Any = None) -> Any:
    """Decorates a method that the other end may call, by its own name or by another."""
    if callable(name):
        setattr(name, _PUBLIC, name.__name__)
        return name

    def mark(method: Any) -> Any:
        setattr(method, _PUBLIC, name or method.__name__)
        return method

    return mark


def dispatcher(callback: Any) -> dict[str, Callable[..., Any]]:
    """An object's public methods by their names."""
    methods = inspect.getmembers(callback, lambda member: hasattr(member, _PUBLIC))
    return {getattr(method, _PUBLIC): method for _, method in methods}


def answered(text: Any, methods: dict[str, Callable[..., Any]]) -> str | None:
    """The reply to a request or a batch of them; None: notifications have none."""
    try:
        asked = json.loads(text)
    except ValueError as problem:
        return json.dumps(_error(None, _PARSE_ERROR, f"Parse error: {problem}"))
    if isinstance(asked, list) and asked:
        replies = [reply for one in asked if (reply := _answer(one, methods)) is not None]
        return json.dumps(replies) if replies else None
    reply = _answer(asked, methods)
    return None if reply is None else json.dumps(reply)


def _answer(asked: Any, methods: dict[str, Callable[..., Any]]) -> dict[str, Any] | None:
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return _error(None, _INVALID_REQUEST, "Invalid Request")
    number = asked.get("id")
    given = asked.get("params", [])
    method = methods.get(asked["method"])
    if method is None:
        reply = _error(number, _METHOD_NOT_FOUND, "Method not found")
    elif not isinstance(given, list | dict):
        reply = _error(number, _INVALID_PARAMS, "Invalid params")
    else:
        try:
            result = method(**given) if isinstance(given, dict) else method(*given)
            reply = {"jsonrpc": "2.0", "id": number, "result": result}
            json.dumps(result)
        except Exception as problem:
            LOG.exception("WebSocket: %s failed", asked["method"])
            reply = _error(number, _SERVER_ERROR, str(problem))
    return reply if "id" in asked else None


def _error(number: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}


class WebSocketRPCServer:
    """Answers requests that come by a WebSocket with the public methods of ``rpc_callback``."""

    def __init__(self, ws: Any, rpc_callback: Any) -> None:
        self.ws = ws
        self._methods = dispatcher(rpc_callback)

    def serve_forever(self) -> None:
        """Until the other end is gone; each request runs in a thread of its own."""
        while (message := self.ws.wait()) is not None:
            hub.spawn(self._serve, message)

    def _serve(self, message: Any) -> None:
        reply = answered(message, self._methods)
        if reply is not None:
            self.ws.send(reply)


class _Proxy:
    """Its methods are those of the other end."""

    def __init__(self, client: WebSocketRPCClient, prefix: str, one_way: bool) -> None:
        self._client, self._prefix, self._one_way = client, prefix, one_way

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._client.call(self._prefix + name, args, kwargs, self._one_way)


class WebSocketRPCClient:
    """Calls methods of the other end of a WebSocket. ``serve_forever`` must run, to receive replies."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.queue: Any = hub.Queue()
        self._numbers = itertools.count(1)

    def serve_forever(self) -> None:
        """Until the other end is gone."""
        while (message := self.ws.wait()) is not None:
            self.queue.put(message)
        self.queue.put(None)

    def get_proxy(self, prefix: str = "", one_way: bool = False) -> _Proxy:
        """An object whose methods call those of the other end."""
        return _Proxy(self, prefix, one_way)

    def call(self, method: str, args: Any, kwargs: Any, one_way: bool = False) -> Any:
        """The result of a method of the other end. Raises ``RPCError``."""
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "method": method, "params": kwargs or list(args)}
        if not one_way:
            request["id"] = number
        self.ws.send(json.dumps(request))
        if one_way:
            return None
        text = self.queue.get()
        if text is None:
            raise WebSocketDisconnectedError
        try:
            reply = json.loads(text)
        except ValueError as problem:
            raise InvalidReplyError(str(problem)) from None
        if not isinstance(reply, dict) or reply.get("jsonrpc") != "2.0" or reply.get("id") != number:
            raise InvalidReplyError(f"no reply to request {number}: {text!r}")
        if "error" in reply:
            raise RPCError(str(reply["error"].get("message")))
        return reply.get("result")
