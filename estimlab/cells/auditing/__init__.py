"""Statements about other people's functions, and whether they hold."""
