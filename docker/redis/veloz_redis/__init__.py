"""Redis nodes and Sentinels of the VeloZ stack: how they start, and who they follow when they come back."""
