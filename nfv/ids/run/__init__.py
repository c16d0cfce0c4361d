"""The engine as a process: on files, at a device, between two devices; or the program Suricata."""
