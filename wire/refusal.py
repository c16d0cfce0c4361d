"""What the sender of a refused packet is told: a TCP reset, or that it is prohibited.

The answer comes as if from the packet's destination (MAC and IP address), and goes out where the packet came
in: so the sender's own connection tracking knows what it is about, and no address of the firewall's is
needed.
"""

from __future__ import annotations

from wire import ethertype, icmp, tcp
from wire.ip import read
from wire.protocol import TCP


def refusal(header: bytes, data: bytes) -> bytes | None:
    """The frame to send back for the IP packet ``data`` (or its beginning) behind the Ethernet ``header``.

    None where nothing may be said (RFC 9293, 3.5.2; RFC 1122, 3.2.2; RFC 4443, 2.4 e): about a reset, an
    error message, a later fragment, what is not from and to one host; or where it is no IP packet.
    """
    packet = read(data)
    if packet is None or len(header) < 14 or header[0] & 1 or not icmp.may_be_told(packet):
        return None
    if packet.protocol == TCP:
        segment = tcp.reset(packet.body, packet.length)
        if segment is None:
            return None
        answer = tcp.in_ip(packet.destination, packet.source, segment)
    else:
        kind = icmp.PROHIBITED if packet.version == 4 else icmp.PROHIBITED6
        quoted = data[: packet.at + packet.length]
        answer = icmp.error(kind, packet.destination, packet.source, quoted)
    return header[6:12] + header[:6] + ethertype.octets(ethertype.OF_VERSION[packet.version]) + answer
