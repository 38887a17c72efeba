"""What the study of the literature's claims is made of: claims with predictions, and the quantities that test them."""
