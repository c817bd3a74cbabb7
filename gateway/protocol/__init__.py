"""Wire formats, one file per dialect: updates and replies to bytes, and text to commands. Keeps nothing per client."""
