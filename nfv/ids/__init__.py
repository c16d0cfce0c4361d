"""Intrusion detection with rules in Suricata's language and events in Suricata's EVE JSON.

Each stage is a module from bytes or values to values: ``pcap`` (files) and ``capture``
(devices) -> ``decode`` -> ``defrag`` -> ``flow`` -> ``tcp`` and ``stream`` -> ``app`` (HTTP, DNS, TLS, SSH)
-> ``detect`` with the rules that ``language`` has read -> ``eve``.  ``engine`` calls them for each packet;
``offline`` inspects files, and ``process`` inspects the traffic of devices.
"""
