"""Payment rails: what is told to them and by them, their files, and reconciliation. A simulated one, too."""
