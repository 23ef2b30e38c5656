"""What Scripts/gpu-compilers is made of; its text says what it does."""
