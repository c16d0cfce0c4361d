"""The answers to a rejected packet: TCP resets (RFC 9293, section 3.10.7.1), otherwise ICMP unreachable
messages (RFC 792, 4443).
"""

from __future__ import annotations

from nfv.ids.decode.packet import Packet
from wire import icmp, tcp
from wire.protocol import TCP


def answers(packet: Packet) -> tuple[list[bytes], list[bytes]]:
    """The frames (to the sender, to the receiver) that answer a rejected Ethernet frame."""
    if packet.outer is not None or packet.linktype != 1 or packet.version == 0 or packet.l3 < 14:
        return [], []
    data = packet.data
    ethernet = data[: packet.l3]
    back = ethernet[6:12] + ethernet[:6] + ethernet[12:]
    if packet.proto == TCP:
        if packet.flags & tcp.RST:
            return [], []
        sent = tcp.bare(packet.sp, packet.dp, packet.seq, packet.ack, packet.flags)
        reset = tcp.reset(sent, len(sent) + packet.end - packet.pay)
        assert reset is not None
        onward = tcp.bare(packet.sp, packet.dp, packet.seq, packet.ack, tcp.RST | (packet.flags & tcp.ACK))
        return (
            [back + tcp.in_ip(packet.dst, packet.src, reset)],
            [ethernet + tcp.in_ip(packet.src, packet.dst, onward)],
        )
    quoted = data[packet.l3 : min(packet.end, packet.l3 + 28 + 64)]
    if packet.version == 4:
        return [back + icmp.error(icmp.PORT_UNREACHABLE, packet.dst, packet.src, quoted[:28])], []
    return [back + icmp.error(icmp.PORT_UNREACHABLE6, packet.dst, packet.src, quoted)], []
