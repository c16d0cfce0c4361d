"""The service function forwarder (RFC 7665): to functions, and back from them."""
