"""What computed features tell: accuracy, suspects, learning curves, tuning, maps."""
