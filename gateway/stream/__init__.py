"""WebSocket sessions: commands of each dialect become steps on hub and session."""
