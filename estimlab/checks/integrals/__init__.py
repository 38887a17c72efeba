"""Means and moments of draws by integrals over the noise, by whichever reaches them."""
