"""Weights as objects: what they are made of, what they amount to, and losses that take them."""
