"""What compiled tables do to all packets, computed on classes of packets: properties proven or refuted."""
