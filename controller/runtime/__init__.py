"""The controller while it runs: connections, reconciliation, learning, events.

``core`` and ``learning`` decide (values in, values out, the time among them).  ``osken`` is the edge to
os-ken and its sockets.  ``app`` carries out what was decided.
"""
