"""Open vSwitch: its daemons, its database, its control sockets."""
