"""What a round computes: train, score, predict, rank. Torch tensors never leave this room."""
