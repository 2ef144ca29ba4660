"""How fast, how light and how polite: `python -m benchmarks` measures, `python -m benchmarks.guard` keeps watch."""
