"""Loses every fifth packet: a bad line that always behaves the same, as an exercise needs it."""

seen = 0


def process(packet):
    global seen
    seen += 1
    return None if seen % 5 == 0 else packet
