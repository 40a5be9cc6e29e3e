"""How anything here is trained, and how it meets scikit-learn."""
