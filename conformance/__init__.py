"""Black-box conformance suite: what a client can tell about the broker, over TCP only."""
