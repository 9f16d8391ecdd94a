"""What speed and memory are measured with; scripts/benchmark.py is the command."""
