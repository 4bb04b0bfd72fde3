"""What the page Admin is made of."""
