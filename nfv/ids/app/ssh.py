"""SSH identification strings (RFC 4253, section 4.2) of both sides. Later bytes are not parsed."""

from __future__ import annotations

from typing import Any

from nfv.ids.app.base import Parser, Tx, Value


class SshTx(Tx):
    """The two identification strings."""

    proto = "ssh"
    __slots__ = ("client", "server")

    def __init__(self, number: int, ts: float) -> None:
        super().__init__(number, ts)
        self.client: tuple[bytes, bytes] | None = None
        self.server: tuple[bytes, bytes] | None = None

    @property
    def protos(self) -> list[bytes]:
        """The protocol versions of both sides."""
        return [side[0] for side in (self.client, self.server) if side]

    def get(self, name: str, toserver: bool) -> Value:
        """See ``Tx.get``."""
        side = self.client if toserver else self.server
        if side is None:
            return [] if (self.done_ts if toserver else self.done_tc) else None
        return [side[0] if name == "ssh.proto" else side[1]]

    def eve(self) -> dict[str, Any]:
        """The ``ssh`` object."""
        out = {}
        for key, side in (("client", self.client), ("server", self.server)):
            if side:
                out[key] = {
                    "proto_version": side[0].decode("latin-1"),
                    "software_version": side[1].decode("latin-1"),
                }
        return out


class SshParser(Parser):
    """Reads the first lines."""

    proto = "ssh"
    tx_name = "ssh"

    def __init__(self) -> None:
        super().__init__()
        self._buffers: dict[bool, bytes | None] = {True: b"", False: b""}
        self._tx: SshTx | None = None

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """See ``Parser.feed``."""
        buffer = self._buffers[toserver]
        if buffer is None:
            return
        if self._tx is None:
            self._tx = SshTx(self.count, ts)
            self.count += 1
            self.txs.append(self._tx)
        buffer += data
        at = 0
        while True:
            end = buffer.find(b"\n", at)
            if end < 0:
                buffer = buffer[at:]
                self._buffers[toserver] = buffer if len(buffer) < 8192 else None
                return
            if toserver or buffer.startswith(b"SSH-", at):
                break
            at = end + 1  # a server may say something before (RFC 4253)
        self._buffers[toserver] = None
        self._identified(toserver, buffer[at:end])

    def incomplete(self) -> bool:
        """See ``Parser.incomplete``."""
        return any(self._buffers.values())

    def end(self, toserver: bool, ts: float) -> None:
        """See ``Parser.end``."""
        line = self._buffers[toserver]
        if line and line.startswith(b"SSH-"):
            self._buffers[toserver] = None
            self._identified(toserver, line)

    def _identified(self, toserver: bool, line: bytes) -> None:
        parts = line.rstrip(b"\r").split(b"-", 2)
        tx = self._tx
        assert tx is not None
        if len(parts) == 3 and parts[0] == b"SSH":
            software = parts[2].split(b" ")[0]
            if toserver:
                tx.client = (parts[1], software)
            else:
                tx.server = (parts[1], software)
        else:
            self.event("invalid_banner", tx.number)
        if toserver:
            tx.done_ts = tx.touched_ts = True
            self.trigger_ts = True
        else:
            tx.done_tc = tx.touched_tc = True
            self.trigger_tc = True
