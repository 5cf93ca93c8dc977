"""What training compiles: networks, losses and whole epochs of minibatches, without Python."""
