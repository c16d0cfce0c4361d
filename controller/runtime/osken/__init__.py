"""The only room that knows os-ken."""
