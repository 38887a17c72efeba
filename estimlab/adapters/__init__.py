"""Other people's code as estimators: sampling functions with their own backward rule, and surrogate losses."""
