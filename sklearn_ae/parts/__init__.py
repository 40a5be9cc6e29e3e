"""What methods are assembled from: pure torch, no scikit-learn, no skorch."""
