"""Training at full size: the very estimators that were measured, as the activations of networks that learn."""
