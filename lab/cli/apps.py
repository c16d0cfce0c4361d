"""``sdnlab app``: the controllers of a lab that are a user's own Ryu apps."""

from __future__ import annotations

import socket
import threading
import time
from enum import Enum
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from lab.cli.common import Json, Lab, client, usage
from lab.cli.say import err, out, out_json, paint
from lab.failure import Exit, Failure, unknown
from lab.messages.lab import ApplicationState
from linux.readiness import readable

_CHUNK = 65536


class Action(str, Enum):
    """What is done with a controller."""

    show = "show"
    restart = "restart"
    publish = "publish"


def app(
    action: Annotated[
        Action, typer.Argument(help="restart: start it anew; publish: make its HTTP server reachable.")
    ] = Action.show,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The controller, if there are several.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="publish: the port at this machine. Default: that in the lab."),
    ] = None,
    lab: Lab = None,
    json: Json = False,
) -> None:
    """Show your own controllers, the Ryu apps of a lab; restart one, or reach its HTTP server.

    'publish' makes the HTTP server of an app (WSGI, ofctl_rest, a page) reachable at this machine's 127.0.0.1
    until Ctrl-C. 'sdnlab exec NAME -- curl http://127.0.0.1:8080/...' needs no port of the machine.

    Example: sdnlab app publish --port 8080
    """
    from lab.cli.rendering import lab as render
    from lab.views import applications as views

    api = client(lab)
    states: list[ApplicationState] = api.get("/status")["applications"]
    if action is Action.show and name is None:
        if json:
            out_json(states)
        elif not states:
            out("the lab has no controllers of its own user: see 'up --app', and 'controller:' in the file")
        else:
            out(render.applications(states, paint(), time.time()))
            for state in states:
                out("")
                out(views.told(state))
                for problem in views.problems(state):
                    out(paint()("! ", "red", "bold") + problem)
        return
    state = _chosen(states, name)
    if action is Action.show:
        out_json(state) if json else out(views.told(state) + "".join(f"\n{p}" for p in views.problems(state)))
    elif action is Action.restart:
        api.post(f"/controller/restart?name={quote(state['name'])}")
        out(f"{state['name']} starts anew; its switches keep their flows")
    else:
        _publish(api.name, state, port)


def _chosen(states: list[ApplicationState], name: str | None) -> ApplicationState:
    known = {state["name"]: state for state in states}
    if name is None:
        if len(known) != 1:
            raise usage("name a controller", f"there are: {', '.join(known) or 'none of your own'}")
        return next(iter(known.values()))
    if name not in known:
        raise unknown("controller of your own", name, list(known))
    return known[name]


def _publish(lab: str, state: ApplicationState, port: int | None) -> NoReturn:
    """Carry connections to a port of this machine into the lab, until Ctrl-C."""
    from lab.access.client import supervisor_pid
    from lab.cli import enter

    inside = state["wsapi"]
    if inside is None:
        what = f"no app of {state['name']} has an HTTP server"
        raise Failure(what, "add one: apps: [my_app.py, ryu.app.ofctl_rest]")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port or inside))
    except OSError as error:
        what = f"port {port or inside} of this machine can't be used: {error.strerror}"
        raise Failure(what, "choose another one: --port", Exit.MACHINE) from None
    listener.listen(64)
    pid = supervisor_pid(lab)
    enter.join(pid, lab)  # new sockets are the lab's from here on; the listening one stays the machine's

    def child() -> NoReturn:
        err(f"http://127.0.0.1:{port or inside}/ is {state['name']}'s; Ctrl-C ends this")
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_carry, args=(near, inside), daemon=True).start()

    raise typer.Exit(enter.run(child))


def _carry(near: socket.socket, port: int) -> None:
    """Carry one connection's octets both ways until an end closes."""
    with near:
        try:
            far = socket.create_connection(("127.0.0.1", port), timeout=5.0)
        except OSError:
            return
        with far:
            far.settimeout(None)
            open_ends = {near: far, far: near}
            while open_ends:
                for end in readable([*open_ends]):
                    try:
                        data = end.recv(_CHUNK)
                        open_ends[end].sendall(data)
                        if data:
                            continue
                        open_ends.pop(end).shutdown(socket.SHUT_WR)
                    except OSError:
                        return


COMMANDS = {"app": app}
