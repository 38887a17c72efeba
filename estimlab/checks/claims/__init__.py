"""What is judged: one module per kind of claim."""
