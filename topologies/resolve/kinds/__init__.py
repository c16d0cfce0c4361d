"""What is particular to each kind of network function when a file is resolved."""
