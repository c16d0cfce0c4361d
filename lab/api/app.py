"""The FastAPI application over a running lab. The import takes 0.5 s, so do it only when it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.to_thread
from fastapi import Body, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from controller.api.gate import Gate, PlainJson
from lab.api import execution
from lab.failure import Failure, NotThere
from lab.messages.checks import CheckLine, CheckRequest
from lab.messages.execution import ExecRequest, ExecResult
from lab.messages.lab import (
    Applied,
    ApplyRequest,
    ChainState,
    Event,
    FindingState,
    FlowState,
    FunctionRequest,
    FunctionState,
    GroupState,
    LinkChange,
    LogPart,
    MachineChange,
    MachineSnapshotRequest,
    Migrated,
    Moved,
    MoveRequest,
    OverlayState,
    PingRequest,
    PingResult,
    PowerRequest,
    Probing,
    Problem,
    ScaleRequest,
    Screen,
    SnapshotState,
    Status,
    UpDown,
    VolumeInfo,
)
from lab.messages.storage import GrowRequest, SnapshotRequest
from lab.messages.trace import TraceRequest, TraceState
from lab.messages.usage import Usage
from lab.messages.wires import WireChange, WireRequest, WireState
from lab.supervisor import change as supervisor_change
from lab.supervisor import following, machine_states, machines
from lab.supervisor.lab import Lab
from topologies.model.choices import SDNLAB

if TYPE_CHECKING:
    from lab.supervisor.checking import Checking

_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "no such switch, host, link, function or volume"},
    409: {"model": Problem, "description": "it can't be done"},
    422: {"model": Problem, "description": "the request is not understood"},
}


def create(lab: Lab) -> FastAPI:
    """The application that serves ``lab``; its OpenAPI description is at /openapi.json."""
    app = FastAPI(
        title="sdnlab",
        version="1",
        description="One running lab: its state, its links and switches, probes, flows and events.",
        docs_url=None,
        redoc_url=None,
        default_response_class=PlainJson,
    )
    app.add_middleware(Gate)
    _answer_failures(app, lab)
    _add_looking(app, lab)
    _add_touching(app, lab)
    return app


def _answer_failures(app: FastAPI, lab: Lab) -> None:
    """Answer every exception with a ``Problem``."""

    @app.exception_handler(Failure)
    def failed(_request: Request, failure: Failure) -> PlainJson:
        status = 404 if isinstance(failure, NotThere) else 409
        return PlainJson({"what": failure.what, "remedy": failure.remedy}, status)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> PlainJson:
        text = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        return PlainJson(
            {"what": f"the request is not understood: {text}", "remedy": "see /openapi.json"}, 422
        )

    @app.exception_handler(Exception)
    def broken(_request: Request, error: Exception) -> PlainJson:
        lab.events.add("error", f"the supervisor failed: {error!r}")
        return PlainJson({"what": f"the supervisor failed: {error!r}", "remedy": "see: sdnlab logs"}, 500)


def _add_looking(app: FastAPI, lab: Lab) -> None:
    """Add the endpoints that show the lab. (To include routers would take 30 ms more.)"""

    @app.get("/status", tags=["look"])
    def status() -> Status:
        """Domains, switches, hosts and links, and their problems."""
        return lab.status()

    @app.get("/doctor", tags=["look"])
    def doctor() -> list[FindingState]:
        """What is wrong in the lab, where, and what to do."""
        return lab.examined()

    @app.get("/topology", tags=["look"])
    def topology() -> dict[str, Any]:
        """The resolved topology that the lab was built from."""
        return lab.topology.model_dump(mode="json")

    @app.get("/ping", tags=["look"])
    def probing() -> Probing:
        """The progress of the running test of pairs."""
        return lab.probing

    @app.get("/links", tags=["look"])
    def links() -> dict[str, bool]:
        """Every link's name, hosts' wires included, and whether it is up."""
        return lab.net.link_states()

    @app.get("/wires", tags=["look"])
    def wires() -> list[WireState]:
        """Every link and host's wire: its MTU, and what it does to traffic in each direction."""
        return lab.wires()

    @app.get("/functions", tags=["look"])
    def functions() -> list[FunctionState]:
        """Network functions with their instances: processes, health, counters."""
        return lab.function_states()

    @app.get("/chains", tags=["look"])
    def chains() -> list[ChainState]:
        """Service chains, hop by hop, with the packets that were steered to each hop."""
        return lab.chain_states()

    @app.get("/volumes", tags=["look"])
    def volumes() -> list[VolumeInfo]:
        """Volumes with their copies and snapshots."""
        return lab.volumes.states(used=True)

    @app.get("/hosts/{name}/snapshots", tags=["look"], responses=_ERRORS)
    def snapshots(name: str) -> list[SnapshotState]:
        """The saved states of a virtual machine, the oldest first."""
        return machine_states.snapshots(lab, name)

    @app.get("/hosts/{name}/export", tags=["look"], responses=_ERRORS)
    def export(name: str) -> StreamingResponse:
        """A virtual machine as a tar archive; its state is in it when it is on."""
        exported = machine_states.export(lab, name)
        headers = {
            "X-Size": str(exported.size),
            "X-Running": str(int(exported.running)),
            "X-Paused": f"{exported.paused:.3f}",
        }
        return StreamingResponse(exported.pieces, media_type="application/x-tar", headers=headers)

    @app.get("/capture/{name}", tags=["look"], responses=_ERRORS)
    def capture(name: str) -> StreamingResponse:
        """Where to capture the packets of a link, host, switch, function, domain or underlay router.

        The answer is one JSON line. The response then stays open until the client closes it; this removes
        everything that was set up for the capture.
        """
        stack = contextlib.ExitStack()
        where = stack.enter_context(lab.capture(name))
        return StreamingResponse(_hold(stack, json.dumps(where)), media_type="application/x-ndjson")

    @app.get("/hosts/{name}/screen", tags=["look"], responses=_ERRORS)
    def screen(name: str) -> Screen:
        """What the screen of a virtual machine shows."""
        return machines.screen(lab, name)

    @app.get("/overlay", tags=["look"])
    def overlay() -> OverlayState:
        """The tunnel mesh with the counters of the tunnel switches."""
        return lab.overlay()

    @app.get("/flows", tags=["look"], responses=_ERRORS)
    def flows(switch: str | None = None) -> list[FlowState]:
        """Flow entries with counters, reasons, and the lines of the topology file that they come from."""
        return lab.flows(switch)

    @app.get("/switches/{name}/flows", tags=["look"], responses=_ERRORS)
    def bridge_flows(name: str) -> dict[str, str]:
        """The flows of a switch as Open vSwitch writes them, also of one that a user's own app controls."""
        return {"flows": lab.bridge_flows(name)}

    @app.get("/groups", tags=["look"], responses=_ERRORS)
    def groups(switch: str | None = None) -> list[GroupState]:
        """Groups with their buckets, reasons, and the lines of the topology file that they come from."""
        return lab.groups(switch)

    @app.get("/events", tags=["look"])
    def events(since: Annotated[int, Query(ge=0)] = 0) -> list[Event]:
        """Events after number ``since``, oldest first. /events/stream also sends new events."""
        return lab.events.since(since)

    @app.get("/events/stream", tags=["look"])
    def stream(since: Annotated[int, Query(ge=0)] = 0) -> StreamingResponse:
        """Events after number ``since``, and then new events, as JSON lines."""
        return StreamingResponse(_follow(lab, since), media_type="application/x-ndjson")

    @app.get("/logs", tags=["look"], responses=_ERRORS)
    def logs(log: str | None = None) -> dict[str, str]:
        """The end of every log in the lab, or of one, by name."""
        return lab.logs(log)

    @app.get("/usage", tags=["look"])
    def usage() -> Usage:
        """What hosts have used so far: processor, memory, network, disks. Two answers give what they use."""
        return lab.usage()

    @app.get("/logs/more", tags=["look"], responses=_ERRORS)
    def more_of_log(log: str, after: int = -1) -> LogPart:
        """What a log has after so many octets; without a number, its end. To follow it, ask again with
        ``end``."""
        return lab.more_of_log(log, after)


def _add_touching(app: FastAPI, lab: Lab) -> None:
    """Add the endpoints that change the lab, or send frames in it."""

    @app.post("/ping", tags=["touch"], responses=_ERRORS)
    def ping(request: Annotated[PingRequest | None, Body()] = None) -> PingResult:
        """Test pairs of hosts with real frames, all at the same time. Default: all pairs."""
        wanted = request or {}
        return lab.ping(wanted.get("pairs"), wanted.get("timeout"), wanted.get("detail", "auto"))

    @app.post("/checks", tags=["touch"], responses={**_ERRORS, 200: {"model": CheckLine}})
    def check(request: Annotated[CheckRequest | None, Body()] = None) -> StreamingResponse:
        """Run the checks of the topology file. The answer is JSON lines (``CheckLine``), as results come.

        A client that closes the connection ends the run.
        """
        from lab.supervisor.checking import Checking

        wanted = request or {}
        checking = Checking(lab, wanted.get("only"), wanted.get("within", 0.0))
        return StreamingResponse(_results(checking), media_type="application/x-ndjson")

    @app.post("/trace", tags=["touch"], responses=_ERRORS)
    def trace(request: TraceRequest) -> TraceState:
        """Follow a packet: its way as the file predicts it, and as it is seen."""
        return following.trace(lab, request)

    @app.post("/links/{name}", tags=["touch"], responses=_ERRORS)
    def set_link(name: str, change: UpDown) -> LinkChange:
        """Cut a link or repair it."""
        return lab.set_link(name, change["up"])

    @app.post("/wires/{name}", tags=["touch"], responses=_ERRORS)
    def shape(name: str, request: WireRequest) -> WireChange:
        """Change what a link or a host's wire does to traffic, or its MTU, while packets flow."""
        return supervisor_change.shape(lab, name, request["values"], request.get("source", ""))

    @app.post("/switches/{name}", tags=["touch"], responses=_ERRORS)
    def set_switch(name: str, change: UpDown) -> LinkChange:
        """Switch a switch off, or on again."""
        return lab.set_switch(name, change["up"])

    @app.post("/hosts/{name}/exec", tags=["touch"], responses=_ERRORS, response_model=ExecResult)
    async def exec_(name: str, request: ExecRequest, http: Request) -> Any:
        """Run a command in a host. It is ended when the connection closes.

        The answer comes when it has ended; with ``stream``, as JSON lines while it runs.
        """
        program = await anyio.to_thread.run_sync(lab.invocation, name, request["words"])
        running = execution.pieces(program, execution.decoded(request), request.get("timeout"))
        if request.get("stream"):
            lines = execution.lines(running, request.get("encoding", "text"))
            return StreamingResponse(lines, media_type="application/x-ndjson")
        answer = await execution.unless_gone(http, execution.result(name, request, running))
        return PlainJson(answer)  # None when nobody reads it

    @app.post("/hosts/{name}/move", tags=["touch"], responses=_ERRORS)
    def move(name: str, where: MoveRequest) -> Moved:
        """Move a host to another domain while the lab runs. It keeps its addresses."""
        return supervisor_change.move_host(lab, name, where["domain"], where.get("switch"))

    @app.post("/hosts/{name}/power", tags=["touch"], responses=_ERRORS)
    def power(name: str, request: PowerRequest) -> MachineChange:
        """Start, stop, pause, resume or reset a virtual machine. After a start or reset it is
        up."""
        return machines.power(lab, name, request["action"])

    @app.post("/hosts/{name}/migrate", tags=["touch"], responses=_ERRORS)
    def migrate(name: str, where: MoveRequest) -> Migrated:
        """Move a running virtual machine to another domain, with its memory and its connections."""
        return machine_states.migrate(lab, name, where["domain"], where.get("switch"))

    @app.post("/hosts/{name}/snapshots/{snapshot}", tags=["touch"], responses=_ERRORS)
    def change_snapshot(name: str, snapshot: str, request: MachineSnapshotRequest) -> SnapshotState:
        """Save the state of a virtual machine, let it return to a saved one, or delete one."""
        return machine_states.change_snapshot(lab, name, snapshot, request["action"])

    @app.post("/functions/{name}", tags=["touch"], responses=_ERRORS)
    def control_function(name: str, request: FunctionRequest) -> list[FunctionState]:
        """Stop, start or restart a function's processes, or those of one instance."""
        return lab.control_function(name, request["action"], request.get("instance"))

    @app.post("/functions/{name}/scale", tags=["touch"], responses=_ERRORS)
    def scale(name: str, request: ScaleRequest) -> Applied:
        """Give a function more or fewer instances, while traffic flows."""
        return supervisor_change.scale(lab, name, request["instances"])

    @app.post("/apply", tags=["touch"], responses=_ERRORS)
    def apply(request: ApplyRequest) -> Applied:
        """Change the running lab to a topology file. Only differences change."""
        raw = request["content"].encode("utf-8", "surrogateescape")
        dry_run, prepared = request.get("dry_run", False), request.get("prepared", False)
        return supervisor_change.apply(lab, request["file"], raw, dry_run, prepared)

    @app.post("/volumes/{name}/grow", tags=["touch"], responses=_ERRORS)
    def grow(name: str, request: GrowRequest) -> list[VolumeInfo]:
        """Make a volume larger."""
        lab.volumes.grow(name, request["size"])
        return lab.volumes.states()

    @app.post("/volumes/{name}/snapshots", tags=["touch"], responses=_ERRORS)
    def snapshot(name: str, request: SnapshotRequest) -> list[VolumeInfo]:
        """Save, restore or delete a snapshot of a volume."""
        lab.volumes.snapshot(name, request["action"], request["name"])
        return lab.volumes.states()

    @app.post("/controller/restart", tags=["touch"], responses=_ERRORS)
    def restart_controller(name: str = SDNLAB) -> dict[str, bool]:
        """Kill the controller, or one of the user's own, and start a new one. Traffic continues meanwhile."""
        lab.restart_controller(name)
        return {"restarting": True}

    @app.post("/down", tags=["touch"])
    async def down() -> dict[str, bool]:
        """Stop the lab immediately, with everything that belongs to it."""
        asyncio.get_running_loop().call_later(0.02, os.kill, os.getpid(), signal.SIGTERM)
        return {"stopping": True}


async def _hold(stack: contextlib.ExitStack, line: str) -> AsyncIterator[str]:
    """Send ``line``, and close ``stack`` when the client has closed the connection."""
    try:
        yield line + "\n"
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(stack.close)


async def _results(checking: Checking) -> AsyncIterator[str]:
    """The lines of a run of checks, which ends when the client has closed the connection."""
    limiter = anyio.CapacityLimiter(1)
    try:
        while (line := await anyio.to_thread.run_sync(checking.line, limiter=limiter)) is not None:
            yield json.dumps(line) + "\n"
    finally:
        checking.cancel()


async def _follow(lab: Lab, since: int) -> AsyncIterator[str]:
    limiter = anyio.CapacityLimiter(1)  # a follower waits in a thread of its own, not in one of the requests'
    number = since
    while True:
        batch = await anyio.to_thread.run_sync(lab.events.wait, number, 1.0, limiter=limiter)
        for event in batch:
            number = event["number"]
            yield json.dumps(event) + "\n"  # ASCII: whatever it holds can be written
