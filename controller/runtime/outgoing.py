"""Messages to connected switches, made of the core's commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from controller.flow.builders import HOP, NETWORK
from controller.flow.tables import CONTROLLER, Action, Output, Resubmit, SetField, SwitchTables, Table
from controller.openflow import messages
from controller.openflow.ct_flush import ct_flush
from controller.runtime.commands import Flush, Inject, Program, Resume, Send
from controller.update.difference import difference, transmission


class Connection(Protocol):
    """What is used of ``osken.framework.Datapath``."""

    def own_xid(self) -> int: ...

    def send(self, data: bytes) -> None: ...


class Outgoing:
    """Sends to the ``connections`` (number -> connection) that are open.

    ``number_of`` gives the number of a switch's connection; None: the switch is not connected.
    """

    def __init__(self, connections: Mapping[int, Connection], number_of: Callable[[str], int | None]) -> None:
        self._connections = connections
        self._number_of = number_of
        self._prepared: dict[str, tuple[SwitchTables, bytes]] = {}

    def prepare(self, tables: Mapping[str, SwitchTables]) -> None:
        """Prepare the messages for empty switches, while switches are still connecting. Any thread."""
        for name, wanted in tables.items():
            if self._number_of(name) is None:
                self._prepared[name] = (wanted, transmission(difference((), (), wanted)))
                if self._number_of(name) is not None:
                    self._prepared.pop(name, None)

    def configure(self, connection: Connection) -> None:
        """Set how a switch that has just connected sends packet-ins."""
        connection.send(messages.set_config(connection.own_xid()))

    def program(self, command: Program) -> None:
        """Send a bundle, the prepared one to a switch that holds nothing."""
        prepared = self._prepared.pop(command.switch, None)
        if command.fresh and prepared is not None and prepared[0] is command.wanted:
            data = prepared[1]
        else:
            data = transmission(command.difference)
        self._connections[command.conn].send(data)

    def send(self, command: Send) -> None:
        """Send a frame out of a port."""
        self._packet_out(command.port.switch, CONTROLLER, (Output(command.port.number),), command.frame)

    def inject(self, command: Inject) -> None:
        """Send a frame through a switch's tables."""
        actions: tuple[Action, ...] = (SetField(NETWORK, command.network), Resubmit(Table.RESOLVE))
        if command.hop:
            actions = (actions[0], SetField(HOP, command.hop), Resubmit(Table.STEER))
        self._packet_out(command.switch, CONTROLLER, actions, command.frame)

    def resume(self, command: Resume) -> None:
        """Let a switch apply actions to a frame."""
        self._packet_out(command.switch, command.in_port, command.actions, command.frame)

    def flush(self, command: Flush) -> None:
        """Delete tracked connections."""
        if (connection := self._of(command.switch)) is not None:
            connection.send(
                ct_flush(
                    command.zone,
                    command.version,
                    command.protocol,
                    command.original,
                    command.reply,
                    connection.own_xid(),
                )
            )

    def _packet_out(self, switch: str, in_port: int, actions: tuple[Action, ...], frame: bytes) -> None:
        if (connection := self._of(switch)) is not None:
            connection.send(messages.packet_out(in_port, actions, frame, connection.own_xid()))

    def _of(self, switch: str) -> Connection | None:
        number = self._number_of(switch)
        return self._connections.get(number) if number is not None else None
