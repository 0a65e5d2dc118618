"""Comparisons of weightings over splits: experiments, their statistics, a report, the demo."""
