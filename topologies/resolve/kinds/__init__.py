"""How each kind of network function is resolved."""
