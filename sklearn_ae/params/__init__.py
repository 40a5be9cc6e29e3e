"""Parameters: their domains, their order, and constructors and docs made of them."""
