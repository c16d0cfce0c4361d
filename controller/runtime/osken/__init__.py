"""The only package that imports os-ken."""
