"""Flow tables as plain values: how they are made, and how they read."""
