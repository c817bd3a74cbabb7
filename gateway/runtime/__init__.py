"""What runs: every task of the process, and nothing that decides."""
