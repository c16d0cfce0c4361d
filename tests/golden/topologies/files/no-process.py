def handle(packet):
    return packet
