"""Time, memory and error of everyone who can compute the weights of one cell."""
