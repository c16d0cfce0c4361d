"""DHCP and DNS by dnsmasq: its configuration, and the process around it."""
