"""What a run measured: figures, the proof that no kline was lost, verdicts, and how they are shown."""
