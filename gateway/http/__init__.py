"""HTTP endpoints, one file per dialect. No rules about merging, throttling or encoding; pushes no market data."""
