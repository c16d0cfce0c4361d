"""A user's function: a Python file with ``process(packet)``, run in a process that can reach nothing else.

``process`` is the instance's process: it owns the ports and tells what happens.  It starts a child that locks
itself in (``prison``), loads the script and takes packets in and out (``worker``).
"""
