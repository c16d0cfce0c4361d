"""Ways out of a lab: gateways, each with a user-space network stack in the machine's network."""
