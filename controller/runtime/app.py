"""The os-ken app: gives events to the core, and carries out what the core decides.

One thread owns the core.  Another thread compiles, so that switches are greeted, and their questions
answered, while a large lab is being compiled.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from controller.messages import AllProgrammed, ControllerError
from controller.runtime.journal import Journal
from controller.runtime.osken.framework import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    Datapath,
    EventReply,
    QueuedApp,
    ofp_event,
    ofproto_v1_5,
    set_ev_cls,
)
from wire import ethertype

if TYPE_CHECKING:
    from pathlib import Path

    from controller.flow.tables import SwitchTables
    from controller.runtime.admission import Admission
    from controller.runtime.commands import Command, Compile
    from controller.runtime.core import Core
    from controller.runtime.proving import Answered, Failed, Proving
    from topologies.model.topology import Topology

T = TypeVar("T")

_PROBE = ethertype.octets(ethertype.PROBE)
_NO_COOKIE = (1 << 64) - 2
"""A cookie that no flow has."""
_SWITCH_INTERVAL = 0.0005
"""Seconds for which a busy thread keeps the interpreter: compiling must not delay the greeting of
switches."""


class SwitchKeeper(QueuedApp):
    """Keeps the tables of every switch as the intent wants them.

    ``load`` returns the first intent; it runs on the app's thread, when switches can already connect.
    ``number``: of this intent, for the event ``all-programmed``.  A learned station that is silent for
    ``idle`` seconds is forgotten.  The file ``state`` keeps what was learned across restarts.  ``shared``:
    users' apps run in the same process.  ``proves``: all pairs of hosts are proven by computation
    (``controller.runtime.proving``).  ``ready`` is set when the lab first converges, and is proven.
    """

    def __init__(
        self,
        *,
        load: Callable[[], Topology],
        number: int = 0,
        journal: Journal,
        idle: float = 300.0,
        state: Path | None = None,
        shared: bool = False,
        proves: bool = False,
    ) -> None:
        super().__init__()
        self.journal = journal
        self.ready = threading.Event()
        self.compiled = threading.Event()
        self.active_at = time.monotonic()
        self.core: Core
        self._intent = number
        self._proves = proves
        self._proving: Proving | None = None
        self._load, self._idle, self._state_file, self._shared = load, idle, state, shared
        self._datapaths: dict[int, Datapath] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._remembered: object = None
        self._admission: Admission | None = None
        self._probed: frozenset[tuple[int, int]] = frozenset()

    def prepare(self) -> None:
        """Load the intent, and the modules that are slow to import."""
        sys.setswitchinterval(_SWITCH_INTERVAL)
        topology = self._load()
        from controller.runtime import admission, compiling, core, memory, outgoing, questions
        from controller.runtime.learning import Limits

        self._questions = questions.Questions()
        self.core = core.Core(topology, limits=Limits(idle=self._idle), token=os.urandom(8))
        self._admission = admission.Admission(limited=not self._shared)
        self._watch_probes()
        if self._proves:
            from controller.runtime.proving import Proving

            self._proving = Proving(self.journal.emit, self.ready.set)
        if self._state_file is not None:
            known, now = memory.read(self._state_file), time.monotonic()
            self.core.learning.restore(known.stations, now)
            self.core.health.restore(known.failed, now)
        self._outgoing = outgoing.Outgoing(self._datapaths, self.core.conn)
        self._compiling = compiling.Compiling(
            lambda command, tables, seconds: self.post(lambda: self._compiled(command, tables, seconds)),
            lambda command, message: self.post(lambda: self._uncompiled(command, message)),
            self._outgoing.prepare,
            self._prove,
        )
        self._compiling.start()
        self._do(self.core.start(time.monotonic()))

    def idle(self) -> float | None:
        now = time.monotonic()
        self._do(self.core.tick(now))
        due = self.core.next_due(now)
        return None if due is None else max(0.0, due - time.monotonic())

    # -- what happens ------------------------------------------------------------------

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def _state(self, ev: Any) -> None:
        datapath, now = ev.datapath, time.monotonic()
        if datapath.id is None:
            return
        if ev.state == MAIN_DISPATCHER:
            self.active_at = now
            self._datapaths[datapath.number] = datapath
            self._outgoing.configure(datapath)
            ports = {n: _up(port) for n, port in dict(datapath.ports).items() if n < ofproto_v1_5.OFPP_MAX}
            self._do(self.core.connected(datapath.id, datapath.number, ports, now))
        elif self._datapaths.pop(datapath.number, None) is not None:
            self._do(self.core.disconnected(datapath.id, datapath.number, now))
            self._questions.hang_up(datapath.number)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _port(self, ev: Any) -> None:
        if ev.msg.desc.port_no >= ofproto_v1_5.OFPP_MAX:
            return  # the bridge's own port
        deleted = ev.msg.reason == ofproto_v1_5.OFPPR_DELETE
        up = None if deleted else _up(ev.msg.desc)
        self._do(self.core.port(ev.msg.datapath.id, ev.msg.desc.port_no, up, time.monotonic()))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _packet(self, ev: Any) -> None:
        msg = ev.msg
        from controller.runtime.verdicts import registers

        fields = dict(msg.match.items())
        port = fields.get("in_port")
        if port is not None:
            data, now, pipeline_registers = bytes(msg.data), time.monotonic(), registers(fields)
            self._do(
                self.core.packet(
                    msg.datapath.id, port, msg.table_id, data, now, msg.cookie, pipeline_registers
                )
            )

    def urgent(self, ev: Any) -> bool:
        """Probes that come back are handled first: no flood of packets makes an instance look dead."""
        if not isinstance(ev, ofp_event.EventOFPPacketIn):
            return False
        msg = ev.msg
        return msg.data[12:14] == _PROBE and (msg.datapath.id, msg.match.get("in_port")) in self._probed

    def admits(self, datapath: Datapath, data: bytes) -> bool:
        """Whether a port's packet-in is within the port's limit."""
        if self._admission is None or datapath.id is None:
            return True
        return self._admission.admits(datapath.id, data, time.monotonic())

    @set_ev_cls(EventReply, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _reply(self, ev: EventReply) -> None:
        from controller.openflow import messages
        from controller.runtime.exchange import error_text, is_commit_reply

        conn, now = ev.datapath.number, time.monotonic()
        if conn not in self._datapaths or self._questions.answer(conn, ev.kind, ev.xid, ev.data):
            return
        name = self.core.name(ev.datapath.id, conn)
        if name is None or ev.xid != messages.BUNDLE_XID:
            return
        if is_commit_reply(ev.kind, ev.data):
            self.active_at = now
            self._do(self.core.committed(name, conn, now))
        elif ev.kind == messages.ERROR:
            self._do(self.core.refused(name, conn, error_text(ev.data), now))

    # -- what follows ------------------------------------------------------------------

    def _do(self, commands: Iterable[Command]) -> None:
        from controller.runtime import commands as todo

        for command in commands:
            if isinstance(command, todo.Emit):
                event = command.event
                if isinstance(event, AllProgrammed):
                    event = replace(event, intent=self._intent)
                self.journal.emit(event)
                if isinstance(event, AllProgrammed):
                    self._ask_for_proof()
                    self._remember()
            elif isinstance(command, todo.Program):
                self._outgoing.program(command)
            elif isinstance(command, todo.Dump):
                self._dump(command)
            elif isinstance(command, todo.Compile):
                self._compiling.put(command)
            elif isinstance(command, todo.Send):
                self._outgoing.send(command)
            elif isinstance(command, todo.Inject):
                self._outgoing.inject(command)
            elif isinstance(command, todo.Resume):
                self._outgoing.resume(command)
            elif isinstance(command, todo.Flush):
                self._outgoing.flush(command)
            elif isinstance(command, todo.Usage):
                self._usage(command)
            elif datapath := self._datapaths.get(command.conn):
                datapath.close()

    def _prove(self, command: Compile, tables: Mapping[str, SwitchTables]) -> None:
        if self._proving is not None:
            self._proving.compute(command.topology, tables, command.down_links)

    def _ask_for_proof(self) -> None:
        """All switches are programmed: let them list what they hold, if that is to be proven."""
        if self._proving is None:
            self.ready.set()
            return
        self._proving.programmed(
            self.core.topology, dict(self.core.wanted), self.core.down_links(), self._list
        )

    def _list(self, switch: str, answered: Answered, failed: Failed) -> None:
        conn = self.core.conn(switch)
        datapath = self._datapaths.get(conn) if conn is not None else None
        if datapath is None:
            failed(switch, "it is not connected")
            return
        self._questions.listed(
            datapath, lambda *held: answered(switch, *held), lambda why: failed(switch, why)
        )

    def _dump(self, command: Any) -> None:
        conn, name = command.conn, command.switch
        self._questions.held(
            self._datapaths[conn],
            lambda held: self._do(self.core.dumped(name, conn, held, time.monotonic())),
            lambda why: self._do(self.core.refused(name, conn, why, time.monotonic())),
        )

    def _usage(self, command: Any) -> None:
        from controller.flow.tables import Table
        from controller.runtime.questions import cookie_of_station, packets_of

        station, key = command.station, (command.station.network, command.station.mac)
        cookie = cookie_of_station(station, self.core.wanted.get(command.switch))

        def counted(parts: list[bytes]) -> None:
            packets = packets_of(parts)
            before = self._counts.get(key, 0)
            self._counts[key] = packets
            if packets == before:
                self._counts.pop(key)
            self._do(self.core.used(station, packets != before, time.monotonic()))

        def failed(why: str) -> None:
            self._do(self.core.used(station, True, time.monotonic()))

        if cookie is None:  # learned but never compiled in: its port left the network
            self._do(self.core.used(station, False, time.monotonic()))
            return
        self._questions.counters(self._datapaths[command.conn], counted, failed, Table.CLASSIFY, cookie)

    def _remember(self) -> None:
        """Save what was learned for the next controller; called when the switches hold it."""
        from controller.runtime import memory

        known = memory.Memory(self.core.learning.stations, self.core.health.failed)
        if self._state_file is not None and known != (self._remembered or memory.Memory()):
            self._remembered = known
            try:
                memory.write(self._state_file, known)
            except OSError as problem:
                self.journal.emit(ControllerError(f"cannot remember what was found out: {problem}"))

    def _watch_probes(self) -> None:
        dpids = {switch.name: switch.dpid for switch in self.core.topology.switches}
        ports = self.core.health.liveness.ports
        self._probed = frozenset((dpids[p.switch], p.number) for p in ports if p.switch in dpids)

    @property
    def busy(self) -> bool:
        """Whether a switch is being asked or programmed."""
        members = list(self.core.members.values())
        return any(member.flight is not None or member.dumping is not None for member in members)

    # -- compiled beside ---------------------------------------------------------------

    def _compiled(self, command: Compile, tables: dict[str, SwitchTables], seconds: float) -> None:
        self._do(self.core.compiled(command.generation, tables, seconds, time.monotonic()))
        self.compiled.set()

    def _uncompiled(self, command: Compile, message: str) -> None:
        self._do(self.core.uncompiled(command.generation, message, time.monotonic()))
        self.compiled.set()

    # -- for the API -------------------------------------------------------------------

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """Call ``question`` on the app's thread; its result."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return  # whoever asked has given up
            try:
                future.set_result(question())
            except BaseException as problem:
                future.set_exception(problem)

        self.post(run)
        return future

    def replace(self, topology: Topology, number: int = 0) -> Future[int]:
        """Make ``topology`` the intent with this ``number``. The number of the last event before the
        change."""

        def begin() -> int:
            since = self.journal.last
            self._intent = number
            self._do(self.core.intent(topology, time.monotonic()))
            self._watch_probes()
            return since

        return self.ask(begin)

    def reported(self, failed: dict[str, str]) -> Future[None]:
        """The lab reports all instances and backends that have failed, with the reasons."""
        return self.ask(lambda: self._do(self.core.reported(failed, time.monotonic())))

    def report(self, name: str, up: bool, reason: str) -> Future[None]:
        """The lab reports whether one instance or backend works (KeyError: the intent does not have it)."""

        def tell() -> None:
            if not self.core.health.knows(name):
                raise KeyError(name)
            self._do(self.core.report(name, up, reason, time.monotonic()))

        return self.ask(tell)

    def after_replies(self, done: Callable[[], None]) -> None:
        """Call ``done``, on the app's thread, when all messages that switches have sent so far are handled.

        Each connected switch is asked a short question, whose answer comes after its earlier messages.  The
        end of a connection counts as an answer."""
        from controller.flow.tables import Table

        waiting: set[int] = set()

        def heard(conn: int) -> None:
            waiting.discard(conn)
            if not waiting:
                done()

        def ask() -> None:
            waiting.update(self._datapaths)
            for conn, datapath in list(self._datapaths.items()):
                answered = lambda _, conn=conn: heard(conn)  # noqa: E731
                self._questions.counters(datapath, answered, answered, Table.CLASSIFY, _NO_COOKIE)
            if not waiting:
                done()

        self.post(ask)

    def counters(self, switch: str, table: int | None = None) -> Future[list[bytes]]:
        """The switch's flows (of one table, or all) as it reports them: bodies of OFPMP_FLOW_DESC replies.

        KeyError: no such switch; ConnectionError: it is not connected, or it refused.
        """
        from controller.openflow import messages

        future: Future[list[bytes]] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return  # whoever asked has given up
            if switch not in self.core.members:
                future.set_exception(KeyError(switch))
                return
            conn = self.core.conn(switch)
            datapath = self._datapaths.get(conn) if conn is not None else None
            if datapath is None:
                future.set_exception(ConnectionError(f"{switch} is not connected"))
                return
            self._questions.counters(
                datapath,
                future.set_result,
                lambda why: future.set_exception(ConnectionError(why)),
                messages.ALL_TABLES if table is None else table,
            )

        self.post(run)
        return future


def _up(port: Any) -> bool:
    """Whether a port of a port description or status carries traffic."""
    down = port.config & ofproto_v1_5.OFPPC_PORT_DOWN or port.state & ofproto_v1_5.OFPPS_LINK_DOWN
    return not down
