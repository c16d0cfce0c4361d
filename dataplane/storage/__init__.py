"""The storage of a lab: storage hosts serve blocks by NBD, adapters assemble volumes from their copies."""
