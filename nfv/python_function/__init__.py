"""A user's function: a Python file with ``process(packet)``, in a process that can use nothing but its ports.

``process`` is the instance's process: it owns the ports and writes events.  It starts a child that enters a
sandbox (``prison``), loads the script and handles packets (``worker``).
"""
