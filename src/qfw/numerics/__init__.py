"""What simulations have in common: gates as matrices, what outputs ask for, shots, and answers of them."""
