"""Noise as an argument: its face, random streams, and quadrature."""
