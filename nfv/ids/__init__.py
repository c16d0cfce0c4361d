"""Intrusion detection that speaks Suricata's rule language and writes Suricata's EVE JSON.

The stages, each a module that takes bytes or values and gives values: ``pcap`` (files) and ``capture``
(devices) -> ``decode`` -> ``defrag`` -> ``flow`` -> ``tcp`` and ``stream`` -> ``app`` (HTTP, DNS, TLS, SSH)
-> ``detect`` over the rules that ``language`` has read -> ``eve``.  ``engine`` ties them together for one
packet; ``offline`` runs files and ``process`` runs devices.
"""
