"""Whether this machine's accelerator computes the same as its CPU, and how fast; scripts/gpu_check.py is the command."""
