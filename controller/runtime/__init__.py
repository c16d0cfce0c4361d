"""The controller's running half: connections, reconciliation, learning, events.

``core`` and ``learning`` decide (values in, values out, the clock injected); ``osken`` is
the edge to os-ken and its sockets, ``app`` carries the decisions out.
"""
