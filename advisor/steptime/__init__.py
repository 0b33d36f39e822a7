"""How long one engine step takes, and a load, each by cause."""
