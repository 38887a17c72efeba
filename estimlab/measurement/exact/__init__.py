"""Moments without sampling, layer by layer, for estimators with hard forward passes; and where bias comes from."""
