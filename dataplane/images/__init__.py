"""Images of virtual machines: the micro image, built from the distribution's packages, and the cache."""
