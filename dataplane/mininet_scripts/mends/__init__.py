"""What is mended in the package mininet: each module changes one part of it before the script runs."""
