"""What encoders of both modalities are made of."""
