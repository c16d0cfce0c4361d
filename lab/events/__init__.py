"""Events of a lab, and their texts."""
