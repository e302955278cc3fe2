"""What does a file cost, and how many does a machine carry? Measured on the product's own roles."""
