"""OpenFlow messages between switches and controllers: overheard, decoded, and shown to people."""
