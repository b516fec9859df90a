"""What is trusted, read from files: policies and the keys they name."""
