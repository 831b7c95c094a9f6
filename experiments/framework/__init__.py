"""What every experiment shares: its declaration, its checks, where results go, and the command line."""
