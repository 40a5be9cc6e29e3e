"""What parameters are: their domains, the constructors and the docs made of them."""
