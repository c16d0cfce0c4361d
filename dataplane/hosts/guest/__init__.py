"""What runs inside a virtual machine: the agent, which runs commands and sets addresses for the lab.

The agent needs Python 3.9 with the modules of Debian's package ``python3-minimal``.  Start-up time counts:
where a processor is emulated, each imported module takes a noticeable part of a boot.  So the modules that
are copied into a machine (``dataplane.hosts.guest.files``) import little, this one nothing.
"""
