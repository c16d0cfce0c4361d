"""From a frame to packets: link layers, tunnels, fragments, headers."""
