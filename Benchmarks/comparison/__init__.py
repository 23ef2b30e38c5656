"""What compare.py is made of: the shapes, who computes them, the machine's peaks, and what is written at the end."""
