"""How the frozen suite was made; run by hand, once a version."""
