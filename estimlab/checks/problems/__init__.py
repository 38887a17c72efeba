"""The problems on which claims are tried, and which of their dimensions a failure needs."""
