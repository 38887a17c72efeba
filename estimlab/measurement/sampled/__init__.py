"""Moments by sampling: chunks of draws, by the rows of linear maps where that is valid."""
