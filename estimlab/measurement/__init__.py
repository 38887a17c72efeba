"""Bias, variance and mean squared error: exactly, by quadrature, and by Monte Carlo."""
