"""The truth: exact enumeration and Monte Carlo references. References and estimators never import each other."""
