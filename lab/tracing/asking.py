"""The packet that a request asks for. Pure, but for scapy's import where a packet is an expression."""

from __future__ import annotations

from controller.trace.questions import Question, Traffic, host, question, words
from lab.messages.trace import TraceRequest
from topologies.model.topology import Topology


def asked_by(topology: Topology, request: TraceRequest) -> tuple[Question, bytes | None]:
    """The first frame of a request, and its octets if the user has described them.

    Raises CannotAsk; ExpressionError.
    """
    source, destination = request["source"], request["destination"]
    packet = request.get("packet")
    if packet is None:
        traffic = Traffic(request.get("protocol", "icmp"), request.get("port", 0), request.get("family"))
        return question(topology, source, destination, traffic), None
    from controller.simulate.decode import frame_of
    from lab.packets.expression import parse
    from lab.packets.sending import frame

    sender = host(topology, source)
    data = frame(topology, source, destination, parse(packet))
    fields = frame_of(data)
    assert sender.port is not None
    return Question(sender, sender.port, fields, words(fields)), data
