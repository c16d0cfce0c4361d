"""NSH's actions for programs that use os-ken's own classes; our codec (``controller.openflow``) needs none.

os-ken 4.2 has no class for Open vSwitch's decap, and its class for encap(nsh) has no working constructor
(``NXActionEncapNsh.__init__`` uses an undefined name).
"""

from __future__ import annotations

from struct import Struct
from typing import Any

ENCAP, DECAP = 46, 47
NSH, WHATEVER = 0x0001894F, 0x0000FFFE
"""Packet types (OpenFlow 1.5.1, 7.2.3.11): NSH; and the type that leaves it to the header."""
_DECAP = Struct("!2xI")
_ENCAP = Struct("!HI")
_MD_TYPE = Struct("!HBBB3x")


def add_nsh_actions(parser: Any) -> None:
    """Give an os-ken parser module (``os_ken.ofproto.ofproto_v1_5_parser``) ``NXActionDecap`` and an
    ``NXActionEncap`` that takes a packet type and, for NSH, the MD type; both are known when parsed."""

    class NXActionDecap(parser.NXAction):  # type: ignore[misc]
        """``decap()``. ``new_pkt_type``: what is inside."""

        _subtype = DECAP

        def __init__(
            self, new_pkt_type: int = WHATEVER, type_: Any = None, len_: Any = None,
            experimenter: Any = None, subtype: Any = None,
        ) -> None:  # fmt: skip
            super().__init__()
            self.new_pkt_type = new_pkt_type

        @classmethod
        def parser(cls, buf: bytes) -> Any:
            return cls(_DECAP.unpack_from(buf)[0])

        def serialize_body(self) -> bytearray:
            return bytearray(_DECAP.pack(self.new_pkt_type))

    class NXActionEncap(parser.NXAction):  # type: ignore[misc]
        """``encap(nsh(md_type=N))`` or, without ``md_type``, ``encap(ethernet)``."""

        _subtype = ENCAP

        def __init__(
            self, new_pkt_type: int = NSH, md_type: int | None = 2, type_: Any = None, len_: Any = None,
            experimenter: Any = None, subtype: Any = None,
        ) -> None:  # fmt: skip
            super().__init__()
            self.new_pkt_type, self.md_type = new_pkt_type, md_type if new_pkt_type == NSH else None

        @classmethod
        def parser(cls, buf: bytes) -> Any:
            _, kind = _ENCAP.unpack_from(buf)
            return cls(kind, buf[_ENCAP.size + 4] if len(buf) >= _ENCAP.size + 8 else None)

        def serialize_body(self) -> bytearray:
            body = _ENCAP.pack(0, self.new_pkt_type)
            if self.md_type is not None:
                body += _MD_TYPE.pack(4, 1, 5, self.md_type)
            return bytearray(body)

    for action in (NXActionDecap, NXActionEncap):
        action.__module__ = parser.__name__  # os-ken needs it to print an action
        setattr(parser, action.__name__, action)
        parser.NXAction.register(action)
