"""What a lab is, as frozen values; what follows from them is computed and never stored."""
