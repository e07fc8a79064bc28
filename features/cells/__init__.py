"""From cells on disk to the numbers that describe a sample."""
