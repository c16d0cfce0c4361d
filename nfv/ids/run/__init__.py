"""The engine as a process: over files, at a device, between two; or the program Suricata."""
