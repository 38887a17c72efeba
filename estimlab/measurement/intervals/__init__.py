"""Intervals where an estimate divided by its standard error is not normal: squared biases, directions, ratios."""
