"""The algorithms on an autoregressive policy where every metric is still exact: what carries over from the bandit."""
